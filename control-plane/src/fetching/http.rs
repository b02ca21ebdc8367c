//! A source from a server of HTTP: asked for, followed by hand where it leads on, and gone on with where it broke off.

use std::time::Duration;

use axum::http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use reqwest::{Method, Response};
use tokio::time::timeout;
use url::Url;

use super::answer::{self, Answer, Had};
use super::parts::Parts;
use super::place::{NoPlace, redirected};
use super::{Fetch, Stop, with_allowed};
use crate::outside::{self, Refused};

/// How often an answer may lead on to another.
const REDIRECTS: usize = 3;

/// Has all of it come.
pub(super) async fn fetch(fetch: &mut Fetch, url: Url) -> Result<(), Stop> {
    let of = &fetch.of;
    let size = of.file_size.map(i64::unsigned_abs);
    let had = Had { bytes: fetch.kept(), size, version: of.fetch_version.clone() };
    if had.bytes > 0 && had.resumes_at().is_none() {
        return Err(Stop::Anew);
    }
    let stall = Duration::from_secs(fetch.app.config.fetch_stall_s);
    let (mut response, answer) = open(fetch, url, &had, stall).await?;
    match answer {
        Answer::All { size, version } if had.bytes == 0 => fetch.announce(size, version).await?,
        Answer::Rest => {}
        _ => return Err(Stop::Anew),
    }
    let mut parts = Parts::new(fetch);
    loop {
        match timeout(stall, response.chunk()).await {
            Ok(Ok(Some(bytes))) => parts.take(bytes).await?,
            Ok(Ok(None)) => return parts.end().await,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(stalled(stall)),
        }
    }
}

/// Asks for it, where it leads on to as well.
async fn open(fetch: &Fetch, mut url: Url, had: &Had, stall: Duration) -> Result<(Response, Answer), Stop> {
    for _ in 0..=REDIRECTS {
        let request = fetch.app.outside.request(Method::GET, &url);
        let mut request = request.map_err(|refused| Stop::useless(None, refused.to_string()))?;
        // What is compressed on the way has other lengths.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(tag) = had.resumes_at() {
            request = request.header(RANGE, format!("bytes={}-", had.bytes)).header(IF_RANGE, tag);
        }
        let response = timeout(stall, request.send()).await.map_err(|_| stalled(stall))?;
        let response = response.map_err(|error| failed(&error))?;
        match answer::read(response.status(), response.headers(), had) {
            Answer::Redirect(to) => {
                let to = with_allowed(&fetch.app, |allowed| redirected(&url, &to, allowed));
                url = to.map_err(|refused| Stop::useless(None, leads_astray(&refused)))?;
            }
            Answer::Later { why, wait } => return Err(Stop::Later { why, wait }),
            Answer::Never { code, why } => return Err(Stop::useless(code, why)),
            Answer::Anew => return Err(Stop::Anew),
            answer @ (Answer::Rest | Answer::All { .. }) => return Ok((response, answer)),
        }
    }
    Err(Stop::useless(None, format!("it leads on to another place more than {REDIRECTS} times")))
}

/// Why it is not gone where an answer leads on to. Which address that is may be nobody's business.
fn leads_astray(refused: &NoPlace) -> String {
    match refused {
        NoPlace::Refused(Refused::NotPublic(_)) => {
            "it leads on to an address that is not reached from everywhere".to_owned()
        }
        refused => format!("it leads on to where it is not gone: {refused}"),
    }
}

fn stalled(stall: Duration) -> Stop {
    Stop::later(format!("nothing came of it for {} s", stall.as_secs()))
}

/// What went wrong with a transfer, without any address.
fn failed(error: &reqwest::Error) -> Stop {
    if outside::is_inside(error) {
        let message =
            "no address of its host is reached from everywhere; whoever runs this can allow one (outside_allowed)";
        return Stop::useless(None, message);
    }
    Stop::later(match error {
        error if error.is_timeout() => "its server does not answer in time",
        error if error.is_connect() => "its server can't be reached",
        _ => "the transfer broke off",
    })
}
