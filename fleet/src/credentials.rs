//! What a peer shows to others and knows them by: certificate, key and authority, as configurations of TLS 1.3.
//!
//! Both sides show certificates. TLS proves that they come from the deployment's authority, are valid now, and name
//! the host that was connected to; what role the peer has is read from the proven certificate by [`identity_of`].
//! Sessions are not resumed, so a certificate is looked at anew with every connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ca::{Files, Issued};
use crate::identity::Identity;

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be PEM is not.
    #[error("the {what} is not what it should be: {source}")]
    Pem {
        /// Certificate, key or authority.
        what: &'static str,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate that does not say who it is for.
    #[error("the certificate names no role: have it issued by vtp ca issue")]
    NoIdentity,
    /// Certificate and key don't belong together, or TLS can't use them.
    #[error("the certificate and its key can't be used: {0}")]
    Tls(String),
}

/// A peer's own certificate and key, and the authority that others have to have theirs from.
pub struct Credentials {
    identity: Identity,
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads them from the files that `vtp ca issue` writes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(files: &Files) -> Result<Self, Error> {
        let read =
            |path: &Path| std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source });
        Self::new(&Issued {
            authority: read(&files.authority)?,
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    /// Takes them as they were issued.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(issued: &Issued) -> Result<Self, Error> {
        let pem = |what| move |source| Error::Pem { what, source };
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).map_err(pem("certificate"))?;
        Ok(Self {
            identity: identity_of(&certificate).ok_or(Error::NoIdentity)?,
            authority: CertificateDer::from_pem_slice(issued.authority.as_bytes())
                .map_err(pem("authority's certificate"))?,
            certificate,
            key: PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(pem("key"))?,
        })
    }

    /// A secret that is always the same for this key, and tells nothing of it. `what` for, nobody else may use.
    pub(crate) fn secret(&self, what: &str) -> [u8; 32] {
        blake3::derive_key(what, self.key.secret_der())
    }

    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For connecting to others, by a protocol of this name (ALPN, RFC 7301).
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn client(&self, protocol: &[u8]) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(tls)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(tls)?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// For others to connect to.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn server(&self, protocol: &[u8]) -> Result<ServerConfig, Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(verifier.build().map_err(tls)?)
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(tls)?;
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(tls)?;
        Ok(roots)
    }
}

fn tls(error: impl std::fmt::Display) -> Error {
    Error::Tls(error.to_string())
}

/// AES-128-GCM first: it is what QUIC's own first packets take (RFC 9001, 5.2), and a tenth faster than AES-256.
fn provider() -> Arc<CryptoProvider> {
    use ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
    let cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// What a certificate says its owner is: the one alternative name that is an [`Identity`]. `None` if there is none,
/// or more than one.
#[must_use]
pub fn identity_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut stated = certificate.valid_uri_names().filter_map(|name| name.parse().ok());
    let identity = stated.next()?;
    stated.next().is_none().then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, Request};
    use crate::identity::Role;

    #[test]
    fn a_certificate_says_who_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), 30).unwrap();
        for role in Role::ALL {
            let identity = Identity { role, name: "fra-3".parse().unwrap() };
            let request = Request { identity: identity.clone(), hosts: vec!["localhost".to_owned()], days: 1 };
            let credentials = Credentials::new(&authority.issue(&request).unwrap()).unwrap();
            assert_eq!(*credentials.identity(), identity);
            credentials.client(b"x").unwrap();
            credentials.server(b"x").unwrap();
        }
    }

    #[test]
    fn the_authoritys_own_certificate_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), 30).unwrap();
        let certificate = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
        assert_eq!(identity_of(&certificate), None);
    }
}
