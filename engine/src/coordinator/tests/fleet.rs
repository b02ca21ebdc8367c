//! What a fleet has and a single process has not: kinds of workers, losses, second attempts, preemption.

use super::*;

const CPU: [Skill; 2] = [Skill::Cpu, Skill::H264];
const GPU: [Skill; 2] = [Skill::Nvenc, Skill::H264];

fn skills<const N: usize>(skills: [Skill; N]) -> Skills {
    skills.into_iter().collect()
}

fn fleet() -> Scene {
    Scene::under(Config::fleet())
}

/// A job of so many tasks, of which this many are done in `seconds` each by workers from 1 on.
fn with_some_done(tasks: u32, done: u32, workers: u64, seconds: u64) -> Scene {
    let mut scene = fleet();
    (1..=workers).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 5, tasks);
    scene.seconds += seconds;
    for at in 0..done {
        scene.finish(u64::from(at) + 1, task(1, at), 1);
    }
    scene
}

#[test]
fn a_task_goes_only_to_workers_that_can_do_it() {
    let mut scene = fleet();
    scene.join_with(1, skills(CPU));
    scene.join_with(2, skills(GPU));
    scene.submit_on(1, Terms::default(), skills([Skill::Nvenc]), 2);
    assert_eq!(scene.leases(), [(task(1, 0), 1, 2)]);
}

#[test]
fn the_worker_that_can_do_less_is_taken_first() {
    let mut scene = fleet();
    scene.join_with(1, skills([Skill::Cpu, Skill::Nvenc, Skill::H264]));
    scene.join_with(2, skills(CPU));
    scene.submit_on(1, Terms::default(), skills([Skill::H264]), 1);
    assert_eq!(scene.leases(), [(task(1, 0), 1, 2)]);
}

#[test]
fn a_job_that_no_worker_can_do_is_reported_until_one_can() {
    let mut scene = fleet();
    scene.join_with(1, skills(CPU));
    let needs = skills([Skill::Nvenc, Skill::Av1]);
    assert_eq!(scene.submit_on(1, Terms::default(), needs, 2), [nobody_can(1, needs)]);
    assert_eq!(scene.pass(5), [], "once");
    assert_eq!(scene.join_with(2, skills([Skill::Nvenc, Skill::Av1, Skill::Hevc])), [start(2, task(1, 0), 1, 5)]);
    assert_eq!(scene.leave(2), [nobody_can(1, needs)], "again, for it was not so in between");
}

#[test]
fn a_draining_worker_finishes_what_it_has_and_gets_no_more() {
    let mut scene = fleet();
    scene.join(1);
    scene.submit(1, 5, 3);
    assert_eq!(scene.drain(1), [nobody_can(1, Skills::NONE)]);
    assert_eq!(scene.finish(1, task(1, 0), 1)[0], accept(task(1, 0), 1));
    assert_eq!(scene.leases(), []);
    assert_eq!(scene.join(1), [start(1, task(1, 1), 1, 0)], "it is back");
}

#[test]
fn what_a_draining_worker_hands_back_costs_nothing_however_often() {
    let mut scene = fleet();
    scene.submit(1, 5, 1);
    for round in 1..=20 {
        assert_eq!(scene.join(1), [start(1, task(1, 0), round, 0)], "with the usual settings");
        scene.drain(1);
        scene.stopped(1, task(1, 0), round);
    }
    assert!(scene.coordinator.is_active(JobId(1)));
}

#[test]
fn a_task_that_five_workers_were_lost_with_is_blamed_for_it() {
    let mut scene = Scene::with(&[(1, 5, 1)], 0);
    for round in 1..=5 {
        scene.join(round);
        let effects = scene.leave(round);
        let failed = effects.iter().any(|effect| matches!(effect, Effect::JobFailed { attempts: 5, .. }));
        assert_eq!(failed, round == 5);
    }
}

