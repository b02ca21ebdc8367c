//! Objects on their way into a bucket: small ones in one request, large ones in parts of which several are under way. What is
//! cut off leaves parts that nobody sees; a bucket's lifecycle rule for incomplete uploads takes those of killed processes away.

use std::path::Path;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::S3;
use super::failure::{failed, is_missing};
use crate::{About, Body, Error, Key};

/// The least that a part has, in bytes, and the most that goes in one request. Several are in memory at a time.
const PART: u64 = 16 << 20;
/// The most parts that an upload has in S3, and a few less.
const MOST_PARTS: u64 = 9_900;
/// Parts of an object that are under way at the same time.
const AT_A_TIME: usize = 4;

/// How a body of `size` bytes is cut into parts, by their first and last bytes.
pub(super) fn parts(size: u64) -> Vec<std::ops::Range<u64>> {
    let part = size.div_ceil(MOST_PARTS).max(PART);
    let starts = (0..size.div_ceil(part)).map(|place| place * part);
    starts.map(|start| start..(start + part).min(size)).collect()
}

pub(super) async fn put(bucket: &S3, key: &Key, body: &Body, about: About) -> Result<(), Error> {
    let size = body.size().await?;
    match body {
        _ if size > PART => Upload::begin(bucket, key, about).await?.carry_out(body, size).await,
        Body::Bytes(bytes) => whole(bucket, key, bytes.clone(), about).await,
        Body::File(path) => whole(bucket, key, read(path, 0..size).await?, about).await,
    }
}

/// Makes one object of several, without their bytes coming here.
pub(super) async fn join(bucket: &S3, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
    if parts.is_empty() {
        return whole(bucket, into, Bytes::new(), about).await;
    }
    Upload::begin(bucket, into, about).await?.join(parts).await
}

async fn whole(bucket: &S3, key: &Key, bytes: Bytes, about: About) -> Result<(), Error> {
    let request = bucket.client.put_object().bucket(&*bucket.bucket).key(key.as_str());
    let request = request
        .set_content_type(about.content_type.map(str::to_owned))
        .set_cache_control(about.cache_control.map(str::to_owned));
    request.body(ByteStream::from(bytes)).send().await.map_err(|error| failed(&error))?;
    Ok(())
}

async fn read(path: &Path, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
    let wanted = range.end - range.start;
    let reading = async {
        let mut file = tokio::fs::File::open(path).await?;
        file.seek(std::io::SeekFrom::Start(range.start)).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        file.take(wanted).read_to_end(&mut bytes).await?;
        Ok(bytes)
    };
    let bytes = reading.await.map_err(|error| Error::file(path, error))?;
    match bytes.len() as u64 {
        got if got == wanted => Ok(bytes.into()),
        got => Err(Error::Short { got, wanted }),
    }
}

/// An upload that the store does not know any longer may have been completed by a request whose answer was lost: whoever puts the
/// object once more finds out.
fn lost_or_failed<E>(error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match is_missing(error) {
        true => Error::Unreachable("an upload in parts is not known any longer".to_owned()),
        false => failed(error),
    }
}

/// A name as it stands in a header: of letters outside of a few, each byte in two digits (RFC 3986, 2.1).
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// An upload in parts.
struct Upload<'a> {
    bucket: &'a S3,
    key: &'a Key,
    id: String,
}

impl<'a> Upload<'a> {
    async fn begin(bucket: &'a S3, key: &'a Key, about: About) -> Result<Self, Error> {
        let request = bucket.client.create_multipart_upload().bucket(&*bucket.bucket).key(key.as_str());
        let request = request
            .set_content_type(about.content_type.map(str::to_owned))
            .set_cache_control(about.cache_control.map(str::to_owned));
        let begun = request.send().await.map_err(|error| failed(&error))?;
        let id = begun.upload_id.ok_or_else(|| Error::Refused("it gives an upload no name".to_owned()))?;
        Ok(Self { bucket, key, id })
    }

    async fn carry_out(self, body: &Body, size: u64) -> Result<(), Error> {
        let sent = stream::iter((1..).zip(parts(size)))
            .map(|(number, range)| self.part(number, body, range))
            .buffered(AT_A_TIME)
            .try_collect::<Vec<_>>();
        let ended = match sent.await {
            Ok(parts) => self.complete(parts).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            self.abort().await;
        }
        ended
    }

    async fn join(self, parts: &[Key]) -> Result<(), Error> {
        let copies: Vec<_> = (1..).zip(parts).map(|(number, from)| self.copy(number, from)).collect();
        let ended = match stream::iter(copies).buffered(AT_A_TIME).try_collect::<Vec<_>>().await {
            Ok(parts) => self.complete(parts).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            self.abort().await;
        }
        ended
    }

    async fn copy(&self, number: i32, from: &Key) -> Result<CompletedPart, Error> {
        let request = self.bucket.client.upload_part_copy().bucket(&*self.bucket.bucket).key(self.key.as_str());
        let source = format!("{}/{}", self.bucket.bucket, encoded(from.as_str()));
        let sent = request.upload_id(&self.id).part_number(number).copy_source(source).send().await;
        let sent = match sent {
            Err(error) if is_missing(&error) => return Err(Error::Changed),
            sent => sent.map_err(|error| failed(&error))?,
        };
        let tag = sent.copy_part_result.and_then(|copied| copied.e_tag);
        Ok(CompletedPart::builder().part_number(number).set_e_tag(tag).build())
    }

    async fn part(&self, number: i32, body: &Body, range: std::ops::Range<u64>) -> Result<CompletedPart, Error> {
        let bytes = match body {
            Body::File(path) => read(path, range).await?,
            Body::Bytes(bytes) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                bytes.slice(place(range.start)..place(range.end))
            }
        };
        let request = self.bucket.client.upload_part().bucket(&*self.bucket.bucket).key(self.key.as_str());
        let request = request.upload_id(&self.id).part_number(number).body(ByteStream::from(bytes));
        let sent = request.send().await.map_err(|error| lost_or_failed(&error))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<(), Error> {
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.bucket.client.complete_multipart_upload().bucket(&*self.bucket.bucket);
        let request = request.key(self.key.as_str()).upload_id(&self.id).multipart_upload(whole);
        request.send().await.map_err(|error| lost_or_failed(&error))?;
        Ok(())
    }

    /// Gives the parts up. The error that led here is the one to tell.
    async fn abort(&self) {
        let request = self.bucket.client.abort_multipart_upload().bucket(&*self.bucket.bucket);
        if let Err(error) = request.key(self.key.as_str()).upload_id(&self.id).send().await {
            let (key, error) = (self.key, failed(&error));
            tracing::warn!(%key, %error, "parts of an upload are left in the bucket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_are_as_large_as_s3_asks_and_no_more_than_it_takes() {
        for size in [1, PART, PART + 1, 5 * PART - 1, 1 << 40, (5 << 40) - 1] {
            let parts = parts(size);
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, size));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start));
            let length = |it: &std::ops::Range<u64>| it.end - it.start;
            assert!(parts[..parts.len() - 1].iter().all(|it| (5 << 20..=5 << 30).contains(&length(it))), "{size}");
            assert!(parts.len() <= 10_000, "{size}");
        }
    }
}
