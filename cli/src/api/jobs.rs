//! `vtp jobs`: the latest jobs of whoever asks, as a table or as JSON.

use clap::Args;
use serde_json::Value;

use super::ApiArguments;
use crate::text::{Align, Table};
use crate::{Outcome, print};

/// List the latest jobs of the API
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    api: ApiArguments,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,

    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`](crate::exit::Failure) if the API can't be reached or refuses.
pub fn run(arguments: &Arguments) -> Outcome {
    let page = arguments.api.client()?.get(&format!("/v1/jobs?limit={}", arguments.limit))?;
    print(&if arguments.json { format!("{page:#}\n") } else { table(&page) })
}

fn table(page: &Value) -> String {
    let mut table = Table::new(&[
        ("job", Align::Left),
        ("status", Align::Left),
        ("done", Align::Right),
        ("queued", Align::Left),
        ("trouble", Align::Left),
    ]);
    for job in page["data"].as_array().into_iter().flatten() {
        let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let done = job["progress"].as_f64().unwrap_or_default() / 10.0;
        let queued = text("queued_at").chars().take(19).collect::<String>().replace('T', " ");
        table.row([text("id"), text("status"), format!("{done:.0} %"), queued, text("error_message")]);
    }
    table.render("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_a_table_with_what_is_wrong_with_them() {
        let page = serde_json::json!({ "data": [
            { "id": "a", "status": "processing", "progress": 425, "queued_at": "2026-11-26T16:37:47.77Z", "error_message": null },
            { "id": "b", "status": "failed", "progress": 0, "queued_at": "2026-11-26T16:37:47Z", "error_message": "damaged" },
        ]});
        let table = table(&page);
        assert!(
            table.contains("42 %  2026-11-26 16:37:47") && table.lines().nth(2).unwrap().ends_with("damaged"),
            "{table}"
        );
    }
}
