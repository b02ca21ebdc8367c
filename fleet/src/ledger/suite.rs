//! What every ledger does, and what the journal does besides.

use proptest::prelude::*;
use vtp_engine::coordinator::{Config, Coordinator, Cost, Now, Skill, Skills};

use super::*;
use crate::messages::{AttemptId, Pool, TraceContext, Why};

pub(super) fn id(job: u64, chunk: u32, attempt: u32) -> AttemptId {
    AttemptId { job, chunk, attempt }
}

pub(super) fn submission(job: u64, tasks: u32) -> Submission {
    let needs = Skills::NONE.with(Skill::Cpu).with(Skill::Hevc);
    let row = |chunk| Row::new(chunk, Cost(1000), needs, format!("chunk {chunk}").into_bytes());
    Submission {
        job,
        user: 1,
        weight: 2,
        priority: 3,
        deadline_ms: Some(90_000),
        fetch: Vec::new(),
        deliver: Vec::new(),
        trace: TraceContext::new(5, job, true),
        tasks: (0..tasks).map(row).collect(),
    }
}

pub(super) fn leased(id: AttemptId, worker: u64) -> Record {
    Record::Leased { id, worker, pool: Pool::new("cpu").expect("a name") }
}

pub(super) fn accepted(id: AttemptId) -> Record {
    Record::Accepted { id, result: vec![id.attempt as u8] }
}

/// The life of two jobs, in steps.
pub(super) fn story() -> Vec<Vec<Record>> {
    vec![
        vec![Record::Submitted(submission(1, 2)), leased(id(1, 0, 1), 0), leased(id(1, 1, 1), 1)],
        vec![accepted(id(1, 0, 1))],
        vec![Record::Failed { id: id(1, 1, 1), why: Why::Crash }, leased(id(1, 1, 2), 0)],
        vec![Record::Submitted(submission(2, 1)), leased(id(2, 0, 1), 1)],
        vec![accepted(id(1, 1, 2)), Record::Ended { job: 1, outcome: Outcome::Done }],
        vec![Record::Forgotten { job: 1 }],
    ]
}

pub(super) async fn tell(ledger: &mut impl Ledger, epoch: Epoch, steps: &[Vec<Record>]) {
    for step in steps {
        ledger.append(epoch, step.clone()).await.expect("it agrees with what went before");
    }
}

/// All that the trait promises. `again` opens what the first has written.
pub(super) async fn suite<L: Ledger>(mut ledger: L, again: impl AsyncFnOnce(L) -> L) {
    let (first, state) = ledger.claim().await.expect("it can be claimed");
    assert_eq!((state.epoch(), state.jobs().count()), (first, 0));
    tell(&mut ledger, first, &story()[..4]).await;

    let refused = [
        vec![Record::Submitted(submission(1, 1))],
        vec![leased(id(1, 1, 2), 5)],
        vec![leased(id(1, 0, 2), 5)],
        vec![accepted(id(1, 0, 1))],
        vec![accepted(id(1, 1, 3))],
        vec![accepted(id(9, 0, 1))],
        vec![Record::Forgotten { job: 1 }],
        vec![Record::Ended { job: 7, outcome: Outcome::Done }],
        vec![accepted(id(1, 1, 2)), accepted(id(1, 1, 1))],
        vec![Record::Ended { job: 2, outcome: Outcome::Cancelled }, accepted(id(2, 0, 1))],
    ];
    for records in refused {
        let outcome = ledger.append(first, records.clone()).await;
        assert!(matches!(outcome, Err(Error::Conflict(_))), "{records:?}: {outcome:?}");
    }

    let mut ledger = again(ledger).await;
    let (second, state) = ledger.claim().await.expect("it can be claimed again");
    assert!(second > first);
    assert_eq!(state.job(1).map(|job| job.tasks[&1].failures), Some(1));
    assert_eq!(
        state.job(2).map(|job| job.tasks[&0].holders.clone()),
        Some(vec![1]),
        "nothing of a refused call is kept"
    );
    let late = ledger.append(first, vec![accepted(id(1, 1, 2))]).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    tell(&mut ledger, second, &story()[4..]).await;

    let (_, state) = again_claim(&mut ledger).await;
    assert_eq!(state.jobs().map(|job| job.submission.job).collect::<Vec<_>>(), [2]);
}

async fn again_claim(ledger: &mut impl Ledger) -> (Epoch, State) {
    ledger.claim().await.expect("it can be claimed")
}

#[tokio::test]
async fn a_ledger_in_memory_does_what_ledgers_do() {
    suite(MemoryLedger::default(), async |ledger| ledger).await;
}

#[tokio::test]
async fn a_journal_does_what_ledgers_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = FileLedger::open(folder.path()).expect("a journal");
    suite(ledger, async |ledger| {
        drop(ledger);
        FileLedger::open(folder.path()).expect("the same journal")
    })
    .await;
}