#[test]
fn a_crash_is_tried_once_more_as_the_last_time_and_then_the_job_fails() {
    let mut scene = fleet();
    scene.join(1);
    scene.submit(1, 5, 1);
    assert_eq!(scene.fail(1, task(1, 0), 1, FailureKind::Crash), []);
    assert_eq!(scene.pass(1), [start_as(Variant::Last, 1, task(1, 0), 2, 1)]);
    let effects = scene.fail(1, task(1, 0), 2, FailureKind::Crash);
    assert!(matches!(effects[..], [Effect::JobFailed { attempts: 2, .. }]), "{effects:?}");
}

#[test]
fn a_task_rests_between_failures_and_longer_each_time() {
    let mut scene = fleet();
    scene.join(1);
    scene.submit(1, 5, 1);
    assert_eq!(scene.fail(1, task(1, 0), 1, FailureKind::Retryable), []);
    assert_eq!(scene.coordinator.next_wakeup(), Some(Now(Duration::from_secs(1))));
    assert_eq!(scene.pass(1), [start_as(Variant::Cautious, 1, task(1, 0), 2, 1)]);
    assert_eq!(scene.fail(1, task(1, 0), 2, FailureKind::Retryable), []);
    assert_eq!(scene.pass(4), []);
    assert_eq!(scene.pass(1), [start_as(Variant::Last, 1, task(1, 0), 3, 6)]);
}

#[test]
fn a_job_that_is_cancelled_while_a_task_rests_leaves_nothing_due() {
    let mut scene = fleet();
    scene.join(1);
    scene.submit(1, 5, 1);
    scene.fail(1, task(1, 0), 1, FailureKind::Retryable);
    assert_eq!(scene.apply(Event::Cancel { job: JobId(1) }), [Effect::JobCancelled { job: JobId(1) }]);
    assert_eq!(scene.coordinator.next_wakeup(), None);
}

#[test]
fn a_straggler_gets_a_second_attempt_when_a_worker_has_nothing_else_to_do() {
    let mut scene = with_some_done(4, 3, 4, 10);
    assert_eq!(scene.leases(), [(task(1, 3), 1, 4)]);
    assert_eq!(scene.pass(4), []);
    assert_eq!(scene.pass(1), [start(1, task(1, 3), 2, 15)]);
    assert_eq!(scene.pass(14), [], "two at most");
    let effects = scene.finish(1, task(1, 3), 2);
    assert_eq!(effects[..2], [accept(task(1, 3), 2), stop(4, task(1, 3), 1)]);
    assert_eq!(effects.last(), Some(&Effect::JobDone { job: JobId(1) }));
    assert_eq!(scene.finish(4, task(1, 3), 1), [discard(task(1, 3), 1)]);
}

#[test]
fn jobs_of_one_task_learn_from_those_beside_them_what_is_usual() {
    let mut scene = fleet();
    let needs = skills([Skill::Cpu]);
    (1..=4).for_each(|worker| drop(scene.join_with(worker, needs)));
    (1..=4).for_each(|job| drop(scene.submit_on(job, Terms::default(), needs, 1)));
    scene.seconds += 10;
    (1..=3).for_each(|worker| drop(scene.finish(worker, task(worker, 0), 1)));
    assert_eq!(scene.pass(4), []);
    assert_eq!(scene.pass(1), [start(1, task(4, 0), 2, 15)]);
    // What others ask for, and what needs something else, may take as long as it likes.
    let terms = Terms { user: UserId(7), ..Terms::default() };
    scene.submit_on(5, terms, needs, 1);
    scene.submit_on(6, Terms::default(), Skills::NONE, 1);
    assert_eq!(scene.pass(25), [], "the longest lease is not over yet");
    assert!(scene.leases().iter().all(|(task, attempt, _)| task.job.0 == 4 || *attempt == 1));
}

#[test]
fn a_ladder_outlives_many_stitchers_and_not_any_number() {
    let mut scene = fleet();
    let needs = skills([Skill::Stitch]);
    scene.submit_on(1, Terms::default(), needs, 1);
    let most = u64::from(20 * Config::fleet().max_losses);
    for worker in 1..most {
        scene.join_with(worker, needs);
        assert_eq!(scene.leave(worker), [nobody_can(1, needs)], "{worker}");
    }
    scene.join_with(most, needs);
    assert!(matches!(scene.leave(most)[..], [Effect::JobFailed { .. }]));
}

