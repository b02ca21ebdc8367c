//! `vtp watch`: step: listen, show, tell where the ladder is. In: a job's number. Out: its progress, and its end as an exit code.

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use serde_json::Value;

use super::ApiArguments;
use super::client::Client;
use crate::exit::{Failure, InputFault};
use crate::{Outcome, print};

/// Show how a job of the API goes on, until it has ended
#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's number
    job: String,

    #[command(flatten)]
    api: ApiArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] if the job fails; exit code 3 with the product's number where the video is at fault.
pub fn run(arguments: &Arguments) -> Outcome {
    until_ended(&arguments.api.client()?, &arguments.job)
}

/// Shows how a job goes on, and prints where its ladder is.
pub(super) fn until_ended(client: &Client, job: &str) -> Outcome {
    let (mut last, mut line) = (None, Line::default());
    client.follow(&format!("/v1/jobs/{job}/progress"), &mut |kind, event| {
        match kind {
            "completed" | "failed" | "cancelled" => last = Some((kind.to_owned(), event.clone())),
            _ => {
                let stage = event["stage"].as_str().unwrap_or("encoding");
                line.show(stage, event["progress"].as_f64().unwrap_or_default());
            }
        }
        last.is_some()
    })?;
    drop(line);
    let Some((kind, event)) = last else { return Ok(()) };
    match &*kind {
        "completed" => tell(client, job),
        "cancelled" => Err(Failure::Usage("the job was cancelled".to_owned())),
        _ => Err(failure(&event)),
    }
}

fn failure(event: &Value) -> Failure {
    let message = event["error_message"].as_str().unwrap_or("the job failed").to_owned();
    match event["error_code"].as_u64().and_then(|code| InputFault::of(u16::try_from(code).ok()?)) {
        Some(fault) => Failure::Input { fault, message },
        None => Failure::Internal(anyhow::anyhow!(message)),
    }
}

/// Prints where players find what was made.
fn tell(client: &Client, job: &str) -> Outcome {
    let outputs = client.get(&format!("/v1/jobs/{job}/outputs"))?;
    let all = outputs["data"].as_array().into_iter().flatten();
    let named = all.filter(|it| it["format"] != "rendition");
    let shown: Vec<(&str, &str)> =
        named.filter_map(|it| it["format"].as_str().zip(it["playback_url"].as_str())).collect();
    let width = shown.iter().map(|(format, _)| format.len()).max().unwrap_or_default();
    let lines = shown.iter().map(|(format, url)| format!("{format:<width$}  {}\n", client.address(url)));
    print(&lines.collect::<String>())
}

/// A line that tells how far something is: on a terminal it is written over, elsewhere there is one for every tenth.
#[derive(Default)]
pub(super) struct Line {
    /// What was shown last, in hundredths.
    shown: Option<i64>,
}

impl Line {
    /// Shows how far it is.
    pub(super) fn show(&mut self, what: &str, fraction: f64) {
        let percent = (fraction * 100.0).floor() as i64;
        let before = self.shown.replace(percent);
        let mut stderr = std::io::stderr();
        // Nobody to be told is no reason to stop.
        let _ = match stderr.is_terminal() {
            true => write!(stderr, "\r\x1b[K{percent:>3} %  {what}").and_then(|()| stderr.flush()),
            false if before.is_none_or(|before| percent / 10 != before / 10) => {
                writeln!(stderr, "{percent:>3} %  {what}")
            }
            false => Ok(()),
        };
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown.is_some() && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
