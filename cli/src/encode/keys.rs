//! The key that an output is sealed with: from a file, from the environment, or from a key server, which answers with the key
//! itself or with a CPIX document (DASH-IF, "Content Protection Information Exchange Format"). What holds a key is never
//! printed, nor part of an error.

use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use quick_xml::events::Event;
use vtp_stitcher::seal::{ContentKey, Scheme, Seal};

use crate::exit::Failure;

/// How the output is encrypted, and where its key comes from.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Encryption")]
pub(super) struct KeyArguments {
    /// Encrypt what players fetch: cbcs (samples, for HLS and DASH; h264 and hevc) or aes-128 (whole segments, HLS alone)
    #[arg(long, value_enum, value_name = "SCHEME", requires_all = ["key", "key_uri"])]
    encrypt: Option<SchemeName>,

    /// Where the key is: file:PATH, env:NAME (16 bytes or 32 hexadecimal digits), or the http(s) URL of a key server that
    /// answers with it or with CPIX
    #[arg(long, value_name = "SOURCE", requires = "encrypt")]
    key: Option<KeySource>,

    /// Where players get the key, as it is to stand in playlists
    #[arg(long, value_name = "URI", requires = "encrypt", value_parser = uri)]
    key_uri: Option<String>,

    /// What players call the key, a UUID [default: that of the CPIX document, else made from the key]
    #[arg(long, value_name = "UUID", requires = "encrypt", value_parser = key_id)]
    key_id: Option<KeyId>,

    /// Where ClearKey players get a licence, for the MPD
    #[arg(long, value_name = "URL", requires = "encrypt", value_parser = uri)]
    license_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SchemeName {
    Cbcs,
    #[value(name = "aes-128")]
    Aes128,
}

impl KeyArguments {
    /// The files that are named.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a key in this process's environment, which another process does not have.
    pub(super) fn paths(&mut self) -> Result<Option<&mut PathBuf>, Failure> {
        match &mut self.key {
            Some(KeySource::File(path)) => Ok(Some(path)),
            Some(KeySource::Environment(name)) => Err(Failure::Usage(format!(
                "--key env:{name} is known to this machine alone: put the key into a file that the fleet can read, or on \
                 a key server"
            ))),
            Some(KeySource::Server(_)) | None => Ok(None),
        }
    }
}

/// An identifier of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyId([u8; 16]);

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeySource {
    File(PathBuf),
    Environment(String),
    Server(String),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("http" | "https", _)) => Ok(Self::Server(text.to_owned())),
            // What was given may be the key itself: it is not repeated.
            _ => {
                Err("give file:PATH, env:NAME or an http(s) URL, and never the key itself: others could read it"
                    .to_owned())
            }
        }
    }
}

/// A word that can stand in a quoted string of a playlist.
fn uri(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.chars().all(|c| !c.is_control() && c != '"' && c != ' ');
    if is_plain { Ok(text.to_owned()) } else { Err("give a URI without blanks and quotes".to_owned()) }
}

fn key_id(text: &str) -> Result<KeyId, String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    // Digits are what a key is written in, too.
    let read = (digits.len() == 32).then(|| ContentKey::read(digits.as_bytes()).ok()).flatten();
    read.map(|id| KeyId(*id.bytes()))
        .ok_or_else(|| "give a UUID such as 00112233-4455-6677-8899-aabbccddeeff".to_owned())
}

/// The most that a key, or a document that holds it, may have.
const MOST_BYTES: u64 = 1 << 16;
/// How long a key server may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl KeyArguments {
    /// What the output is sealed with, if it is.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is no key where it should be.
    pub(super) fn seal(&self) -> Result<Option<Seal>, Failure> {
        let (Some(scheme), Some(source), Some(key_uri)) = (self.encrypt, &self.key, &self.key_uri) else {
            return Ok(None);
        };
        let content = source.read().map_err(|why| Failure::Usage(format!("--key: {why}")))?;
        let found = found(&content, self.key_id).map_err(|why| Failure::Usage(format!("--key: {why}")))?;
        let derived = |context: &str| -> [u8; 16] {
            let all = blake3::derive_key(context, found.key.bytes());
            std::array::from_fn(|at| all[at])
        };
        let key_id = self.key_id.or(found.id).map_or_else(|| derived("VideoTranscode Pro 2026 key id"), |id| id.0);
        Ok(Some(Seal {
            scheme: match scheme {
                SchemeName::Cbcs => Scheme::Cbcs,
                SchemeName::Aes128 => Scheme::Aes128,
            },
            iv: derived("VideoTranscode Pro 2026 constant iv"),
            key: found.key,
            key_id,
            key_uri: key_uri.clone(),
            license_url: self.license_url.clone(),
        }))
    }
}

