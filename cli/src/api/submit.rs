//! `vtp submit`: step: upload and complete, or have it fetched; ask for a ladder, watch. In: a file or a URL. Out: the address of a
//! ladder. Never: an upload that begins at the start again because the network was away.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::ApiArguments;
use super::client::{Client, Put};
use super::watch::{self, Line};
use crate::exit::Failure;
use crate::{Outcome, print, probe};

/// How often it is asked whether an upload was looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Parts that addresses are asked for together; where a line is slow the last of them may not be good any longer.
const AT_A_TIME: usize = 16;
/// Addresses that are tried for a part, one after another.
const ADDRESSES: u32 = 3;

/// Upload a video to the API, or have it fetched from its URL, and have a ladder made of it
#[derive(Debug, Args)]
pub struct Arguments {
    /// The video: a file, or a URL that begins with https:// or s3://, from which the API fetches it
    input: PathBuf,

    #[command(flatten)]
    api: ApiArguments,

    /// auto, smart, or some of mobile,standard,hd,4k,archive,copy
    #[arg(long, value_name = "RUNGS", value_delimiter = ',', default_value = "auto")]
    ladder: Vec<String>,

    /// Some of h264,hevc,vp9,av1
    #[arg(long, value_name = "CODECS", value_delimiter = ',')]
    codec: Vec<String>,

    /// Encoder preset, as x264 calls them
    #[arg(long, value_name = "PRESET")]
    speed: Option<String>,

    /// Least mean fidelity of a chunk
    #[arg(long, value_name = "VMAF")]
    quality: Option<f64>,

    /// How urgent it is, from 1, the most urgent, to 10
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=10))]
    priority: u8,

    /// Go on with the upload of this video, which was begun before
    #[arg(long, value_name = "VIDEO")]
    resume: Option<String>,

    /// Print the job's number and end, without watching it
    #[arg(long)]
    no_wait: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`], as where the ladder is made on this machine; an API that can't be reached.
pub fn run(arguments: &Arguments) -> Outcome {
    let client = arguments.api.client()?;
    let video = match url(&arguments.input) {
        Some(_) if arguments.resume.is_some() => {
            return Err(Failure::Usage("--resume is for uploads; what has a URL is fetched by itself".to_owned()));
        }
        Some(url) => text(&client.post("/v1/videos", &json!({ "url": url }))?.body, "id")?,
        None => uploaded(&client, arguments)?,
    };
    let output = json!({
        "ladder": arguments.ladder, "codecs": arguments.codec, "speed": arguments.speed, "quality": arguments.quality,
    });
    let wanted = json!({ "priority": arguments.priority, "output": output });
    let job = client.post(&format!("/v1/videos/{video}/transcode"), &wanted)?.body;
    let id = text(&job, "id")?;
    if arguments.no_wait {
        return print(&format!("{id}\n"));
    }
    eprintln!("job {id}");
    fetched(&client, &video)?;
    watch::until_ended(&client, &id)
}

/// What is named by a URL, and is no file here.
fn url(input: &Path) -> Option<&str> {
    input.to_str().filter(|it| ["https://", "http://", "s3://"].iter().any(|scheme| it.starts_with(scheme)))
}

/// Uploads the file, or what is missing of it.
fn uploaded(client: &Client, arguments: &Arguments) -> Result<String, Failure> {
    probe::require_file(&arguments.input)?;
    let video = match &arguments.resume {
        Some(video) => video.clone(),
        None => begin(client, &arguments.input)?,
    };
    upload(client, &video, &arguments.input)
        .inspect_err(|_| eprintln!("to go on with this upload: --resume {video}"))?;
    Ok(video)
}

/// Shows how much has been fetched until all is; nothing where nothing is fetched. Why it failed is told of its job.
fn fetched(client: &Client, video: &str) -> Outcome {
    let mut line = Line::default();
    loop {
        let state = client.get(&format!("/v1/videos/{video}"))?;
        if !matches!(state["upload_status"].as_str(), Some("pending" | "fetching")) {
            return Ok(());
        }
        let (had, size) = (state["fetched_bytes"].as_f64(), state["file_size"].as_f64());
        line.show("fetching", had.zip(size).map_or(0.0, |(had, size)| had / size.max(1.0)));
        std::thread::sleep(LOOK);
    }
}

/// Begins an upload; which video it is.
///
/// # Errors
/// [`Failure`].
pub(crate) fn begin(client: &Client, input: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(input).with_context(|| input.display().to_string()).map_err(Failure::Internal)?.len();
    let name = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy();
    let begun = client.post("/v1/videos/upload", &json!({ "filename": name, "file_size": size }))?.body;
    text(&begun, "video_id")
}

/// Sends what has not arrived yet, and completes the upload.
///
/// # Errors
/// [`Failure`].
pub(crate) fn upload(client: &Client, video: &str, input: &Path) -> Outcome {
    let failed = |error: anyhow::Error| Failure::Internal(error.context(input.display().to_string()));
    let file = File::open(input).map_err(|error| failed(error.into()))?;
    let state = client.get(&format!("/v1/videos/{video}"))?;
    let number = |name: &str| state[name].as_u64().unwrap_or_default();
    let (size, chunk) = (number("file_size"), number("chunk_size").max(1));
    if file.metadata().map_err(|error| failed(error.into()))?.len() != size {
        return Err(Failure::Usage(format!("{} has not the {size} bytes of that upload", input.display())));
    }
    let missing: Vec<u64> = state["missing_parts"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let mut line = Line::default();
    let mut sent = 0;
    for some in missing.chunks(AT_A_TIME) {
        let urls = client.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": some }))?.body;
        for (at, part) in some.iter().enumerate() {
            let place = part * chunk;
            let mut bytes = vec![0; usize::try_from(chunk.min(size.saturating_sub(place))).unwrap_or_default()];
            file.read_exact_at(&mut bytes, place).map_err(|error| failed(error.into()))?;
            put(client, video, *part, text(&urls["data"][at], "url")?, &bytes)?;
            sent += 1;
            line.show("uploading", f64::from(sent) / missing.len() as f64);
        }
    }
    drop(line);
    while client.post(&format!("/v1/videos/{video}/complete"), &Value::Null)?.status == 202 {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Puts a part at this address, or at a fresh one where that is good no longer.
fn put(client: &Client, video: &str, part: u64, mut address: String, bytes: &[u8]) -> Outcome {
    for _ in 0..ADDRESSES {
        match client.put(&address, bytes)? {
            Put::Arrived => return Ok(()),
            Put::Stale => {
                let fresh = client.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": [part] }))?.body;
                address = text(&fresh["data"][0], "url")?;
            }
        }
    }
    Err(Failure::Usage(format!("the addresses that the API gives for part {part} are refused, fresh ones too")))
}

fn text(value: &Value, name: &str) -> Result<String, Failure> {
    let text = value[name].as_str().map(str::to_owned);
    text.with_context(|| format!("the API says nothing of {name}")).map_err(Failure::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_url_is_fetched_by_the_api_and_all_else_is_a_file() {
        for it in ["https://example.com/film.mp4?a=b", "s3://films/film.mp4", "http://127.0.0.1/film.mp4"] {
            assert_eq!(url(Path::new(it)), Some(it));
        }
        for it in ["film.mp4", "./https://film.mp4", "/films/a.mp4", "https:film.mp4", "ftp://example.com/a.mp4"] {
            assert_eq!(url(Path::new(it)), None, "{it}");
        }
    }
}
