//! Attempts that wait to be begun.

use super::*;

/// Four workers, each with one of four tasks, of which three are done in ten seconds; the fourth waits.
fn with_one_that_waits() -> Scene {
    let mut scene = Scene::under(Config::fleet());
    (1..=4).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 5, 4);
    scene.queued(4, task(1, 3), 1);
    scene.seconds = 10;
    (0..3).for_each(|at| drop(scene.finish(u64::from(at) + 1, task(1, at), 1)));
    scene
}

#[test]
fn what_waits_to_be_begun_takes_no_time_and_gets_no_second_attempt() {
    let mut scene = with_one_that_waits();
    for seconds in [20, 40, 60] {
        scene.seconds = seconds;
        assert_eq!(scene.queued(4, task(1, 3), 1), [], "however long it waits");
    }
    assert_eq!(scene.beat(4, task(1, 3), 1), [], "it begins");
    assert_eq!(scene.pass(14), [], "fifteen seconds are too many, from then on");
    assert_eq!(scene.pass(1), [start(1, task(1, 3), 2, 75)]);
}

#[test]
fn what_is_usual_is_learnt_from_when_attempts_begin() {
    let mut scene = Scene::under(Config::fleet());
    (1..=4).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 5, 4);
    (0..4).for_each(|at| drop(scene.queued(u64::from(at) + 1, task(1, at), 1)));
    scene.seconds = 20;
    (0..4).for_each(|at| drop(scene.beat(u64::from(at) + 1, task(1, at), 1)));
    scene.seconds = 30;
    (0..3).for_each(|at| drop(scene.finish(u64::from(at) + 1, task(1, at), 1)));
    assert_eq!(scene.pass(4), []);
    assert_eq!(scene.pass(1), [start(1, task(1, 3), 2, 35)], "ten seconds are usual, not thirty");
}

#[test]
fn what_was_not_begun_costs_nothing_however_it_ends() {
    let mut scene = Scene::under(Config::fleet());
    scene.submit(1, 5, 1);
    for worker in 1..=20 {
        scene.join(worker);
        let (task, attempt, _) = scene.leases()[0];
        assert_eq!(scene.queued(worker, task, attempt), []);
        match worker % 3 {
            0 => drop(scene.stopped(worker, task, attempt)),
            1 => drop(scene.leave(worker)),
            _ => drop(scene.pass(LEASE)),
        }
        let again = scene.leases().first().copied();
        again.into_iter().for_each(|(task, attempt, worker)| drop(scene.queued(worker, task, attempt)));
        scene.leave(worker);
    }
    assert!(scene.coordinator.is_active(JobId(1)));
}

/// Three workers with a task each of a job that can wait: the first's is not begun, the second's was begun last.
fn with_one_not_begun() -> Scene {
    let mut scene = Scene::under(Config::fleet());
    (1..=3).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 9, 3);
    scene.queued(1, task(1, 0), 1);
    scene.queued(2, task(1, 1), 1);
    scene.seconds = 5;
    scene.beat(2, task(1, 1), 1);
    scene
}

impl Scene {
    /// The first attempt at this task has no place.
    fn crowded(&mut self, task: TaskId, among: &[u64]) -> Vec<Effect> {
        let among: Vec<WorkerId> = among.iter().copied().map(WorkerId).collect();
        self.coordinator.make_room(Now(Duration::from_secs(self.seconds)), [(task, Attempt(1))], &among)
    }
}

#[test]
fn what_is_not_begun_makes_way_for_what_is_urgent_and_what_is_begun_makes_room_for_it() {
    let mut scene = with_one_not_begun();
    assert_eq!(scene.submit(2, 1, 1), [stop(1, task(1, 0), 1)]);
    assert_eq!(scene.crowded(task(2, 0), &[]), [], "it was not given out");
    assert_eq!(scene.stopped(1, task(1, 0), 1), [start(1, task(2, 0), 1, 5)]);
    assert_eq!(scene.crowded(task(2, 0), &[]), [], "it is begun, for all that is known");
    scene.queued(1, task(2, 0), 1);
    assert_eq!(scene.crowded(task(2, 0), &[]), [stop(2, task(1, 1), 1)], "at once, the one that was begun last");
    assert_eq!(scene.crowded(task(2, 0), &[]), []);
    scene.seconds += 5;
    scene.queued(1, task(2, 0), 1);
    assert_eq!(scene.crowded(task(2, 0), &[]), [stop(3, task(1, 2), 1)], "where that did not help");
    scene.stopped(2, task(1, 1), 1);
    scene.stopped(3, task(1, 2), 1);
    scene.seconds += 5;
    scene.queued(1, task(2, 0), 1);
    assert_eq!(scene.crowded(task(2, 0), &[]), [stop(2, task(1, 0), 2)], "it is begun by now, and was not before");
    scene.stopped(2, task(1, 0), 2);
    scene.seconds += 5;
    scene.queued(1, task(2, 0), 1);
    assert_eq!(scene.crowded(task(2, 0), &[]), [], "nothing is undone twice");
}

#[test]
fn room_is_made_with_the_workers_that_are_named_and_only_for_what_is_more_urgent_by_far() {
    let mut scene = with_one_not_begun();
    scene.join(4);
    assert_eq!(scene.submit(2, 7, 1), [start(4, task(2, 0), 1, 5)]);
    scene.queued(4, task(2, 0), 1);
    assert_eq!(scene.crowded(task(2, 0), &[1, 2, 3]), [], "by two priorities");
    scene.join(5);
    scene.submit(3, 6, 1);
    scene.queued(5, task(3, 0), 1);
    assert_eq!(scene.crowded(task(3, 0), &[1, 5]), [], "neither is at anything");
    assert_eq!(scene.crowded(task(3, 0), &[1, 3, 5]), [stop(3, task(1, 2), 1)]);
}

#[test]
fn what_was_not_begun_when_it_made_way_may_make_room_once_it_is() {
    let mut scene = Scene::under(Config::fleet());
    (1..=2).for_each(|worker| drop(scene.join(worker)));
    scene.submit(1, 9, 1);
    scene.queued(1, task(1, 0), 1);
    scene.submit(2, 2, 1);
    assert_eq!(scene.submit(3, 1, 1), [stop(1, task(1, 0), 1)]);
    scene.stopped(1, task(1, 0), 1);
    scene.finish(2, task(2, 0), 1);
    scene.queued(1, task(3, 0), 1);
    scene.beat(2, task(1, 0), 2);
    assert_eq!(scene.crowded(task(3, 0), &[]), [stop(2, task(1, 0), 2)]);
}

#[test]
fn whoever_has_no_right_to_an_attempt_is_told_so_while_it_waits_with_him() {
    let mut scene = with_one_that_waits();
    scene.apply(Event::Cancel { job: JobId(1) });
    assert_eq!(scene.queued(4, task(1, 3), 1), [stop(4, task(1, 3), 1), stale(task(1, 3), 1)]);
}
