//! The certificate authority of a deployment: a key and a self-signed certificate in a folder, and certificates for the
//! peers of a fleet that state what each is. Never overwrites a key.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use time::{Duration, OffsetDateTime};

use crate::identity::Identity;

/// The authority's certificate, in its folder and beside every certificate that it issues.
pub const CERTIFICATE: &str = "ca.crt";
/// The authority's key, in its folder.
pub const KEY: &str = "ca.key";

/// How far a peer's clock may be behind: certificates are valid from this long before they are issued.
const SKEW: Duration = Duration::days(1);

/// What the authority can't do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is an authority, or a certificate, where one was to be written.
    #[error("{} is there already, and is never overwritten: take another folder or name, or delete it first", .0.display())]
    Exists(PathBuf),
    /// A folder without an authority.
    #[error("there is no authority in {}: make one with vtp ca init", .0.display())]
    Missing(PathBuf),
    /// Another authority's certificate lies where this one's has to be.
    #[error("{} is the certificate of another authority: take another folder", .0.display())]
    Foreign(PathBuf),
    /// A host that no certificate can name.
    #[error("{0:?} is neither a host name nor an IP address")]
    Host(String),
    /// A role that others connect to, without a host to find it at.
    #[error("others connect to a {0}, so its certificate has to name the hosts that they do so by: add --host")]
    NoHost(crate::identity::Role),
    /// A validity that can't be.
    #[error("a certificate can be valid for 1 to {most} days, not {days}")]
    Days {
        /// What was asked for.
        days: u32,
        /// The most.
        most: u32,
    },
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or certificate can't be read or made.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
}

/// The longest that anything may be valid, in days: twenty years.
pub const MOST_DAYS: u32 = 7300;

/// What a peer's certificate is to state.
#[derive(Clone, Debug)]
pub struct Request {
    /// Role and name.
    pub identity: Identity,
    /// Host names and IP addresses that others connect to it by.
    pub hosts: Vec<String>,
    /// How long it is valid, from now, in days.
    pub days: u32,
}

/// A certificate and its key, in PEM (RFC 7468), with the certificate of the authority.
#[derive(Clone)]
pub struct Issued {
    /// The authority's certificate.
    pub authority: String,
    /// The peer's certificate.
    pub certificate: String,
    /// The peer's private key, PKCS #8.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Where the files of an issued certificate lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The peer's certificate.
    pub certificate: PathBuf,
    /// The peer's private key.
    pub key: PathBuf,
}

