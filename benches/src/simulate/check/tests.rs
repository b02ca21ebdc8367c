//! What a coordinator must not do is noticed.

use std::time::Duration;

use vtp_engine::coordinator::{Cost, NewTask, Progress, Terms, Variant};
use vtp_engine::units::ChunkIndex;

use super::*;

const WORKER: WorkerId = WorkerId(1);
const TASK: TaskId = TaskId { job: JobId(1), chunk: ChunkIndex(0) };

fn at(seconds: u64) -> Now {
    Now(Duration::from_secs(seconds))
}

fn start(worker: WorkerId, attempt: u32) -> Effect {
    let (attempt, variant) = (Attempt(attempt), Variant::Usual);
    Effect::Start { worker, task: TASK, attempt, variant, expires: at(30) }
}

fn finished(worker: WorkerId, attempt: u32) -> Event {
    Event::Finished { worker, task: TASK, attempt: Attempt(attempt) }
}

/// A job of one task, which a worker has begun.
fn begun() -> Checker {
    let mut checker = Checker::new(Config::fleet());
    let tasks = vec![NewTask { chunk: TASK.chunk, cost: Cost(1), needs: Skills::NONE }];
    let submit = Event::Submit { job: TASK.job, terms: Terms::default(), tasks };
    checker.step(at(0), &submit, &[]).unwrap();
    let joined = Event::Joined { worker: WORKER, skills: Skills::NONE };
    checker.step(at(0), &joined, &[start(WORKER, 1)]).unwrap();
    checker
}

fn refused(checker: &mut Checker, event: &Event, effects: &[Effect]) -> String {
    checker.step(at(1), event, effects).unwrap_err().to_string()
}

#[test]
fn a_worker_that_is_left_idle_is_noticed() {
    let mut checker = Checker::new(Config::fleet());
    let joined = Event::Joined { worker: WORKER, skills: Skills::NONE };
    checker.step(at(0), &joined, &[]).unwrap();
    let tasks = vec![NewTask { chunk: TASK.chunk, cost: Cost(1), needs: Skills::NONE }];
    let submit = Event::Submit { job: TASK.job, terms: Terms::default(), tasks };
    assert!(refused(&mut checker, &submit, &[]).starts_with("1 tasks wait while"));
}

#[test]
fn a_worker_that_gets_two_things_at_a_time_is_noticed() {
    assert!(refused(&mut begun(), &Event::Tick, &[start(WORKER, 2)]).contains("has no time"));
}

#[test]
fn an_attempt_number_that_is_used_again_is_noticed() {
    let mut checker = begun();
    let left = Event::Left { worker: WORKER };
    checker.step(at(1), &left, &[]).unwrap();
    let joined = Event::Joined { worker: WorkerId(2), skills: Skills::NONE };
    assert!(refused(&mut checker, &joined, &[start(WorkerId(2), 1)]).contains("attempt 1 of chunk 0 of job 1 after 1"));
}

#[test]
fn a_result_that_is_thrown_away_or_accepted_too_often_is_noticed() {
    let attempt = Attempt(1);
    let discard = Effect::Discard { task: TASK, attempt };
    let accept = Effect::Accept { task: TASK, attempt };
    assert!(refused(&mut begun(), &Event::Tick, std::slice::from_ref(&accept)).contains("before it is there"));
    assert!(refused(&mut begun(), &finished(WORKER, 1), &[discard]).contains("a welcome result is thrown away"));
    assert!(refused(&mut begun(), &finished(WORKER, 1), &[]).contains("no answer"));
    assert!(refused(&mut begun(), &finished(WORKER, 1), &[accept.clone(), accept]).contains("accepted twice"));
}

#[test]
fn progress_that_is_not_the_truth_and_an_end_too_early_are_noticed() {
    let progress = Progress { tasks_done: 1, tasks: 1, ..Progress::default() };
    let effect = Effect::Progress { job: TASK.job, progress };
    assert!(refused(&mut begun(), &Event::Tick, &[effect]).contains("not the truth"));
    let done = Effect::JobDone { job: TASK.job };
    assert!(refused(&mut begun(), &Event::Tick, &[done]).contains("1 tasks left"));
}
