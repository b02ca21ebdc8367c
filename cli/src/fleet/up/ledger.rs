//! Where the driver's ledger is: in the platform's Postgres, or in a folder where there is none.

use std::path::Path;

use anyhow::Context as _;
use vtp_fleet::ledger::FileLedger;

use crate::text;

/// The folder that a driver without a Postgres has, below that of the fleet.
pub(super) const FOLDER: &str = "driver";
/// What a journal is called that is read no longer.
const ASIDE: &str = "journal.before-postgres";

/// Jobs may be under way in a folder whose ledger is in Postgres from now on: that of an earlier release, or of a fleet that had no
/// API. Then its journal is laid aside, and what to say of that is returned.
///
/// # Errors
/// The journal can't be read, or not be moved.
pub(super) fn lay_aside(home: &Path) -> anyhow::Result<Option<String>> {
    let folder = home.join(FOLDER);
    let (journal, aside) = (folder.join("journal"), folder.join(ASIDE));
    if !journal.exists() {
        return Ok(None);
    }
    let ledger = FileLedger::open(&folder).with_context(|| {
        format!(
            "the ledger is in Postgres now, but there is one in {}: move it away to do without it",
            folder.display()
        )
    })?;
    let active = ledger.state().jobs().filter(|job| job.outcome.is_none()).count();
    if active == 0 {
        return Ok(None);
    }
    std::fs::rename(&journal, &aside).with_context(|| journal.display().to_string())?;
    Ok(Some(format!(
        "{} had not ended by the ledger in {}, and that is in Postgres now: what the API or a vtp encode still waits for is begun \
         anew. The old ledger is {}; to go on with it, call it journal again and run vtp up --fleet-only",
        text::plural(active as u64, "job"),
        folder.display(),
        aside.display()
    )))
}

#[cfg(test)]
mod tests {
    use vtp_engine::coordinator::{Cost, Skills};
    use vtp_fleet::ledger::{Ledger as _, Outcome, Record, Row, Submission};
    use vtp_fleet::messages::TraceContext;

    use super::*;

    fn keep(home: &Path, records: Vec<Record>) {
        let mut ledger = FileLedger::open(&home.join(FOLDER)).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (epoch, _) = ledger.claim().await.unwrap();
            ledger.append(epoch, records).await.unwrap();
        });
    }

    #[test]
    fn a_folder_with_jobs_under_way_is_laid_aside_once_and_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(lay_aside(home.path()).unwrap(), None);
        let submission = Submission {
            job: 1,
            user: 1,
            weight: 1,
            priority: 5,
            deadline_ms: None,
            fetch: Vec::new(),
            deliver: Vec::new(),
            trace: TraceContext::NONE,
            tasks: vec![Row::new(0, Cost(1), Skills::NONE, Vec::new())],
        };
        let ended = Record::Ended { job: 1, outcome: Outcome::Done };
        keep(home.path(), vec![Record::Submitted(submission.clone()), ended]);
        assert_eq!(lay_aside(home.path()).unwrap(), None, "nothing is under way");
        keep(home.path(), vec![Record::Submitted(Submission { job: 2, ..submission })]);
        let said = lay_aside(home.path()).unwrap().unwrap();
        assert!(said.starts_with("1 job had not ended by the ledger in "), "{said}");
        assert!(home.path().join(FOLDER).join(ASIDE).exists());
        assert_eq!(lay_aside(home.path()).unwrap(), None);
    }
}
