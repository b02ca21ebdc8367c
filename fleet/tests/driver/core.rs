//! The pure core: attempts, nodes and time, one word at a time.

use std::time::Duration;

use vtp_engine::coordinator::{Now, Skill, Skills};
use vtp_fleet::bus::Piece;
use vtp_fleet::driver::{Action, Config, Core, Notice, Step};
use vtp_fleet::ledger::{Record, State};
use vtp_fleet::messages::{AttemptId, Control, Happened, Offer, Report, Why};

use crate::fleet::{config, config_with, submission};
use crate::support::{node, pool};

struct Scene {
    core: Core,
    seconds: u64,
    sequence: u64,
}

impl Scene {
    fn new() -> Self {
        Self::under(config())
    }

    fn under(config: Config) -> Self {
        let core = Core::restore(config, &State::default(), 0).expect("nothing contradicts itself");
        Self { core, seconds: 0, sequence: 0 }
    }

    fn now(&self) -> Now {
        Now(Duration::from_secs(self.seconds))
    }

    fn say(&mut self, name: &str, happened: Happened) -> Step {
        self.sequence += 1;
        let report = Report { node: node(name), session: 1, sequence: self.sequence, happened: vec![happened] };
        let mut step = Step::default();
        self.core.hear(self.now(), Piece::Report(report), &mut step);
        step
    }

    fn join(&mut self, name: &str, slots: u16) -> Step {
        self.say(name, Happened::Joined { pool: pool("cpu"), slots, doing: Vec::new() })
    }

    fn submit(&mut self, tasks: u32) -> Vec<Offer> {
        let mut step = Step::default();
        self.core.submit(self.now(), submission(1, tasks), 0, &mut step).expect("taken");
        offers(&step)
    }

    fn pass(&mut self, seconds: u64) -> Step {
        let mut step = Step::default();
        for _ in 0..seconds {
            self.seconds += 1;
            self.core.tick(self.now(), &mut step);
        }
        step
    }
}

fn offers(step: &Step) -> Vec<Offer> {
    step.actions
        .iter()
        .filter_map(|it| if let Action::Publish(offer) = it { Some(offer.clone()) } else { None })
        .collect()
}

fn stops(step: &Step, name: &str, id: AttemptId) -> bool {
    step.actions.contains(&Action::Control(node(name), Control::Stop { id }))
}

fn accepted(step: &Step) -> Vec<AttemptId> {
    let id = |it: &Record| if let Record::Accepted { id, .. } = it { Some(*id) } else { None };
    step.records.iter().filter_map(id).collect()
}

#[test]
fn a_lease_is_written_down_before_the_task_is_offered() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let mut step = Step::default();
    scene.core.submit(scene.now(), submission(1, 2), 0, &mut step).expect("taken");
    assert!(matches!(&step.records[..], [Record::Submitted(_), Record::Leased { id, .. }] if id.chunk == 0));
    let offer = &offers(&step)[0];
    assert_eq!((offer.id.attempt, offer.priority, &offer.body[..], offer.lease_ms), (1, 5, &[0][..], 30_000));
}

#[test]
fn the_result_of_an_attempt_that_was_given_to_another_is_refused() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let first = scene.submit(1)[0].id;
    scene.say("a", Happened::Started { id: first });
    scene.join("b", 1);
    let second = (0..60).find_map(|_| {
        // "b" is alive, "a" is silent.
        scene.say("b", Happened::Alive { doing: Vec::new() });
        offers(&scene.pass(1)).pop()
    });
    let second = second.expect("it is offered again").id;
    assert_eq!(second.attempt, 2);
    scene.say("b", Happened::Started { id: second });

    let late = scene.say("a", Happened::Finished { id: first, result: vec![0] });
    assert_eq!(accepted(&late), []);
    let step = scene.say("b", Happened::Finished { id: second, result: vec![0] });
    assert_eq!(accepted(&step), [second]);
    assert!(step.actions.contains(&Action::Tell(Notice::Done { job: 1 })));
}

#[test]
fn whoever_pulls_a_task_has_it_whoever_it_was_leased_to() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let id = scene.submit(1)[0].id;
    scene.join("b", 1);
    assert!(!stops(&scene.say("b", Happened::Started { id }), "b", id));
    assert!(stops(&scene.say("a", Happened::Started { id }), "a", id), "it has one owner");
    assert_eq!(accepted(&scene.say("a", Happened::Finished { id, result: vec![0] })), [], "which is not this one");
    assert_eq!(accepted(&scene.say("b", Happened::Finished { id, result: vec![0] })), [id]);
}

