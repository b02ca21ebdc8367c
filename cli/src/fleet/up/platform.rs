//! What `vtp up` has besides a fleet: a Postgres of its own, the settings of the control plane, and a first account.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use vtp_control_plane::postgres::PostgresServer;

use super::processes::UNDER;
use super::{Api, Home, secret};
use crate::api::{ADDRESS, KEY};
use crate::child::this_program;
use crate::fleet::driver::LEDGER;
use crate::place::Place;

/// The first account.
const EMAIL: &str = "first@localhost";
/// Where its password is.
const PASSWORD: &str = "password";
/// The folder of the database.
const POSTGRES: &str = "postgres";
/// The other folders of the platform's processes, but for those of nodes.
const FOLDERS: [&str; 7] = ["store", "keys", "log", "nats", super::ledger::FOLDER, "splitter", "stitcher"];
/// Names how many bytes of sources a new account may keep.
const STORAGE: &str = "VTP_CONTROL_STORAGE_BYTES";
/// How long the API may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one question to it may take.
const ANSWERS: Duration = Duration::from_secs(10);

/// A database, and what the control plane is told.
#[derive(Debug)]
pub(super) struct Platform {
    /// Where the API is.
    pub(super) url: String,
    home: PathBuf,
    port: u16,
    store: String,
    database: PostgresServer,
}

/// An account that was just made.
pub(super) struct Account {
    pub(super) email: &'static str,
    /// The file with its key.
    pub(super) key: PathBuf,
}

impl Platform {
    /// Starts the database, which is kept below `home`, beside so many nodes.
    ///
    /// # Errors
    /// No Postgres; a port that somebody has.
    pub(super) fn start(home: &Home, api: &Api, nodes: usize) -> anyhow::Result<Self> {
        let port = match api.port {
            0 => home.free_port()?,
            port => {
                let free = std::net::TcpListener::bind(("127.0.0.1", port));
                free.with_context(|| format!("port {port} is not free: choose another --http"))?;
                port
            }
        };
        let store = match &api.store {
            None => home.0.join("store").display().to_string(),
            Some(Place::Path(path)) => std::path::absolute(path)?.display().to_string(),
            Some(place) => place.to_string(),
        };
        // It ends with this process, however that ends.
        let before: [OsString; 3] = [this_program()?.into(), UNDER.into(), std::process::id().to_string().into()];
        home.let_through(nodes)?;
        home.write(ADDRESS, &format!("http://127.0.0.1:{port}\n"))?;
        let database = PostgresServer::start(&home.0.join(POSTGRES), true, &before)?;
        let (url, home) = (format!("http://127.0.0.1:{port}"), home.0.clone());
        Ok(Self { url, home, port, store, database })
    }

