//! Random secrets: refresh tokens and API keys. They are random enough that a plain hash of them gives nothing away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};

/// What API keys begin with, so that scanners of leaked secrets know them.
const API_KEY: &str = "vtp_";
/// Letters of an API key that its owner is shown to tell it by.
const SHOWN: usize = API_KEY.len() + 8;

/// What is kept of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretHash(pub Vec<u8>);

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec())
    }
}

/// There is no chance to be had.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoChance;

fn random() -> Result<String, NoChance> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoChance)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A refresh token.
#[derive(Clone)]
pub struct RefreshSecret(String);

impl RefreshSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoChance`].
    pub fn new() -> Result<Self, NoChance> {
        random().map(Self)
    }

    /// One that somebody shows.
    pub fn shown(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// As text, for its owner alone.
    pub fn reveal(self) -> String {
        self.0
    }
}

/// An API key.
#[derive(Clone)]
pub struct ApiSecret(String);

impl ApiSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoChance`].
    pub fn new() -> Result<Self, NoChance> {
        Ok(Self(format!("{API_KEY}{}", random()?)))
    }

    /// One that somebody shows; `None` if it is no API key.
    pub fn shown(text: &str) -> Option<Self> {
        text.starts_with(API_KEY).then(|| Self(text.to_owned()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// Its first letters.
    pub fn prefix(&self) -> &str {
        self.0.get(..SHOWN).unwrap_or(&self.0)
    }

    /// As text, for its owner alone, once.
    pub fn reveal(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_the_same_and_their_hashes_tell_them_apart() {
        let (one, other) = (ApiSecret::new().unwrap(), ApiSecret::new().unwrap());
        assert_ne!(one.hash(), other.hash());
        assert_eq!(ApiSecret::shown(&one.clone().reveal()).unwrap().hash(), one.hash());
        assert_eq!(one.prefix().len(), 12);
        assert!(one.clone().reveal().len() > 40 && ApiSecret::shown("eyJhbGci").is_none());
    }
}
