//! Access tokens: JWT (RFC 7519), signed with Ed25519 and nothing else. Keys lie in a folder, each in a file whose name is its `kid`.
//! All of them are believed, and the last by name signs, once it has been there for long enough that every replica knows it. So keys
//! are changed by adding one and removing the old a while later.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use super::caller::Role;
use crate::ids::{SessionId, UserId};

/// Whose tokens they are, and for whom.
const ISSUER: &str = "videotranscode-pro";
const AUDIENCE: &str = "videotranscode-pro-api";
/// How long a key has been there when all replicas know it: they look every minute, and their clocks may differ.
const KNOWN: Duration = Duration::from_secs(600);
/// The ending of a key's file.
const ENDING: &str = "pk8";

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Who it is.
    pub sub: UserId,
    /// Of which session.
    pub sid: SessionId,
    /// In which role.
    pub role: Role,
    /// Who made it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// When, in seconds of Unix time; not before, and until.
    pub iat: i64,
    /// From when on.
    pub nbf: i64,
    /// Until when.
    pub exp: i64,
}

/// The keys that sign tokens and are believed. Clones share them.
#[derive(Clone)]
pub struct KeySet(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    keys: RwLock<Arc<Keys>>,
}

struct Keys {
    kid: String,
    signing: EncodingKey,
    believed: BTreeMap<String, DecodingKey>,
    validation: Validation,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// The folder can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which place.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is no key.
    #[error("{} is no Ed25519 key in PKCS #8", .0.display())]
    NoKey(PathBuf),
    /// No key can be made.
    #[error("no key can be made")]
    NoChance,
    /// There is none any longer.
    #[error("there is no key")]
    None,
}

impl KeySet {
    /// The keys in `folder`. One is made if there is none.
    ///
    /// # Errors
    /// [`KeyTrouble`].
    pub fn open(folder: &Path) -> Result<Self, KeyTrouble> {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        if files(folder)?.is_empty() {
            make(&folder.join(format!("1.{ENDING}")))?;
        }
        let keys = RwLock::new(Arc::new(Keys::read(folder)?));
        Ok(Self(Arc::new(Shared { folder: folder.to_owned(), keys })))
    }

    /// Looks again which keys there are. They stay as they were where one can't be read.
    ///
    /// # Errors
    /// [`KeyTrouble`].
    pub fn look_again(&self) -> Result<(), KeyTrouble> {
        let keys = Arc::new(Keys::read(&self.0.folder)?);
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn now(&self) -> Arc<Keys> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A token of this session, good for so many seconds from `now` on, in seconds of Unix time.
    ///
    /// # Errors
    /// It can't be signed.
    pub fn sign(
        &self,
        (sub, sid, role): (UserId, SessionId, Role),
        now: i64,
        seconds: i64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let (iss, aud) = (ISSUER.to_owned(), AUDIENCE.to_owned());
        let claims = Claims { sub, sid, role, iss, aud, iat: now, nbf: now, exp: now + seconds };
        let keys = self.now();
        let header = Header { kid: Some(keys.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &keys.signing)
    }

    /// What a token says, if it is one of ours and its time has not run out.
    pub fn read(&self, token: &str) -> Option<Claims> {
        // Which key it is said to be signed with is the only thing that is taken from it before it is verified.
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let keys = self.now();
        let key = keys.believed.get(&kid)?;
        Some(jsonwebtoken::decode::<Claims>(token, key, &keys.validation).ok()?.claims)
    }
}

impl Keys {
    fn read(folder: &Path) -> Result<Self, KeyTrouble> {
        let (mut keys, mut believed) = (Vec::new(), BTreeMap::new());
        for (kid, path) in files(folder)? {
            let document = std::fs::read(&path).map_err(failed(&path))?;
            let since = std::fs::metadata(&path).and_then(|it| it.modified()).map_err(failed(&path))?;
            let pair =
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map_err(|_| KeyTrouble::NoKey(path.clone()))?;
            believed.insert(kid.clone(), DecodingKey::from_ed_der(pair.public_key().as_ref()));
            keys.push((kid, since, EncodingKey::from_ed_der(&document)));
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = 30;
        let is_known = |since: &SystemTime| since.elapsed().is_ok_and(|age| age >= KNOWN);
        let last_known = keys.iter().rposition(|(_, since, _)| is_known(since));
        let signs = match last_known {
            Some(place) => place,
            // All are new, so this is the beginning: the oldest.
            None => (0..keys.len()).min_by_key(|place| keys[*place].1).ok_or(KeyTrouble::None)?,
        };
        let (kid, _, signing) = keys.swap_remove(signs);
        Ok(Self { kid, signing, believed, validation })
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyTrouble {
    let path = path.to_owned();
    move |error| KeyTrouble::File { path, error }
}

/// The files of keys, by what keys are called.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, KeyTrouble> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let kid = path.file_stem().and_then(|it| it.to_str()).map(str::to_owned);
        if let (Some(kid), Some(ENDING)) = (kid, path.extension().and_then(|it| it.to_str())) {
            files.insert(kid, path);
        }
    }
    Ok(files)
}

/// Makes a key, readable by this user alone. Where another process makes one at the same time, one of both counts.
fn make(path: &Path) -> Result<(), KeyTrouble> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyTrouble::NoChance)?;
    let draft = path.with_extension(format!("{:08x}", fastrand::u32(..)));
    let written = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(document.as_ref())?;
        file.sync_all()?;
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => std::fs::remove_file(&draft),
        }
    };
    written().map_err(|error| KeyTrouble::File { path: path.to_owned(), error })
}

