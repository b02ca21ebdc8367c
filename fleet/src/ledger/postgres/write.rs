//! Writes changes into the tables: a statement a table, however many rows.

use std::sync::Arc;

use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, query::Query};

use super::changes::{Attempt, AttemptState, Changes};
use crate::ledger::{Error, Outcome, Submission};
use crate::messages::{AttemptId, Why};

/// How many rows one statement makes: their bodies go in one message.
const ROWS: usize = 5_000;

/// Writes them, within the transaction of `db`.
///
/// # Errors
/// [`Error::Conflict`] where the tables say otherwise than this driver knows; [`Error::Database`].
pub(super) async fn write(db: &mut PgConnection, changes: &Changes) -> Result<(), Error> {
    jobs(db, &changes.submitted).await?;
    tasks(db, &changes.submitted).await?;
    let (given, turned): (Vec<_>, Vec<_>) = changes.attempts.iter().partition(|(_, attempt)| attempt.given.is_some());
    give(db, &given).await?;
    turn(db, &turned).await?;
    stand(db, changes).await?;
    end(db, changes).await?;
    let forgotten: Vec<i64> = changes.forgotten.iter().map(|job| job.cast_signed()).collect();
    if !forgotten.is_empty() {
        all(db, sqlx::query("DELETE FROM fleet_jobs WHERE job = ANY($1)").bind(&forgotten), forgotten.len()).await?;
    }
    Ok(())
}

type Arguments = sqlx::postgres::PgArguments;

/// Carries a statement out that has to change so many rows.
async fn all(db: &mut PgConnection, query: Query<'_, Postgres, Arguments>, rows: usize) -> Result<(), Error> {
    let changed = query.execute(db).await?.rows_affected();
    if changed == rows as u64 {
        return Ok(());
    }
    Err(Error::Conflict(format!("{changed} rows of {rows} could be changed: somebody else has written to the tables")))
}

async fn jobs(db: &mut PgConnection, submitted: &[Arc<Submission>]) -> Result<(), Error> {
    if submitted.is_empty() {
        return Ok(());
    }
    let of = |field: fn(&Submission) -> i64| submitted.iter().map(|it| field(it)).collect::<Vec<_>>();
    let deadlines: Vec<_> = submitted.iter().map(|it| it.deadline_ms.map(u64::cast_signed)).collect();
    let fetch: Vec<_> = submitted.iter().map(|it| Json(&it.fetch)).collect();
    let deliver: Vec<_> = submitted.iter().map(|it| Json(&it.deliver)).collect();
    let traces = submitted.iter().map(|it| (!it.trace.is_none()).then(|| it.trace.to_string()));
    let query = sqlx::query(
        "INSERT INTO fleet_jobs (job, user_number, weight, priority, deadline_ms, fetch_from, deliver_to, trace)
         SELECT job, user_number, weight, priority, deadline_ms, fetch_from, deliver_to, trace
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::jsonb[], $8::text[])
              WITH ORDINALITY AS it (job, user_number, weight, priority, deadline_ms, fetch_from, deliver_to, trace, place)
         ORDER BY place",
    )
    .bind(of(|it| it.job.cast_signed()))
    .bind(of(|it| it.user.cast_signed()))
    .bind(of(|it| it.weight.into()))
    .bind(of(|it| it.priority.into()))
    .bind(deadlines)
    .bind(fetch)
    .bind(deliver)
    .bind(traces.collect::<Vec<_>>());
    all(db, query, submitted.len()).await
}

async fn tasks(db: &mut PgConnection, submitted: &[Arc<Submission>]) -> Result<(), Error> {
    let of_job = |it: &Arc<Submission>| {
        let it = Arc::clone(it);
        (0..it.tasks.len()).map(move |place| (Arc::clone(&it), place))
    };
    let rows: Vec<_> = submitted.iter().flat_map(of_job).collect();
    for rows in rows.chunks(ROWS) {
        let tasks = || rows.iter().map(|(job, place)| &job.tasks[*place]);
        let query = sqlx::query(
            "INSERT INTO fleet_tasks (job, chunk, place, cost, needs, body)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::integer[], $6::bytea[])",
        )
        .bind(rows.iter().map(|(job, _)| job.job.cast_signed()).collect::<Vec<_>>())
        .bind(tasks().map(|it| i64::from(it.chunk)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, place)| i32::try_from(*place).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(tasks().map(|it| it.cost.cast_signed()).collect::<Vec<_>>())
        .bind(tasks().map(|it| i32::from(it.needs)).collect::<Vec<_>>())
        .bind(tasks().map(|it| &it.body[..]).collect::<Vec<_>>());
        all(db, query, rows.len()).await?;
    }
    Ok(())
}

/// The attempts' own columns, of which each is bound alike.
struct Columns {
    jobs: Vec<i64>,
    chunks: Vec<i64>,
    attempts: Vec<i64>,
    states: Vec<&'static str>,
    whys: Vec<Option<&'static str>>,
}

type Rows<'a> = [(&'a AttemptId, &'a Attempt)];

impl Columns {
    fn of(rows: &Rows<'_>) -> Self {
        let states = rows.iter().map(|(_, attempt)| match attempt.state {
            AttemptState::Running => "running",
            AttemptState::Accepted => "accepted",
            AttemptState::Failed(_) => "failed",
            AttemptState::GivenUp => "given up",
        });
        let whys = rows.iter().map(|(_, attempt)| match attempt.state {
            AttemptState::Failed(Why::Permanent) => Some("permanent"),
            AttemptState::Failed(Why::Retryable) => Some("retryable"),
            AttemptState::Failed(Why::Crash) => Some("crash"),
            _ => None,
        });
        Self {
            jobs: rows.iter().map(|(id, _)| id.job.cast_signed()).collect(),
            chunks: rows.iter().map(|(id, _)| id.chunk.into()).collect(),
            attempts: rows.iter().map(|(id, _)| id.attempt.into()).collect(),
            states: states.collect(),
            whys: whys.collect(),
        }
    }
}

async fn give(db: &mut PgConnection, rows: &Rows<'_>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let Columns { jobs, chunks, attempts, states, whys } = Columns::of(rows);
    let given = || rows.iter().filter_map(|(_, attempt)| attempt.given.as_ref());
    let query = sqlx::query(
        "INSERT INTO fleet_attempts (job, chunk, attempt, state, why, worker, pool, lease, ended_at)
         SELECT *, CASE WHEN state <> 'running' THEN now() END
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[])
              AS it (job, chunk, attempt, state, why, worker, pool, lease)",
    )
    .bind(jobs)
    .bind(chunks)
    .bind(attempts)
    .bind(states)
    .bind(whys)
    .bind(given().map(|it| it.worker.cast_signed()).collect::<Vec<_>>())
    .bind(given().map(|it| &it.pool[..]).collect::<Vec<_>>())
    .bind(given().map(|it| it.lease.cast_signed()).collect::<Vec<_>>());
    all(db, query, rows.len()).await
}

