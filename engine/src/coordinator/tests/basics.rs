//! One user, one kind of work.

use super::*;

#[test]
fn chunks_start_in_order_as_workers_become_free() {
    let mut scene = Scene::new();
    assert_eq!(scene.submit(1, 5, 3), [nobody_can(1, Skills::NONE)]);
    assert_eq!(scene.join(1), [start(1, task(1, 0), 1, 0)]);
    assert_eq!(scene.join(2), [start(2, task(1, 1), 1, 0)]);
    scene.seconds = 5;
    let effects = scene.finish(2, task(1, 1), 1);
    let progress = Progress { tasks_done: 1, tasks: 3, cost_done: Cost(1000), cost: Cost(3000) };
    let expected = [accept(task(1, 1), 1), Effect::Progress { job: JobId(1), progress }, start(2, task(1, 2), 1, 5)];
    assert_eq!(effects, expected);
}

#[test]
fn the_last_accepted_chunk_finishes_the_job_once() {
    let mut scene = Scene::with(&[(1, 5, 2)], 2);
    assert!(!scene.finish(1, task(1, 0), 1).contains(&Effect::JobDone { job: JobId(1) }));
    assert_eq!(scene.finish(2, task(1, 1), 1).last(), Some(&Effect::JobDone { job: JobId(1) }));
    let again = Ignored::AcceptedBefore { task: task(1, 1), attempt: Attempt(1) };
    assert_eq!(scene.finish(2, task(1, 1), 1), [Effect::Ignored(again)]);
    assert!(!scene.coordinator.is_active(JobId(1)));
}

#[test]
fn a_job_without_tasks_is_done_at_once() {
    assert_eq!(Scene::new().submit(1, 5, 0), [Effect::JobDone { job: JobId(1) }]);
}

#[test]
fn a_job_is_done_to_the_end_whose_tasks_all_need_something_else() {
    use Skill::{Av1, Cpu, H264, Hevc, Nvenc, Split, Stitch, Vp9};
    let skills = [Cpu, Nvenc, H264, Hevc, Vp9, Av1, Split, Stitch];
    let needs = |set: u32| skills.into_iter().filter(|&skill| set >> skill as u32 & 1 == 1).collect();
    let tasks = (0..256).map(|set| NewTask { chunk: ChunkIndex(set), cost: Cost(1000), needs: needs(set) }).collect();
    let mut scene = Scene::new();
    scene.join_with(1, skills.into_iter().collect());
    scene.apply(Event::Submit { job: JobId(1), terms: Terms::default(), tasks });
    for _ in 0..256 {
        let Some(&(task, attempt, worker)) = scene.leases().first() else { break };
        scene.finish(worker, task, attempt);
    }
    assert_eq!(scene.coordinator.progress(JobId(1)).map(|it| it.tasks_done), Some(256));
    assert!(!scene.coordinator.is_active(JobId(1)));
}

#[test]
fn a_silent_workers_task_goes_to_another_when_its_lease_runs_out() {
    let mut scene = Scene::with(&[(1, 5, 1)], 2);
    assert_eq!(scene.coordinator.next_wakeup(), Some(Now(Duration::from_secs(LEASE))));
    assert_eq!(scene.pass(LEASE - 1), []);
    assert_eq!(scene.pass(1), [start(2, task(1, 0), 2, LEASE)]);
}

#[test]
fn a_heartbeat_prolongs_the_lease() {
    let mut scene = Scene::with(&[(1, 5, 1)], 2);
    scene.pass(LEASE - 1);
    assert_eq!(scene.beat(1, task(1, 0), 1), []);
    assert_eq!(scene.pass(LEASE - 1), []);
    assert_eq!(scene.leases(), [(task(1, 0), 1, 1)]);
}

#[test]
fn a_late_result_of_an_old_attempt_is_refused() {
    let mut scene = Scene::with(&[(1, 5, 1)], 2);
    scene.pass(LEASE);
    assert_eq!(scene.finish(1, task(1, 0), 1), [discard(task(1, 0), 1)]);
    assert_eq!(scene.finish(2, task(1, 0), 2)[0], accept(task(1, 0), 2));
    assert_eq!(scene.finish(1, task(1, 0), 1), [discard(task(1, 0), 1)]);
}

