//! Names as addresses, of which only those are told that may be connected to. What is connected to is what was looked at.

use std::sync::Arc;

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

/// Asks the system, and leaves out what may not be.
pub(super) struct Resolver(pub(super) Arc<Rules>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let chosen = rules.choose(found.map_err(|error| NoAddress::Unknown(name.clone(), error))?);
            if chosen.is_empty() {
                return Err(NoAddress::NotPublic(name).into());
            }
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}
