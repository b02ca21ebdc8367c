//! Several ledgers on one Postgres.

use std::path::Path;

use tokio::runtime::Runtime;
use vtp_control_plane::{db, postgres::PostgresServer};

use super::*;
use crate::ledger::Outcome;
use crate::ledger::suite::{accepted, id, leased, story, submission, suite, tell};
use crate::messages::Why;

const SHORT: Duration = Duration::from_secs(4);

/// A Postgres; `None`, said aloud, without one, unless the environment's `VTP_POSTGRES` says that it is `required`.
pub(in crate::ledger) fn server() -> Option<(tempfile::TempDir, PostgresServer)> {
    let folder = tempfile::tempdir().expect("a folder");
    // Root's Postgres runs as another user, who has to get to its folder.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open).expect("ours");
    if vtp_control_plane::postgres::programs().is_none() {
        assert!(std::env::var_os("VTP_POSTGRES").is_none_or(|it| it != "required"), "no Postgres");
        eprintln!("skipped: there is no PostgreSQL");
        return None;
    }
    let server = PostgresServer::start(Path::new(folder.path()), false, &[]).expect("it starts");
    Some((folder, server))
}

/// Another driver's.
async fn open(server: &PostgresServer, name: &str) -> PostgresLedger {
    let ledger = PostgresLedger::with_lease(&server.url(), name, SHORT).expect("an address");
    db::migrate(ledger.database()).await.expect("the tables are made");
    ledger
}

async fn claimed(ledger: &mut PostgresLedger) -> (Epoch, State) {
    ledger.claim().await.expect("nobody leads")
}

fn run(test: impl Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(test);
}

#[test]
fn a_ledger_in_postgres_does_what_ledgers_do() {
    let Some((_folder, server)) = server() else { return };
    run(async {
        suite(open(&server, "a").await, async |mut ledger| {
            ledger.leave().await.expect("it has led");
            open(&server, "b").await
        })
        .await;
    });
}

#[test]
fn what_is_read_is_what_was_written() {
    let Some((_folder, server)) = server() else { return };
    run(async {
        let mut ledger = open(&server, "a").await;
        let (epoch, mut known) = claimed(&mut ledger).await;
        let failed = Outcome::Failed { chunk: 1, message: "it is \0 damaged".to_owned() };
        let more = vec![
            vec![Record::Submitted(submission(u64::MAX, 3)), leased(id(u64::MAX, 2, 1), 7)],
            // Two beside each other, then a third, one that failed late, and the one that counts.
            vec![leased(id(u64::MAX, 2, 2), 8), leased(id(u64::MAX, 2, 3), 9)],
            vec![Record::Failed { id: id(u64::MAX, 2, 1), why: Why::Permanent }, accepted(id(u64::MAX, 2, 3))],
            vec![Record::Ended { job: u64::MAX, outcome: failed }],
            // A number that is let go of and taken again, all at once.
            vec![Record::Submitted(submission(5, 1)), Record::Ended { job: 5, outcome: Outcome::Cancelled }],
            vec![Record::Forgotten { job: 5 }, Record::Submitted(submission(5, 2))],
        ];
        let steps = [&story()[..4], &more].concat();
        tell(&mut ledger, epoch, &steps).await;
        steps.concat().iter().for_each(|record| known.fold(record));
        let (_, read) = claimed(&mut ledger).await;
        let plain = |state: &State| {
            let told = |it: &Outcome| format!("{it:?}").replace("\\0", "\u{fffd}");
            let mut jobs: Vec<_> = state.jobs().cloned().collect();
            jobs.sort_by_key(|job| job.order());
            jobs.into_iter().map(|it| (it.submission, it.tasks, it.outcome.as_ref().map(told))).collect::<Vec<_>>()
        };
        // Leases are counted anew; their order is the same.
        let lease = |state: &State| {
            let mut all: Vec<_> = state.running().map(|(id, it)| (it.lease, id)).collect();
            all.sort_unstable();
            all.into_iter().map(|it| it.1).collect::<Vec<_>>()
        };
        assert_eq!(plain(&read), plain(&known));
        assert_eq!(lease(&read), lease(&known));
        assert_eq!(read.unused_worker(), known.unused_worker());
        let states: Vec<String> =
            sqlx::query_scalar("SELECT state FROM fleet_attempts WHERE job = -1 ORDER BY attempt")
                .fetch_all(ledger.database())
                .await
                .expect("it is a table");
        assert_eq!(states, ["failed", "given up", "accepted"]);
    });
}

