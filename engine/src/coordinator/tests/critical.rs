//! What would be waited for at the end.

use super::*;

const LONG: u64 = 10_000;
const SHORT: u64 = 1_000;

fn submit(scene: &mut Scene, job: u64, priority: u8, tasks: u32, cost: u64) {
    let new = |at| NewTask { chunk: ChunkIndex(at), cost: Cost(cost), needs: Skills::NONE };
    let tasks = (0..tasks).map(new).collect();
    scene.apply(Event::Submit { job: JobId(job), terms: at_priority(priority), tasks });
}

/// Four workers, of which the first three have just done a long task each, in 100 s, when two more of these wait and so many
/// short and more urgent ones of job 100. What worker 3 is given, of which it is known by then how long they take.
fn third(long: impl Fn(&mut Scene), finished: [TaskId; 3], short: u32) -> (Scene, TaskId) {
    let mut scene = Scene::under(Config { lease: Duration::from_secs(1_000), ..Config::fleet() });
    (1..=4).for_each(|worker| drop(scene.join(worker)));
    long(&mut scene);
    submit(&mut scene, 100, 6, short, SHORT);
    scene.seconds = 100;
    (1..).zip(finished).for_each(|(worker, task)| drop(scene.finish(worker, task, 1)));
    let leases = scene.leases();
    let (task, ..) = *leases.iter().find(|(.., worker)| *worker == 3).unwrap();
    (scene, task)
}

fn of_one_job(short: u32) -> (Scene, TaskId) {
    third(|scene| submit(scene, 1, 8, 6, LONG), [task(1, 0), task(1, 1), task(1, 2)], short)
}

#[test]
fn what_would_be_waited_for_at_the_end_is_begun_out_of_turn_every_other_time() {
    let (mut scene, first) = of_one_job(20);
    assert_eq!(first, task(1, 4));
    scene.seconds += 10;
    scene.finish(1, task(100, 0), 1);
    scene.finish(2, task(100, 1), 1);
    let given: Vec<_> = scene.leases().iter().map(|(task, _, worker)| (*worker, *task)).collect();
    assert_eq!(given, [(1, task(100, 2)), (2, task(1, 5)), (3, task(1, 4)), (4, task(1, 3))]);
}

#[test]
fn as_long_as_more_waits_than_the_longest_takes_each_has_its_turn() {
    assert_eq!(of_one_job(100).1, task(100, 2));
}

#[test]
fn jobs_of_one_task_are_known_to_be_long_by_those_beside_them() {
    let long = |scene: &mut Scene| (1..=6).for_each(|job| submit(scene, job, 8, 1, LONG));
    let (_, given) = third(long, [task(1, 0), task(2, 0), task(3, 0)], 20);
    assert_eq!(given, task(5, 0));
}

#[test]
fn a_jobs_long_tasks_for_others_make_its_short_ones_no_longer() {
    let (gpu, cpu) = (Skills::NONE.with(Skill::Nvenc), Skills::NONE.with(Skill::Cpu));
    let mut scene = Scene::under(Config { lease: Duration::from_secs(1_000), ..Config::fleet() });
    scene.join_with(1, gpu);
    (2..=5).for_each(|worker| drop(scene.join_with(worker, cpu)));
    let long = (0..3).map(|at| NewTask { chunk: ChunkIndex(at), cost: Cost(100 * SHORT), needs: gpu });
    let short = (3..11).map(|at| NewTask { chunk: ChunkIndex(at), cost: Cost(SHORT), needs: cpu });
    scene.apply(Event::Submit { job: JobId(1), terms: at_priority(8), tasks: long.chain(short).collect() });
    scene.submit_on(2, at_priority(6), cpu, 20);
    scene.seconds = 10;
    scene.finish(2, task(1, 3), 1);
    let leases = scene.leases();
    let (given, ..) = leases.iter().find(|(.., worker)| *worker == 2).unwrap();
    assert_eq!(*given, task(2, 0), "of its own kind twenty-four short ones wait");
}
