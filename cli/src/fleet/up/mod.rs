//! `vtp up`: the whole platform on this machine: a nats-server, a driver, a splitter, nodes and a stitcher, a Postgres and a control
//! plane, each a process of its own that is started again when it ends. In: a folder. Out: an API, and a fleet that
//! `vtp encode --cluster` reaches. Never: a port that is open to other machines.

mod ledger;
mod platform;
pub(crate) mod processes;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::Signal;
use vtp_fleet::ca::{Authority, Request};
use vtp_fleet::identity::{Identity, Role};
use vtp_fleet::server;

use self::platform::Platform;
use self::processes::{Kept, Recipe};
use super::access::ADDRESS;
use crate::child::this_program;
use crate::exit::Failure;
use crate::place::{self, Place};
use crate::{Outcome, interrupt, text};

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long the nats-server may take to listen.
const LISTENS: Duration = Duration::from_secs(20);
/// How long a process that leaves may take.
const LEAVES: Duration = Duration::from_secs(15);
/// How long the certificates hold, in days; they are issued anew with each start.
const DAYS: u32 = 365;

/// Run the whole platform on this machine, until ^C or SIGTERM: the API, and a fleet that vtp encode --cluster DIR has make ladders
#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder for all that the fleet keeps; made if it is not there, and for this user alone
    #[arg(long, value_name = "DIR", default_value = "vtp-fleet")]
    data: PathBuf,

    /// How many nodes
    #[arg(long, value_name = "N", default_value = "1")]
    nodes: NonZeroUsize,

    /// Chunks that each node encodes at the same time [default: the cores, shared among the nodes]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroUsize>,

    /// Port of the nats-server, on this machine alone; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Port of the API, on this machine alone; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    http: u16,

    /// Where sources and ladders of the API are: a folder, or s3://BUCKET/PREFIX [default: store, in DIR]
    #[arg(long, value_name = "PLACE", value_parser = place::parser())]
    store: Option<Place>,

    /// No API, and no Postgres: only a fleet
    #[arg(long, conflicts_with_all = ["http", "store"])]
    fleet_only: bool,

    /// The nats-server to run, 2.10 or newer [default: the one that NATS_SERVER names, that make nats got, or on the path]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for what is missing or can't be used.
pub fn run(arguments: &Arguments) -> Outcome {
    let interrupted = interrupt::listen()?;
    let Arguments { data, nodes, slots, port, server, http, store, fleet_only } = arguments;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).get();
    let slots = slots.map_or(cores.div_ceil(nodes.get()), NonZeroUsize::get);
    let log = std::env::var("VTP_LOG").ok();
    let api = (!fleet_only).then(|| Api { port: *http, store: store.clone(), settings: Vec::new() });
    let options = Options { nodes: nodes.get(), slots, port: *port, server: server.clone(), log, api };
    let usage = |error: anyhow::Error| Failure::Usage(crate::exit::with_causes(&error));
    let mut machine = Machine::start(data, &options).map_err(usage)?;
    let each = text::plural(slots as u64, "slot");
    eprintln!("a fleet is there, at {}, with {} of {each}", machine.url, text::plural(nodes.get() as u64, "node"));
    eprintln!("vtp encode VIDEO --out DIR --cluster {}", data.display());
    if let Some(platform) = &machine.platform {
        let account = platform.first_account(&interrupted).map_err(usage)?;
        eprintln!("the API is there, at {}/v1 (what it knows: {}/openapi.json)", platform.url, platform.url);
        if let Some(account) = account {
            eprintln!(
                "an API key is in {}; it is that of {}, whose password is beside it",
                account.key.display(),
                account.email
            );
        }
    }
    eprintln!("what its processes say is in {}", data.join("log").display());
    while !interrupted.load(Ordering::Relaxed) {
        for line in machine.look() {
            eprintln!("{line}");
        }
        std::thread::sleep(LOOK);
    }
    eprintln!("leaving; again to end at once");
    machine.leave();
    Ok(())
}

/// What a fleet on one machine is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) slots: usize,
    /// 0: any that is free.
    pub(crate) port: u16,
    pub(crate) server: Option<PathBuf>,
    /// How much is told to developers, as `VTP_LOG` has it, if not as usual.
    pub(crate) log: Option<String>,
    /// The API, if there is to be one.
    pub(crate) api: Option<Api>,
}

/// What the API of a machine is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// 0: any that is free.
    pub(crate) port: u16,
    /// Where sources and ladders are, if not in the folder of the fleet.
    pub(crate) store: Option<Place>,
    /// What the control plane is told besides, by its variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// A fleet on this machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Where its nats-server is.
    pub(crate) url: String,
    /// In the order in which they are started: those that others need first.
    pub(crate) processes: Vec<Kept>,
    platform: Option<Platform>,
    _lock: Lock,
}

