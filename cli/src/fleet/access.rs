//! How the command line tells where a fleet is, and who this process is to it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use vtp_fleet::bus::Terms;
use vtp_fleet::bus::nats::{Access, Login};
use vtp_fleet::ca::Files;
use vtp_fleet::credentials::Credentials;
use vtp_fleet::messages::Pool;

use super::cluster::Cluster;
use crate::exit::Failure;

/// Chunks that are with a fleet at the same time: enough for it to choose from, few enough to lie on a disk.
const IN_FLIGHT: usize = 64;

/// The one pool: nodes that encode everything on their processors.
pub(super) const POOL: &str = "cpu";

/// Where NATS is, and who we are to it.
#[derive(Clone, Debug, Args)]
pub(crate) struct BusArguments {
    /// User and password for NATS, as USER:PASSWORD; better in the environment than on the command line
    #[arg(long, env = "VTP_NATS_LOGIN", hide_env_values = true, value_name = "USER:PASSWORD")]
    nats_login: Option<String>,

    /// Certificates that NATS' own is signed by, in a PEM file, if not those of the system
    #[arg(long, value_name = "FILE")]
    nats_roots: Option<PathBuf>,
}

impl BusArguments {
    pub(super) fn access(&self, server: &str, name: &str) -> anyhow::Result<Access> {
        let login = match &self.nats_login {
            None => Login::None,
            Some(login) => {
                let (user, password) = login.split_once(':').context("--nats-login is not USER:PASSWORD")?;
                Login::Password { user: user.to_owned(), password: password.to_owned() }
            }
        };
        Ok(Access { login, roots: self.nats_roots.clone(), ..Access::anonymous(server, name) })
    }
}

/// A fleet that is to encode.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArguments {
    /// Have chunks encoded by the nodes (vtp node) that are at this NATS server, such as nats://nats-1:4222
    #[arg(long = "cluster", value_name = "URL", requires = "credentials")]
    pub(crate) url: Option<String>,

    /// Folder with splitter.crt, splitter.key, stitcher.crt, stitcher.key and ca.crt, as vtp ca issue writes them
    #[arg(long, value_name = "DIR", requires = "url")]
    credentials: Option<PathBuf>,

    /// Host name or address that nodes reach this machine by; both certificates have to name it
    #[arg(long, value_name = "HOST", default_value = "localhost", requires = "url")]
    host: String,

    /// UDP ports that nodes fetch packets from and deliver to, such as 4433,4434; 0 takes any that is free
    #[arg(long, value_name = "PORT,PORT", value_parser = ports, default_value = "0,0", requires = "url")]
    ports: [u16; 2],

    #[command(flatten)]
    bus: BusArguments,
}

fn ports(text: &str) -> Result<[u16; 2], String> {
    let both = text.split_once(',').and_then(|(a, b)| Some([a.parse().ok()?, b.parse().ok()?]));
    both.ok_or_else(|| "not two ports, such as 4433,4434".to_owned())
}

impl ClusterArguments {
    /// The fleet, if there is to be one, with what travels in the folder `work`.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what can't be reached or is set wrongly.
    pub(crate) fn start(&self, work: &Path) -> Result<Option<Cluster>, Failure> {
        self.url.as_ref().map(|_| Cluster::start(self, work)).transpose()
    }

    /// How many chunks are with the fleet at the same time, if the user says nothing.
    pub(crate) fn in_flight(&self) -> Option<NonZeroUsize> {
        self.url.as_ref().and(NonZeroUsize::new(IN_FLIGHT))
    }

    pub(super) fn access(&self, name: &str) -> anyhow::Result<Access> {
        self.bus.access(self.url.as_deref().context("--cluster is missing")?, name)
    }

    /// Who we are in this role.
    pub(super) fn credentials(&self, role: &str) -> anyhow::Result<Credentials> {
        load(self.credentials.clone().context("--credentials is missing")?, role)
    }

    pub(super) fn ports(&self) -> [u16; 2] {
        self.ports
    }

    /// How nodes call a port of this machine.
    pub(super) fn reached_at(&self, port: u16) -> String {
        let host = &self.host;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// The credentials called `name` in a folder, as `vtp ca issue` writes them.
pub(super) fn load(folder: PathBuf, name: &str) -> anyhow::Result<Credentials> {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let files = Files { authority: folder.join("ca.crt"), certificate: file("crt"), key: file("key") };
    Credentials::load(&files).with_context(|| {
        let certificate = files.certificate.display();
        format!("no credentials in {certificate}; vtp ca issue makes them")
    })
}

pub(super) fn pool(name: &str) -> anyhow::Result<Pool> {
    Pool::new(name).context("a pool's name has lower-case letters, digits and dashes")
}

/// How often and until when tasks are delivered.
pub(super) fn terms() -> Terms {
    Terms::default()
}
