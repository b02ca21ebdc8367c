//! The command line of VideoTranscode Pro: one file a subcommand.
//!
//! Each subcommand turns its arguments into typed values, calls the roles, and shows what came of it: results
//! on stdout, progress and errors on stderr, an [`exit::Failure`] for whatever went wrong. No transcoding
//! happens here.

pub mod api;
pub mod bench;
pub mod ca;
pub mod cache;
pub mod check;
pub mod child;
pub mod control_plane;
mod cpu;
pub mod curves;
pub mod doctor;
pub mod encode;
pub mod exit;
pub mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod held;
pub mod interrupt;
mod limits;
pub mod page;
pub mod parse;
pub mod place;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod records;
pub mod redraw;
pub mod report;
mod scratch;
mod stop;
pub mod stores;
pub(crate) mod telemetry;
pub mod text;
pub mod work;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use exit::Failure;
use telemetry::Service;

/// Hand it a video, get back an HLS/DASH ladder, encoded in parallel and proven complete.
#[derive(Debug, Parser)]
#[command(name = "vtp", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Encode(Box<encode::arguments::Arguments>),
    Probe(probe::Arguments),
    Plan(plan::Arguments),
    Report(redraw::Arguments),
    Check(check::Arguments),
    Cache(cache::Arguments),
    Ca(ca::Arguments),
    Up(fleet::up::Arguments),
    Submit(api::submit::Arguments),
    Jobs(api::jobs::Arguments),
    Watch(api::watch::Arguments),
    ControlPlane(control_plane::Arguments),
    Driver(fleet::driver::Arguments),
    Splitter(fleet::splitter::Arguments),
    Node(fleet::node::Arguments),
    Stitcher(fleet::stitcher::Arguments),
    Doctor(doctor::Arguments),
    Bench(bench::Arguments),
    /// Work on untrusted bytes for the process that started this one
    #[command(hide = true)]
    Child,
    /// Run a program that ends with the process that started this one
    #[command(hide = true)]
    Under {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let words = parse::dashed_files(std::env::args_os(), &Arguments::command(), |word| Path::new(word).is_file());
    let arguments = Arguments::parse_from(&words);
    vtp_engine::media::give_large_buffers_back();
    vtp_engine::media::silence_encoders();
    let telemetry = telemetry::start(service(&arguments.command));
    vtp_engine::media::silence_log();
    if let Command::Child = arguments.command {
        return child::serve();
    }
    let outcome = std::panic::catch_unwind(|| match &arguments.command {
        Command::Encode(arguments) => encode::run(arguments, words.get(2..).unwrap_or_default()),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Report(arguments) => redraw::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Cache(arguments) => cache::run(arguments),
        Command::Ca(arguments) => ca::run(arguments),
        Command::Up(arguments) => fleet::up::run(arguments),
        Command::Submit(arguments) => api::submit::run(arguments),
        Command::Jobs(arguments) => api::jobs::run(arguments),
        Command::Watch(arguments) => api::watch::run(arguments),
        Command::ControlPlane(arguments) => control_plane::run(arguments),
        Command::Driver(arguments) => fleet::driver::run(arguments),
        Command::Splitter(arguments) => fleet::splitter::run(arguments),
        Command::Node(arguments) => fleet::node::run(arguments),
        Command::Stitcher(arguments) => fleet::stitcher::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Under { parent, words } => fleet::up::processes::become_child(*parent, words).map_err(Failure::Usage),
        // Never gets here.
        Command::Child => Ok(()),
    });
    telemetry.finish();
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            failure.print();
            failure.exit_code()
        }
        // The panic hook has already said what and where.
        Err(_) => ExitCode::from(exit::INTERNAL),
    }
}

/// What a process that carries out this command is called where its spans go; `None` for those that have none.
fn service(command: &Command) -> Option<Service> {
    let (name, instance) = match command {
        Command::Encode(_) => ("vtp-encode", format!("encode-{}", std::process::id())),
        Command::ControlPlane(_) => ("vtp-control-plane", "control-plane".to_owned()),
        Command::Driver(_) => ("vtp-driver", "driver".to_owned()),
        Command::Splitter(arguments) => ("vtp-splitter", arguments.name().to_owned()),
        Command::Node(arguments) => ("vtp-node", arguments.name().to_owned()),
        Command::Stitcher(arguments) => ("vtp-stitcher", arguments.name().to_owned()),
        Command::Probe(_)
        | Command::Plan(_)
        | Command::Report(_)
        | Command::Submit(_)
        | Command::Jobs(_)
        | Command::Watch(_)
        | Command::Check(_)
        | Command::Cache(_)
        | Command::Ca(_)
        | Command::Up(_)
        | Command::Doctor(_)
        | Command::Bench(_)
        | Command::Child
        | Command::Under { .. } => return None,
    };
    Some(Service { name, instance })
}

/// What a command ends with.
type Outcome = Result<(), Failure>;

/// Writes a result to stdout. A reader that has gone away (`vtp ... | head`) is no error.
///
/// # Errors
/// [`Failure::Internal`] if stdout cannot be written.
fn print(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Internal(anyhow::Error::new(error).context("cannot write to stdout")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