#[test]
fn a_ladder_is_never_made_twice_at_a_time() {
    let mut scene = fleet();
    let needs = skills([Skill::Stitch]);
    (1..=4).for_each(|worker| drop(scene.join_with(worker, needs)));
    scene.submit_on(1, Terms::default(), needs, 4);
    scene.seconds += 10;
    (0..3).for_each(|at| drop(scene.finish(u64::from(at) + 1, task(1, at), 1)));
    assert_eq!(scene.pass(19), []);
    assert_eq!(scene.leases(), [(task(1, 3), 1, 4)]);
}

#[test]
fn the_stragglers_own_result_counts_if_it_is_first() {
    let mut scene = with_some_done(4, 3, 4, 10);
    scene.pass(5);
    let effects = scene.finish(4, task(1, 3), 1);
    assert_eq!(effects[..2], [accept(task(1, 3), 1), stop(1, task(1, 3), 2)]);
    assert_eq!(scene.stopped(1, task(1, 3), 2), []);
}

#[test]
fn tasks_that_wait_go_before_second_attempts() {
    let mut scene = with_some_done(8, 3, 4, 10);
    assert_eq!(scene.pass(10), []);
    let leases = scene.leases();
    assert!(leases.iter().all(|(_, attempt, _)| *attempt == 1), "{leases:?}");
}

#[test]
fn when_one_of_two_attempts_comes_to_nothing_the_other_goes_on() {
    let mut scene = with_some_done(4, 3, 4, 10);
    scene.pass(5);
    assert_eq!(scene.leave(4), []);
    assert_eq!(scene.leases(), [(task(1, 3), 2, 1)]);
    assert_eq!(scene.pass(15), [start(2, task(1, 3), 3, 30)], "for it is slow by now, too");
    assert_eq!(scene.leases(), [(task(1, 3), 2, 1), (task(1, 3), 3, 2)]);
    assert_eq!(scene.finish(4, task(1, 3), 1), [discard(task(1, 3), 1)]);
    assert_eq!(
        scene.fail(2, task(1, 3), 3, FailureKind::Retryable),
        [start_as(Variant::Cautious, 3, task(1, 3), 4, 30)]
    );
}

#[test]
fn an_urgent_task_has_the_latest_of_the_least_urgent_stopped() {
    let mut scene = fleet();
    scene.submit(1, 9, 3);
    scene.join(1);
    scene.pass(5);
    scene.join(2);
    assert_eq!(scene.submit(2, 3, 1), [stop(2, task(1, 1), 1)]);
    assert_eq!(scene.stopped(2, task(1, 1), 1), [start(2, task(2, 0), 1, 5)]);
    let effects = scene.finish(2, task(2, 0), 1);
    assert_eq!(effects.last(), Some(&start(2, task(1, 1), 2, 5)), "with the usual settings: it cost nothing");
}

#[test]
fn a_task_that_is_but_a_little_more_urgent_waits() {
    let mut scene = fleet();
    scene.submit(1, 6, 1);
    scene.join(1);
    assert_eq!(scene.submit(2, 4, 1), []);
}

#[test]
fn preemption_has_its_pace_and_never_meets_a_task_twice() {
    let mut scene = fleet();
    (1..=3).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 10, 3);
    assert_eq!(scene.submit(2, 1, 4), [stop(1, task(1, 0), 1)]);
    assert_eq!(scene.pass(4), []);
    assert_eq!(scene.coordinator.next_wakeup(), Some(Now(Duration::from_secs(5))));
    assert_eq!(scene.pass(1), [stop(2, task(1, 1), 1)]);
    scene.stopped(1, task(1, 0), 1);
    scene.stopped(2, task(1, 1), 1);
    assert_eq!(scene.pass(5), [stop(3, task(1, 2), 1)]);
    scene.stopped(3, task(1, 2), 1);
    for (chunk, worker) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
        assert_eq!(scene.finish(worker, task(2, chunk), 1)[0], accept(task(2, chunk), 1));
    }
    let leases = scene.leases();
    assert!(leases.iter().all(|(task, attempt, _)| task.job == JobId(1) && *attempt == 2), "{leases:?}");
    scene.submit(3, 1, 5);
    let effects = scene.pass(20);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Stop { .. })), "{effects:?}");
}

