//! What a control plane is told: one file in TOML, and the environment, which counts before it. Fields that nobody knows are refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vtp_store::Location;

use crate::limits::address::Network;
use crate::limits::rules::Rules;
use crate::price::Price;
use crate::public_url::PublicUrl;

/// What the environment's variables begin with.
const PREFIX: &str = "VTP_CONTROL_";

/// The settings of a control plane.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens for HTTP.
    pub listen: SocketAddr,
    /// The database, as `postgres://USER:PASSWORD@HOST/NAME`.
    pub database: String,
    /// Connections to the database.
    pub database_connections: u32,
    /// Connections besides, for driving jobs.
    pub driver_connections: u32,
    /// Where bytes are: a folder, or `s3://BUCKET/PREFIX`. In a fleet splitters and stitchers see the same.
    pub store: String,
    /// The folder of the keys that sign tokens, the same for all replicas.
    pub keys: PathBuf,
    /// For how many seconds an access token is good.
    pub access_s: i64,
    /// For how many seconds a refresh token is good.
    pub refresh_s: i64,
    /// Bytes of a part of an upload; in S3 5 MiB at least.
    pub chunk_bytes: u64,
    /// The largest source, in bytes.
    pub largest_bytes: u64,
    /// How many bytes of sources a new account may keep.
    pub storage_bytes: u64,
    /// Bytes of parts that a replica has in memory on their way, of one user an eighth of it; never less than a part.
    pub upload_memory_bytes: u64,
    /// For how many seconds an upload may come no further, until it is given up.
    pub upload_keep_s: i64,
    /// Where the API is for whoever is outside; addresses in answers are paths where that is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<PublicUrl>,
    /// Pages of these origins may upload; `*` is all.
    pub upload_origins: Vec<String>,
    /// For how many seconds a job belongs to a replica that says nothing.
    pub lease_s: i64,
    /// Jobs that this replica has under way at the same time.
    pub jobs: u32,
    /// Sources that this replica fetches at the same time.
    pub fetches: u32,
    /// For how many seconds nothing may come of a source that is fetched; 30 at most.
    pub fetch_stall_s: u64,
    /// Buckets that sources may be in, read with this process's credentials.
    pub source_buckets: Vec<String>,
    /// Players may be on pages of these origins; `*` is all.
    pub player_origins: Vec<String>,
    /// Where players find ladders, if something stands before `/play` that keeps what it has fetched (a CDN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playback_url: Option<PublicUrl>,
    /// Whether players get what is no playlist from S3 itself, where the store is there.
    pub playback_redirects: bool,
    /// Proxies that are believed when they say whose request it is (`X-Forwarded-For`): addresses, or networks.
    pub trusted_proxies: Vec<Network>,
    /// Jobs that have not ended, and sources that are to be fetched for none of them, which a user may have when they ask for a batch or
    /// for a source, with those of the batch.
    pub open_jobs: u32,
    /// Streams of events that a user may have open on a replica.
    pub streams_each: u32,
    /// After how many seconds, again and again, it is looked whether whoever listens is still signed in.
    pub streams_look_s: f64,
    /// From where `/metrics` may be asked for: addresses, or networks.
    pub metrics_networks: Vec<Network>,
    /// For how many days it is known who used what of the API.
    pub usage_days: i32,
    /// Networks that webhooks and sources by URL may be in besides the internet: addresses, or networks.
    pub outside_allowed: Vec<Network>,
    /// Whether these may be addresses of HTTP without TLS.
    pub outside_http: bool,
    /// Seconds before each attempt after the first to send something to a webhook.
    pub webhook_waits_s: Vec<u64>,
    /// What an hour of a core costs, as `0.04 EUR`, for what plans tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_hour: Option<Price>,
    /// How often somebody may come.
    pub limits: Rules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            database: "postgres:///vtp".to_owned(),
            database_connections: 16,
            driver_connections: 8,
            store: "store".to_owned(),
            keys: "keys".into(),
            access_s: 15 * 60,
            refresh_s: 7 * 24 * 3600,
            chunk_bytes: 5 << 20,
            largest_bytes: 10 << 30,
            storage_bytes: 1 << 30,
            upload_memory_bytes: 512 << 20,
            upload_keep_s: 7 * 24 * 3600,
            public_url: None,
            upload_origins: vec!["*".to_owned()],
            lease_s: 30,
            jobs: 500,
            fetches: 8,
            fetch_stall_s: 30,
            source_buckets: Vec::new(),
            player_origins: vec!["*".to_owned()],
            playback_url: None,
            playback_redirects: false,
            trusted_proxies: Vec::new(),
            open_jobs: 100_000,
            streams_each: 100,
            streams_look_s: 30.0,
            metrics_networks: vec![Network::LOCAL_V4, Network::LOCAL_V6],
            usage_days: 90,
            outside_allowed: Vec::new(),
            outside_http: false,
            webhook_waits_s: vec![5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600],
            core_hour: None,
            limits: Rules::default(),
        }
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// It is not in TOML.
    #[error("{}: {error}", path.display())]
    Toml {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: toml::de::Error,
    },
    /// A setting is not what it has to be.
    #[error("{0}")]
    Field(#[source] toml::de::Error),
    /// The value of a setting can't be meant.
    #[error("{name}: {what}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// What it has to be.
        what: &'static str,
    },
}

