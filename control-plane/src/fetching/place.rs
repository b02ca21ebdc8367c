//! Where a source comes from: a URL, looked at as far as it says by itself where it leads. No I/O: what a name means is looked at where
//! it is connected to (`outside/`).

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;
use vtp_store::Location;

use crate::outside::Refused;

/// The longest URL, in bytes.
pub(crate) const LONGEST: usize = 2048;
/// The longest name that a file may have, in letters.
const LONGEST_NAME: usize = 500;
/// The ports below 1024 that files are served at; behind the others are services that somebody else's request has no business with.
const PORTS: [u16; 2] = [80, 443];

/// Where a source comes from.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Place {
    /// A server of HTTP.
    Http(Url),
    /// An object in S3, read as the control plane itself.
    S3(Location),
}

/// Why a source is not taken from there; the sentence says what to change.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    /// It is too long, or has letters that no URL has.
    #[error("from 1 to {LONGEST} letters, without blanks and control characters")]
    Text,
    /// It is none.
    #[error("it is no URL: {0}")]
    Url(url::ParseError),
    /// It is not gone there.
    #[error(transparent)]
    Refused(Refused),
    /// It is no service of files.
    #[error("files are fetched at the ports 80, 443 and from 1024 on, not at {0}")]
    Port(u16),
    /// It is no place in S3.
    #[error(transparent)]
    Location(#[from] vtp_store::NoLocation),
    /// It names nothing in its bucket.
    #[error("it names a bucket and no object in it; write s3://BUCKET/KEY")]
    NoKey,
    /// The bucket is not among those that are read.
    #[error(
        "s3://{0} is none of the buckets that sources are read from; whoever runs this can allow it (source_buckets)"
    )]
    Bucket(String),
    /// It leads from what is encrypted to what is not.
    #[error("it leads on from https to {0}")]
    Downgrade(String),
}

/// What is allowed.
pub(crate) struct Allowed<'a> {
    /// Whether it may be gone to a URL, as far as that says.
    pub(crate) outside: &'a dyn Fn(&Url) -> Result<(), Refused>,
    /// Buckets that are read.
    pub(crate) buckets: &'a [String],
    /// Where our own objects are, which are nobody's sources.
    pub(crate) ours: Option<&'a Location>,
}

impl Place {
    /// What somebody wrote, if a source may come from there.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub(crate) fn read(text: &str, allowed: &Allowed<'_>) -> Result<Self, NoPlace> {
        let is_s3 = Location::is_meant(text);
        let is_odd = |it: char| it.is_control() || (it.is_whitespace() && !is_s3);
        if !(1..=LONGEST).contains(&text.len()) || text.contains(is_odd) {
            return Err(NoPlace::Text);
        }
        if is_s3 {
            return object(text.parse()?, allowed).map(Self::S3);
        }
        let mut url = Url::parse(text).map_err(NoPlace::Url)?;
        url.set_fragment(None);
        // As it is kept: letters that are not of ASCII have become longer.
        if url.as_str().len() > LONGEST {
            return Err(NoPlace::Text);
        }
        check(&url, allowed)?;
        Ok(Self::Http(url))
    }

    /// As it may be shown: without its query, in which secrets are.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Http(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.into()
            }
            Self::S3(location) => location.to_string(),
        }
    }

    /// What the file there is called.
    pub(crate) fn filename(&self) -> String {
        let path = match self {
            Self::Http(url) => url.path().trim_end_matches('/'),
            Self::S3(location) => location.key.trim_end_matches('/'),
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = match self {
            Self::Http(_) => percent_decode_str(last).decode_utf8_lossy().replace(['/', '\\'], "_"),
            Self::S3(_) => last.to_owned(),
        };
        let name: String = name.chars().filter(|it| !it.is_control()).take(LONGEST_NAME).collect();
        if name.trim().is_empty() { "video".to_owned() } else { name }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(f),
            Self::S3(location) => location.fmt(f),
        }
    }
}

fn check(url: &Url, allowed: &Allowed<'_>) -> Result<(), NoPlace> {
    (allowed.outside)(url).map_err(NoPlace::Refused)?;
    match url.port() {
        Some(port) if port < 1024 && !PORTS.contains(&port) => Err(NoPlace::Port(port)),
        _ => Ok(()),
    }
}

fn object(location: Location, allowed: &Allowed<'_>) -> Result<Location, NoPlace> {
    if location.key.is_empty() {
        return Err(NoPlace::NoKey);
    }
    let is_ours = allowed.ours.is_some_and(|it| it.bucket == location.bucket && location.key.starts_with(&*it.key));
    if is_ours || !allowed.buckets.contains(&location.bucket) {
        return Err(NoPlace::Bucket(location.bucket));
    }
    Ok(location)
}