#[test]
fn a_late_result_is_welcome_until_the_next_attempt_is_leased() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    assert_eq!(scene.pass(LEASE), [], "nobody else is there");
    assert_eq!(scene.finish(1, task(1, 0), 1)[0], accept(task(1, 0), 1));
}

#[test]
fn a_late_heartbeat_takes_the_lease_back_unless_another_has_it() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    scene.pass(LEASE);
    assert_eq!(scene.leases(), []);
    assert_eq!(scene.beat(1, task(1, 0), 1), []);
    assert_eq!(scene.leases(), [(task(1, 0), 1, 1)]);

    scene.pass(LEASE);
    scene.join(2);
    assert_eq!(scene.leases(), [(task(1, 0), 2, 2)]);
    assert_eq!(scene.beat(1, task(1, 0), 1), [stop(1, task(1, 0), 1), stale(task(1, 0), 1)]);
}

#[test]
fn a_silent_worker_gets_nothing_until_it_is_heard_from() {
    let mut scene = Scene::with(&[(1, 5, 2)], 1);
    scene.pass(LEASE);
    assert_eq!(scene.leases(), []);
    assert_eq!(scene.stopped(1, task(1, 0), 1), [start(1, task(1, 0), 2, LEASE)]);
}

#[test]
fn a_worker_that_leaves_loses_its_task_at_once() {
    let mut scene = Scene::with(&[(1, 5, 1)], 2);
    assert_eq!(scene.leave(1), [start(2, task(1, 0), 2, 0)]);
    assert_eq!(scene.leave(1), [Effect::Ignored(Ignored::UnknownWorker(WorkerId(1)))]);
}

#[test]
fn a_worker_that_joins_again_starts_afresh() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    assert_eq!(scene.join(1), [start(1, task(1, 0), 2, 0)]);
}

#[test]
fn a_retryable_failure_is_tried_three_times_then_the_job_fails_with_its_sentence() {
    let mut scene = Scene::with(&[(1, 5, 2)], 1);
    let again = |variant, attempt| [start_as(variant, 1, task(1, 0), attempt, 0)];
    assert_eq!(scene.fail(1, task(1, 0), 1, FailureKind::Retryable), again(Variant::Cautious, 2));
    assert_eq!(scene.fail(1, task(1, 0), 2, FailureKind::Retryable), again(Variant::Last, 3));
    let failure = Failure { kind: FailureKind::Retryable, message: "it broke".to_owned() };
    let failed = Effect::JobFailed { task: task(1, 0), attempts: 3, failure };
    assert_eq!(scene.fail(1, task(1, 0), 3, FailureKind::Retryable), [failed]);
}

#[test]
fn a_retry_goes_to_another_worker_where_there_is_one() {
    let mut scene = Scene::with(&[(1, 5, 1)], 2);
    let again = start_as(Variant::Cautious, 2, task(1, 0), 2, 0);
    assert_eq!(scene.fail(1, task(1, 0), 1, FailureKind::Retryable), [again]);
}

#[test]
fn a_permanent_failure_ends_the_job_and_stops_its_other_workers() {
    let mut scene = Scene::with(&[(1, 5, 3), (2, 5, 1)], 2);
    let leases = scene.leases();
    assert_eq!(leases, [(task(1, 0), 1, 1), (task(2, 0), 1, 2)]);
    scene.join(3);
    let effects = scene.fail(1, task(1, 0), 1, FailureKind::Permanent);
    assert_eq!(effects[0], stop(3, task(1, 1), 1));
    assert!(matches!(effects[1], Effect::JobFailed { attempts: 1, .. }));
    assert_eq!(effects.len(), 2);
    assert_eq!(scene.finish(3, task(1, 1), 1), [discard(task(1, 1), 1)]);
    assert_eq!(scene.finish(2, task(2, 0), 1).last(), Some(&Effect::JobDone { job: JobId(2) }));
}

