//! A Postgres of our own, for one machine and for tests: made in a folder with `initdb`, on a port of the loopback, with a password.
//! It refuses to run as root, so root has it run as the user `postgres`. It ends with what started it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The user and the database.
const NAME: &str = "vtp";
/// The oldest that will do.
const OLDEST: u32 = 15;
/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to come up, behind what it had not written when it was ended.
const RECOVERY: Duration = Duration::from_secs(15 * 60);
/// How long what is left of one that was killed may take to go.
const RELICS: Duration = Duration::from_secs(10);

/// What is between `initdb` and a server that answers.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no programs of Postgres.
    #[error(
        "there is no PostgreSQL of version {OLDEST} or newer: install it (Debian: apt install postgresql), or name the folder of its programs with POSTGRES_BIN"
    )]
    NoPrograms,
    /// Root can't run it.
    #[error("PostgreSQL does not run as root, and there is no user called postgres to run it as")]
    NoUser,
    /// A program did not do what it should.
    #[error("{program}: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// A file or a process.
    #[error("{what}: {error}")]
    System {
        /// What it is about.
        what: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> PostgresError {
    let what = what.into();
    move |error| PostgresError::System { what, error }
}

/// The folder of Postgres' programs: that of the environment variable `POSTGRES_BIN`, the newest of Debian's, or that of the path.
pub fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("POSTGRES_BIN").filter(|it| !it.is_empty()) {
        return Some(named.into());
    }
    let of_debian = fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
        let versions = versions.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
        versions.max().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    of_debian.into_iter().chain(on_path).find(|folder| {
        folder.join("initdb").is_file() && version(&folder.join("postgres")).is_some_and(|version| version >= OLDEST)
    })
}

/// The major version: `postgres (PostgreSQL) 15.13 (Debian ...)`.
fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let told = String::from_utf8(output.stdout).ok()?;
    told.split(' ').find_map(|word| word.split('.').next()?.parse().ok())
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    process: Child,
    programs: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
    how: How,
}

/// How a server is run.
#[derive(Clone, Debug, Default)]
struct How {
    /// As whom, if not as ourselves.
    user: Option<(u32, u32)>,
    /// Whether it keeps what it has said it keeps when the power fails.
    careful: bool,
    /// What stands before its words: another program that becomes it.
    before: Vec<OsString>,
}

impl PostgresServer {
    /// Starts the one in `folder`, which is made if it is not there. `careful` is whether it keeps what it has said it keeps when
    /// the power fails; tests need not. `before` are the words of a program that becomes the one behind them, if there is to be
    /// one between.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn start(folder: &Path, careful: bool, before: &[OsString]) -> Result<Self, PostgresError> {
        let programs = programs().ok_or(PostgresError::NoPrograms)?;
        let how = How { user: unprivileged()?, careful, before: before.to_vec() };
        fs::create_dir_all(folder).map_err(system(folder.display().to_string()))?;
        let folder = folder.canonicalize().map_err(system(folder.display().to_string()))?;
        let (data, log) = (folder.join("data"), folder.join("log"));
        let password = password(&folder.join("password"))?;
        if !data.join("PG_VERSION").exists() {
            initialise(&programs, &folder, &data, &how)?;
        }
        // Free now, and the same when it is started again.
        let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr());
        let port = listener.map_err(system("a port"))?.port();
        let process = spawn(&programs, &data, &log, port, &how)?;
        let mut server = Self { process, programs, data, log, port, password, how };
        server.come_up()?;
        Ok(server)
    }

    /// How it is reached.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// How another of its databases is reached.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would, and starts it again where it was.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn crash(&mut self) -> Result<(), PostgresError> {
        self.end(Signal::QUIT);
        self.restart()
    }

    /// Starts one that has ended again where it was.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn restart(&mut self) -> Result<(), PostgresError> {
        self.process = spawn(&self.programs, &self.data, &self.log, self.port, &self.how)?;
        self.come_up()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// The system's.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.process.try_wait().map(|ended| ended.is_some())
    }

    fn come_up(&mut self) -> Result<(), PostgresError> {
        let began = Instant::now();
        loop {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", NAME])
                .status();
            if ready.map_err(system("pg_isready"))?.success() {
                return Ok(());
            }
            let has_ended = self.process.try_wait().map_err(system("postgres"))?.is_some();
            if has_ended && began.elapsed() < RELICS {
                // What is left of one that was killed has a moment to go, and a new one doesn't start beside it.
                std::thread::sleep(Duration::from_millis(200));
                self.process = spawn(&self.programs, &self.data, &self.log, self.port, &self.how)?;
                continue;
            }
            // One that lives may have a long log to go through.
            if has_ended || began.elapsed() > RECOVERY {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
                return Err(PostgresError::Failed { program: "postgres", said });
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn end(&mut self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // One that is gone needs no signal.
            let _ = kill_process(pid, signal);
        }
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Clients are cut off; what they have been told is kept is kept.
        self.end(Signal::INT);
    }
}

/// Whom to run it as: nobody else, unless we are root.
fn unprivileged() -> Result<Option<(u32, u32)>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(system("/etc/passwd"))?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, user, group) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (name == "postgres").then_some((user.parse().ok()?, group.parse().ok()?))
    });
    found.map(Some).ok_or(PostgresError::NoUser)
}