impl Machine {
    /// Starts a fleet that keeps everything in the folder `data`.
    ///
    /// # Errors
    /// What is missing, can't be written or does not start.
    pub(crate) fn start(data: &Path, options: &Options) -> anyhow::Result<Self> {
        let server = options.server.clone().or_else(server::binary);
        let server = server.context(
            "there is no nats-server of 2.10 or newer: put one on the path, name it by --server, or run make nats",
        )?;
        let (home, _lock) = Home::prepare(data)?;
        let port = if options.port == 0 { home.free_port()? } else { options.port };
        let (url, password) = (format!("nats://127.0.0.1:{port}"), secret()?);
        home.write("nats.conf", &configuration(port, &password))?;
        let mut processes = vec![Kept::start(home.recipe("nats", &server, &["-c", "nats.conf"], Vec::new()))?];
        listens(&mut processes[0], port)?;
        home.write(ADDRESS, &format!("{url}\nvtp:{password}\n"))?;
        home.certify(options.nodes)?;
        let platform = options.api.as_ref().map(|api| Platform::start(&home, api, options.nodes)).transpose()?;
        if platform.is_some() {
            ledger::lay_aside(&home.0)?.iter().for_each(|said| eprintln!("{said}"));
        }
        let program = this_program()?;
        let mut environment = vec![
            ("VTP_NATS_LOGIN", format!("vtp:{password}")),
            ("VTP_LOG", options.log.clone().unwrap_or_else(|| "warn".to_owned())),
        ];
        let member = |name: &str| format!("--cluster {url} --credentials credentials --name {name}");
        // A platform's environment says where its ledger is.
        let driver = match &platform {
            Some(_) => format!("driver --cluster {url}"),
            None => format!("driver --cluster {url} --data {}", ledger::FOLDER),
        };
        let mut lines = vec![
            ("driver".to_owned(), driver),
            (
                "splitter".to_owned(),
                format!("splitter {} --port {} --folder splitter", member("splitter"), home.free_udp_port()?),
            ),
            (
                "stitcher".to_owned(),
                format!("stitcher {} --port {} --data stitcher", member("stitcher"), home.free_udp_port()?),
            ),
        ];
        for number in 1..=options.nodes {
            let name = format!("node-{number}");
            let slots = options.slots;
            lines.push((name.clone(), format!("node {} --slots {slots} --folder {name} --drain 5s", member(&name))));
        }
        if let Some(platform) = &platform {
            lines.push(("control-plane".to_owned(), format!("control-plane --cluster {url}")));
            environment.extend(platform.environment());
            environment.extend(options.api.iter().flat_map(|api| api.settings.clone()));
        }
        for (name, line) in lines {
            let words: Vec<&str> = line.split(' ').collect();
            processes.push(Kept::start(home.recipe(&name, &program, &words, environment.clone()))?);
        }
        Ok(Self { url, processes, platform, _lock })
    }

    /// Where its API is, once it answers; `None` if it has none.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn api(&self) -> anyhow::Result<Option<&str>> {
        let Some(platform) = &self.platform else { return Ok(None) };
        platform.comes_up(&AtomicBool::new(false))?;
        Ok(Some(&platform.url))
    }

    /// The process of its database, if it has one.
    pub(crate) fn database(&self) -> Option<u32> {
        self.platform.as_ref().map(Platform::database)
    }

    /// Makes the first account; the file of its key, if it was made now.
    ///
    /// # Errors
    /// The API does not come up, or refuses.
    pub(crate) fn first_key(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(platform) = &self.platform else { return Ok(None) };
        Ok(platform.first_account(&AtomicBool::new(false))?.map(|account| account.key))
    }

    /// Starts what has ended again. Tells of it in lines.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for process in &mut self.processes {
            let news = process.look();
            let (name, log) = (process.name(), process.log().display());
            match news {
                Ok(None) => {}
                Ok(Some(status)) => {
                    lines.push(format!("{name} has ended ({status}) and is started again; {log} may tell why"));
                }
                Err(error) => lines.push(format!("{name} can't be started: {error}; that is tried again")),
            }
        }
        lines.extend(self.platform.as_mut().and_then(Platform::look));
        lines
    }

    /// Has everything leave, those first that need the others.
    pub(crate) fn leave(mut self) {
        let servers = self.processes.split_off(self.processes.len().min(2));
        for mut group in [servers, self.processes.split_off(1), std::mem::take(&mut self.processes)] {
            for process in &group {
                if let Err(error) = process.signal(Signal::TERM) {
                    tracing::debug!(%error, name = process.name(), "has ended before");
                }
            }
            group.iter_mut().for_each(|process| process.end(LEAVES));
        }
    }
}

