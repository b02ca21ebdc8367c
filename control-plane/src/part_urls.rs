//! Addresses to which parts are sent without a token: the store's own where it has such, else ours, signed. Each is good for one part of
//! one video, of one length, for a while.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::app::App;
use crate::db::videos::{self, Video};
use crate::ids::VideoId;
use crate::problem::{Kind, Outcome, Problem};
use crate::public_url::address;
use crate::storage::Object;

/// How long an address is good.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// Where a part goes.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub(crate) struct PartUrl {
    /// Its number, from 0.
    part: u32,
    /// Its bytes: no more and no fewer are taken.
    size: u64,
    /// Where it goes (PUT, without a token).
    pub(crate) url: String,
}

/// Where parts go, and until when.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub(crate) struct PartUrls {
    /// Until when the addresses are good; after that there are fresh ones.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires_at: OffsetDateTime,
    /// In the order that was asked for.
    pub(crate) data: Vec<PartUrl>,
}

/// Addresses for these parts of an upload.
///
/// # Errors
/// There is no such part; the upload takes none any longer; something is away.
pub(crate) async fn urls(app: &App, video: &Video, parts: &[u32]) -> Outcome<PartUrls> {
    let expires_at = (OffsetDateTime::now_utc() + GOOD_FOR).replace_nanosecond(0);
    let expires_at = expires_at.map_err(|error| Problem::internal(&error))?;
    let mut urls = PartUrls { expires_at, data: Vec::with_capacity(parts.len()) };
    let mut are_of_store = false;
    for part in parts.iter().copied() {
        let size = video.part_size(part).ok_or_else(|| no_part(video))?;
        let key = Object::Part(video.id, part).key().map_err(|error| Problem::internal(&error))?;
        let of_store = app.store.presign_put(&key, size, GOOD_FOR).await?;
        are_of_store |= of_store.is_some();
        let url = of_store.unwrap_or_else(|| own(app, video.id, part, expires_at.unix_timestamp()));
        urls.data.push(PartUrl { part, size, url });
        // There may be ten thousand.
        tokio::task::yield_now().await;
    }
    let (good_for_s, keep_s) = (GOOD_FOR.as_secs().cast_signed(), app.config.upload_keep_s);
    // What comes past us may come late, and is looked for then.
    if are_of_store && !videos::urls_given(&app.db, video.id, good_for_s, keep_s).await? {
        return Err(closed());
    }
    Ok(urls)
}

fn own(app: &App, video: VideoId, part: u32, expires: i64) -> String {
    let signature = app.part_key.sign(video, part, expires);
    let path = format!("/v1/videos/{video}/chunk?part={part}&expires={expires}&signature={signature}");
    address(app.config.public_url.as_ref(), &path)
}

/// That an upload has no such part.
pub(crate) fn no_part(video: &Video) -> Problem {
    Problem::new(Kind::Invalid, format!("part: from 0 to {}", video.parts().saturating_sub(1)))
}

/// That an upload takes no parts any longer.
pub(crate) fn closed() -> Problem {
    Problem::new(Kind::Conflict, "this upload is complete, and takes no parts any longer")
}
