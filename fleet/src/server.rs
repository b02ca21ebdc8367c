//! A nats-server of our own, for tests, measurements and a fleet on one machine. Loopback only, killed when dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// When JetStream syncs what it has written to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Before it says that it has a message: what is acknowledged survives a power cut.
    Always,
    /// Every two minutes, as the server does by default.
    Default,
}

/// The oldest nats-server that will do: the streams use limits that came with 2.10.
const OLDEST: (u32, u32) = (2, 10);

/// The server's binary: that of the environment variable `NATS_SERVER`, the one that `make nats` puts below `target/nats` of
/// this folder or one above, or one on the path. One older than 2.10 is passed by.
pub fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NATS_SERVER").filter(|it| !it.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let here = std::env::current_dir().unwrap_or_default();
    let above: Vec<PathBuf> = here.ancestors().map(|folder| folder.join("target/nats/bin/nats-server")).collect();
    above.into_iter().chain(on_path).find(|file| file.is_file() && version(file).is_some_and(|it| it >= OLDEST))
}

/// Major and minor version of a nats-server, as it tells them: `nats-server: v2.15.1`. `None` if it doesn't run or tells none.
fn version(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    parse_version(std::str::from_utf8(&output.stdout).ok()?)
}

fn parse_version(told: &str) -> Option<(u32, u32)> {
    let mut parts = told.trim().strip_prefix("nats-server: v")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl NatsServer {
    /// Starts `binary` with JetStream, keeping everything below `folder`, which exists, on a port that is free.
    ///
    /// # Errors
    /// The system's, or that the server doesn't come up.
    pub fn start(binary: &Path, folder: &Path, sync: Sync) -> io::Result<Self> {
        let sync = match sync {
            Sync::Always => ", sync_interval: always",
            Sync::Default => "",
        };
        Self::start_with(binary, folder, &format!("jetstream {{ store_dir: \"store\"{sync} }}\n"))
    }

    /// Starts it with this configuration, to which address, port and log file are added.
    ///
    /// # Errors
    /// The system's, or that the server doesn't come up.
    pub fn start_with(binary: &Path, folder: &Path, configuration: &str) -> io::Result<Self> {
        // Free now; and the server that is killed and started again is to be found where it was.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let text = format!("listen: \"127.0.0.1:{port}\"\nlog_file: \"log\"\n{configuration}");
        std::fs::write(folder.join("server.conf"), text)?;
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        let child = spawn(&binary, &folder)?;
        let mut server = Self { child, binary, folder, port };
        server.await_listening()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` does.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.child = spawn(&self.binary, &self.folder)?;
        self.await_listening()
    }

    /// Throws away all that a killed server has kept.
    ///
    /// # Errors
    /// The system's.
    pub fn wipe(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.folder.join("store"))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn await_listening(&mut self) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end && self.child.try_wait()?.is_none() {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(self.folder.join("said")).unwrap_or_default();
        Err(io::Error::other(format!("{} does not listen: {said}{}", self.binary.display(), self.log())))
    }
}

fn spawn(binary: &Path, folder: &Path) -> io::Result<Child> {
    let said = std::fs::File::create(folder.join("said"))?;
    let mut command = Command::new(binary);
    command.args(["-c", "server.conf"]).current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{} can't be started: {error}", binary.display())))
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It has ended by itself, or was killed.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_tell_them() {
        assert_eq!(parse_version("nats-server: v2.9.10\n"), Some((2, 9)));
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.14.0-preview.2"), Some((2, 14)));
        assert_eq!(parse_version("v2.10"), None);
    }

    #[test]
    fn what_is_no_server_of_a_known_version_is_passed_by() {
        assert_eq!(version(Path::new("/bin/true")), None);
        assert_eq!(version(Path::new("/nowhere/nats-server")), None);
    }
}