/// The folder of a fleet.
struct Home(PathBuf);

/// Held while a fleet has its folder.
type Lock = File;

impl Home {
    fn prepare(data: &Path) -> anyhow::Result<(Self, Lock)> {
        use std::os::unix::fs::DirBuilderExt as _;
        let make = |path: &Path| {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.with_context(|| format!("cannot create {}", path.display()))
        };
        make(data)?;
        make(&data.join("log"))?;
        let lock = File::create(data.join("lock")).with_context(|| data.join("lock").display().to_string())?;
        if lock.try_lock().is_err() {
            bail!("another fleet has the folder {}: choose another --data", data.display());
        }
        Ok((Self(data.canonicalize().with_context(|| data.display().to_string())?), lock))
    }

    /// Writes a file that only its owner may read, durably, and whole or not at all.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, draft) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Certifies everybody anew, by an authority that stays.
    fn certify(&self, nodes: usize) -> anyhow::Result<()> {
        let (ca, credentials) = (self.0.join("ca"), self.0.join("credentials"));
        let authority = match Authority::open(&ca) {
            // One whose making was cut off has certified nobody.
            Err(vtp_fleet::ca::Error::Missing(_)) => {
                if ca.exists() {
                    std::fs::remove_dir_all(&ca).with_context(|| ca.display().to_string())?;
                }
                Authority::init(&ca, 3650)?
            }
            opened => opened?,
        };
        if credentials.exists() {
            std::fs::remove_dir_all(&credentials).with_context(|| credentials.display().to_string())?;
        }
        let members = [(Role::Splitter, "splitter".to_owned()), (Role::Stitcher, "stitcher".to_owned())];
        let members = members.into_iter().chain((1..=nodes).map(|number| (Role::Node, format!("node-{number}"))));
        for (role, name) in members {
            let identity = Identity { role, name: name.parse()? };
            let issued = authority.issue(&Request { identity, hosts: vec!["localhost".to_owned()], days: DAYS })?;
            issued.write(&credentials, &name)?;
        }
        Ok(())
    }

    fn recipe(&self, name: &str, program: &Path, words: &[&str], environment: Vec<(&'static str, String)>) -> Recipe {
        Recipe {
            name: name.to_owned(),
            program: program.to_owned(),
            words: words.iter().map(Into::into).collect(),
            environment,
            folder: self.0.clone(),
            log: self.0.join("log").join(format!("{name}.log")),
        }
    }

    /// A port that nobody has at this moment. It stays the same while the fleet runs.
    fn free_port(&self) -> anyhow::Result<u16> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        Ok(socket.local_addr()?.port())
    }

    fn free_udp_port(&self) -> anyhow::Result<u16> {
        let any = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(any.context("no port is free")?.local_addr()?.port())
    }
}

fn configuration(port: u16, password: &str) -> String {
    format!(
        "server_name: vtp\nlisten: \"127.0.0.1:{port}\"\nlog_file: \"log/nats.log\"\n\
         jetstream {{ store_dir: \"nats\", sync_interval: always, max_memory_store: 64MiB, max_file_store: 10GiB }}\n\
         max_payload: 1MiB\nauthorization {{ user: vtp, password: \"{password}\" }}\n"
    )
}

/// 128 bits of chance, from the system.
fn secret() -> anyhow::Result<String> {
    let mut bits = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bits)).context("/dev/urandom")?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn listens(nats: &mut Kept, port: u16) -> anyhow::Result<()> {
    let end = Instant::now() + LISTENS;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = nats.look()? {
            bail!("the nats-server has ended ({status}); {} may tell why", nats.log().display());
        }
        if Instant::now() >= end {
            bail!("the nats-server does not listen on port {port}; {} may tell why", nats.log().display());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_stays_and_one_whose_making_was_cut_off_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (home, _lock) = Home::prepare(folder.path()).unwrap();
        let ca = folder.path().join("ca");
        std::fs::create_dir(&ca).unwrap();
        home.certify(1).unwrap();
        let key = || std::fs::read(ca.join("ca.key")).unwrap();
        let first = key();
        home.certify(2).unwrap();
        assert_eq!(key(), first);
        std::fs::remove_file(ca.join("ca.crt")).unwrap();
        home.certify(1).unwrap();
        assert_ne!(key(), first);
    }

    #[test]
    fn a_secret_is_written_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (home, _lock) = Home::prepare(folder.path()).unwrap();
        home.write("api-key", "one").unwrap();
        home.write("api-key", "two").unwrap();
        let path = folder.path().join("api-key");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
        assert!(!folder.path().join("api-key.new").exists());
    }
}
