//! What somebody else's address leads to: webhooks, sources by URL. A request goes only to addresses that are reached from everywhere
//! (`address.rs`) or that a setting allows besides; a name's are looked at when it is connected to them, so that it can't mean another
//! one by then. Nothing is followed and no proxy is asked: whoever gets a redirection looks at it as at any other address.

mod address;
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use rustls::RootCertStore;
use url::{Host, Url};

use crate::config::Config;
use crate::limits::address::Network;
pub use address::is_public;
use resolver::{Lookup, Resolver};

/// How long it may take until a connection is there, with its TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to a host that are kept though nobody uses them.
const IDLE_PER_HOST: usize = 4;
/// What others see of us.
const USER_AGENT: &str = concat!("vtp/", env!("CARGO_PKG_VERSION"));

/// Why an address is not gone to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is of another kind.
    #[error("the address has to begin with {0}")]
    Scheme(&'static str),
    /// It says who asks.
    #[error("the address has a user or a password in it; leave them out")]
    Credentials,
    /// It leads nowhere.
    #[error("the address has no host")]
    Host,
    /// It is within somebody's network.
    #[error("{0} is not reached from everywhere; whoever runs this can allow it (outside_allowed)")]
    NotPublic(IpAddr),
}

/// What can't be set up to go outside; the sentence says what.
#[derive(Debug, thiserror::Error)]
#[error("requests to the outside: {0}")]
pub struct NoClient(String);

/// What is allowed.
#[derive(Clone, PartialEq, Debug, Default)]
struct Rules {
    /// Networks that may be reached besides those of everybody.
    allowed: Vec<Network>,
    /// Whether HTTP without TLS is allowed.
    http: bool,
}

impl Rules {
    fn has(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|network| network.has(address))
    }

    /// Those of a name's addresses that may be connected to.
    fn choose(&self, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        found.filter(|address| self.has(address.ip())).collect()
    }

    fn check(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.http => {}
            _ => return Err(Refused::Scheme(if self.http { "https:// or http://" } else { "https://" })),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let address = match url.host().ok_or(Refused::Host)? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            // It is looked at when it is resolved.
            Host::Domain(_) => return Ok(()),
        };
        if self.has(address) { Ok(()) } else { Err(Refused::NotPublic(address)) }
    }
}

/// Goes to addresses that somebody else chose. Clones share connections.
#[derive(Clone)]
pub struct Outside {
    client: Client,
    rules: Arc<Rules>,
}

impl Outside {
    /// As `config` allows.
    ///
    /// # Errors
    /// There is no TLS to be had.
    pub fn new(config: &Config) -> Result<Self, NoClient> {
        Self::made(config, system_roots(), resolver::system())
    }

    /// The same, which trusts others, and asks another what names mean.
    fn made(config: &Config, roots: RootCertStore, lookup: Lookup) -> Result<Self, NoClient> {
        let rules = Arc::new(Rules { allowed: config.outside_allowed.clone(), http: config.outside_http });
        let client = Client::builder()
            .tls_backend_preconfigured(tls(roots)?)
            .https_only(!rules.http)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .dns_resolver(Resolver { rules: Arc::clone(&rules), lookup })
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build()
            .map_err(|error| NoClient(error.to_string()))?;
        Ok(Self { client, rules })
    }

    /// Whether it may be gone there, as far as the address says; what a name means is seen when it is gone there.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        self.rules.check(url)
    }

    /// A request to go there with. How long it may take in all is for whoever sends it to say.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Refused> {
        // Addresses that are no names are not resolved, so this is where they are looked at.
        self.check(url)?;
        Ok(self.client.request(method, url.clone()))
    }
}

/// Whether a request was not sent as no address of its host's name may be connected to.
pub fn is_inside(error: &reqwest::Error) -> bool {
    resolver::is_inside(error)
}

/// The certificates of the system, or of `SSL_CERT_FILE`.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificates can't be read");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "the system has no certificates of authorities: nothing is reached by https; install ca-certificates"
        );
    }
    roots
}

/// TLS as browsers have it.
fn tls(roots: RootCertStore) -> Result<rustls::ClientConfig, NoClient> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| NoClient(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
