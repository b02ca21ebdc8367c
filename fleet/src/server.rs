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

/// The server's binary: that of the environment variable `NATS_SERVER`, one on the path, or the one that `make nats` puts
/// below `target/nats` of this folder or one above.
pub fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NATS_SERVER").filter(|it| !it.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let here = std::env::current_dir().unwrap_or_default();
    let above: Vec<PathBuf> = here.ancestors().map(|folder| folder.join("target/nats/bin/nats-server")).collect();
    on_path.chain(above).find(|file| file.is_file())
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