#[test]
fn a_task_that_nobody_starts_is_offered_again_under_the_same_number() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let first = scene.submit(1);
    let mut again = Vec::new();
    for _ in 0..100 {
        scene.say("a", Happened::Alive { doing: Vec::new() });
        again.extend(offers(&scene.pass(1)));
    }
    assert!(again.len() >= 30, "{} times", again.len());
    assert!(again.iter().all(|offer| *offer == first[0]), "longer than any lease, and it costs no attempt");
}

#[test]
fn a_node_that_no_longer_mentions_an_attempt_has_lost_it() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let id = scene.submit(1)[0].id;
    scene.say("a", Happened::Started { id });
    let step = scene.say("a", Happened::Alive { doing: vec![id] });
    assert_eq!(offers(&step), []);
    let step = scene.say("a", Happened::Alive { doing: Vec::new() });
    assert_eq!(offers(&step)[0].id.attempt, 2, "its result was lost, so it is done again, at once");
}

#[test]
fn a_node_that_nobody_knows_is_asked_to_join_again() {
    let mut scene = Scene::new();
    let step = scene.say("a", Happened::Alive { doing: Vec::new() });
    assert_eq!(step.actions, [Action::Control(node("a"), Control::JoinAgain)]);
}

#[test]
fn a_result_counts_also_from_a_node_that_a_new_driver_does_not_know() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let id = scene.submit(1)[0].id;
    let step = scene.say("b", Happened::Finished { id, result: vec![0] });
    assert_eq!(accepted(&step), [id], "nobody else has it");
    assert!(step.actions.contains(&Action::Control(node("b"), Control::JoinAgain)));
}

#[test]
fn a_task_that_kills_whoever_takes_it_ends_its_job_with_a_sentence() {
    let mut scene = Scene::new();
    scene.join("a", 1);
    let mut offer = scene.submit(1).remove(0);
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut step = Step::default();
        let exhausted = Piece::Exhausted { offer: offer.clone(), deliveries: 5 };
        scene.core.hear(scene.now(), exhausted, &mut step);
        told.extend(step.actions.clone());
        scene.say("a", Happened::Alive { doing: Vec::new() });
        if let Some(next) =
            offers(&step).into_iter().chain(offers(&scene.pass(10))).find(|it| it.id.attempt > offer.id.attempt)
        {
            offer = next;
        }
    }
    let failed = told.iter().find_map(|it| match it {
        Action::Tell(Notice::Failed { message, .. }) => Some(message.clone()),
        _ => None,
    });
    let message = failed.expect("the job has failed");
    assert_eq!(message, "chunk 0 of job 1 was handed out 5 times, and nobody who took it was heard of again");
}

/// Node "a" of one slot is at the first of two tasks and holds the second; "b" comes, which is free.
fn with_one_held() -> (Scene, [AttemptId; 2], Step) {
    let mut scene = Scene::under(config_with(1));
    scene.join("a", 1);
    let offers = scene.submit(2);
    let ids = [offers[0].id, offers[1].id];
    scene.say("a", Happened::Started { id: ids[0] });
    let step = scene.say("a", Happened::Alive { doing: ids.to_vec() });
    assert_eq!(step.actions, []);
    let step = scene.join("b", 1);
    (scene, ids, step)
}

#[test]
fn a_task_that_a_full_node_holds_is_taken_back_for_one_that_is_free_and_that_costs_nothing() {
    let (mut scene, [first, held], step) = with_one_held();
    assert!(stops(&step, "a", held) && !stops(&step, "a", first));
    assert_eq!(scene.say("b", Happened::Alive { doing: Vec::new() }).actions, [], "once is enough");
    let step = scene.say("a", Happened::Alive { doing: vec![first, held] });
    assert!(stops(&step, "a", held), "but where it was lost");
    let again = offers(&scene.say("a", Happened::HandedBack { id: held })).remove(0);
    assert_eq!((again.id.chunk, again.id.attempt), (held.chunk, 2));
    assert!(!stops(&scene.say("b", Happened::Started { id: again.id }), "b", again.id));
    assert_eq!(accepted(&scene.say("b", Happened::Finished { id: again.id, result: vec![1] })), [again.id]);
}

