//! Who is served before whom.

use super::*;

/// Terms of a user at the usual priority.
fn of_user(user: u64) -> Terms {
    Terms { user: UserId(user), ..Terms::default() }
}

fn count(served: &[u64], job: u64) -> usize {
    served.iter().filter(|it| **it == job).count()
}

#[test]
fn a_large_job_does_not_starve_a_small_one_nor_the_reverse() {
    let mut scene = Scene::with(&[(1, 5, 100)], 1);
    assert_eq!(scene.served(10), [1; 10]);
    scene.submit(2, 5, 3);
    assert_eq!(scene.served(6), [1, 2, 1, 2, 1, 2]);
}

#[test]
fn a_users_many_jobs_get_no_more_than_anothers_only_one() {
    let mut scene = Scene::with(&[], 1);
    (1..=20).for_each(|job| drop(scene.submit_on(job, of_user(1), Skills::NONE, 10)));
    scene.submit_on(21, of_user(2), Skills::NONE, 100);
    assert_eq!(count(&scene.served(12), 21), 6);
}

#[test]
fn a_user_of_twice_the_weight_gets_twice_the_work_done() {
    let mut scene = Scene::with(&[], 1);
    scene.submit_on(1, of_user(1), Skills::NONE, 100);
    let weight = Weight(2.try_into().unwrap());
    scene.submit_on(2, Terms { weight, ..of_user(2) }, Skills::NONE, 100);
    assert_eq!(count(&scene.served(30), 2), 20);
}

#[test]
fn who_comes_back_after_a_rest_is_not_owed_the_time_away() {
    let mut scene = Scene::with(&[], 1);
    scene.submit_on(1, of_user(1), Skills::NONE, 100);
    scene.submit_on(2, of_user(2), Skills::NONE, 1);
    scene.served(20);
    scene.submit_on(3, of_user(2), Skills::NONE, 50);
    assert_eq!(count(&scene.served(12), 3), 6);
}

#[test]
fn the_job_that_is_due_first_goes_first_but_its_user_gets_no_more() {
    let mut scene = Scene::with(&[], 1);
    let due = |at| Terms { deadline: Some(Now(Duration::from_secs(at))), ..of_user(1) };
    scene.submit_on(1, of_user(1), Skills::NONE, 100);
    scene.submit_on(2, due(500), Skills::NONE, 100);
    scene.submit_on(3, due(400), Skills::NONE, 100);
    scene.submit_on(4, of_user(2), Skills::NONE, 100);
    let served = scene.served(12);
    assert_eq!((count(&served, 3), count(&served, 4)), (6, 6), "{served:?}");
}

#[test]
fn a_missed_deadline_is_reported_once_and_counts_no_more() {
    let mut scene = Scene::with(&[], 1);
    let due = Terms { deadline: Some(Now(Duration::from_secs(10))), ..Terms::default() };
    scene.submit_on(1, due, Skills::NONE, 10);
    scene.submit(2, 5, 10);
    assert_eq!(scene.coordinator.next_wakeup(), Some(Now(Duration::from_secs(10))));
    assert_eq!(scene.pass(10), [Effect::DeadlineMissed { job: JobId(1) }]);
    assert_eq!(scene.pass(10), []);
    assert!(scene.coordinator.is_active(JobId(1)));
    assert_eq!(count(&scene.served(6), 2), 3);
}

#[test]
fn a_job_that_is_done_in_time_misses_nothing() {
    let mut scene = Scene::with(&[], 1);
    let due = Terms { deadline: Some(Now(Duration::from_secs(10))), ..Terms::default() };
    scene.submit_on(1, due, Skills::NONE, 1);
    scene.finish(1, task(1, 0), 1);
    assert_eq!(scene.pass(20), []);
}

#[test]
fn every_sixteenth_start_goes_to_whoever_has_waited_longest() {
    let mut scene = Scene::with(&[(1, 1, 200), (2, 10, 10), (3, 9, 10)], 1);
    let served = scene.served(63);
    assert_eq!((count(&served, 2), count(&served, 3)), (2, 2), "{served:?}");
}

#[test]
fn a_job_with_a_deadline_does_not_starve_the_others_of_its_user() {
    let mut scene = Scene::with(&[], 1);
    let due = Terms { deadline: Some(Now(Duration::from_secs(1000))), ..Terms::default() };
    scene.submit_on(1, due, Skills::NONE, 200);
    scene.submit(2, 5, 10);
    let served = scene.served(64);
    assert_eq!(count(&served, 2), 4, "{served:?}");
}

#[test]
fn priorities_go_from_one_to_ten() {
    assert_eq!(
        Priority::try_from(0).unwrap_err().to_string(),
        "0 is no priority: they go from 1, the most urgent, to 10"
    );
    assert!(Priority::try_from(11).is_err());
    assert_eq!((Priority::default().get(), Priority::HIGHEST.get(), Priority::LOWEST.get()), (5, 1, 10));
}
