//! Answers to writes that may be sent again: each is kept for a day under the key that its client chose.

use sqlx::PgPool;
use uuid::Uuid;

use crate::ids::UserId;

/// An answer, as it was given.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The status.
    pub status: i16,
    /// What kind of body it has.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// It is whoever's asked now. What their request makes is called so; it is there already if an earlier one made it whose answer
    /// was not kept.
    Taken {
        /// What it makes.
        makes: Uuid,
        /// Whether the same request came before.
        is_again: bool,
        /// By which they are known as long as it is theirs.
        hold: Hold,
    },
    /// It came with another request.
    Other,
    /// Its request is under way.
    UnderWay,
    /// It was answered.
    Answered(Answer),
}

/// A key that somebody has, until it is taken by another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    user: UserId,
    key: String,
    taken: Uuid,
}

/// What is known of a key that comes with a request of this hash. One that is new is taken; so is one of whose request it was not
/// said for two minutes that it is under way: whoever carried it out is gone.
pub async fn take(db: &PgPool, user: UserId, key: &str, request: &[u8]) -> sqlx::Result<Known> {
    let anew = Uuid::now_v7();
    let hold = Hold { user, key: key.to_owned(), taken: Uuid::now_v7() };
    let taken: Option<Uuid> = sqlx::query_scalar(
        "INSERT INTO idempotency_keys AS known (user_id, key, request_hash, makes, taken) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, key) DO UPDATE SET request_hash = $3, status = NULL, content_type = NULL, body = NULL,
                 created_at = now(), taken = $5,
                 makes = CASE WHEN known.request_hash = $3 AND known.created_at >= now() - interval '1 day'
                              THEN coalesce(known.makes, $4) ELSE $4 END
             WHERE known.created_at < now() - interval '1 day'
                OR (known.status IS NULL AND known.created_at < now() - interval '2 minutes')
         RETURNING makes",
    )
    .bind(user)
    .bind(key)
    .bind(request)
    .bind(anew)
    .bind(hold.taken)
    .fetch_optional(db)
    .await?;
    if let Some(makes) = taken {
        return Ok(Known::Taken { makes, is_again: makes != anew, hold });
    }
    type Row = (Vec<u8>, Option<i16>, Option<String>, Option<Vec<u8>>);
    let found: Option<Row> = sqlx::query_as(
        "SELECT request_hash, status, content_type, body FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(key)
    .fetch_optional(db)
    .await?;
    Ok(match found {
        Some((hash, ..)) if hash != request => Known::Other,
        Some((_, Some(status), content_type, body)) => {
            Known::Answered(Answer { status, content_type, body: body.unwrap_or_default() })
        }
        // Where it was given back meanwhile, whoever asks again has it.
        Some((_, None, ..)) | None => Known::UnderWay,
    })
}

/// Says that the request of a key is still under way.
pub async fn still(db: &PgPool, hold: &Hold) -> sqlx::Result<()> {
    let still = sqlx::query(
        "UPDATE idempotency_keys SET created_at = now() WHERE user_id = $1 AND key = $2 AND taken = $3 AND status IS NULL",
    );
    still.bind(hold.user).bind(&hold.key).bind(hold.taken).execute(db).await.map(drop)
}

/// Keeps the answer to the request of a key, where no other has it by now; whether that was so.
pub async fn answer(db: &PgPool, hold: &Hold, answer: &Answer) -> sqlx::Result<bool> {
    let kept = sqlx::query(
        "UPDATE idempotency_keys SET status = $4, content_type = $5, body = $6
         WHERE user_id = $1 AND key = $2 AND taken = $3 AND status IS NULL",
    );
    let kept = kept.bind(hold.user).bind(&hold.key).bind(hold.taken);
    let kept = kept.bind(answer.status).bind(&answer.content_type).bind(&answer.body);
    Ok(kept.execute(db).await?.rows_affected() > 0)
}

/// Gives a key back whose request got no answer that is to be kept: it may be sent again at once. What it may have made is remembered.
pub async fn give_back(db: &PgPool, hold: &Hold) -> sqlx::Result<()> {
    let given = sqlx::query(
        "UPDATE idempotency_keys SET created_at = now() - interval '3 minutes'
         WHERE user_id = $1 AND key = $2 AND taken = $3 AND status IS NULL",
    );
    given.bind(hold.user).bind(&hold.key).bind(hold.taken).execute(db).await.map(drop)
}

/// Forgets answers that are older than a day.
pub async fn tidy(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'").execute(db).await.map(drop)
}