impl KeySource {
    /// What is there. Errors say where, and nothing of what was found.
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let read = || {
                    let mut bytes = Vec::new();
                    match std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)? as u64 {
                        ..=MOST_BYTES => Ok(bytes),
                        _ => Err(std::io::Error::other(format!("it has more than {MOST_BYTES} bytes"))),
                    }
                };
                read().map_err(|error| format!("{} can't be read: {error}", path.display()))
            }
            Self::Environment(name) => match std::env::var_os(name) {
                Some(value) => Ok(value.into_encoded_bytes()),
                None => Err(format!("the environment has no {name}")),
            },
            Self::Server(url) => fetch(url).map_err(|error| format!("the key server gave no key: {error}")),
        }
    }
}

fn fetch(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    agent.get(url).call()?.body_mut().with_config().limit(MOST_BYTES).read_to_vec()
}

/// A key, and what it is called where that is told with it.
struct Found {
    key: ContentKey,
    id: Option<KeyId>,
}

/// The key in what was read. Of several in a CPIX document the one called `wanted`.
fn found(content: &[u8], wanted: Option<KeyId>) -> Result<Found, String> {
    if content.trim_ascii_start().starts_with(b"<") {
        return in_cpix(content, wanted);
    }
    let shape = |_| "what is there is no key: it has to be 16 bytes, 32 hexadecimal digits, or CPIX".to_owned();
    Ok(Found { key: ContentKey::read(content).map_err(shape)?, id: None })
}

