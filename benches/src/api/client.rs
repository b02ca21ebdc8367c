//! Requests over HTTP/1.1, on connections that are kept.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::people::Person;

/// The longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whoever makes requests. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    url: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), pool: Pool::builder(TokioExecutor::new()).build_http() }
    }

    /// What is answered to this person.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        person: &Person,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let (status, answer) = self.put(method, path, person, "application/json", body).await?;
        Ok((status, serde_json::from_slice(&answer).unwrap_or(Value::Null)))
    }

    /// The same with bytes of any kind.
    pub(super) async fn put(
        &self,
        method: &str,
        path: &str,
        person: &Person,
        kind: &str,
        body: Option<Bytes>,
    ) -> Result<(u16, Bytes)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        request = request.header("x-forwarded-for", person.address.to_string());
        if !person.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", person.token));
        }
        if body.is_some() {
            request = request.header("content-type", kind);
        }
        let request = request.body(Full::new(body.unwrap_or_default()))?;
        let answered = async {
            let response = self.pool.request(request).await?;
            let status = response.status().as_u16();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, answered).await.with_context(|| format!("{method} {path} is not answered"))?
    }
}