#[tokio::test]
async fn a_journal_that_is_compacted_all_the_time_does_what_ledgers_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = FileLedger::open_with(folder.path(), 1).expect("a journal");
    suite(ledger, async |ledger| {
        drop(ledger);
        FileLedger::open_with(folder.path(), 1).expect("the same journal")
    })
    .await;
}

#[tokio::test]
async fn a_compacted_journal_is_smaller_and_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = FileLedger::open_with(folder.path(), 20_000).expect("a journal");
    let (epoch, _) = ledger.claim().await.expect("it can be claimed");
    for job in 0..200 {
        let end = Record::Ended { job, outcome: Outcome::Cancelled };
        tell(&mut ledger, epoch, &[vec![Record::Submitted(submission(job, 3))], vec![end]]).await;
        tell(&mut ledger, epoch, &[vec![Record::Forgotten { job }]]).await;
    }
    tell(&mut ledger, epoch, &story()[..4]).await;
    let (_, before) = ledger.claim().await.expect("it can be claimed");
    drop(ledger);
    let size = std::fs::metadata(folder.path().join("journal")).expect("a file").len();
    assert!(size < 45_000, "{size} bytes");
    let mut ledger = FileLedger::open(folder.path()).expect("the same journal");
    let (_, after) = ledger.claim().await.expect("it can be claimed");
    assert_eq!(
        before.jobs().map(|it| &it.tasks).collect::<Vec<_>>(),
        after.jobs().map(|it| &it.tasks).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_journal_is_one_process_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = FileLedger::open(folder.path()).expect("a journal");
    assert!(matches!(FileLedger::open(folder.path()), Err(Error::InUse(_))));
}

#[tokio::test]
async fn damage_in_the_middle_is_told_by_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = FileLedger::open(folder.path()).expect("a journal");
    let (epoch, _) = ledger.claim().await.expect("it can be claimed");
    tell(&mut ledger, epoch, &story()).await;
    drop(ledger);
    let path = folder.path().join("journal");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
    assert!(matches!(FileLedger::open(folder.path()), Err(Error::Damaged { at: 0, .. })));
}

#[test]
fn a_journal_cut_at_any_byte_has_all_whole_steps_before() {
    let mut frames = Vec::new();
    let mut ends = vec![0];
    for step in story() {
        frames.extend(frame::write(step).expect("it is valid"));
        ends.push(frames.len());
    }
    for cut in 0..=frames.len() {
        let steps = ends.iter().filter(|end| **end <= cut).count() - 1;
        let contents = frame::read(&frames[..cut]).expect("a torn end is no damage");
        assert_eq!(contents.whole, ends[steps]);
        assert_eq!(contents.records, story()[..steps].concat());
    }
}

#[test]
fn the_journal_has_the_bytes_that_its_version_had() {
    let mut bytes = Vec::new();
    let claim = Record::Claimed { epoch: 1 };
    let mut state = State::default();
    for step in [vec![vec![claim]], story()[..4].to_vec()].concat() {
        step.iter().for_each(|record| state.fold(record));
        bytes.extend(frame::write(step).expect("it is valid"));
    }
    bytes.extend(frame::write(state.records()).expect("it is valid"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal.bin");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).expect("the golden file can be written");
    }
    assert!(bytes == std::fs::read(&path).expect("a golden file"), "count the version up");
}

#[test]
fn a_coordinator_goes_on_from_what_the_ledger_knows() {
    let mut state = State::default();
    story()[..4].iter().flatten().for_each(|record| state.fold(record));
    let now = Now(std::time::Duration::from_secs(5));
    let snapshot = state.snapshot(now, 60_000, |_| Skills::NONE);
    assert_eq!(snapshot.jobs[0].terms.deadline, Some(Now(std::time::Duration::from_secs(35))));
    assert_eq!(snapshot.workers.len(), 2);
    let coordinator = Coordinator::restore(Config::fleet(), now, &snapshot).expect("the records agree");
    let leases: Vec<_> =
        coordinator.leases().map(|(task, attempt, worker)| (task.job.0, task.chunk.0, attempt.0, worker.0)).collect();
    assert_eq!(leases, [(1, 1, 2, 0), (2, 0, 1, 1)]);
}

proptest! {
    #[test]
    fn damage_is_found_or_cut_off_but_never_believed(place: u16, bit in 0u8..8) {
        let mut bytes: Vec<u8> = story().into_iter().flat_map(|step| frame::write(step).unwrap()).collect();
        let place = usize::from(place) % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(contents) = frame::read(&bytes) {
            let all = story().concat();
            prop_assert!(contents.records.len() < all.len());
            prop_assert_eq!(&contents.records[..], &all[..contents.records.len()]);
        }
    }
}
