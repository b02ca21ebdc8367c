//! Users that are made up.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::Options;
use super::client::Client;

/// Users that sign up at the same time: the server hashes no more passwords at once.
const TOGETHER: usize = 4;

/// Somebody who uses the API.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) token: String,
    pub(super) address: Ipv4Addr,
}

/// Somebody with a video that can be encoded.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) person: Person,
    pub(super) video: String,
    pub(super) job: String,
    /// A video whose upload is begun.
    pub(super) open: String,
}

/// All of them.
#[derive(Debug)]
pub(super) struct People {
    pub(super) all: Vec<Person>,
    writers: Vec<Writer>,
}

impl People {
    pub(super) fn writers(&self) -> std::slice::Iter<'_, Writer> {
        self.writers.iter()
    }

    /// Has them sign up, and some of them upload a video and order a first job.
    pub(super) async fn make(client: &Client, options: &Options) -> Result<Self> {
        ensure!(options.writers > 0 && options.writers <= options.users, "some of the users have videos");
        let clip = Bytes::from(std::fs::read(&options.clip).with_context(|| options.clip.display().to_string())?);
        let all: Vec<Person> = stream::iter(0..options.users)
            .map(|number| sign_up(client, options.seed, number))
            .buffered(TOGETHER)
            .try_collect()
            .await?;
        let writers = stream::iter(all.iter().take(options.writers))
            .map(|person| write(client, person, clip.clone()))
            .buffered(TOGETHER)
            .try_collect()
            .await?;
        Ok(Self { all, writers })
    }
}

async fn sign_up(client: &Client, seed: u64, number: usize) -> Result<Person> {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)).wrapping_add(u32::try_from(number)?));
    let nobody = Person { token: String::new(), address };
    let who = json!({ "email": format!("user{number}@bench{seed}.example"), "password": "a long enough password" });
    let (status, made) = client.send("POST", "/v1/auth/register", &nobody, Some(&who)).await?;
    ensure!(status == 201, "signing up is answered by {status}: {made}");
    Ok(Person { token: text(&made, "access_token")?, address })
}

async fn write(client: &Client, person: &Person, clip: Bytes) -> Result<Writer> {
    let wanted = json!({ "filename": "clip.mp4", "file_size": clip.len() });
    let begun = said(client.send("POST", "/v1/videos/upload", person, Some(&wanted)).await?, 201)?;
    let (video, size) = (text(&begun, "video_id")?, begun["chunk_size"].as_u64().context("no chunk_size")?);
    for (number, part) in clip.chunks(usize::try_from(size)?.max(1)).enumerate() {
        let path = format!("/v1/videos/{video}/chunk?part={number}");
        let part = Some(clip.slice_ref(part));
        let (status, _) = client.put("PUT", &path, person, "application/octet-stream", part).await?;
        ensure!(status == 200, "a part is answered by {status}");
    }
    let path = format!("/v1/videos/{video}/complete");
    let (mut status, mut answer) = client.send("POST", &path, person, Some(&json!({}))).await?;
    while status == 202 || answer["upload_status"] == "checking" {
        tokio::time::sleep(Duration::from_millis(500)).await;
        (status, answer) = client.send("GET", &format!("/v1/videos/{video}"), person, None).await?;
    }
    if answer["upload_status"] != "uploaded" {
        bail!("a video is not taken: {status} {answer}");
    }
    let path = format!("/v1/videos/{video}/transcode");
    let job = said(client.send("POST", &path, person, Some(&json!({}))).await?, 202)?;
    let begun = said(client.send("POST", "/v1/videos/upload", person, Some(&wanted)).await?, 201)?;
    Ok(Writer { person: person.clone(), job: text(&job, "id")?, open: text(&begun, "video_id")?, video })
}

fn said((status, answer): (u16, Value), expected: u16) -> Result<Value> {
    ensure!(status == expected, "answered by {status}: {answer}");
    Ok(answer)
}

fn text(of: &Value, name: &str) -> Result<String> {
    of[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {of}"))
}
