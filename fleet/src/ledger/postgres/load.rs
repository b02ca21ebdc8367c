//! Reads the tables into a state.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

use crate::ledger::{Error, KeptJob, KeptTask, Outcome, Record, Row, Running, State, Submission};
use crate::messages::{Pool, TraceContext};

#[derive(FromRow)]
struct JobRow {
    job: i64,
    user_number: i64,
    weight: i64,
    priority: i16,
    deadline_ms: Option<i64>,
    fetch_from: Json<Vec<String>>,
    deliver_to: Json<Vec<String>>,
    trace: Option<String>,
    state: String,
    failed_chunk: Option<i64>,
    message: Option<String>,
}

#[derive(FromRow)]
struct TaskRow {
    job: i64,
    chunk: i64,
    cost: i64,
    needs: i32,
    body: Vec<u8>,
    failures: i64,
    crashes: i64,
    accepted_attempt: Option<i64>,
    result: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct AttemptRow {
    job: i64,
    chunk: i64,
    attempt: i64,
    worker: i64,
    pool: String,
    lease: i64,
    is_running: bool,
}

/// All that the tables say, within the transaction of `db`.
///
/// # Errors
/// [`Error::Database`]; [`Error::Conflict`] for rows that no driver writes.
pub(super) async fn load(db: &mut PgConnection, epoch: u64) -> Result<State, Error> {
    let mut attempts: HashMap<(i64, i64), KeptTask> = HashMap::new();
    let mut rows = sqlx::query_as::<_, AttemptRow>(
        "SELECT job, chunk, attempt, worker, pool, lease, state = 'running' AS is_running
         FROM fleet_attempts ORDER BY job, chunk, attempt",
    )
    .fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        attempt(attempts.entry((row.job, row.chunk)).or_default(), &row).ok_or_else(|| odd("attempt", row.job))?;
    }
    drop(rows);
    let mut tasks: HashMap<i64, Vec<(Row, KeptTask)>> = HashMap::new();
    let mut rows = sqlx::query_as::<_, TaskRow>(
        "SELECT job, chunk, cost, needs, body, failures, crashes, accepted_attempt, result FROM fleet_tasks ORDER BY job, place",
    )
    .fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        let (job, given) = (row.job, attempts.remove(&(row.job, row.chunk)).unwrap_or_default());
        tasks.entry(job).or_default().push(task(row, given).ok_or_else(|| odd("task", job))?);
    }
    drop(rows);
    let mut state = State::default();
    state.fold(&Record::Claimed { epoch });
    let mut rows = sqlx::query_as::<_, JobRow>(
        "SELECT job, user_number, weight, priority, deadline_ms, fetch_from, deliver_to, trace, state, failed_chunk, message
         FROM fleet_jobs ORDER BY place",
    )
    .fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        let number = row.job;
        let kept = job(row, tasks.remove(&number).unwrap_or_default()).ok_or_else(|| odd("job", number))?;
        kept.submission.check().map_err(|what| Error::Conflict(format!("job {}: {what}", kept.submission.job)))?;
        state.fold(&Record::Kept(kept));
    }
    Ok(state)
}

fn odd(what: &str, job: i64) -> Error {
    Error::Conflict(format!(
        "the tables have a row of a kind that no driver writes: a {what} of job {}",
        job.cast_unsigned()
    ))
}

/// Attempts are numbered from 1, without gaps.
fn attempt(task: &mut KeptTask, row: &AttemptRow) -> Option<()> {
    task.holders.push(row.worker.cast_unsigned());
    let attempt = u32::try_from(row.attempt).ok().filter(|attempt| *attempt as usize == task.holders.len())?;
    if row.is_running {
        let (worker, pool) = (row.worker.cast_unsigned(), Pool::new(row.pool.clone()).ok()?);
        task.running.push(Running { attempt, worker, pool, lease: row.lease.cast_unsigned() });
    }
    Some(())
}

fn task(row: TaskRow, given: KeptTask) -> Option<(Row, KeptTask)> {
    let needs = u16::try_from(row.needs).ok()?;
    let new = Row { chunk: u32::try_from(row.chunk).ok()?, cost: row.cost.cast_unsigned(), needs, body: row.body };
    let attempt = row.accepted_attempt.map(u32::try_from).transpose().ok()?;
    let task = KeptTask {
        failures: u32::try_from(row.failures).ok()?,
        crashes: u32::try_from(row.crashes).ok()?,
        accepted: attempt.zip(row.result),
        ..given
    };
    Some((new, task))
}

fn job(row: JobRow, tasks: Vec<(Row, KeptTask)>) -> Option<KeptJob> {
    let outcome = match &row.state[..] {
        "active" => None,
        "done" => Some(Outcome::Done),
        "cancelled" => Some(Outcome::Cancelled),
        "failed" => Some(Outcome::Failed { chunk: u32::try_from(row.failed_chunk?).ok()?, message: row.message? }),
        _ => return None,
    };
    let (rows, tasks) = tasks.into_iter().unzip();
    let trace = match row.trace {
        Some(trace) => trace.parse().ok()?,
        None => TraceContext::NONE,
    };
    let submission = Submission {
        job: row.job.cast_unsigned(),
        user: row.user_number.cast_unsigned(),
        weight: u32::try_from(row.weight).ok()?,
        priority: u8::try_from(row.priority).ok()?,
        deadline_ms: row.deadline_ms.map(i64::cast_unsigned),
        fetch: row.fetch_from.0,
        deliver: row.deliver_to.0,
        trace,
        tasks: rows,
    };
    Some(KeptJob { submission, tasks, outcome })
}