/// The most parts of an upload: as many as one in S3 has.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// The least bytes of a part in S3, but for the last.
const LEAST_IN_S3: u64 = 5 << 20;
/// The most bytes of a part: one is in memory as a whole.
const LARGEST_PART: u64 = 1 << 30;
/// The longest time that a setting may name, in seconds: ten years.
const LONGEST_S: i64 = 10 * 365 * 24 * 3600;
/// One connection of each pool listens all the time.
const LEAST_CONNECTIONS: u32 = 2;

impl Config {
    /// The most bytes of a source: no more than its parts can hold.
    pub(crate) fn largest_source(&self) -> u64 {
        self.largest_bytes.min(self.chunk_bytes.saturating_mul(MOST_PARTS))
    }

    /// The settings of `file`, if there is one, and of these variables.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
                text.parse::<toml::Table>().map_err(|error| ConfigError::Toml { path: path.to_owned(), error })?
            }
            None => toml::Table::new(),
        };
        for (name, text) in variables {
            if let Some(name) = name.strip_prefix(PREFIX) {
                table.insert(name.to_lowercase(), value(&text));
            }
        }
        table.try_into().map_err(ConfigError::Field).and_then(Self::checked)
    }

    /// The same, where every value can be meant.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn checked(self) -> Result<Self, ConfigError> {
        let times = [
            ("access_s", self.access_s),
            ("refresh_s", self.refresh_s),
            ("upload_keep_s", self.upload_keep_s),
            ("lease_s", self.lease_s),
        ];
        let wrong_time = times.into_iter().find(|(_, seconds)| !(1..=LONGEST_S).contains(seconds));
        if let Some((name, _)) = wrong_time {
            return Err(ConfigError::Value { name, what: "seconds, one at least and ten years at most" });
        }
        let part = match Location::is_meant(&self.store) {
            true => (LEAST_IN_S3..=LARGEST_PART, "bytes, in S3 from 5 MiB (5242880) to 1 GiB"),
            false => (1..=LARGEST_PART, "bytes, from 1 to 1 GiB"),
        };
        let longest_wait = LONGEST_S.unsigned_abs();
        let demands = [
            ("chunk_bytes", part.0.contains(&self.chunk_bytes), part.1),
            ("largest_bytes", self.largest_bytes >= 1, "bytes, one at least"),
            (
                "database_connections",
                self.database_connections >= LEAST_CONNECTIONS,
                "2 at least: one of them listens for news all the time",
            ),
            (
                "driver_connections",
                self.driver_connections >= LEAST_CONNECTIONS,
                "2 at least: one of them listens for cancellations all the time",
            ),
            ("usage_days", self.usage_days >= 1, "days, one at least"),
            ("fetch_stall_s", (1..=30).contains(&self.fetch_stall_s), "seconds, from 1 to 30"),
            (
                "streams_look_s",
                (0.1..=3600.0).contains(&self.streams_look_s),
                "seconds, from 0.1 to an hour, after which it is looked whether a listener is still signed in",
            ),
            (
                "webhook_waits_s",
                self.webhook_waits_s.iter().all(|wait| *wait <= longest_wait),
                "seconds, each ten years at most",
            ),
        ];
        match demands.into_iter().find(|(_, is_met, _)| !is_met) {
            Some((name, _, what)) => Err(ConfigError::Value { name, what }),
            None => Ok(self),
        }
    }

    /// As a file that says the same; without the database's password.
    pub fn to_toml(&self) -> String {
        let shown = Self { database: without_password(&self.database), ..self.clone() };
        toml::to_string(&shown).unwrap_or_default()
    }
}

