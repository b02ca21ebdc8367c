//! The API's client: `vtp submit`, `vtp jobs`, `vtp watch`, `vtp report JOB`. In: words. Out: requests over HTTP, and what comes of
//! them. Never: a look into a video.

pub(crate) mod client;
pub mod jobs;
pub(crate) mod report;
pub mod submit;
pub mod watch;

use std::path::Path;

use clap::Args;

use crate::exit::Failure;
use client::Client;

/// The files in the folder of `vtp up` that say where its API is, and by which key it is used.
pub(crate) const ADDRESS: &str = "api";
pub(crate) const KEY: &str = "api-key";

/// Where the API is, and who we are to it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "API")]
pub struct ApiArguments {
    /// Where the API is, such as https://vtp.example.com, or the folder of vtp up
    #[arg(long, value_name = "URL", env = "VTP_API", default_value = "vtp-fleet")]
    api: String,

    /// The API key; better in the environment than on the command line [default: that of vtp up's folder]
    #[arg(long, value_name = "KEY", env = "VTP_API_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl ApiArguments {
    fn client(&self) -> Result<Client, Failure> {
        let folder = Path::new(&self.api);
        let read = |name: &str| {
            let read = std::fs::read_to_string(folder.join(name));
            read.map(|text| text.trim().to_owned()).map_err(|error| {
                let folder = folder.display();
                Failure::Usage(format!(
                    "no API is known in {folder} ({error}): start vtp up, or give its URL with --api"
                ))
            })
        };
        let is_url = self.api.starts_with("http://") || self.api.starts_with("https://");
        let url = if is_url { self.api.trim_end_matches('/').to_owned() } else { read(ADDRESS)? };
        let key = match &self.key {
            Some(key) => key.clone(),
            None if is_url => {
                return Err(Failure::Usage("there is no API key: set VTP_API_KEY, or give --key".to_owned()));
            }
            None => read(KEY)?,
        };
        Ok(Client::new(url, key))
    }
}
