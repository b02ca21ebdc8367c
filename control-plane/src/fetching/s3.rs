//! A source from S3, read as the control plane itself, part by part.

use vtp_store::{Error, Found, Key, Location, S3, Store as _};

use super::parts::Parts;
use super::{Fetch, Stop};
use crate::problem::Problem;

/// Has all of it come.
pub(super) async fn fetch(fetch: &mut Fetch, location: Location) -> Result<(), Stop> {
    let client = fetch.app.sources.get_or_init(S3::client).await.clone();
    let bucket = S3::bucket(client, &location.bucket);
    let key = Key::new(location.key.clone()).map_err(|error| Stop::useless(None, error.to_string()))?;
    let Some(found) = bucket.head(&key).await.map_err(|error| failed(error, &location))? else {
        return Err(Stop::useless(None, format!("nothing is at {location}")));
    };
    let Found { size, version } = &found;
    if fetch.kept() == 0 {
        fetch.announce(Some(*size), Some(version.0.clone())).await?;
    } else if fetch.of.fetch_version.as_ref() != Some(&version.0) {
        return Err(Stop::Anew);
    }
    let (mut place, chunk) = (fetch.kept(), fetch.of.chunk_size.unsigned_abs());
    let mut parts = Parts::new(fetch);
    while place < *size {
        let end = (place + chunk).min(*size);
        let bytes = bucket.get(&key, place..end, &found).await.map_err(|error| failed(error, &location))?;
        parts.take(bytes).await?;
        place = end;
    }
    parts.end().await
}

/// What went wrong with a bucket that is not ours.
fn failed(error: Error, location: &Location) -> Stop {
    tracing::info!(%error, bucket = location.bucket, "a source can't be read");
    match error {
        Error::Changed => Stop::Anew,
        Error::Short { .. } | Error::Unreachable(_) | Error::NoCredentials(_) => {
            Stop::later(format!("s3://{} can't be reached", location.bucket))
        }
        Error::Denied(_) | Error::Refused(_) => {
            Stop::useless(None, format!("s3://{} does not let it be read", location.bucket))
        }
        error @ (Error::Name(_) | Error::File { .. }) => Stop::Ours(Problem::internal(&error)),
    }
}
