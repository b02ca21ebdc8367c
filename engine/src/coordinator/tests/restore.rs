//! A coordinator that goes on where another ended.

use super::*;

fn restored(scene: &Scene) -> Scene {
    let snapshot = scene.coordinator.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(read, snapshot);
    let now = Now(Duration::from_secs(scene.seconds));
    let coordinator = Coordinator::restore(Config::default(), now, &read).unwrap();
    Scene { coordinator, seconds: scene.seconds }
}

#[test]
fn accepted_tasks_stay_accepted_and_running_ones_go_on() {
    let mut scene = Scene::with(&[(1, 5, 4)], 2);
    scene.finish(1, task(1, 0), 1);
    let mut scene = restored(&scene);
    assert_eq!(scene.pass(1), []);
    assert_eq!(scene.coordinator.progress(JobId(1)).map(|it| it.tasks_done), Some(1));
    assert_eq!(scene.leases(), [(task(1, 2), 1, 1), (task(1, 1), 1, 2)]);
    assert_eq!(scene.finish(2, task(1, 1), 1)[0], accept(task(1, 1), 1));
    let again = Ignored::AcceptedBefore { task: task(1, 0), attempt: Attempt(1) };
    assert_eq!(scene.finish(1, task(1, 0), 1), [Effect::Ignored(again)]);
}

#[test]
fn attempts_are_counted_on_and_old_ones_stay_fenced() {
    let mut scene = Scene::with(&[(1, 5, 1)], 1);
    scene.fail(1, task(1, 0), 1, FailureKind::Retryable);
    let mut scene = restored(&scene);
    assert_eq!(scene.join(1), [start_as(Variant::Cautious, 1, task(1, 0), 3, 0)]);
    assert_eq!(scene.finish(1, task(1, 0), 1), [discard(task(1, 0), 1)]);
}

#[test]
fn what_a_worker_had_that_is_not_there_is_late() {
    let scene = Scene::with(&[(1, 5, 1)], 1);
    let snapshot = Snapshot { workers: Vec::new(), ..scene.coordinator.snapshot() };
    let restore = || Coordinator::restore(Config::default(), Now::default(), &snapshot).unwrap();
    let mut scene = Scene { coordinator: restore(), seconds: 0 };
    assert_eq!(scene.finish(1, task(1, 0), 1)[0], accept(task(1, 0), 1));
    let mut scene = Scene { coordinator: restore(), seconds: 0 };
    assert_eq!(scene.join(2), [start(2, task(1, 0), 2, 0)]);
    assert_eq!(scene.finish(1, task(1, 0), 1), [discard(task(1, 0), 1)]);
}

#[test]
fn a_worker_at_something_that_no_longer_counts_gets_nothing_until_it_says_so() {
    let mut scene = Scene::with(&[(1, 5, 1), (2, 5, 1)], 1);
    scene.apply(Event::Cancel { job: JobId(1) });
    let mut scene = restored(&scene);
    assert_eq!(scene.pass(1), []);
    assert_eq!(scene.stopped(1, task(1, 0), 1), [start(1, task(2, 0), 1, 1)]);
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let snapshot = Scene::with(&[(1, 5, 1)], 1).coordinator.snapshot();
    let refused = |change: &dyn Fn(&mut Snapshot)| {
        let mut changed = snapshot.clone();
        change(&mut changed);
        Coordinator::restore(Config::default(), Now::default(), &changed).unwrap_err()
    };
    let standing = |standing: TaskStanding| refused(&move |it| it.jobs[0].tasks[0].standing = standing.clone());
    assert_eq!(refused(&|it| it.jobs.push(it.jobs[0].clone())), RestoreError::RepeatedJob(JobId(1)));
    assert_eq!(refused(&|it| it.workers.push(it.workers[0])), RestoreError::RepeatedWorker(WorkerId(1)));
    let twice = refused(&|it| it.jobs[0].tasks = vec![it.jobs[0].tasks[0].clone(); 2]);
    assert_eq!(twice, RestoreError::RepeatedTask(task(1, 0)));
    let never = RestoreError::NeverLeased { task: task(1, 0), attempt: Attempt(2) };
    assert_eq!(standing(TaskStanding::Accepted { attempt: Attempt(2) }), never);
    assert_eq!(standing(TaskStanding::Waiting { late: Some(Attempt(2)) }), never);
    assert_eq!(standing(TaskStanding::Running { attempts: vec![] }), RestoreError::WrongLeases(task(1, 0)));
    let same = TaskStanding::Running { attempts: vec![Attempt(1); 2] };
    assert_eq!(standing(same), RestoreError::WrongLeases(task(1, 0)));
}