/// What whoever signs in gets.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct Tokens {
    /// Shown with every request, as `Authorization: Bearer`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// For how many seconds the access token is good.
    pub expires_in: i64,
    /// Shown to `/auth/refresh`, once, for new ones.
    pub refresh_token: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, KeySet) {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeySet::open(folder.path()).unwrap();
        (folder, keys)
    }

    fn now() -> i64 {
        time::OffsetDateTime::now_utc().unix_timestamp()
    }

    fn somebody() -> (UserId, SessionId, Role) {
        (UserId::new(), SessionId::new(), Role::User)
    }

    #[test]
    fn a_token_says_who_it_is_until_its_time_runs_out() {
        let (_folder, keys) = keys();
        let (user, session, role) = somebody();
        let claims = keys.read(&keys.sign((user, session, role), now(), 60).unwrap()).unwrap();
        assert_eq!((claims.sub, claims.sid, claims.role), (user, session, role));
        assert_eq!(keys.read(&keys.sign(somebody(), now() - 100, 60).unwrap()), None, "run out");
        assert_eq!(keys.read(&keys.sign(somebody(), now() + 100, 60).unwrap()), None, "not yet");
    }

    #[test]
    fn keys_are_changed_by_adding_one_that_signs_once_all_know_it_and_removing_the_old_later() {
        let (folder, keys) = keys();
        let (other, kid) = (KeySet::open(folder.path()).unwrap(), |token: &str| {
            jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
        });
        let old = keys.sign(somebody(), now(), 60).unwrap();
        let path = folder.path().join("2.pk8");
        make(&path).unwrap();
        keys.look_again().unwrap();
        assert_eq!(kid(&keys.sign(somebody(), now(), 60).unwrap()), "1", "others may not know the new one yet");
        other.look_again().unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - KNOWN).unwrap();
        keys.look_again().unwrap();
        let new = keys.sign(somebody(), now(), 60).unwrap();
        assert_eq!(kid(&new), "2");
        assert!([&keys, &other].iter().all(|it| it.read(&old).is_some() && it.read(&new).is_some()));
        std::fs::remove_file(folder.path().join("1.pk8")).unwrap();
        keys.look_again().unwrap();
        assert!(keys.read(&old).is_none() && keys.read(&new).is_some());
        std::fs::write(folder.path().join("3.pk8"), "half a key").unwrap();
        assert!(keys.look_again().is_err() && keys.read(&new).is_some(), "they stay as they were");
    }

    #[test]
    fn nothing_that_is_signed_otherwise_is_believed() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let ((_folder, keys), (_other_folder, others)) = (super::tests::keys(), super::tests::keys());
        let good = keys.sign(somebody(), now(), 60).unwrap();
        let [header, body, signature] = &good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        assert!(keys.read(&good).is_some());
        assert!(others.read(&good).is_none(), "by another key of the same name");
        let with = |header: &str, signature: &str| format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode(header));
        let none = with(r#"{"alg":"none","kid":"1","typ":"JWT"}"#, "");
        let shared = with(r#"{"alg":"HS256","kid":"1","typ":"JWT"}"#, signature);
        let unknown = with(r#"{"alg":"EdDSA","kid":"9","typ":"JWT"}"#, signature);
        let unnamed = with(r#"{"alg":"EdDSA","typ":"JWT"}"#, signature);
        for bad in [none, shared, unknown, unnamed, format!("{header}.{body}."), format!("{header}.e30.{signature}")] {
            assert!(keys.read(&bad).is_none(), "{bad}");
        }
        // The same with the public key as a shared secret, which is what confuses careless verifiers.
        let public = std::fs::read(_folder.path().join("1.pk8")).unwrap();
        let public = Ed25519KeyPair::from_pkcs8(&public).unwrap().public_key().as_ref().to_vec();
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
        let confused = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap();
        assert!(keys.read(&confused).is_none());
    }

    #[test]
    fn claims_of_the_wrong_type_are_not_taken_for_absent() {
        let (folder, keys) = keys();
        let document = std::fs::read(folder.path().join("1.pk8")).unwrap();
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::EdDSA) };
        let (user, session) = (UserId::new(), SessionId::new());
        let good = serde_json::json!({ "sub": user, "sid": session, "role": "user", "iss": ISSUER, "aud": AUDIENCE,
            "iat": now(), "nbf": now(), "exp": now() + 60 });
        let read = |claims: &serde_json::Value| {
            let key = EncodingKey::from_ed_der(&document);
            keys.read(&jsonwebtoken::encode(&header, claims, &key).unwrap())
        };
        assert!(read(&good).is_some());
        for (name, value) in [("exp", "soon".into()), ("exp", serde_json::Value::Null), ("nbf", "x".into())] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(read(&bad).is_none(), "{bad}");
        }
        for name in ["exp", "nbf", "iss", "aud", "sub"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(name);
            assert!(read(&bad).is_none(), "without {name}");
        }
    }
}
