//! What requests say in their headers, and what follows from it.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{self, Algorithm, Context};

use super::{MEDIA_TYPE, Metadata, Refusal, State, VERSION};

/// A checksum of the bytes of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checksum {
    algorithm: &'static Algorithm,
    digest: Vec<u8>,
}

impl Checksum {
    fn read(header: &str) -> Result<Self, Refusal> {
        let (name, value) = header.split_once(' ').ok_or(Refusal::Checksum)?;
        let algorithm = match name {
            // The protocol asks for it. It tells what a network has spoilt, not what somebody has forged.
            "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &digest::SHA256,
            _ => return Err(Refusal::Checksum),
        };
        let digest = STANDARD.decode(value.trim()).ok().filter(|it| it.len() == algorithm.output_len());
        digest.map(|digest| Self { algorithm, digest }).ok_or(Refusal::Checksum)
    }

    /// What the bytes are put into.
    pub fn context(&self) -> Context {
        Context::new(self.algorithm)
    }

    /// Whether they were those.
    pub fn is_of(&self, bytes: Context) -> bool {
        bytes.finish().as_ref() == self.digest
    }
}

/// Bytes that are to be added to an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Where they begin.
    pub offset: u64,
    /// What they are held against: then they are kept as a whole, or not at all.
    pub checksum: Option<Checksum>,
}

/// What a request comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Its bytes are to be added.
    Append(Append),
    /// All is there already, and nothing is sent.
    Nothing,
}

/// An upload that is to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTus {
    /// Bytes that it has.
    pub length: u64,
    /// What is said of it, word for word.
    pub said: Option<String>,
    /// What that is.
    pub metadata: Metadata,
    /// Its first bytes come with it.
    pub first: Option<Append>,
}

/// Whether a request is of the version that is spoken.
///
/// # Errors
/// [`Refusal::Version`].
pub fn require_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match text(headers, "tus-resumable") {
        Some(VERSION) => Ok(()),
        _ => Err(Refusal::Version),
    }
}

/// What a request to begin an upload says (POST).
///
/// # Errors
/// [`Refusal`].
pub fn begins(headers: &HeaderMap) -> Result<NewTus, Refusal> {
    require_version(headers)?;
    if headers.contains_key("upload-defer-length") {
        return Err(Refusal::Header("Upload-Defer-Length: how long an upload is has to be known when it begins"));
    }
    let length = number(headers, "upload-length");
    let length = length.ok_or(Refusal::Header("Upload-Length: the bytes of the upload, a whole number"))?;
    let said = match headers.get("upload-metadata") {
        Some(said) => Some(said.to_str().map_err(|_| Refusal::Header("Upload-Metadata: in ASCII"))?.to_owned()),
        None => None,
    };
    let metadata = Metadata::read(said.as_deref())?;
    let first = match headers.contains_key(header::CONTENT_TYPE) {
        true if is_of_upload(headers) => Some(appended(headers, 0, length)?),
        // Some clients have a type with an empty body.
        true if number(headers, "content-length").unwrap_or_default() > 0 => return Err(Refusal::MediaType),
        _ => None,
    };
    Ok(NewTus { length, said, metadata, first })
}

/// What a request to go on with an upload says (PATCH), and what follows from how far that is.
///
/// # Errors
/// [`Refusal`].
pub fn continues(headers: &HeaderMap, state: State) -> Result<Asked, Refusal> {
    require_version(headers)?;
    if !is_of_upload(headers) {
        return Err(Refusal::MediaType);
    }
    let offset = number(headers, "upload-offset");
    let offset = offset.ok_or(Refusal::Header("Upload-Offset: the byte that this begins at, a whole number"))?;
    let append = appended(headers, offset, state.length)?;
    let is_empty = number(headers, "content-length") == Some(0);
    match offset == state.received {
        true if is_empty && state.received == state.length => Ok(Asked::Nothing),
        _ if !state.is_open => Err(Refusal::Closed),
        true => Ok(Asked::Append(append)),
        false => Err(Refusal::Offset { offset, received: state.received }),
    }
}

fn appended(headers: &HeaderMap, offset: u64, length: u64) -> Result<Append, Refusal> {
    let checksum = match headers.get("upload-checksum") {
        Some(told) => Some(Checksum::read(told.to_str().map_err(|_| Refusal::Checksum)?)?),
        None => None,
    };
    let end = offset.checked_add(number(headers, "content-length").unwrap_or_default());
    match end.is_some_and(|end| end <= length) {
        true => Ok(Append { offset, checksum }),
        false => Err(Refusal::TooLong(length)),
    }
}

