//! Where the API is for whoever is outside, as it is written into answers. Nothing is looked for there.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use serde_with::{DeserializeFromStr, SerializeDisplay};

/// The address of the API, up to and without the `/v1`; without a slash at its end.
#[derive(Clone, PartialEq, Eq, Debug, SerializeDisplay, DeserializeFromStr)]
pub struct PublicUrl(String);

/// What is no such address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no address of an API: as in https://video.example.com")]
pub struct NoPublicUrl(String);

impl FromStr for PublicUrl {
    type Err = NoPublicUrl;

    fn from_str(text: &str) -> Result<Self, NoPublicUrl> {
        let refused = || NoPublicUrl(text.to_owned());
        let address: Uri = text.parse().map_err(|_| refused())?;
        let is_web = matches!(address.scheme_str(), Some("http" | "https"));
        match is_web && address.host().is_some() && address.query().is_none() && !text.contains('#') {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of `path`, which begins with a slash: where it is known where the API is, with that.
pub fn address(of: Option<&PublicUrl>, path: &str) -> String {
    of.map_or_else(|| path.to_owned(), |of| format!("{of}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_behind_where_the_api_is_if_that_is_known() {
        let known: PublicUrl = "https://video.example.com/api/".parse().unwrap();
        assert_eq!(address(Some(&known), "/v1/x"), "https://video.example.com/api/v1/x");
        assert_eq!(address(None, "/v1/x"), "/v1/x");
        for bad in ["video.example.com", "ftp://x", "https://", "/v1", "", "https://x?y=1", "https://x#y"] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
