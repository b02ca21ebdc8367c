//! What the document says of the API, held against what the API does: schemathesis makes requests of the document, right ones and
//! wrong ones, and looks whether the answers are among those described. It is skipped where there is no schemathesis; with
//! `VTP_SCHEMATHESIS=required` that is a failure. `VTP_SCHEMATHESIS_SEED` has it make other requests.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fixture::Platform;
use fixture::peers::{find, say};
use serde_json::json;

/// How many requests are made up of an operation.
const EXAMPLES: &str = "20";
/// How long it may take; usually it is a fraction of this.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn what_the_document_says_is_what_the_api_does() {
    let Some(schemathesis) = find("schemathesis", "schemathesis", |_| true) else { return };
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let job = ann.transcode(&video);
    ann.events(&job, None);
    let outputs = ann.get(&format!("/v1/jobs/{job}/outputs")).ok(200);
    let signature = outputs["data"][0]["playback_url"].as_str().unwrap().split('/').nth(3).unwrap().to_owned();
    let failed = ann.transcode(&ann.uploaded("fail.mp4"));
    ann.events(&failed, None);
    ann.post("/v1/api-keys", &json!({ "name": "k", "scopes": ["read"] })).ok(201);
    let hook = json!({ "url": "https://example.com/", "events": ["job.failed"] });
    let hook = ann.post("/v1/webhooks", &hook).ok(201)["id"].as_str().unwrap().to_owned();
    ann.post(&format!("/v1/webhooks/{hook}/test"), &json!(null)).ok(202);
    let to_end = platform.register("bob@example.com");
    let seed = std::env::var("VTP_SCHEMATHESIS_SEED").unwrap_or_else(|_| "1".to_owned());
    say(&format!("schemathesis runs with seed {seed}"));
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let mut command = Command::new(&schemathesis);
    command.arg("--config-file").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml"));
    command.args(["run", &platform.place("/openapi.json"), "--no-color", "--checks", "all", "--seed", &seed]);
    command.args(["--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing,stateful"]);
    command.env("VTP_TOKEN", &ann.token).env("VTP_TOKEN_TO_END", &to_end.token);
    command.env("VTP_PLAYED_JOB", &job).env("VTP_PLAYED_SIGNATURE", &signature);
    command.env("SCHEMATHESIS_HOOKS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis_hooks.py"));
    command.env("NO_PROXY", "127.0.0.1").env("PYTHONUTF8", "1").current_dir(folder.path());
    let output = File::create(&said).unwrap();
    command.stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = String::from_utf8_lossy(&std::fs::read(&said).unwrap()).into_owned();
    if let Ok(path) = std::env::var("VTP_SCHEMATHESIS_SAID") {
        std::fs::write(path, &said).unwrap();
    }
    assert!(status.is_some_and(|it| it.success()), "seed {seed}, {status:?} after {:?}:\n{said}", began.elapsed());
}
