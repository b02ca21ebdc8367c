//! `vtp report`: step: draw the page of an output again. In: a folder with `report.json`, and `quality.json` if there
//! is one, or the number of a job of the API, which has both. Out: `report.html`, and the summary. Never: reads or writes anything
//! else of the ladder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use vtp_control_plane::ids::JobId;

use crate::api::ApiArguments;
use crate::api::report::Completed;
use crate::encode::summary;
use crate::exit::Failure;
use crate::{Outcome, page, print, records};

/// Show the summary of an output folder or of a job of the API, and draw its page, report.html.
///
/// The page needs nothing but itself: it can be mailed, archived, or opened without a network.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The output folder of vtp encode, or the number of a job of the API
    #[arg(value_name = "DIR|JOB")]
    output: PathBuf,

    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,

    /// Draw the page there [default: report.html in DIR; none of a job]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    api: ApiArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] if there is no report, or one that cannot be used.
pub fn run(arguments: &Arguments) -> Outcome {
    match job(&arguments.output) {
        Some(job) => of_job(arguments, job),
        None => of_folder(arguments, &arguments.output),
    }
}

/// The job that is meant, unless it is a folder that is here.
fn job(output: &Path) -> Option<JobId> {
    let number = output.to_str()?.parse().ok()?;
    (!output.exists()).then_some(JobId(number))
}

fn of_folder(arguments: &Arguments, folder: &Path) -> Outcome {
    let report = records::report(folder)?;
    let curves = records::curves(folder)?;
    let place = arguments.out.clone().unwrap_or_else(|| folder.join(records::PAGE));
    write(&place, &page::render(&report, curves.as_ref()))?;
    print(&match arguments.json {
        true => {
            serde_json::to_string_pretty(&report).context("cannot print the report").map_err(Failure::Internal)? + "\n"
        }
        false => summary::with_page(&report, folder, &place),
    })
}

fn of_job(arguments: &Arguments, job: JobId) -> Outcome {
    let job = Completed::fetch(&arguments.api, job)?;
    if arguments.json && arguments.out.is_none() {
        return print(&format!("{:#}\n", job.told));
    }
    let (report, ladder) = (job.report()?, job.ladder()?);
    if let Some(place) = &arguments.out {
        write(place, &page::render(&report, Some(&job.curves(&ladder)?)))?;
    }
    let place = arguments.out.clone().unwrap_or_else(|| ladder.join(records::PAGE));
    print(&match arguments.json {
        true => format!("{:#}\n", job.told),
        false => summary::with_page(&report, &ladder, &place),
    })
}

fn write(place: &Path, page: &str) -> Outcome {
    let name = place.file_name().ok_or_else(|| Failure::Usage(format!("{} is no file's name", place.display())))?;
    let folder = place.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The cause is told in words alone: what helps `vtp encode` against it would be no help here.
    records::write(folder, name, page)
        .map_err(|cause| Failure::Internal(anyhow!("cannot write {}: {cause}", place.display())))
}