#[test]
fn whoever_stands_by_takes_over_when_the_lease_has_run_out_and_the_one_before_is_fenced() {
    let Some((_folder, server)) = server() else { return };
    run(async {
        let (mut first, mut second) = (open(&server, "first").await, open(&server, "second").await);
        let (epoch, _) = claimed(&mut first).await;
        tell(&mut first, epoch, &story()[..1]).await;
        // For twice as long as a lease it leads, for it renews it.
        let end = Instant::now() + 2 * SHORT;
        while Instant::now() < end {
            let refused = second.claim().await;
            assert!(matches!(&refused, Err(Error::Led(by)) if by == "first"), "{refused:?}");
            tokio::time::sleep(SHORT / 10).await;
        }
        // As one that stands still.
        first.0.stop_renewing();
        let since = Instant::now();
        let (later, state) = loop {
            match second.claim().await {
                Ok(claimed) => break claimed,
                Err(Error::Led(_)) => tokio::time::sleep(SHORT / 20).await,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(since.elapsed() < SHORT + Duration::from_secs(15), "{:?}", since.elapsed());
        assert!(later > epoch && state.job(1).is_some());
        for records in [vec![], vec![accepted(id(1, 0, 1))], vec![Record::Submitted(submission(9, 1))]] {
            let late = open_again(&first, epoch).append(epoch, records).await;
            assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
        }
        tell(&mut second, later, &story()[1..4]).await;
        let refused = first.claim().await;
        assert!(matches!(&refused, Err(Error::Led(by)) if by == "second"), "{refused:?}");
        second.leave().await.expect("it leads");
        let (_, state) = claimed(&mut first).await;
        assert_eq!(state.job(1).map(|job| job.tasks[&0].accepted.clone()), Some(Some((1, vec![1]))));
        assert!(state.job(9).is_none());
    });
}

/// The same driver, that has not heard of any error.
fn open_again(ledger: &PostgresLedger, epoch: Epoch) -> PostgresLedger {
    let again = PostgresLedger::with_lease("postgres://nowhere", "again", SHORT).expect("an address");
    let mut state = State::default();
    state.fold(&Record::Claimed { epoch: epoch.0 });
    story()[..1].iter().flatten().for_each(|record| state.fold(record));
    let (held, lasts, renewing) = (Held { state, whole: true }.into(), Arc::default(), Mutex::default());
    let (db, holder, name, lease) = (ledger.0.db.clone(), ledger.0.holder, ledger.0.name.clone(), again.0.lease);
    PostgresLedger(Arc::new(Shared { db, holder, name, lease, held, lasts, renewing }))
}

#[test]
fn a_driver_that_stands_still_in_a_transaction_holds_nobody_up_for_long() {
    let Some((_folder, server)) = server() else { return };
    run(async {
        let (mut first, mut second) = (open(&server, "first").await, open(&server, "second").await);
        claimed(&mut first).await;
        first.0.stop_renewing();
        let mut still = first.database().begin().await.expect("a transaction");
        sqlx::query("SELECT epoch FROM fleet_driver FOR SHARE").execute(&mut *still).await.expect("it leads");
        let since = Instant::now();
        while let Err(error) = second.claim().await {
            assert!(error.is_passing(), "{error}");
            assert!(since.elapsed() < Duration::from_secs(20), "{error}");
            tokio::time::sleep(SHORT / 10).await;
        }
        assert!(still.commit().await.is_err(), "it was cut off");
    });
}

#[test]
fn a_database_that_is_away_is_waited_for_and_has_all_that_was_kept() {
    let Some((_folder, mut server)) = server() else { return };
    run(async {
        let mut ledger = open(&server, "a").await;
        let (epoch, _) = claimed(&mut ledger).await;
        tell(&mut ledger, epoch, &story()[..3]).await;
        server.crash().expect("it starts again");
        // A connection that was cut off may be noticed before, and then it is as if nothing had been.
        let failed = ledger.append(epoch, vec![Record::Submitted(submission(2, 1))]).await;
        if let Err(error) = &failed {
            assert!(error.is_passing(), "{error}");
            let broken = ledger.append(epoch, vec![]).await;
            assert!(matches!(broken, Err(Error::Broken)), "{broken:?}");
        }
        let (later, state) = claimed(&mut ledger).await;
        assert!(later > epoch);
        assert_eq!(state.job(1).map(|job| job.tasks[&1].holders.len()), Some(2));
        assert!(state.job(2).is_some() || failed.is_err());
    });
}

#[test]
fn what_others_have_changed_in_the_tables_is_a_conflict_and_nothing_of_the_call_is_kept() {
    let Some((_folder, server)) = server() else { return };
    run(async {
        let mut ledger = open(&server, "a").await;
        let (epoch, _) = claimed(&mut ledger).await;
        tell(&mut ledger, epoch, &story()[..1]).await;
        let by_hand = "UPDATE fleet_tasks SET accepted_attempt = 9, result = '' WHERE chunk = 0";
        sqlx::query(by_hand).execute(ledger.database()).await.expect("it is a table");
        let records = vec![Record::Submitted(submission(2, 1)), accepted(id(1, 0, 1))];
        let refused = ledger.append(epoch, records).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let (_, state) = claimed(&mut ledger).await;
        assert!(state.job(2).is_none());
    });
}
