//! What an answer of a server of HTTP means for a source: a function of its status and headers. No I/O.

use std::time::Duration;

use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LOCATION, RETRY_AFTER,
};
use axum::http::{HeaderMap, StatusCode};

/// The longest time that a server may have us wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What has come of a source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Had {
    /// Bytes.
    pub(super) bytes: u64,
    /// Its size in bytes, if that is known.
    pub(super) size: Option<u64>,
    /// The entity tag of the contents that they are of.
    pub(super) version: Option<String>,
}

impl Had {
    /// The tag that the rest is asked for with (`If-Range`, RFC 9110, 13.1.5): it takes a strong one. None where all is asked for.
    pub(super) fn resumes_at(&self) -> Option<&str> {
        self.version.as_deref().filter(|tag| self.bytes > 0 && is_strong(tag))
    }
}

/// What an answer means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Its body is the rest of what has come.
    Rest,
    /// Its body is all of it.
    All {
        /// Its size in bytes, if the answer says so.
        size: Option<u64>,
        /// Its entity tag.
        version: Option<String>,
    },
    /// It is another file by now, or another place of it: all of it is asked for anew.
    Anew,
    /// It is elsewhere.
    Redirect(String),
    /// Later it may be there.
    Later {
        /// What is wrong.
        why: String,
        /// How long the server wants us to wait (RFC 9110, 10.2.3).
        wait: Option<Duration>,
    },
    /// It is not to be had.
    Never {
        /// A number of the API.
        code: Option<u16>,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// What an answer means to whoever has had this much.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, had: &Had) -> Answer {
    let text = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim);
    let never = |code, why: &str| Answer::Never { code, why: why.to_owned() };
    match status.as_u16() {
        200 | 206 => {}
        301 | 302 | 303 | 307 | 308 => {
            let nowhere = || never(None, "the server says that it is elsewhere, and not where");
            return text(LOCATION).map_or_else(nowhere, |to| Answer::Redirect(to.to_owned()));
        }
        416 => return if had.resumes_at().is_some() { Answer::Anew } else { never(None, "the server answers 416") },
        401 | 403 | 407 => {
            let why =
                format!("the server answers {}: not everybody may read it; give a signed URL, say", status.as_u16());
            return Answer::Never { code: None, why };
        }
        404 | 410 => {
            return Answer::Never {
                code: None,
                why: format!("the server answers {}: nothing is there", status.as_u16()),
            };
        }
        408 | 425 | 429 | 500.. => {
            let wait = text(RETRY_AFTER).and_then(|it| it.parse().ok()).map(Duration::from_secs);
            let why = format!("the server answers {}", status.as_u16());
            return Answer::Later { why, wait: wait.map(|it| it.min(LONGEST_WAIT)) };
        }
        other => return Answer::Never { code: None, why: format!("the server answers {other}") },
    }
    if text(CONTENT_ENCODING).is_some_and(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity")) {
        return never(None, "the server sends it compressed; have it sent as it is (Content-Encoding: identity)");
    }
    if text(CONTENT_TYPE).is_some_and(is_page) {
        return never(Some(1001), "it is a web page (text/html) and no file; give the URL of the file itself");
    }
    let version = text(ETAG).map(str::to_owned);
    if status == StatusCode::PARTIAL_CONTENT {
        return rest(text(CONTENT_RANGE), version.as_deref(), had);
    }
    match text(CONTENT_LENGTH).and_then(|it| it.parse().ok()) {
        Some(0) => never(Some(1001), "it is empty"),
        size => Answer::All { size, version },
    }
}

/// What a part of it means: the rest, if it is of the same contents and begins behind what has come.
fn rest(range: Option<&str>, version: Option<&str>, had: &Had) -> Answer {
    let is_same = had.resumes_at().is_some() && version.is_none_or(|it| had.version.as_deref() == Some(it));
    let stretch = range.and_then(stretch);
    let is_rest = stretch.is_some_and(|(first, last, whole)| {
        let fits =
            whole.is_none_or(|whole| last.checked_add(1) == Some(whole) && had.size.is_none_or(|it| it == whole));
        first == had.bytes && fits
    });
    if is_same && is_rest { Answer::Rest } else { Answer::Anew }
}

/// `bytes FIRST-LAST/WHOLE`, or `*` for a whole that is not known (RFC 9110, 14.4).
fn stretch(range: &str) -> Option<(u64, u64, Option<u64>)> {
    let (stretch, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = stretch.split_once('-')?;
    let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last, whole))
}

fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

fn is_page(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|it| media_type.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn answer(status: u16, of: &[(&str, &str)], had: &Had) -> Answer {
        read(StatusCode::from_u16(status).unwrap(), &headers(of), had)
    }

    fn had(bytes: u64, tag: &str) -> Had {
        Had { bytes, size: Some(1000), version: Some(tag.to_owned()) }
    }

    #[test]
    fn all_of_it_comes_with_its_size_and_what_it_is_known_by_where_the_server_says_so() {
        let nothing = Had::default();
        let all = answer(200, &[("content-length", "7"), ("etag", "\"a\""), ("content-type", "text/plain")], &nothing);
        assert_eq!(all, Answer::All { size: Some(7), version: Some("\"a\"".to_owned()) });
        assert_eq!(answer(200, &[], &nothing), Answer::All { size: None, version: None });
        let again = answer(200, &[("content-length", "7")], &had(5, "\"a\""));
        assert_eq!(
            again,
            Answer::All { size: Some(7), version: None },
            "it does not know ranges, or is another by now"
        );
    }

    #[test]
    fn the_rest_is_taken_only_of_the_same_contents_and_from_where_it_broke_off() {
        let rest = |range, tag| answer(206, &[("content-range", range), ("etag", tag)], &had(500, "\"a\""));
        assert_eq!(rest("bytes 500-999/1000", "\"a\""), Answer::Rest);
        assert_eq!(rest("bytes 500-999/*", "\"a\""), Answer::Rest);
        for (range, tag) in [
            ("bytes 500-999/1000", "\"b\""),
            ("bytes 499-999/1000", "\"a\""),
            ("bytes 500-998/1000", "\"a\""),
            ("bytes 500-1000/1001", "\"a\""),
            ("bytes 999-500/1000", "\"a\""),
            ("bytes */1000", "\"a\""),
            ("", "\"a\""),
        ] {
            assert_eq!(rest(range, tag), Answer::Anew, "{range} {tag}");
        }
        assert_eq!(
            answer(206, &[("content-range", "bytes 0-6/7")], &Had::default()),
            Answer::Anew,
            "nobody asked for it"
        );
        assert_eq!(answer(416, &[], &had(500, "\"a\"")), Answer::Anew);
        assert_eq!(had(500, "W/\"a\"").resumes_at(), None);
        assert_eq!(had(0, "\"a\"").resumes_at(), None);
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        let nothing = Had::default();
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            let later = answer(status, &[("retry-after", "7")], &nothing);
            let wait = Some(Duration::from_secs(7));
            assert_eq!(later, Answer::Later { why: format!("the server answers {status}"), wait });
        }
        let later = answer(503, &[("retry-after", "99999999")], &nothing);
        assert!(matches!(later, Answer::Later { wait: Some(LONGEST_WAIT), .. }));
        for status in [204, 300, 304, 400, 401, 403, 404, 410, 416, 451] {
            assert!(matches!(answer(status, &[], &nothing), Answer::Never { code: None, .. }), "{status}");
        }
        for page in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
            let never = answer(200, &[("content-type", page)], &nothing);
            assert!(matches!(never, Answer::Never { code: Some(1001), .. }), "{page}");
        }
        assert!(matches!(answer(200, &[("content-encoding", "gzip")], &nothing), Answer::Never { code: None, .. }));
        assert!(matches!(answer(200, &[("content-length", "0")], &nothing), Answer::Never { code: Some(1001), .. }));
    }

    #[test]
    fn an_answer_that_leads_on_says_where() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(answer(status, &[("location", "/x")], &Had::default()), Answer::Redirect("/x".to_owned()));
            assert!(matches!(answer(status, &[], &Had::default()), Answer::Never { .. }));
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_the_rest_but_one_that_goes_on_where_it_broke_off_with_the_same_contents(
            status in prop_oneof![Just(206), 100_u16..600],
            first in 0_u64..4, last in 0_u64..6, whole in 0_u64..6, tag in "(W/)?\"[ab]\"", bytes in 0_u64..4,
        ) {
            let had = Had { bytes, size: None, version: Some("\"a\"".to_owned()) };
            let range = format!("bytes {first}-{last}/{whole}");
            let is_rest = answer(status, &[("content-range", &range), ("etag", &tag)], &had) == Answer::Rest;
            let goes_on = bytes > 0 && first == bytes && last >= first && whole == last + 1;
            prop_assert_eq!(is_rest, status == 206 && tag == "\"a\"" && goes_on);
        }
    }
}
