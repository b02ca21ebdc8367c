//! `vtp ca`: step: make a deployment's certificate authority, or issue a peer's certificate. In: a folder, a role, a
//! name. Out: files, and a line that says which. Never: overwrites a key.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use vtp_fleet::ca::{self, Authority, Request};
use vtp_fleet::identity::{Identity, Name, Role};

use crate::exit::Failure;
use crate::{Outcome, print, text};

/// Make the certificates by which the peers of a fleet know each other.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an authority: ca.crt, which every peer gets, and ca.key, which stays where it is
    Init {
        /// Its folder; made if it is not there
        dir: PathBuf,
        /// How long it is valid
        #[arg(long, value_name = "N", default_value_t = 3650)]
        days: u32,
    },
    /// Issue a certificate that says what a peer is
    Issue {
        /// The authority's folder
        dir: PathBuf,
        /// What the peer does: splitter, node, stitcher, control-plane or client
        #[arg(long)]
        role: Role,
        /// What it is called: lower-case letters, digits and dashes
        #[arg(long)]
        name: Name,
        /// Host name or IP address that others connect to it by; may be given several times
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// How long it is valid
        #[arg(long, value_name = "N", default_value_t = 90)]
        days: u32,
        /// Folder for NAME.crt, NAME.key and ca.crt; made if it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for what can't be certified or is there already, [`Failure::Internal`] if files can't be read
/// or written.
pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.action {
        Action::Init { dir, days } => {
            Authority::init(dir, *days)?;
            let (certificate, key) = (dir.join(ca::CERTIFICATE), dir.join(ca::KEY));
            print(&format!(
                "{}: for every peer\n{}: keep it secret; whoever has it can be any peer\nvalid for {}\n",
                certificate.display(),
                key.display(),
                text::plural(u64::from(*days), "day")
            ))
        }
        Action::Issue { dir, role, name, hosts, days, out } => {
            let identity = Identity { role: *role, name: name.clone() };
            let request = Request { identity: identity.clone(), hosts: hosts.clone(), days: *days };
            let files = Authority::open(dir)?.issue(&request)?.write(out, name.as_str())?;
            print(&format!(
                "{}\n{}: keep it secret\n{identity}, valid for {}\n",
                files.certificate.display(),
                files.key.display(),
                text::plural(u64::from(*days), "day")
            ))
        }
    }
}

impl From<ca::Error> for Failure {
    fn from(error: ca::Error) -> Self {
        match error {
            ca::Error::Exists(_)
            | ca::Error::Missing(_)
            | ca::Error::Foreign(_)
            | ca::Error::Host(_)
            | ca::Error::NoHost(_)
            | ca::Error::Days { .. } => Self::Usage(error.to_string()),
            ca::Error::File { .. } | ca::Error::Certificate { .. } => Self::Internal(anyhow!(error)),
        }
    }
}