#[test]
fn a_cancelled_jobs_workers_are_stopped_and_serve_others_when_they_say_so() {
    let mut scene = Scene::with(&[(1, 4, 1), (2, 5, 1)], 1);
    let cancel = Event::Cancel { job: JobId(1) };
    assert_eq!(scene.apply(cancel.clone()), [stop(1, task(1, 0), 1), Effect::JobCancelled { job: JobId(1) }]);
    assert_eq!(scene.apply(cancel), [Effect::Ignored(Ignored::JobEnded(JobId(1)))]);
    assert_eq!(scene.beat(1, task(1, 0), 1), [stop(1, task(1, 0), 1), stale(task(1, 0), 1)]);
    assert_eq!(scene.stopped(1, task(1, 0), 1), [start(1, task(2, 0), 1, 0)]);
    assert_eq!(scene.coordinator.next_wakeup(), Some(Now(Duration::from_secs(LEASE))));
}

#[test]
fn a_higher_priority_is_served_first() {
    let mut scene = Scene::with(&[(1, 5, 5), (2, 2, 2)], 3);
    assert_eq!(scene.leases(), [(task(2, 0), 1, 1), (task(2, 1), 1, 2), (task(1, 0), 1, 3)]);
    scene.submit(3, 1, 1);
    assert_eq!(scene.finish(3, task(1, 0), 1).last(), Some(&start(3, task(3, 0), 1, 0)));
}

#[test]
fn near_the_end_the_costliest_chunk_goes_first() {
    let mut scene = Scene::new();
    scene.join(1);
    let tasks = [1, 5, 1, 1, 9].into_iter().zip(0..).map(|(c, at)| NewTask {
        chunk: ChunkIndex(at),
        cost: Cost(c),
        needs: Skills::NONE,
    });
    scene.apply(Event::Submit { job: JobId(1), terms: Terms::default(), tasks: tasks.collect() });
    let mut order = Vec::new();
    while let Some((task, attempt, worker)) = scene.leases().pop() {
        order.push(task.chunk.0);
        scene.finish(worker, task, attempt);
    }
    assert_eq!(order, [0, 1, 2, 4, 3]);
}

#[test]
fn messages_that_make_no_sense_change_nothing() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    let never = |attempt| [Effect::Ignored(Ignored::NeverLeased { task: task(1, 0), attempt: Attempt(attempt) })];
    assert_eq!(scene.finish(1, task(1, 0), 2), never(2));
    assert_eq!(scene.finish(1, task(1, 0), 0), never(0));
    assert_eq!(scene.finish(2, task(1, 0), 1), never(1), "that is another worker's attempt");
    assert_eq!(scene.finish(1, task(1, 7), 1), [Effect::Ignored(Ignored::UnknownTask(task(1, 7)))]);
    assert_eq!(scene.finish(1, task(8, 0), 1), [Effect::Ignored(Ignored::UnknownJob(JobId(8)))]);
    assert_eq!(scene.submit(1, 5, 5), [Effect::Ignored(Ignored::KnownJob(JobId(1)))]);
    assert_eq!(scene.apply(Event::Forget { job: JobId(1) }), [Effect::Ignored(Ignored::JobActive(JobId(1)))]);
    let twice = vec![NewTask { chunk: ChunkIndex(4), cost: Cost(1), needs: Skills::NONE }; 2];
    let event = Event::Submit { job: JobId(2), terms: Terms::default(), tasks: twice };
    assert_eq!(scene.apply(event), [Effect::Ignored(Ignored::RepeatedTask(task(2, 4)))]);
    assert_eq!(scene.leases(), [(task(1, 0), 1, 1)]);
}

#[test]
fn a_forgotten_job_leaves_nothing_behind() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    scene.finish(1, task(1, 0), 1);
    assert_eq!(scene.apply(Event::Forget { job: JobId(1) }), []);
    assert_eq!(scene.coordinator.progress(JobId(1)), None);
    assert_eq!(scene.submit(1, 5, 1), [start(1, task(1, 0), 1, 0)]);
}

#[test]
fn a_failure_reported_after_the_lease_ran_out_counts_once() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    scene.pass(LEASE);
    let again = start_as(Variant::Cautious, 1, task(1, 0), 2, LEASE);
    assert_eq!(scene.fail(1, task(1, 0), 1, FailureKind::Retryable), [again]);
}

#[test]
fn costs_are_whole_numbers_whatever_they_come_from() {
    assert_eq!(Cost::from_frames(120.0625), Cost(120_063));
    assert_eq!(Cost::from_frames(f64::NAN), Cost(0));
    assert_eq!(Cost::from_frames(-1.0), Cost(0));
}