#[test]
fn a_task_that_begins_just_as_it_is_taken_back_stays_where_it_is() {
    let (mut scene, [first, held], _) = with_one_held();
    scene.say("a", Happened::Finished { id: first, result: vec![0] });
    let step = scene.say("a", Happened::Started { id: held });
    assert!(!stops(&step, "a", held));
    assert_eq!(accepted(&scene.say("a", Happened::Finished { id: held, result: vec![1] })), [held]);
}

#[test]
fn however_often_a_task_is_taken_back_its_job_goes_on() {
    let (mut scene, [first, mut held], _) = with_one_held();
    scene.say("a", Happened::Alive { doing: vec![first, held] });
    for _ in 0..20 {
        // It had begun, and was put down all the same.
        scene.say("a", Happened::Started { id: held });
        held = offers(&scene.say("a", Happened::HandedBack { id: held })).remove(0).id;
        scene.pass(3);
        scene.say("a", Happened::Alive { doing: vec![first, held] });
        scene.say("b", Happened::Alive { doing: Vec::new() });
    }
    assert!(scene.core.is_active(1));
}

#[test]
fn nothing_is_taken_back_while_a_task_waits_on_the_bus() {
    let mut scene = Scene::under(config_with(1));
    scene.join("a", 1);
    scene.join("b", 1);
    let ids: Vec<AttemptId> = scene.submit(3).iter().map(|offer| offer.id).collect();
    scene.say("a", Happened::Started { id: ids[0] });
    let step = scene.say("a", Happened::Alive { doing: vec![ids[0], ids[1]] });
    assert_eq!(step.actions, [], "b may have the third");
    assert_eq!(scene.say("b", Happened::Started { id: ids[2] }).actions, []);
    assert!(stops(&scene.say("b", Happened::Finished { id: ids[2], result: vec![2] }), "a", ids[1]));
}

#[test]
fn a_task_that_was_taken_back_and_is_held_again_is_left_there_for_a_while() {
    let (mut scene, [first, held], _) = with_one_held();
    let again = offers(&scene.say("a", Happened::HandedBack { id: held })).remove(0).id;
    let step = scene.say("a", Happened::Alive { doing: vec![first, again] });
    assert!(!stops(&step, "a", again));
    let step = scene.say("b", Happened::Alive { doing: Vec::new() });
    assert!(!stops(&step, "a", again), "b has had its chance");
    scene.pass(1);
    scene.say("b", Happened::Alive { doing: Vec::new() });
    assert!(stops(&scene.pass(1), "a", again), "after two seconds it has another");
}

#[test]
fn nothing_is_taken_back_for_a_node_that_was_not_heard_of_lately() {
    let mut scene = Scene::under(config_with(1));
    scene.join("a", 1);
    scene.join("b", 1);
    for _ in 0..5 {
        scene.say("a", Happened::Alive { doing: Vec::new() });
        scene.pass(1);
    }
    let ids: Vec<AttemptId> = scene.submit(2).iter().map(|offer| offer.id).collect();
    scene.say("a", Happened::Started { id: ids[0] });
    assert_eq!(scene.say("a", Happened::Alive { doing: ids.clone() }).actions, []);
    assert!(stops(&scene.say("b", Happened::Alive { doing: Vec::new() }), "a", ids[1]), "it is there after all");
}

/// A driver of two pools, "cpu" and "other".
fn with_two_pools() -> Scene {
    let mut config = config();
    config.pools.insert(pool("other"), Skills::NONE.with(Skill::Stitch));
    Scene::under(config)
}