/// Where an answer leads on to, if it may be gone there.
///
/// # Errors
/// [`NoPlace`].
pub(crate) fn redirected(from: &Url, location: &str, allowed: &Allowed<'_>) -> Result<Url, NoPlace> {
    let mut to = from.join(location).map_err(NoPlace::Url)?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(NoPlace::Downgrade(to.scheme().to_owned()));
    }
    to.set_fragment(None);
    check(&to, allowed)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use url::Host;

    use super::*;
    use crate::outside::is_public;

    /// As the outside is checked where nothing is allowed besides.
    fn outside(url: &Url) -> Result<(), Refused> {
        let address = match url.host().ok_or(Refused::Host)? {
            _ if url.scheme() != "https" => return Err(Refused::Scheme("https://")),
            _ if !url.username().is_empty() || url.password().is_some() => return Err(Refused::Credentials),
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(it) => IpAddr::V4(it),
            Host::Ipv6(it) => IpAddr::V6(it),
        };
        if is_public(address) { Ok(()) } else { Err(Refused::NotPublic(address)) }
    }

    fn read(text: &str) -> Result<Place, NoPlace> {
        let ours = Location { bucket: "shared".to_owned(), key: "vtp/".to_owned() };
        let buckets = ["films".to_owned(), "shared".to_owned()];
        Place::read(text, &Allowed { outside: &outside, buckets: &buckets, ours: Some(&ours) })
    }

    fn leads(from: &str, location: &str) -> Result<String, NoPlace> {
        let allowed = Allowed { outside: &outside, buckets: &[], ours: None };
        redirected(&from.parse().unwrap(), location, &allowed).map(String::from)
    }

    #[test]
    fn what_leads_inside_or_says_who_asks_is_not_taken() {
        let inside = [
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "10.0.0.1",
            "0x7f.1",
            "2130706433",
            "127.1",
            "017700000001",
        ];
        for host in inside {
            let refused = read(&format!("https://{host}/film.mp4"));
            assert!(matches!(refused, Err(NoPlace::Refused(Refused::NotPublic(_)))), "{host}: {refused:?}");
        }
        let refused = read("https://example.com@127.0.0.1/").unwrap_err();
        assert_eq!(refused, NoPlace::Refused(Refused::Credentials));
        assert!(!read("https://ann:secret@example.com/").unwrap_err().to_string().contains("secret"));
        for port in [22, 25, 81, 1023] {
            assert_eq!(read(&format!("https://example.com:{port}/a")), Err(NoPlace::Port(port)));
        }
        for bad in ["", "film.mp4", "http://example.com/", "file:///etc/passwd", "https://a b/", "https://a\n/"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(read(&format!("https://example.com/{}", "x".repeat(LONGEST))), Err(NoPlace::Text));
        assert_eq!(
            read(&format!("https://example.com/{}", "ü".repeat(LONGEST / 3))),
            Err(NoPlace::Text),
            "as it is kept"
        );
    }

    #[test]
    fn a_place_is_shown_without_its_query_and_its_file_is_called_as_its_last_part() {
        let place = read("https://example.com:8443/My%20Films/a%2Fb.mp4?signature=secret#x").unwrap();
        assert_eq!(place.shown(), "https://example.com:8443/My%20Films/a%2Fb.mp4");
        assert_eq!(place.to_string(), "https://example.com:8443/My%20Films/a%2Fb.mp4?signature=secret");
        assert_eq!(place.filename(), "a_b.mp4");
        assert_eq!(read("https://example.com/").unwrap().filename(), "video");
        assert_eq!(read("https://example.com/films/").unwrap().filename(), "films");
    }

    #[test]
    fn of_s3_only_what_is_allowed_is_read_and_never_what_is_ours() {
        let film = read("s3://films/a/b c?.mp4").unwrap();
        assert_eq!((film.shown(), film.filename()), ("s3://films/a/b c?.mp4".to_owned(), "b c?.mp4".to_owned()));
        assert_eq!(read("s3://other/a.mp4"), Err(NoPlace::Bucket("other".to_owned())));
        assert_eq!(read("s3://shared/vtp/sources/1/source.mp4"), Err(NoPlace::Bucket("shared".to_owned())));
        assert!(read("s3://shared/a.mp4").is_ok());
        assert_eq!(read("s3://films"), Err(NoPlace::NoKey));
        assert!(matches!(read("s3://F/a"), Err(NoPlace::Location(_))));
    }

    #[test]
    fn what_an_answer_leads_on_to_is_looked_at_as_what_somebody_wrote() {
        let from = "https://example.com/a/film.mp4?x=1";
        assert_eq!(leads(from, "other.mp4").unwrap(), "https://example.com/a/other.mp4");
        assert_eq!(leads(from, "//cdn.example.com/f#x").unwrap(), "https://cdn.example.com/f");
        assert_eq!(leads(from, "http://example.com/"), Err(NoPlace::Downgrade("http".to_owned())));
        assert_eq!(leads(from, "file:///etc/passwd"), Err(NoPlace::Downgrade("file".to_owned())));
        assert!(matches!(leads(from, "https://169.254.169.254/latest"), Err(NoPlace::Refused(Refused::NotPublic(_)))));
        assert_eq!(leads(from, "https://a:b@example.com/"), Err(NoPlace::Refused(Refused::Credentials)));
        assert_eq!(leads(from, "https://example.com:22/"), Err(NoPlace::Port(22)));
    }

    proptest! {
        #[test]
        fn whatever_is_written_names_a_file_and_can_be_read_again(path in "[ -~ü]{0,60}", query in "[a-z=&%]{0,20}") {
            if let Ok(place) = read(&format!("https://example.com/{path}?{query}")) {
                let name = place.filename();
                prop_assert!((1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(['/', '\0']), "{name}");
                prop_assert!(!place.shown().contains('?'));
                prop_assert_eq!(read(&place.to_string()), Ok(place));
            }
        }

        #[test]
        fn no_address_inside_is_taken_however_it_is_written(address: u32) {
            let (v4, mapped) = (Ipv4Addr::from(address), Ipv4Addr::from(address).to_ipv6_mapped());
            for host in [v4.to_string(), format!("{address}"), format!("0x{address:x}"), format!("[{mapped}]")] {
                prop_assert_eq!(read(&format!("https://{host}/")).is_ok(), is_public(v4.into()), "{}", host);
            }
            let embedded = format!("https://[{}]/", Ipv6Addr::from(u128::from(address)));
            prop_assert!(read(&embedded).is_err(), "{}", embedded);
        }
    }
}
