//! `vtp check`: step: read a stream from disk, judge it by every rule, show what came of it. In: a folder, a playlist or
//! an MPD. Out: a table or JSON, and an exit code. Never: writes, decodes, or gives what it reads to FFmpeg.
//!
//! What the bytes are, and what the rules ask, is in `vtp_stitcher::check`.

mod table;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use vtp_stitcher::check::{self, Entry};

use crate::exit::{self, Failure};
use crate::{Outcome, print};

/// Check an HLS or DASH stream on disk against the rules of its standards.
///
/// The rules are those of RFC 8216bis, Apple's HLS authoring specification, ISO/IEC 23009-1 and CMAF that files can be
/// held against. Each is named, with what it asks and whether it holds. Nothing is decoded, and nothing outside of the
/// folder is opened. Ends with exit code 5 if a rule that says MUST does not hold.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder of a stream, or its playlist or MPD; files are looked for in that folder only
    #[arg(value_name = "DIR|PLAYLIST|MPD", required_unless_present = "rules")]
    path: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    /// Exit code 5 also if a rule that says SHOULD does not hold
    #[arg(long)]
    strict: bool,

    /// Show only rules that do not hold
    #[arg(long)]
    failed: bool,

    /// Show the first hundred failures of each rule, not the first three
    #[arg(long)]
    all: bool,

    /// Print the table of rules as Markdown
    #[arg(long, conflicts_with_all = ["path", "json", "strict", "failed", "all"])]
    rules: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] if there is no stream, [`exit::NONCONFORMING`] if it breaks a rule that counts.
pub fn run(arguments: &Arguments) -> Outcome {
    let Some(path) = &arguments.path else { return print(&table::markdown()) };
    let entry = entry(path)?;
    let stream = check::load(&entry)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let report = check::check(&stream);
    print(&match arguments.json {
        true => {
            serde_json::to_string_pretty(&report).context("cannot print the result").map_err(Failure::Internal)? + "\n"
        }
        false => table::render(&report, table::View::of_terminal(arguments.failed, arguments.all)),
    })?;
    let counted = report.summary.must_failed + if arguments.strict { report.summary.should_failed } else { 0 };
    if counted > 0 { Err(Failure::Told(exit::NONCONFORMING)) } else { Ok(()) }
}

/// Where the stream is that a path means.
fn entry(path: &Path) -> Result<Entry, Failure> {
    if path.is_dir() {
        let found =
            check::find(path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
        let entry = found.map_err(|names| {
            let names = names.join(", ");
            Failure::Usage(format!("{} has several; name one of them: {names}", path.display()))
        })?;
        return match entry {
            Entry { playlist: None, mpd: None, .. } => {
                Err(Failure::Usage(format!("{} has no playlist (*.m3u8) and no MPD (*.mpd)", path.display())))
            }
            entry => Ok(entry),
        };
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|_| path.is_file()).map(str::to_owned) else {
        return Err(Failure::Usage(format!("there is no {}", path.display())));
    };
    let root = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let is_mpd = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mpd"));
    let (playlist, mpd) = if is_mpd { (None, Some(name)) } else { (Some(name), None) };
    Ok(Entry { root, playlist, mpd })
}
