//! An API that runs, under load: how long requests take that come whether or not those before them are answered, what a listener costs
//! that hears nothing, and how long a batch takes until it is accepted.
//!
//! Users are made up, each with an address of its own, so the limits of the specification hold and their cost is part of what is
//! measured; the API has to believe `X-Forwarded-For` of this machine for that (`trusted_proxies`).

mod client;
mod listeners;
mod load;
mod people;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use self::client::Client;
use self::people::People;
use crate::table::Table;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the API is, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// The process that serves it, if its memory is to be looked at.
    pub pid: Option<u32>,
    /// A video, for the jobs that are ordered.
    pub clip: PathBuf,
    /// How many users there are.
    pub users: usize,
    /// How many of them have a video, and order jobs.
    pub writers: usize,
    /// Requests a second.
    pub rate: f64,
    /// For how long.
    pub lasts: Duration,
    /// Streams of events that are open at once.
    pub listeners: usize,
    /// How many videos the batches have.
    pub batches: Vec<usize>,
    /// Where chance begins.
    pub seed: u64,
}

/// Measures, and tells in tables.
///
/// # Errors
/// The API refuses what it should not, or is away.
pub fn run(options: &Options) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<String> {
    let client = Client::new(&options.url);
    let began = Instant::now();
    let people = People::make(&client, options).await.context("making users")?;
    eprintln!("{} users are there, {} of them with a video ({:.0?})", options.users, options.writers, began.elapsed());
    let mut text = load::run(&client, &people, options).await?;
    text += "\n";
    text += &batches(&client, &people, &options.batches).await?;
    if options.listeners > 0 {
        text += "\n";
        text += &listeners::run(&people, options).await?;
    }
    Ok(text)
}

/// How long batches take until all their jobs are accepted.
async fn batches(client: &Client, people: &People, sizes: &[usize]) -> Result<String> {
    let mut table = Table::new(&["videos in one batch", "accepted after s"]);
    for (size, writer) in sizes.iter().zip(people.writers().cycle()) {
        let items = vec![json!({ "video_id": writer.video }); *size];
        let began = Instant::now();
        let (status, answer) =
            client.send("POST", "/v1/batches", &writer.person, Some(&json!({ "items": items }))).await?;
        let took = began.elapsed();
        ensure!(status == 202, "a batch of {size} is answered by {status}: {answer}");
        table.row(vec![size.to_string(), format!("{:.2}", took.as_secs_f64())]);
    }
    Ok(table.text())
}
