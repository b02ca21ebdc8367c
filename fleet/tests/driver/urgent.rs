//! What is urgent in a fleet whose nodes are all busy and hold a task besides. In paused time.

use std::time::Duration;

use vtp_fleet::ledger::Submission;

use crate::ahead::{Chunks, Scene, pass};
use crate::fleet::{Node, submission};

/// A chunk of job 2 takes a second, one of another ten minutes.
fn long_and_short() -> Chunks {
    Chunks::new(500, |id| Duration::from_secs(if id.job == 2 { 1 } else { 600 }))
}

/// Nodes of one slot that are at a task each of job 1, which can wait, and as many of `tasks` as there are besides are
/// held or wait.
async fn full(nodes: usize, tasks: u32) -> (Scene, Chunks, Vec<Node>) {
    let (scene, work) = (Scene::start().await, long_and_short());
    let node = |number| Node::with_ahead(&scene.bus, &format!("n{number}"), 1, 1, work.clone());
    let running = (0..nodes).map(node).collect();
    pass(1).await;
    scene.submit(Submission { priority: 9, ..submission(1, tasks) }).await;
    pass(10).await;
    (scene, work, running)
}

async fn submit(scene: &Scene, priority: u8) {
    scene.submit(Submission { priority, ..submission(2, 1) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_is_begun_within_moments_where_a_node_is_full_and_holds_a_task() {
    for tasks in [2, 10] {
        let (scene, work, _nodes) = full(1, tasks).await;
        assert_eq!((work.begun(), work.lying()), (vec![(1, 0)], 2));
        submit(&scene, 1).await;
        pass(3).await;
        assert!(work.begun().contains(&(2, 0)), "{tasks} tasks: {:?}", work.begun());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_is_begun_within_moments_where_nodes_are_full_and_hold_nothing() {
    let (scene, work, _nodes) = full(2, 2).await;
    assert_eq!(work.lying(), 2);
    submit(&scene, 1).await;
    pass(3).await;
    assert!(work.begun().contains(&(2, 0)), "{:?}", work.begun());
}

#[tokio::test(start_paused = true)]
async fn of_a_full_fleet_one_task_is_stopped_for_one_that_is_urgent() {
    let (mut scene, work, _nodes) = full(4, 20).await;
    submit(&scene, 1).await;
    let (accepted, _) = scene.driver.ended(&[2]).await;
    assert_eq!(accepted.len(), 1);
    pass(30).await;
    let again = work.begun().iter().filter(|it| it.0 == 1).count();
    assert_eq!(again, 5, "whoever was stopped for it goes on with another");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stopped_for_what_is_urgent_where_a_slot_is_free() {
    let (mut scene, work, _nodes) = full(2, 1).await;
    submit(&scene, 1).await;
    scene.driver.ended(&[2]).await;
    pass(30).await;
    assert_eq!((work.begun().len(), scene.attempts()), (2, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_urgent_but_more_so_by_far_is_held_by_a_node_that_begins_it_within_moments() {
    let (scene, work, _nodes) = full(1, 4).await;
    submit(&scene, 5).await;
    pass(3).await;
    assert!(work.begun().contains(&(2, 0)), "{:?}", work.begun());
}

#[tokio::test(start_paused = true)]
async fn urgent_tasks_that_take_long_are_begun_one_in_five_seconds() {
    let (scene, work, _nodes) = full(4, 20).await;
    scene.submit(Submission { priority: 1, ..submission(3, 3) }).await;
    let urgent = || work.begun().iter().filter(|it| it.0 == 3).count();
    for (seconds, most) in [(3, 1), (5, 2), (5, 3)] {
        pass(seconds).await;
        assert!((1..=most).contains(&urgent()), "{most}: {:?}", work.begun());
    }
    pass(5).await;
    assert_eq!(urgent(), 3);
}
