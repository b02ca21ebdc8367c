//! `vtp report`: step: draw the page of an output again. In: a folder with `report.json`, and `quality.json` if there
//! is one. Out: `report.html` beside them, and the summary. Never: reads or writes anything else of the ladder.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::encode::summary;
use crate::exit::Failure;
use crate::{Outcome, page, print, records};

/// Draw report.html of an output folder again, and show its summary.
///
/// The page needs nothing but itself: it can be mailed, archived, or opened without a network.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The output folder of vtp encode
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] if the folder has no report, or one that cannot be used.
pub fn run(arguments: &Arguments) -> Outcome {
    let folder = &arguments.folder;
    let report = records::report(folder)?;
    let curves = records::curves(folder)?;
    // The cause is told in words alone: what helps `vtp encode` against it would be no help here.
    records::write(folder, records::PAGE, &page::render(&report, curves.as_ref()))
        .map_err(|cause| anyhow!("cannot write {}: {cause}", folder.join(records::PAGE).display()))
        .map_err(Failure::Internal)?;
    print(&match arguments.json {
        true => {
            serde_json::to_string_pretty(&report).context("cannot print the report").map_err(Failure::Internal)? + "\n"
        }
        false => summary::render(&report, folder),
    })
}