fn is_of_upload(headers: &HeaderMap) -> bool {
    text(headers, "content-type").is_some_and(|it| it.eq_ignore_ascii_case(MEDIA_TYPE))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A number of digits and nothing else; `None` if there is none.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = text(headers, name).filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?;
    // So that it is one in the database, too.
    text.parse().ok().filter(|it| i64::try_from(*it).is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        let pairs = of.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        pairs.collect()
    }

    fn patch(offset: u64, bytes: u64) -> HeaderMap {
        let (offset, bytes) = (offset.to_string(), bytes.to_string());
        headers(&[
            ("tus-resumable", "1.0.0"),
            ("content-type", MEDIA_TYPE),
            ("upload-offset", &offset),
            ("content-length", &bytes),
        ])
    }

    proptest! {
        #[test]
        fn bytes_are_taken_where_the_upload_is_and_as_far_as_it_goes_and_nowhere_else(
            length in 1_u64..50,
            received in 0_u64..50,
            offset in 0_u64..60,
            bytes in 0_u64..60,
            is_open in any::<bool>(),
        ) {
            let state = State { received: received.min(length), length, is_open };
            let asked = continues(&patch(offset, bytes), state);
            let fits = offset + bytes <= length;
            match asked {
                Ok(Asked::Append(append)) => {
                    prop_assert!(fits && is_open && append.offset == offset && offset == state.received);
                }
                Ok(Asked::Nothing) => prop_assert!(bytes == 0 && offset == length && state.received == length),
                Err(Refusal::Offset { .. }) => prop_assert!(fits && is_open && offset != state.received),
                Err(Refusal::Closed) => prop_assert!(fits && !is_open),
                Err(Refusal::TooLong(_)) => prop_assert!(!fits),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn whatever_stands_in_headers_is_an_answer(
            values in prop::collection::vec("[ -~]{0,60}", 6),
        ) {
            let names = ["tus-resumable", "content-type", "upload-offset", "upload-length", "upload-checksum", "upload-metadata"];
            let pairs: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
            let _ = (begins(&headers(&pairs)), continues(&headers(&pairs), State { received: 0, length: 5, is_open: true }));
            let pairs: Vec<(&str, &str)> = [("tus-resumable", VERSION), ("content-type", MEDIA_TYPE)]
                .into_iter()
                .chain(pairs.into_iter().skip(2))
                .collect();
            let _ = (begins(&headers(&pairs)), continues(&headers(&pairs), State { received: 0, length: 5, is_open: true }));
        }

        #[test]
        fn a_checksum_is_of_its_bytes_and_no_others(bytes in prop::collection::vec(any::<u8>(), 0..50), is_short in any::<bool>()) {
            let (name, algorithm) = if is_short { ("sha1", &digest::SHA1_FOR_LEGACY_USE_ONLY) } else { ("sha256", &digest::SHA256) };
            let told = format!("{name} {}", STANDARD.encode(digest::digest(algorithm, &bytes)));
            let checksum = Checksum::read(&told).unwrap();
            let of = |parts: &[&[u8]]| {
                let mut context = checksum.context();
                parts.iter().for_each(|part| context.update(part));
                checksum.is_of(context)
            };
            let (first, second) = bytes.split_at(bytes.len() / 2);
            prop_assert!(of(&[first, second]) && !of(&[&bytes, b"x"]));
        }
    }

    #[test]
    fn what_a_request_lacks_is_said() {
        let state = State { received: 0, length: 5, is_open: true };
        let without = |name: &str| {
            let mut headers = patch(0, 5);
            headers.remove(name);
            continues(&headers, state)
        };
        assert_eq!(without("tus-resumable"), Err(Refusal::Version));
        assert_eq!(without("content-type"), Err(Refusal::MediaType));
        assert!(matches!(without("upload-offset"), Err(Refusal::Header(_))));
        // A body whose length nobody knows is held against it as it comes.
        assert!(matches!(without("content-length"), Ok(Asked::Append(_))));
        for odd in ["-1", "+1", "1.0", " 1", "", "9223372036854775808", "99999999999999999999"] {
            let headers = headers(&[("tus-resumable", "1.0.0"), ("upload-length", odd)]);
            assert!(matches!(begins(&headers), Err(Refusal::Header(_))), "{odd}");
        }
    }

    #[test]
    fn an_upload_begins_with_its_length_and_perhaps_its_first_bytes() {
        let plain = [("tus-resumable", "1.0.0"), ("upload-length", "5")];
        assert_eq!(begins(&headers(&plain)).unwrap().first, None);
        let with = |more: &[(&str, &str)]| begins(&headers(&[plain.as_slice(), more].concat()));
        let first = with(&[("content-type", MEDIA_TYPE), ("content-length", "5")]).unwrap().first;
        assert_eq!(first, Some(Append { offset: 0, checksum: None }));
        assert_eq!(with(&[("content-type", MEDIA_TYPE), ("content-length", "6")]), Err(Refusal::TooLong(5)));
        assert_eq!(with(&[("content-type", "text/plain"), ("content-length", "5")]), Err(Refusal::MediaType));
        assert_eq!(with(&[("content-type", "text/plain"), ("content-length", "0")]).unwrap().first, None);
        assert!(matches!(with(&[("upload-defer-length", "1")]), Err(Refusal::Header(_))));
        let bad = with(&[("content-type", MEDIA_TYPE), ("upload-checksum", "md5 AAAA")]);
        assert_eq!(bad, Err(Refusal::Checksum));
    }
}