async fn turn(db: &mut PgConnection, rows: &Rows<'_>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let Columns { jobs, chunks, attempts, states, whys } = Columns::of(rows);
    let query = sqlx::query(
        "UPDATE fleet_attempts SET state = it.state, why = it.why, ended_at = now()
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS it (job, chunk, attempt, state, why)
         WHERE (fleet_attempts.job, fleet_attempts.chunk, fleet_attempts.attempt) = (it.job, it.chunk, it.attempt)
           AND fleet_attempts.state <> 'accepted'",
    )
    .bind(jobs)
    .bind(chunks)
    .bind(attempts)
    .bind(states)
    .bind(whys);
    all(db, query, rows.len()).await
}

/// How tasks stand. One that is accepted stays so, by that attempt.
async fn stand(db: &mut PgConnection, changes: &Changes) -> Result<(), Error> {
    if changes.tasks.is_empty() {
        return Ok(());
    }
    let standings = || changes.tasks.values();
    let query = sqlx::query(
        "UPDATE fleet_tasks SET failures = it.failures, crashes = it.crashes, accepted_attempt = it.attempt, result = it.result
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
              AS it (job, chunk, failures, crashes, attempt, result)
         WHERE (fleet_tasks.job, fleet_tasks.chunk) = (it.job, it.chunk)
           AND (accepted_attempt IS NULL OR accepted_attempt = it.attempt)",
    )
    .bind(changes.tasks.keys().map(|(job, _)| job.cast_signed()).collect::<Vec<_>>())
    .bind(changes.tasks.keys().map(|(_, chunk)| i64::from(*chunk)).collect::<Vec<_>>())
    .bind(standings().map(|it| i64::from(it.failures)).collect::<Vec<_>>())
    .bind(standings().map(|it| i64::from(it.crashes)).collect::<Vec<_>>())
    .bind(standings().map(|it| it.accepted.as_ref().map(|(attempt, _)| i64::from(*attempt))).collect::<Vec<_>>())
    .bind(standings().map(|it| it.accepted.as_ref().map(|(_, result)| &result[..])).collect::<Vec<_>>());
    all(db, query, changes.tasks.len()).await
}

async fn end(db: &mut PgConnection, changes: &Changes) -> Result<(), Error> {
    if changes.ended.is_empty() {
        return Ok(());
    }
    let jobs: Vec<i64> = changes.ended.keys().map(|job| job.cast_signed()).collect();
    let state = |outcome: &Outcome| match outcome {
        Outcome::Done => "done",
        Outcome::Failed { .. } => "failed",
        Outcome::Cancelled => "cancelled",
    };
    let failure = |outcome: &Outcome| match outcome {
        // No text of the database has the letter 0.
        Outcome::Failed { chunk, message } => (Some(i64::from(*chunk)), Some(message.replace('\0', "\u{fffd}"))),
        Outcome::Done | Outcome::Cancelled => (None, None),
    };
    let (chunks, messages): (Vec<_>, Vec<_>) = changes.ended.values().map(failure).unzip();
    let query = sqlx::query(
        "UPDATE fleet_jobs SET state = it.state, failed_chunk = it.chunk, message = it.message, ended_at = now()
         FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS it (job, state, chunk, message)
         WHERE fleet_jobs.job = it.job AND fleet_jobs.state = 'active'",
    )
    .bind(&jobs)
    .bind(changes.ended.values().map(state).collect::<Vec<_>>())
    .bind(chunks)
    .bind(messages);
    all(db, query, changes.ended.len()).await?;
    let query =
        "UPDATE fleet_attempts SET state = 'given up', ended_at = now() WHERE job = ANY($1) AND state = 'running'";
    sqlx::query(query).bind(&jobs).execute(db).await?;
    Ok(())
}
