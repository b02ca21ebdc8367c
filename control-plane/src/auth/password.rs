//! Passwords, by Argon2id (RFC 9106) with the parameters of OWASP's cheat sheet. Each takes 46 MiB while it is hashed, so only so
//! many are at a time, on threads of their own.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::problem::{Kind, Outcome, Problem};

/// The longest password in letters: one that is longer costs time for nothing.
const MOST: usize = 256;
/// The shortest in letters (NIST SP 800-63B asks for eight at least).
const LEAST: usize = 10;
/// KiB that a hash takes.
const MEMORY: u32 = 47_104;
/// Hashes that are made at a time.
const AT_A_TIME: usize = 4;

/// Makes hashes, and knows passwords by them. Clones share their turns.
#[derive(Clone, Debug)]
pub struct Hasher {
    argon: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// The hash of no password: so that it takes as long to say that somebody is not there.
    nobody: Arc<str>,
}

/// These parameters can't be used.
#[derive(Debug, thiserror::Error)]
#[error("passwords can't be hashed: {0}")]
pub struct NoHasher(String);

impl Hasher {
    /// The usual one.
    ///
    /// # Errors
    /// [`NoHasher`].
    pub fn new() -> Result<Self, NoHasher> {
        Self::with_memory(MEMORY)
    }

    /// One whose hashes take so many KiB: less only for tests.
    ///
    /// # Errors
    /// [`NoHasher`].
    pub fn with_memory(memory: u32) -> Result<Self, NoHasher> {
        let params = Params::new(memory, 1, 1, None).map_err(|error| NoHasher(error.to_string()))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon.hash_password(b"nobody's password").map_err(|error| NoHasher(error.to_string()))?;
        Ok(Self { argon, turns: Arc::new(Semaphore::new(AT_A_TIME)), nobody: nobody.to_string().into() })
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// It is too short or too long to be one.
    pub async fn hash(&self, password: String) -> Outcome<String> {
        if !(LEAST..=MOST).contains(&password.chars().count()) {
            let detail = format!("password: from {LEAST} to {MOST} letters");
            return Err(Problem::new(Kind::Invalid, detail));
        }
        let argon = self.argon.clone();
        let hashed =
            self.in_turn(move || argon.hash_password(password.as_bytes()).map(|hash| hash.to_string())).await?;
        hashed.map_err(|error| Problem::internal(&error))
    }

    /// Whether `password` is the one that `hash` was made of. It takes as long without a hash, and is not then.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn is(&self, password: String, hash: Option<String>) -> Outcome<bool> {
        if password.chars().count() > MOST {
            return Ok(false);
        }
        let (argon, is_somebody) = (self.argon.clone(), hash.is_some());
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let verified = self.in_turn(move || {
            let hash = PasswordHash::new(&hash)?;
            Ok::<_, argon2::password_hash::phc::Error>(argon.verify_password(password.as_bytes(), &hash).is_ok())
        });
        let is_right = verified.await?.map_err(|error| Problem::internal(&error))?;
        Ok(is_right && is_somebody)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        // The turn is over when the work is, not when nobody waits for it any longer.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nobody_has_none() {
        let hasher = Hasher::with_memory(64).unwrap();
        let hash = hasher.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(hasher.is("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.is("correct house".to_owned(), Some(hash)).await.unwrap());
        assert!(!hasher.is("nobody's password".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_goes_away_does_not_give_their_turn_to_others_before_the_work_is_done() {
        let hasher = Hasher::with_memory(64).unwrap();
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let work = hasher.in_turn(move || gate.recv());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), work).await.is_err());
        assert_eq!(hasher.turns.available_permits(), AT_A_TIME - 1);
        go_on.send(()).unwrap();
        while hasher.turns.available_permits() < AT_A_TIME {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_is_too_short_or_far_too_long_is_no_password() {
        let hasher = Hasher::with_memory(64).unwrap();
        for password in ["short".to_owned(), "x".repeat(257)] {
            assert_eq!(hasher.hash(password).await.unwrap_err().status(), 422);
        }
        let hash = hasher.hash("ß".repeat(256)).await.unwrap();
        assert!(hasher.is("ß".repeat(256), Some(hash)).await.unwrap(), "letters count, not bytes");
    }
}
