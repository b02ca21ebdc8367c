//! `vtp report JOB`: step: fetch the report of a job, and what its page is drawn from. In: a job's number. Out: values. Never: a word of
//! the API that is taken for a report without being looked at.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use vtp_control_plane::ids::JobId;

use super::ApiArguments;
use super::client::Client;
use crate::curves::{self, Curves};
use crate::exit::Failure;
use crate::records;
use crate::report::{self, Report};

/// A job that is completed.
pub(crate) struct Completed {
    client: Client,
    job: JobId,
    /// Its report, as the API tells it.
    pub(crate) told: Value,
}

impl Completed {
    /// The job of this number.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is no such job, or it is not completed.
    pub(crate) fn fetch(api: &ApiArguments, job: JobId) -> Result<Self, Failure> {
        let client = api.client()?;
        let told = client.get(&format!("/v1/jobs/{job}/report"))?;
        Ok(Self { client, job, told })
    }

    /// Its report.
    ///
    /// # Errors
    /// It is of a newer vtp, or none.
    pub(crate) fn report(&self) -> Result<Report, Failure> {
        let name = format!("the report of job {}", self.job);
        Ok(records::parse(self.told.to_string().as_bytes(), Path::new(&name), report::VERSION)?)
    }

    /// The address of its ladder, below which players find it.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn ladder(&self) -> Result<PathBuf, Failure> {
        let outputs = self.client.get(&format!("/v1/jobs/{}/outputs", self.job))?;
        let folder = folder(&outputs).context("the API does not say where the ladder is").map_err(Failure::Internal)?;
        Ok(self.client.address(folder).into())
    }

    /// The curves of its page, which lie beside the ladder.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn curves(&self, ladder: &Path) -> Result<Curves, Failure> {
        let path = ladder.join(records::QUALITY);
        let found = self.client.get(&path.to_string_lossy())?;
        Ok(records::parse(found.to_string().as_bytes(), &path, curves::VERSION)?)
    }
}

/// What the addresses of playlists and manifests begin with.
fn folder(outputs: &Value) -> Option<&str> {
    let all = outputs["data"].as_array()?;
    let first = all.iter().find(|it| matches!(it["format"].as_str(), Some("hls" | "dash")))?;
    first["playback_url"].as_str()?.rsplit_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_ladder_is_where_its_playlist_is() {
        let outputs = json!({ "data": [
            { "format": "rendition", "playback_url": "/play/a/b/mobile/index.m3u8" },
            { "format": "hls", "playback_url": "/play/a/b/master.m3u8" },
        ]});
        assert_eq!(folder(&outputs), Some("/play/a/b"));
        assert_eq!([folder(&json!({ "data": [] })), folder(&json!({}))], [None, None]);
    }
}
