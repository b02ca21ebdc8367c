//! Names as addresses, of which only those are told that may be connected to. What is connected to is what was looked at.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Rules;

/// A name means nothing that may be connected to.
#[derive(Debug, thiserror::Error)]
enum NoAddress {
    /// It means nothing.
    #[error("there is no host {0}")]
    Unknown(String, #[source] std::io::Error),
    /// It means something inside.
    #[error("no address of {0} is reached from everywhere; whoever runs this can allow one (outside_allowed)")]
    NotPublic(String),
}

/// What tells the addresses of a name.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the system.
pub(super) fn system() -> Lookup {
    Arc::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed())
}

/// Asks, and leaves out what may not be.
pub(super) struct Resolver {
    pub(super) rules: Arc<Rules>,
    pub(super) lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        let name = name.as_str().to_owned();
        let found = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = found.await.map_err(|error| NoAddress::Unknown(name.clone(), error))?;
            let chosen = rules.choose(found.into_iter());
            if chosen.is_empty() {
                return Err(NoAddress::NotPublic(name).into());
            }
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

/// Whether a request was not sent as its name means nothing that may be connected to.
pub(super) fn is_inside(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(NoAddress::NotPublic(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}
