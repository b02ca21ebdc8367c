//! S3, any endpoint of it. How it is reached is configured as for every program of the kind: the environment's `AWS_…`
//! variables, `~/.aws`, the machine's or container's own role. With an endpoint that is not Amazon's (`AWS_ENDPOINT_URL_S3`,
//! `AWS_ENDPOINT_URL`, or `endpoint_url` in a profile) buckets are in the path, and the checksums that only Amazon knows are
//! left out; what is sent is always signed with its SHA-256.

mod failure;
mod presign;
mod put;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::failure::{failed, is_missing};
use crate::{About, Body, Error, Found, Key, Store, Version};

/// Tries of a request, and of a body that ends too soon.
pub(crate) const TRIES: u32 = 5;
/// Objects that are removed at the same time.
const AT_A_TIME: usize = 16;
/// What is assumed where no region is configured: stores that are not Amazon's have none.
const REGION: &str = "us-east-1";
/// How long somebody may take to be reached, and then to begin an answer.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    bucket: Arc<str>,
}

impl S3 {
    /// The client of what this process's environment configures. Nothing is sent yet.
    pub async fn client() -> Client {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let timeouts = TimeoutConfig::builder().connect_timeout(PATIENCE.0).read_timeout(PATIENCE.1).build();
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().tls_provider(provider).build_https())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts);
        let found = loader.load().await;
        let config = Builder::from(&found).region(found.region().cloned().unwrap_or(Region::from_static(REGION)));
        let config = match is_elsewhere(&found) {
            true => config
                .force_path_style(true)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired),
            false => config,
        };
        Client::from_conf(config.build())
    }

    /// The bucket of this name, which has to be there already.
    pub fn bucket(client: Client, name: &str) -> Self {
        Self { client, bucket: name.into() }
    }

    async fn get_once(&self, key: &Key, range: &Range<u64>, found: &Found) -> Result<Bytes, Error> {
        let request = self.client.get_object().bucket(&*self.bucket).key(key.as_str()).if_match(&found.version.0);
        let sent = request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let answer = match sent {
            Err(error) if is_missing(&error) => return Err(Error::Changed),
            answer => answer.map_err(|error| failed(&error))?,
        };
        // Not every store looks at `If-Match`.
        if answer.e_tag() != Some(&found.version.0) {
            return Err(Error::Changed);
        }
        let wanted = range.end - range.start;
        let bytes = match answer.body.collect().await {
            Ok(bytes) => bytes.into_bytes(),
            Err(error) => {
                tracing::debug!(%error, %key, "a body breaks off");
                return Err(Error::Short { got: 0, wanted });
            }
        };
        let got = bytes.len() as u64;
        if got == wanted { Ok(bytes) } else { Err(Error::Short { got, wanted }) }
    }
}

/// Whether the endpoint is one that somebody named.
fn is_elsewhere(found: &SdkConfig) -> bool {
    use aws_types::service_config::ServiceConfigKey;
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let named = || found.service_config()?.load_config(key.ok()?);
    found.endpoint_url().is_some() || named().is_some()
}

impl Store for S3 {
    async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
        let sent = self.client.head_object().bucket(&*self.bucket).key(key.as_str()).send().await;
        let answer = match sent {
            Err(error) if is_missing(&error) => return Ok(None),
            answer => answer.map_err(|error| failed(&error))?,
        };
        let size = answer.content_length().and_then(|it| u64::try_from(it).ok());
        let (Some(size), Some(tag)) = (size, answer.e_tag()) else {
            return Err(Error::Refused("it tells no length or entity tag of an object".to_owned()));
        };
        Ok(Some(Found { size, version: Version(tag.to_owned()) }))
    }

    async fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut left = TRIES;
        loop {
            match self.get_once(key, &range, found).await {
                // Requests were tried again already, bodies that end too soon were not.
                Err(error @ Error::Short { .. }) if left > 1 => {
                    tracing::debug!(%error, %key, "asked again");
                    left -= 1;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(50..400))).await;
                }
                result => return result,
            }
        }
    }

    async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
        put::put(self, key, body, about).await
    }

    async fn join(&self, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
        put::join(self, parts, into, about).await
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
        let page = i32::try_from(most.min(1000)).unwrap_or(1000);
        let request = self.client.list_objects_v2().bucket(&*self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().page_size(page).send();
        let mut all = Vec::new();
        while all.len() < most
            && let Some(page) = pages.next().await
        {
            let objects = page.map_err(|error| failed(&error))?.contents.unwrap_or_default();
            all.extend(objects.into_iter().filter_map(|object| {
                let size = object.size().and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
                // Every object has a name.
                Some((Key::new(object.key?).ok()?, size))
            }));
        }
        all.truncate(most);
        Ok(all)
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        // One by one: to remove several at once needs checksums that stores don't agree about.
        let removed = keys.iter().map(|key| {
            let sent = self.client.delete_object().bucket(&*self.bucket).key(key.as_str()).send();
            async {
                match sent.await {
                    Err(error) if !is_missing(&error) => Err(failed(&error)),
                    _ => Ok(()),
                }
            }
        });
        let removed = stream::iter(removed.collect::<Vec<_>>());
        removed.buffer_unordered(AT_A_TIME).try_collect().await
    }
}