/// A certificate authority, opened.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority in `folder`, which is made where it is not there, valid for so many days.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one already; [`Error::Days`], [`Error::File`], [`Error::Certificate`].
    pub fn init(folder: &Path, days: u32) -> Result<Self, Error> {
        let (key_path, certificate_path) = (folder.join(KEY), folder.join(CERTIFICATE));
        if let Some(there) = [&certificate_path, &key_path].into_iter().find(|path| path.exists()) {
            return Err(Error::Exists(there.clone()));
        }
        let failed = |source| Error::Certificate { path: certificate_path.clone(), source };
        let mut params = validity(days)?;
        params.distinguished_name.push(DnType::CommonName, "VideoTranscode Pro deployment CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        std::fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
        // The key first: a folder with a certificate has all that there is to it.
        write_new(&key_path, &key.serialize_pem(), 0o600)?;
        write_new(&certificate_path, &certificate, 0o644)?;
        sync_folder(folder)?;
        Self::of(certificate, key).map_err(failed)
    }

    /// Opens the authority in `folder`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::File`], [`Error::Certificate`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let read = |name| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::Missing(folder.to_owned()),
                _ => Error::File { path, source },
            })
        };
        let (certificate, key) = (read(CERTIFICATE)?, read(KEY)?);
        let failed = |name| move |source| Error::Certificate { path: folder.join(name), source };
        let key = KeyPair::from_pem(&key).map_err(failed(KEY))?;
        Self::of(certificate, key).map_err(failed(CERTIFICATE))
    }

    fn of(certificate: String, key: KeyPair) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Certifies a new key for what `request` says.
    ///
    /// # Errors
    /// [`Error::Host`], [`Error::NoHost`], [`Error::Days`].
    pub fn issue(&self, request: &Request) -> Result<Issued, Error> {
        let Request { identity, hosts, days } = request;
        if identity.role.listens() && hosts.is_empty() {
            return Err(Error::NoHost(identity.role));
        }
        let failed = |source| Error::Certificate { path: identity.to_string().into(), source };
        let mut params = validity(*days)?;
        // X.520 gives it 64 characters; a name has fewer, with its role it may have more.
        params.distinguished_name.push(DnType::CommonName, identity.name.to_string());
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.role.listens() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.subject_alt_names = hosts.iter().map(|host| alternative_name(host)).collect::<Result<_, _>>()?;
        params.subject_alt_names.push(SanType::URI(identity.to_string().try_into().map_err(failed)?));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { authority: self.certificate.clone(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes `NAME.crt`, `NAME.key` and the authority's `ca.crt` into `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// [`Error::Exists`] for a certificate or key that is there, [`Error::Foreign`] for another `ca.crt`,
    /// [`Error::File`].
    pub fn write(&self, folder: &Path, name: &str) -> Result<Files, Error> {
        let files = Files {
            authority: folder.join(CERTIFICATE),
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        if let Some(there) = [&files.certificate, &files.key].into_iter().find(|path| path.exists()) {
            return Err(Error::Exists(there.clone()));
        }
        std::fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
        match std::fs::read_to_string(&files.authority) {
            Ok(there) if there == self.authority => {}
            Ok(_) => return Err(Error::Foreign(files.authority)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_new(&files.authority, &self.authority, 0o644)?
            }
            Err(source) => return Err(Error::File { path: files.authority, source }),
        }
        write_new(&files.key, &self.key, 0o600)?;
        write_new(&files.certificate, &self.certificate, 0o644)?;
        sync_folder(folder)?;
        Ok(files)
    }
}

/// Parameters that are valid from now, for so many days.
fn validity(days: u32) -> Result<CertificateParams, Error> {
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Error::Days { days, most: MOST_DAYS });
    }
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(days.into());
    Ok(params)
}

fn alternative_name(host: &str) -> Result<SanType, Error> {
    let bad = || Error::Host(host.to_owned());
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    match rustls_pki_types::DnsName::try_from(host) {
        Ok(_) => Ok(SanType::DnsName(host.try_into().map_err(|_| bad())?)),
        Err(_) => Err(bad()),
    }
}

/// Writes a file that must not be there, with no more than such rights from its first moment on, durably, and whole or not at all.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, path);
        std::fs::remove_file(&draft)?;
        linked
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ => Error::File { path: path.to_owned(), source },
    })
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::File { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::identity::Role;

    fn request(role: Role, hosts: &[&str]) -> Request {
        let identity = Identity { role, name: "one".parse().unwrap() };
        Request { identity, hosts: hosts.iter().map(|&host| host.to_owned()).collect(), days: 90 }
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), 30).unwrap();
        let key = folder.path().join(KEY);
        let before = std::fs::read(&key).unwrap();
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Authority::init(folder.path(), 30), Err(Error::Exists(_))));
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        assert!(matches!(Authority::init(folder.path(), 30), Err(Error::Exists(_))));
        assert_eq!(std::fs::read(&key).unwrap(), before);

        let issued = authority.issue(&request(Role::Node, &[])).unwrap();
        let files = issued.write(folder.path(), "one").unwrap();
        assert_eq!(files.key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(issued.write(folder.path(), "one"), Err(Error::Exists(_))));
    }

    #[test]
    fn an_authority_that_is_opened_again_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let made = Authority::init(folder.path(), 30).unwrap();
        let opened = Authority::open(folder.path()).unwrap();
        assert_eq!(opened.certificate(), made.certificate());
        assert!(matches!(Authority::open(&folder.path().join("none")), Err(Error::Missing(_))));
    }

    #[test]
    fn a_foreign_authoritys_certificate_is_not_replaced() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Authority::init(one.path(), 30).unwrap();
        let issued = Authority::init(other.path(), 30).unwrap().issue(&request(Role::Node, &[])).unwrap();
        assert!(matches!(issued.write(one.path(), "one"), Err(Error::Foreign(_))));
        assert!(!one.path().join("one.key").exists());
    }

    #[test]
    fn what_no_certificate_can_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), 30).unwrap();
        assert!(matches!(authority.issue(&request(Role::Splitter, &[])), Err(Error::NoHost(Role::Splitter))));
        assert!(matches!(authority.issue(&request(Role::Splitter, &["a b"])), Err(Error::Host(_))));
        let endless = Request { days: 0, ..request(Role::Node, &[]) };
        assert!(matches!(authority.issue(&endless), Err(Error::Days { days: 0, .. })));
        authority.issue(&request(Role::Splitter, &["origin.example.com", "10.0.0.1", "::1", "localhost"])).unwrap();
    }
}
