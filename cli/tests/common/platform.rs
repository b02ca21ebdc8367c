//! A platform that `vtp up` runs: Postgres, NATS, the API and a fleet of one node; whoever uses it does so by curl.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed
#![allow(dead_code)] // each file of tests uses its part

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use vtp_control_plane::postgres;
use vtp_fleet::server;

use crate::common::{self, Scene, VTP};

/// A platform that runs.
pub(crate) struct Platform<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) up: Child,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Drop for Platform<'_> {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.up.id().to_string()]).status();
        let _ = self.up.wait();
    }
}

/// What it needs is here; `false`, said aloud, where it is not, unless the environment says that it is required.
pub(crate) fn can_be() -> bool {
    let is_required = |name: &str| std::env::var_os(name).is_some_and(|it| it == "required");
    let missing = [
        (server::binary().is_none(), "VTP_NATS", "nats-server; make nats gets one"),
        (postgres::programs().is_none(), "VTP_POSTGRES", "PostgreSQL"),
    ];
    for (is_missing, variable, what) in missing {
        if is_missing {
            assert!(!is_required(variable), "there is no {what}");
            common::skipped(&format!("there is no {what}"));
            return false;
        }
    }
    true
}

impl<'a> Platform<'a> {
    pub(crate) fn start(scene: &'a Scene, more: &str, environment: &[(&str, String)]) -> Self {
        // Root's Postgres runs as another user, who has to get to its folder.
        std::fs::set_permissions(scene.path("."), std::fs::Permissions::from_mode(0o711)).unwrap();
        let line = format!("up --data platform --nodes 1 --http 0 {more} --server");
        let mut up = Command::new(VTP);
        up.args(line.split_whitespace()).arg(server::binary().unwrap()).current_dir(scene.path("."));
        up.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut up = up.stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(up.stderr.take().unwrap());
        let (mut lines, mut url) = (String::new(), String::new());
        while !lines.contains("what its processes say") {
            let before = lines.len();
            assert!(told.read_line(&mut lines).unwrap() > 0, "{lines}");
            if let Some(rest) = lines[before..].strip_prefix("the API is there, at ") {
                url = rest.split("/v1").next().unwrap().to_owned();
            }
        }
        assert!(lines.contains("an API key is in"), "{lines}");
        let token = std::fs::read_to_string(scene.path("platform/api-key")).unwrap();
        // What it says from now on is read, so that it can say it.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { scene, up, url, token }
    }

    /// As curl does it: the status, and what came.
    pub(crate) fn curl(&self, words: &[&str], place: &str) -> (u16, Vec<u8>) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {}", self.token)]);
        let output = curl.args(words).arg(format!("{}{place}", self.url)).current_dir(self.scene.path(".")).output();
        let mut came = output.unwrap().stdout;
        let line = came.iter().rposition(|byte| *byte == b'\n').unwrap();
        let status = String::from_utf8(came.split_off(line)).unwrap().trim().parse().unwrap();
        (status, came)
    }

    pub(crate) fn json(&self, words: &[&str], place: &str, status: u16) -> Value {
        let (told, came) = self.curl(words, place);
        let text = String::from_utf8(came).unwrap();
        assert_eq!(told, status, "{place}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    pub(crate) fn post(&self, place: &str, body: &Value, status: u16) -> Value {
        let body = body.to_string();
        self.json(&["-X", "POST", "-H", "Content-Type: application/json", "-d", &body], place, status)
    }

    /// Sends the file `part` to the address that was given for it, which needs no token and may be the store's.
    fn put_part(&self, url: &str) {
        let url = if url.starts_with('/') { format!("{}{url}", self.url) } else { url.to_owned() };
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-f", "-T", "part", &url]).current_dir(self.scene.path("."));
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Uploads a file of the scene, and completes it.
    pub(crate) fn upload(&self, name: &str) -> String {
        let content = std::fs::read(self.scene.path(name)).unwrap();
        let wanted = json!({ "filename": name, "file_size": content.len(), "content_type": "video/mp4" });
        let begun = self.post("/v1/videos/upload", &wanted, 201);
        let chunk = begun["chunk_size"].as_u64().unwrap() as usize;
        for (url, part) in begun["upload_urls"].as_array().unwrap().iter().zip(content.chunks(chunk)) {
            std::fs::write(self.scene.path("part"), part).unwrap();
            self.put_part(url.as_str().unwrap());
        }
        begun["video_id"].as_str().unwrap().to_owned()
    }
}
