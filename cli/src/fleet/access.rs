//! How the command line tells where a fleet is, and who this process is to it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use vtp_fleet::bus::Terms;
use vtp_fleet::bus::nats::{Access, Login, NatsBus};
use vtp_fleet::ca::Files;
use vtp_fleet::credentials::Credentials;
use vtp_fleet::messages::{NodeId, Pool};
use vtp_fleet::transfer::quic::Server;

use super::member::MetricsArguments;

/// Nodes that encode everything on their processors.
pub(super) const NODES: &str = "cpu";
/// Chunks that each of them is given besides those that it is at, to have their packets by when a slot is free.
pub(super) const AHEAD: u16 = 1;
/// Those who look into sources.
pub(super) const SPLITTERS: &str = "splitter";
/// Those who make ladders of chunks.
pub(super) const STITCHERS: &str = "stitcher";

/// The file in the folder of `vtp up` that says where its nats-server is, and in a second line how to log in there.
pub(super) const ADDRESS: &str = "address";

/// How long somebody tries to connect to NATS before he says that it is not there, and how often.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(200);

/// Most bytes of an object that travels, either way.
pub(super) const MOST: u64 = 64 << 30;

/// Who we are to NATS.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(crate) struct LoginArguments {
    /// User and password for NATS, as USER:PASSWORD; better in the environment than on the command line
    #[arg(long, env = "VTP_NATS_LOGIN", hide_env_values = true, value_name = "USER:PASSWORD")]
    nats_login: Option<String>,

    /// Certificates that NATS' own is signed by, in a PEM file, if not those of the system
    #[arg(long, value_name = "FILE")]
    nats_roots: Option<PathBuf>,
}

impl LoginArguments {
    /// Who we are to NATS, if it is to know.
    pub(crate) fn user(&self) -> Option<&str> {
        Some(self.nats_login.as_ref()?.split_once(':')?.0)
    }

    /// Connects to the servers of `urls`, parted by commas, or of the folder of `vtp up`, as `name`. Streams are kept on so
    /// many of them.
    ///
    /// # Errors
    /// A login that is none; no server that answers.
    pub(crate) async fn connect(&self, urls: &str, name: &str, replicas: usize) -> anyhow::Result<NatsBus> {
        let mut urls = urls.to_owned();
        let mut login = self.nats_login.clone();
        let folder = Path::new(&urls);
        if folder.is_dir() {
            let address = std::fs::read_to_string(folder.join(ADDRESS))
                .with_context(|| format!("no fleet is known in {}; vtp up starts one", folder.display()))?;
            let mut lines = address.lines().map(str::to_owned);
            urls = lines.next().unwrap_or_default();
            login = lines.next().or(login);
        }
        let login = match &login {
            None => Login::None,
            Some(login) => {
                let (user, password) = login.split_once(':').context("--nats-login is not USER:PASSWORD")?;
                Login::Password { user: user.to_owned(), password: password.to_owned() }
            }
        };
        let servers = urls.split(',').map(|url| url.trim().to_owned()).collect();
        let access = Access { servers, login, roots: self.nats_roots.clone(), ..Access::anonymous("", name) };
        let started = Instant::now();
        loop {
            match NatsBus::connect(&access, Terms::default(), replicas).await {
                // It may be started again at this moment.
                Err(error) if error.is_retryable() && started.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
                connected => return Ok(connected?),
            }
        }
    }
}

/// Who a process of a fleet is, and where the fleet is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(crate) struct MemberArguments {
    /// NATS servers, such as nats://nats-1:4222, parted by commas
    #[arg(long, value_name = "URLS")]
    cluster: String,

    /// Folder with NAME.crt, NAME.key and ca.crt, as vtp ca issue writes them
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,

    /// What this process is called, which no other is: 1 to 63 of a-z, 0-9 and -
    #[arg(long, value_name = "NAME")]
    pub(super) name: String,

    #[command(flatten)]
    login: LoginArguments,

    #[command(flatten)]
    pub(super) metrics: MetricsArguments,
}

impl MemberArguments {
    pub(super) async fn connect(&self) -> anyhow::Result<NatsBus> {
        self.login.connect(&self.cluster, &self.name, 1).await
    }

    pub(super) fn node(&self) -> anyhow::Result<NodeId> {
        NodeId::new(self.name.as_str()).context("--name can't be one")
    }

    /// Our certificate.
    pub(super) fn credentials(&self) -> anyhow::Result<Credentials> {
        load(&self.credentials, &self.name)
    }
}

/// How others reach a process that they connect to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(crate) struct ListenArguments {
    /// Host name or address that others reach this machine by; the certificate has to name it
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,

    /// UDP port that others connect to; 0 takes any that is free, which is another one after a restart
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

impl ListenArguments {
    /// Where to listen: on every address of this machine, those of IPv4 alone where it has no others.
    pub(super) fn socket(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port)
    }

    /// How others call a server of this machine.
    pub(super) fn reached_at(&self, server: &Server) -> anyhow::Result<String> {
        let port = server.address()?.port();
        let host = &self.host;
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }
}

/// The credentials called `name` in a folder, as `vtp ca issue` writes them.
fn load(folder: &Path, name: &str) -> anyhow::Result<Credentials> {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let files = Files { authority: folder.join("ca.crt"), certificate: file("crt"), key: file("key") };
    Credentials::load(&files).with_context(|| {
        let certificate = files.certificate.display();
        format!("no credentials in {certificate}; vtp ca issue makes them")
    })
}

pub(super) fn pool(name: &str) -> anyhow::Result<Pool> {
    Ok(Pool::new(name)?)
}