    /// What the control plane and the driver are told.
    pub(super) fn environment(&self) -> [(&'static str, String); 6] {
        // It is this machine's own disk that is filled.
        let storage = std::env::var(STORAGE).unwrap_or_else(|_| (1_u64 << 40).to_string());
        [
            (STORAGE, storage),
            (LEDGER, self.database.url()),
            ("VTP_CONTROL_LISTEN", format!("127.0.0.1:{}", self.port)),
            ("VTP_CONTROL_DATABASE", self.database.url()),
            ("VTP_CONTROL_STORE", self.store.clone()),
            ("VTP_CONTROL_KEYS", self.home.join("keys").display().to_string()),
        ]
    }

    /// The process of the database.
    pub(super) fn database(&self) -> u32 {
        self.database.pid()
    }

    /// Starts the database again if it has ended, and tells of it. One that does not come up is tried again with the next look.
    pub(super) fn look(&mut self) -> Option<String> {
        let restarted = match self.database.has_ended() {
            Ok(false) => return None,
            Ok(true) => self.database.restart().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Some(match restarted {
            Ok(()) => "the database has ended and is started again; its log in postgres/ may tell why".to_owned(),
            Err(error) => format!("the database has ended and does not come up again yet: {error}"),
        })
    }

    /// Makes the first account and a key, once the API is there; `None` if there was one before, or nobody waits any longer.
    ///
    /// # Errors
    /// The API does not come up, or refuses.
    pub(super) fn first_account(&self, interrupted: &AtomicBool) -> anyhow::Result<Option<Account>> {
        if !self.comes_up(interrupted)? {
            return Ok(None);
        }
        let (key, password) = (self.home.join(KEY), self.home.join(PASSWORD));
        let is_kept = |path: &Path| path.metadata().is_ok_and(|file| file.len() > 0);
        if is_kept(&key) {
            return Ok(None);
        }
        let word = secret()?;
        let home = Home(self.home.clone());
        // A start that was cut off here is gone on with.
        if !is_kept(&password) {
            home.write(PASSWORD, &word)?;
        }
        let word = std::fs::read_to_string(&password).with_context(|| password.display().to_string())?;
        let who = json!({ "email": EMAIL, "password": word });
        let registered = self.post("/v1/auth/register", None, &who)?;
        let (status, signed_in) = match registered {
            (409, _) => self.post("/v1/auth/login", None, &who)?,
            registered => registered,
        };
        let Some(token) = signed_in["access_token"].as_str() else {
            bail!("the first account can't be made: {status} {}", signed_in["detail"]);
        };
        let wanted = json!({ "name": "vtp up", "scopes": ["read", "write"] });
        let (status, made) = self.post("/v1/api-keys", Some(token), &wanted)?;
        let Some(made) = made["secret"].as_str() else {
            bail!("an API key can't be made: {status} {}", made["detail"]);
        };
        home.write(KEY, made)?;
        Ok(Some(Account { email: EMAIL, key }))
    }

    pub(super) fn comes_up(&self, interrupted: &AtomicBool) -> anyhow::Result<bool> {
        let end = Instant::now() + PATIENCE;
        let ready = format!("{}/health/ready", self.url);
        while !interrupted.load(Ordering::Relaxed) {
            match agent().get(&ready).call() {
                Ok(response) if response.status().is_success() => return Ok(true),
                _ if Instant::now() > end => {
                    bail!(
                        "the API does not come up; {} may tell why",
                        self.home.join("log/control-plane.log").display()
                    )
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Ok(false)
    }

    fn post(&self, path: &str, token: Option<&str>, body: &Value) -> anyhow::Result<(u16, Value)> {
        let mut request = agent().post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(body.to_string()).with_context(|| format!("the API: {path}"))?;
        let text = response.body_mut().read_to_string().with_context(|| format!("the API: {path}"))?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWERS)).build().into()
}

impl Home {
    /// Lets the user that Postgres runs as through to its folder, where that is another than we are. Nobody can list what is here, and
    /// nobody gets into any other folder: those that are to be made are made now, so that none is open for a moment.
    fn let_through(&self, nodes: usize) -> anyhow::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let numbered = (1..=nodes).map(|number| format!("node-{number}"));
        shut_inside(&self.0, numbered.chain(FOLDERS.map(str::to_owned)))?;
        set_mode(&self.0, 0o711)
    }
}

/// Leaves every folder in `home` to its owner alone, those of these names, which are made, and all others but Postgres'.
fn shut_inside(home: &Path, names: impl Iterator<Item = String>) -> anyhow::Result<()> {
    for name in names {
        let path = home.join(name);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.with_context(|| format!("cannot create {}", path.display()))?;
    }
    for entry in std::fs::read_dir(home).with_context(|| home.display().to_string())? {
        let entry = entry.with_context(|| home.display().to_string())?;
        let is_folder = entry.file_type().with_context(|| entry.path().display().to_string())?.is_dir();
        if is_folder && entry.file_name() != POSTGRES {
            set_mode(&entry.path(), 0o700)?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_into_a_folder_that_is_not_postgres() {
        let home = tempfile::tempdir().unwrap();
        for name in [POSTGRES, "store", "old", "node-1"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
            set_mode(&home.path().join(name), 0o755).unwrap();
        }
        shut_inside(home.path(), ["keys", "store"].map(str::to_owned).into_iter()).unwrap();
        let mode = |name: &str| std::fs::metadata(home.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["keys", "store", "old", "node-1"].map(mode), [0o700; 4]);
        assert_eq!(mode(POSTGRES), 0o755);
    }
}