#[test]
fn a_result_that_crosses_the_word_to_stop_is_welcome() {
    let mut scene = fleet();
    scene.join(1);
    scene.submit(1, 10, 1);
    assert_eq!(scene.submit(2, 1, 1), [stop(1, task(1, 0), 1)]);
    assert_eq!(scene.beat(1, task(1, 0), 1), [stop(1, task(1, 0), 1), stale(task(1, 0), 1)], "no way back");
    assert_eq!(scene.finish(1, task(1, 0), 1)[0], accept(task(1, 0), 1));
}

#[test]
fn what_needs_a_paused_skill_is_not_started_and_the_rest_is() {
    let mut scene = fleet();
    scene.join_with(1, skills(GPU));
    scene.join_with(2, skills(CPU));
    assert_eq!(scene.apply(Event::Pause { skill: Skill::Nvenc }), []);
    assert_eq!(scene.submit_on(1, Terms::default(), skills(GPU), 1), []);
    assert_eq!(scene.submit_on(2, Terms::default(), skills(CPU), 1), [start(2, task(2, 0), 1, 0)]);
    assert_eq!(scene.apply(Event::Resume { skill: Skill::Nvenc }), [start(1, task(1, 0), 1, 0)]);
}

/// Three workers, of which the third is known to be slow: its task took three times as long as those of the others.
fn with_a_slow_worker() -> Scene {
    let mut scene = fleet();
    (1..=3).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 5, 4);
    for seconds in [10, 20] {
        scene.seconds = seconds;
        for (task, attempt, worker) in scene.leases().into_iter().filter(|(.., worker)| *worker < 3) {
            scene.finish(worker, task, attempt);
        }
    }
    assert_eq!(scene.leases().len(), 2, "there is a second attempt by now");
    scene.seconds = 30;
    scene.finish(3, task(1, 2), 1);
    scene.stopped(1, task(1, 2), 2);
    scene
}

#[test]
fn a_worker_that_is_known_to_be_slow_is_taken_last() {
    let mut scene = with_a_slow_worker();
    scene.submit(2, 5, 2);
    assert_eq!(scene.leases(), [(task(2, 0), 1, 1), (task(2, 1), 1, 2)]);
}

#[test]
fn a_worker_that_is_known_to_be_slow_gets_the_cheapest_task() {
    let mut scene = with_a_slow_worker();
    let costs = [3000, 2000, 1000, 4000].into_iter().zip(0..);
    let tasks = costs.map(|(cost, at)| NewTask { chunk: ChunkIndex(at), cost: Cost(cost), needs: Skills::NONE });
    scene.apply(Event::Submit { job: JobId(2), terms: Terms::default(), tasks: tasks.collect() });
    assert_eq!(scene.leases(), [(task(2, 3), 1, 1), (task(2, 0), 1, 2), (task(2, 2), 1, 3)]);
}

#[test]
fn what_a_slow_worker_does_has_a_second_attempt_as_soon_as_another_has_nothing_to_do() {
    let mut scene = with_a_slow_worker();
    scene.submit(2, 5, 6);
    let mut last = Vec::new();
    for seconds in [35, 40] {
        scene.seconds = seconds;
        for (task, attempt, worker) in scene.leases().into_iter().filter(|(.., worker)| *worker < 3) {
            last = scene.finish(worker, task, attempt);
        }
    }
    let (slow, ..) = *scene.leases().iter().find(|(.., worker)| *worker == 3).unwrap();
    assert_eq!(last.last(), Some(&start(2, slow, 2, 40)), "{last:?}");
}