#[test]
fn what_a_node_says_of_another_pools_attempts_counts_for_nothing() {
    let mut scene = with_two_pools();
    scene.join("a", 1);
    let id = scene.submit(1)[0].id;
    let rogue = |doing| Happened::Joined { pool: pool("other"), slots: 1, doing };
    let step = scene.say("rogue", rogue(vec![id]));
    assert!(stops(&step, "rogue", id), "it can't adopt it");
    assert!(stops(&scene.say("rogue", Happened::Started { id }), "rogue", id));
    assert_eq!(accepted(&scene.say("rogue", Happened::Finished { id, result: vec![7] })), []);
    let message = "it broke".to_owned();
    assert_eq!(scene.say("rogue", Happened::Failed { id, why: Why::Permanent, message }).records, []);
    // Neither in another life of it.
    let report = Report {
        node: node("rogue"),
        session: 2,
        sequence: 1,
        happened: vec![Happened::Finished { id, result: vec![7] }],
    };
    let mut step = Step::default();
    scene.core.hear(scene.now(), Piece::Report(report), &mut step);
    assert_eq!(accepted(&step), []);
    scene.say("a", Happened::Started { id });
    assert_eq!(accepted(&scene.say("a", Happened::Finished { id, result: vec![0] })), [id]);
}

#[test]
fn a_life_of_a_node_whose_place_another_has_taken_is_told_to_end_and_takes_nothing_back() {
    let mut scene = Scene::new();
    let say = |scene: &mut Scene, session, sequence, happened| {
        let mut step = Step::default();
        let report = Report { node: node("a"), session, sequence, happened: vec![happened] };
        scene.core.hear(scene.now(), Piece::Report(report), &mut step);
        step
    };
    let joined = || Happened::Joined { pool: pool("cpu"), slots: 1, doing: Vec::new() };
    let refuses_first =
        |step: &Step| matches!(&step.actions[..], [Action::Control(_, Control::Refused { session: 1, .. })]);
    say(&mut scene, 1, 1, joined());
    say(&mut scene, 2, 1, joined());
    let id = scene.submit(1)[0].id;
    say(&mut scene, 2, 2, Happened::Started { id });
    assert!(refuses_first(&say(&mut scene, 1, 2, Happened::Alive { doing: Vec::new() })));
    assert!(refuses_first(&say(&mut scene, 1, 3, joined())), "though it says so once more");
    assert_eq!(accepted(&say(&mut scene, 2, 3, Happened::Finished { id, result: vec![0] })), [id]);
}

#[test]
fn a_node_that_would_be_at_more_tasks_than_any_can_be_is_refused() {
    let mut scene = Scene::new();
    let step = scene.join("a", u16::MAX);
    assert!(
        matches!(&step.actions[..], [Action::Control(_, Control::Refused { reason, .. })] if reason.contains("4096"))
    );
    assert_eq!(scene.core.nodes(), 0);
}

#[test]
fn nothing_is_taken_back_for_a_node_that_was_unable_to_do_a_task_until_it_has_begun_one() {
    let mut scene = Scene::under(config_with(1));
    scene.join("b", 1);
    let id = scene.submit(1)[0].id;
    scene.say("b", Happened::Started { id });
    let again = offers(&scene.say("b", Happened::Unable { id })).remove(0).id;
    assert_eq!((again.chunk, again.attempt), (id.chunk, 2), "it waits for whoever is able");
    scene.join("a", 1);
    let mut step = Step::default();
    scene.core.submit(scene.now(), submission(2, 1), 0, &mut step).expect("taken");
    let held = offers(&step)[0].id;
    scene.say("a", Happened::Started { id: again });
    let step = scene.say("a", Happened::Alive { doing: vec![again, held] });
    assert!(!stops(&step, "a", held), "b has a slot, and rests");
    assert!(!stops(&scene.say("b", Happened::Alive { doing: Vec::new() }), "a", held));
}

#[test]
fn what_a_node_holds_that_dies_costs_nothing_and_what_it_was_at_does() {
    let mut scene = Scene::under(config_with(1));
    for round in 0..7 {
        let name = format!("a{round}");
        scene.join(&name, 1);
        let held = if round == 0 { scene.submit(2)[1].id } else { AttemptId { job: 1, chunk: 1, attempt: round + 1 } };
        let first = AttemptId { job: 1, chunk: 0, attempt: 1 };
        if round == 0 {
            scene.say(&name, Happened::Started { id: first });
            scene.say(&name, Happened::Finished { id: first, result: vec![0] });
        }
        scene.say(&name, Happened::Alive { doing: vec![AttemptId { job: 9, chunk: 0, attempt: 1 }, held] });
        assert!(scene.core.is_active(1), "round {round}");
        scene.say(&name, Happened::Left);
    }
    assert!(scene.core.is_active(1), "five losses would have ended it");
}