/// The password that is kept in this file; made if there is none.
fn password(path: &Path) -> Result<String, PostgresError> {
    match fs::read_to_string(path) {
        // A start that was cut off may have left an empty one.
        Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(system(path.display().to_string())(error));
        }
        _ => {}
    }
    let secret = crate::auth::RefreshSecret::new().map_err(|error| io::Error::other(error.to_string()));
    let password = secret.map_err(system("a password"))?.reveal();
    let draft = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(password.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(system(path.display().to_string()))?;
    Ok(password)
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    match user {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

fn initialise(programs: &Path, folder: &Path, data: &Path, how: &How) -> Result<(), PostgresError> {
    let user = how.user;
    // One that was cut off is begun again.
    let draft = folder.join("data.new");
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(system(draft.display().to_string())(error));
        }
        _ => {}
    }
    fs::create_dir(&draft).map_err(system(draft.display().to_string()))?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o700)).map_err(system(draft.display().to_string()))?;
    let password = folder.join("password");
    if let Some((user, group)) = user {
        for path in [folder, &draft, &password] {
            chown(path, Some(user), Some(group)).map_err(system(path.display().to_string()))?;
        }
    }
    let mut command = Command::new(programs.join("initdb"));
    command.args(["--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
    command.arg("--pwfile").arg(&password).arg("--pgdata").arg(&draft).current_dir("/");
    let output = as_user(&mut command, user).output().map_err(system("initdb"))?;
    if !output.status.success() {
        let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if user.is_some() {
            said += " (it runs as the user postgres, who has to get to that folder)";
        }
        return Err(PostgresError::Failed { program: "initdb", said });
    }
    let mut command = Command::new(programs.join("postgres"));
    command.args(["--single", "-D"]).arg(&draft).arg("postgres").current_dir("/").stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut single = as_user(&mut command, user).spawn().map_err(system("postgres --single"))?;
    if let Some(mut words) = single.stdin.take() {
        words.write_all(format!("CREATE DATABASE {NAME}\n").as_bytes()).map_err(system("postgres --single"))?;
    }
    let output = single.wait_with_output().map_err(system("postgres --single"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PostgresError::Failed { program: "postgres --single", said });
    }
    let keep = || {
        if how.careful {
            // What has its final name is to be whole, also if power fails.
            rustix::fs::syncfs(fs::File::open(&draft)?)?;
        }
        fs::rename(&draft, data)
    };
    keep().map_err(system(data.display().to_string()))
}

fn spawn(programs: &Path, data: &Path, log: &Path, port: u16, how: &How) -> Result<Child, PostgresError> {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).map_err(system(log.display().to_string()))?;
    let postgres = programs.join("postgres").into_os_string();
    let mut words = how.before.iter().chain([&postgres]);
    let mut command = Command::new(words.next().unwrap_or(&postgres));
    command.args(words).arg("-D").arg(data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
    if !how.careful {
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    let errors = log.try_clone().map_err(system("the log"))?;
    command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
    as_user(&mut command, how.user).spawn().map_err(system("postgres"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_made_once_and_one_that_was_cut_off_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "").unwrap();
        let made = password(&path).unwrap();
        assert!(made.len() > 20);
        assert_eq!(password(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