/// What a variable says: a value of TOML, or else a text.
fn value(text: &str) -> toml::Value {
    let read = format!("value = {text}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    read.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn without_password(url: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let hidden = || {
        let (scheme, rest) = place.split_once("://")?;
        let (who, place) = rest.rsplit_once('@')?;
        let (user, _) = who.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    };
    let place = hidden().unwrap_or_else(|| place.to_owned());
    let Some(query) = query else { return place };
    let shown: Vec<String> = query.split('&').map(without_value).collect();
    format!("{place}?{}", shown.join("&"))
}

/// What a URL's query says, without what it says of a password; percent signs in a name may hide one.
fn without_value(said: &str) -> String {
    match said.split_once('=') {
        Some((name, _)) if name.to_lowercase().contains("password") || name.contains('%') => format!("{name}=***"),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_counts_before_the_file_and_the_file_before_what_is_usual() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.toml");
        std::fs::write(&path, "store = \"s3://films\"\naccess_s = 60\n").unwrap();
        let variables = variables(&[("VTP_CONTROL_ACCESS_S", "90"), ("HOME", "/root"), ("VTP_CONTROL_KEYS", "/keys")]);
        let config = Config::read(Some(&path), variables).unwrap();
        let expected =
            Config { store: "s3://films".to_owned(), access_s: 90, keys: "/keys".into(), ..Config::default() };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        let read = |name: &str, value: &str| Config::read(None, variables(&[(name, value)]));
        assert!(read("VTP_CONTROL_ACESS_S", "90").unwrap_err().to_string().contains("acess_s"));
        assert!(read("VTP_CONTROL_ACCESS_S", "soon").is_err() && read("VTP_CONTROL_LISTEN", "here").is_err());
        assert!(read("VTP_CONTROL_PUBLIC_URL", "video.example.com").is_err());
    }

    #[test]
    fn a_value_that_can_not_be_meant_is_refused_by_its_name() {
        let wrong = [
            ("USAGE_DAYS", "-1"),
            ("LEASE_S", "0"),
            ("ACCESS_S", "-5"),
            ("REFRESH_S", "9223372036854775807"),
            ("CHUNK_BYTES", "0"),
            ("DRIVER_CONNECTIONS", "1"),
            ("DATABASE_CONNECTIONS", "1"),
            ("STREAMS_LOOK_S", "nan"),
            ("STREAMS_LOOK_S", "-1.0"),
            ("FETCH_STALL_S", "31"),
        ];
        for (name, value) in wrong {
            let told = Config::read(None, variables(&[(&format!("{PREFIX}{name}"), value)])).unwrap_err().to_string();
            assert!(told.starts_with(&format!("{}: ", name.to_lowercase())), "{told}");
        }
        let parts = |store: &str| Config { store: store.to_owned(), chunk_bytes: 1 << 20, ..Config::default() };
        assert!(parts("s3://films").checked().is_err() && parts("films").checked().is_ok());
        assert!(Config::default().checked().is_ok());
    }

    #[test]
    fn what_is_shown_has_no_password_and_can_be_read_again() {
        let config = Config { database: "postgres://vtp:secret@db/vtp".to_owned(), ..Config::default() };
        let shown = config.to_toml();
        assert!(shown.contains("postgres://vtp:***@db/vtp") && !shown.contains("secret"), "{shown}");
        let table: Config = toml::from_str(&shown).unwrap();
        assert_eq!(table.listen, config.listen);
        let expected = [
            (
                "postgres://vtp@db/vtp?sslmode=require&password=secret@x",
                "postgres://vtp@db/vtp?sslmode=require&password=***",
            ),
            ("postgres:///vtp?user=vtp&Password=a:b@c", "postgres:///vtp?user=vtp&Password=***"),
            ("postgres://vtp:secret@db/vtp?application_name=a@b", "postgres://vtp:***@db/vtp?application_name=a@b"),
            ("postgres:///vtp?p%61ssword=secret", "postgres:///vtp?p%61ssword=***"),
            ("postgres:///vtp", "postgres:///vtp"),
        ];
        for (url, shown) in expected {
            assert_eq!(without_password(url), shown);
        }
    }
}
