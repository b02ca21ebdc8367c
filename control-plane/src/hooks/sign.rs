//! Signatures of what is sent (Standard Webhooks 1.0.0, "Symmetric signatures"): HMAC-SHA256 of its number, the time and its body, by
//! a secret that its receiver has, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// What secrets begin with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret; the specification has from 24 to 64.
const BYTES: usize = 32;

/// What signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// There is no chance to be had.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoChance;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoChance`].
    pub fn new() -> Result<Self, NoChance> {
        let mut bytes = vec![0; BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoChance)?;
        Ok(Self(bytes))
    }

    /// As text, for its owner alone, once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut signing = hmac::Context::with_key(&key);
        signing.update(format!("{id}.{timestamp}.").as_bytes());
        signing.update(body);
        format!("v1,{}", STANDARD.encode(signing.sign().as_ref()))
    }
}

/// The header `webhook-signature` of a body that is called `id` and sent at `timestamp` (seconds since 1970): one of each secret.
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the specification's libraries check a signature.
    fn fits(secret: &str, id: &str, timestamp: i64, body: &[u8], header: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let tags = header.split(' ').filter_map(|it| STANDARD.decode(it.strip_prefix("v1,")?).ok());
        tags.into_iter().any(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    }

    #[test]
    fn signatures_are_those_of_the_specification_s_libraries() {
        let secret = Secret(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        assert_eq!(secret.reveal(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let header = signature(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn no_two_secrets_are_the_same_and_none_is_printed() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!((one.0.len(), format!("{one:?}")), (BYTES, "Secret".to_owned()));
    }

    proptest! {
        #[test]
        fn whoever_has_one_of_the_secrets_sees_that_nothing_was_changed(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 24..=64), 1..3),
            id in "[0-9a-f-]{1,36}", timestamp in 0_i64..4_000_000_000, body: Vec<u8>, other in "[^.]{1,9}", added: u8,
        ) {
            let secrets: Vec<Secret> = keys.into_iter().map(Secret).collect();
            let header = signature(&secrets, &id, timestamp, &body);
            for secret in &secrets {
                let text = secret.reveal();
                prop_assert!(fits(&text, &id, timestamp, &body, &header));
                prop_assert!(!fits(&text, &id, timestamp + 1, &body, &header));
                prop_assert!(!fits(&text, &id, timestamp, &[&body[..], &[added]].concat(), &header));
                prop_assert!(other == id || !fits(&text, &other, timestamp, &body, &header));
            }
        }
    }
}