/// The key in a CPIX document: `ContentKey` with a `kid`, and below it the key's plain value in base 64.
fn in_cpix(document: &[u8], wanted: Option<KeyId>) -> Result<Found, String> {
    let mut reader = quick_xml::Reader::from_reader(document);
    let broken = |_| "the CPIX document is not well-formed".to_owned();
    let (mut keys, mut id, mut in_value, mut buffer) = (Vec::new(), None, false, Vec::new());
    loop {
        match reader.read_event_into(&mut buffer).map_err(broken)? {
            Event::Start(tag) if tag.local_name().as_ref() == "ContentKey" => {
                let kid = tag.try_get_attribute("kid").ok().flatten();
                id = kid.and_then(|kid| key_id(&kid.value).ok());
            }
            Event::Start(tag) => in_value = tag.local_name().as_ref() == "PlainValue",
            Event::Text(text) if in_value => {
                let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
                let key = ContentKey::new(bytes.ok_or("a key in the CPIX document has no 16 bytes")?);
                keys.push(Found { key, id });
            }
            Event::End(tag) => {
                in_value = false;
                id = id.filter(|_| tag.local_name().as_ref() != "ContentKey");
            }
            Event::Eof => break,
            _ => {}
        }
        buffer.clear();
    }
    if let Some(wanted) = wanted {
        let named = keys.into_iter().find(|key| key.id == Some(wanted));
        return named.ok_or_else(|| "the CPIX document has no plain key of that --key-id".to_owned());
    }
    match keys.len() {
        1 => Ok(keys.remove(0)),
        0 => Err("the CPIX document has no plain key (encrypted ones are not read)".to_owned()),
        _ => Err("the CPIX document has several keys: say which with --key-id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const CPIX: &str = r#"<?xml version="1.0"?>
        <cpix:CPIX xmlns:cpix="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc">
          <cpix:ContentKeyList>
            <cpix:ContentKey kid="00112233-4455-6677-8899-aabbccddeeff">
              <cpix:Data><pskc:Secret><pskc:PlainValue>AAECAwQFBgcICQoLDA0ODw==</pskc:PlainValue></pskc:Secret></cpix:Data>
            </cpix:ContentKey>
          </cpix:ContentKeyList>
        </cpix:CPIX>"#;

    fn arguments(source: KeySource) -> KeyArguments {
        KeyArguments {
            encrypt: Some(SchemeName::Cbcs),
            key: Some(source),
            key_uri: Some("https://keys/1".to_owned()),
            ..KeyArguments::default()
        }
    }

    /// A server that answers one request with `body`.
    fn server(body: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body).unwrap();
        });
        format!("http://{address}/key")
    }

    #[test]
    fn a_key_comes_from_a_file_the_environment_or_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "000102030405060708090a0b0c0d0e0f\n").unwrap();
        let sources = [
            KeySource::File(path),
            KeySource::Server(server(KEY.to_vec())),
            KeySource::Server(server(CPIX.as_bytes().to_vec())),
        ];
        for source in sources {
            let seal = arguments(source).seal().unwrap().unwrap();
            assert_eq!(seal.key, ContentKey::new(KEY));
            assert_ne!(seal.iv, [0; 16]);
        }
        assert_eq!("env:HOME".parse(), Ok(KeySource::Environment("HOME".to_owned())));
        assert!(arguments(KeySource::Environment("VTP_NO_SUCH_KEY".to_owned())).seal().is_err());
        assert!(KeyArguments::default().seal().unwrap().is_none());
    }

    #[test]
    fn the_identifier_is_the_one_asked_for_or_the_documents_or_made_from_the_key() {
        let from = |source| arguments(source).seal().unwrap().unwrap();
        let named = from(KeySource::Server(server(CPIX.as_bytes().to_vec())));
        assert_eq!(named.key_uuid(), "00112233-4455-6677-8899-aabbccddeeff");
        let made = [from(KeySource::Server(server(KEY.to_vec()))), from(KeySource::Server(server(KEY.to_vec())))];
        assert_eq!(made[0].key_id, made[1].key_id, "the same each time");
        assert_ne!(made[0].key_id, KEY);
        let asked = KeyArguments { key_id: Some(KeyId([7; 16])), ..arguments(KeySource::Server(server(KEY.to_vec()))) };
        assert_eq!(asked.seal().unwrap().unwrap().key_id, [7; 16]);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for content in ["secret, but too short", "<a><PlainValue>c2VjcmV0</PlainValue></a>", "<cpix/>", "<a><b></a>"] {
            let error = found(content.as_bytes(), None).err().unwrap();
            assert!(!error.contains("secret") && !error.contains("c2VjcmV0"), "{error}");
        }
        let error = "000102030405060708090a0b0c0d0e0f".parse::<KeySource>().unwrap_err();
        assert!(!error.contains("0001"), "{error}");
        let two = CPIX.replace("</cpix:ContentKeyList>", "<ContentKey kid=\"x\"><PlainValue>AAECAwQFBgcICQoLDA0ODw==</PlainValue></ContentKey></cpix:ContentKeyList>");
        assert!(found(two.as_bytes(), None).err().unwrap().contains("--key-id"));
        assert!(found(two.as_bytes(), Some(key_id("00112233445566778899aabbccddeeff").unwrap())).is_ok());
        assert!(found(two.as_bytes(), Some(KeyId([9; 16]))).is_err());
    }

    #[test]
    fn a_document_that_is_too_large_is_refused_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cpix.xml");
        let mut document = CPIX.to_owned();
        document.push_str(&" ".repeat(MOST_BYTES as usize - document.len()));
        std::fs::write(&path, &document).unwrap();
        assert!(arguments(KeySource::File(path.clone())).seal().is_ok());
        std::fs::write(&path, document.clone() + " ").unwrap();
        assert!(arguments(KeySource::File(path)).seal().is_err());
        assert!(arguments(KeySource::Server(server((document + " ").into_bytes()))).seal().is_err());
    }

    #[test]
    fn a_key_outside_of_a_content_key_is_not_called_what_the_one_before_is() {
        let value = "<PlainValue>AAECAwQFBgcICQoLDA0ODw==</PlainValue>";
        let kid = "00112233445566778899aabbccddeeff";
        let document = format!("<a><ContentKey kid=\"{kid}\"><x/></ContentKey><b>{value}</b></a>");
        assert!(found(document.as_bytes(), Some(key_id(kid).unwrap())).is_err());
        assert_eq!(found(document.as_bytes(), None).unwrap().id, None);
    }

    #[test]
    fn an_identifier_is_a_uuid_and_a_uri_fits_a_playlist() {
        assert!(key_id("00112233-4455-6677-8899-aabbccddeeff").is_ok());
        assert!(["", "0011", "00112233-4455-6677-8899-aabbccddeefg"].iter().all(|text| key_id(text).is_err()));
        assert!(uri("https://keys/1?a=b").is_ok());
        assert!(["", "a b", "a\"b", "a\nb"].iter().all(|text| uri(text).is_err()));
    }
}
