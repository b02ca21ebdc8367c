//! What a client says of an upload (`Upload-Metadata`): pairs of a word and a text in base64. What nobody here knows is kept and not
//! looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Refusal;

/// The longest that is kept, in bytes.
const LONGEST: usize = 8192;
/// What a file is called that nobody has given a name.
const NAMELESS: &str = "upload";

/// What a client says of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// What the file is called.
    pub filename: String,
    /// Its media type.
    pub filetype: Option<String>,
    /// The SHA-256 of the whole, as it was written.
    pub sha256: Option<String>,
}

impl Metadata {
    /// What a header says; of none, nothing.
    ///
    /// # Errors
    /// It is not as it has to be.
    pub fn read(header: Option<&str>) -> Result<Self, Refusal> {
        let pairs = pairs(header.unwrap_or_default())?;
        // Clients differ in what they call it.
        let text = |names: &[&str]| -> Result<Option<String>, Refusal> {
            let found =
                names.iter().find_map(|name| pairs.iter().find(|(key, value)| key == name && !value.is_empty()));
            let Some((_, value)) = found else { return Ok(None) };
            let read = String::from_utf8(value.clone());
            read.map(Some).map_err(|_| Refusal::Header("Upload-Metadata: filename, filetype and sha256 are UTF-8"))
        };
        Ok(Self {
            filename: text(&["filename", "name"])?.unwrap_or_else(|| NAMELESS.to_owned()),
            filetype: text(&["filetype", "type"])?,
            sha256: text(&["sha256"])?,
        })
    }
}

fn pairs(header: &str) -> Result<Vec<(&str, Vec<u8>)>, Refusal> {
    let refused = Refusal::Header(
        "Upload-Metadata: pairs with commas between them, each a word of ASCII that is there once, a blank, and a text in base64",
    );
    if header.len() > LONGEST {
        return Err(Refusal::Header("Upload-Metadata: 8192 bytes at most"));
    }
    let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
    for pair in header.split(',').map(str::trim).filter(|_| !header.trim().is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let is_new = !key.is_empty() && key.is_ascii() && pairs.iter().all(|(other, _)| *other != key);
        match STANDARD.decode(value.trim()) {
            Ok(value) if is_new => pairs.push((key, value)),
            _ => return Err(refused),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn written(pairs: &BTreeMap<String, Vec<u8>>) -> String {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        pairs.join(",")
    }

    #[test]
    fn what_clients_call_a_file_is_its_name_and_what_they_leave_out_is_not_known() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
            Metadata::read(Some(&written(&pairs))).unwrap()
        };
        let uppy = of(&[("name", "a.mp4"), ("filename", "b ü.mp4"), ("type", "video/mp4"), ("relativePath", "")]);
        assert_eq!((&*uppy.filename, uppy.filetype.as_deref(), uppy.sha256), ("b ü.mp4", Some("video/mp4"), None));
        assert_eq!(of(&[("name", "a.mp4"), ("filetype", "")]).filename, "a.mp4");
        assert_eq!(Metadata::read(None).unwrap(), Metadata::read(Some(" ")).unwrap());
        assert_eq!(Metadata::read(Some("is_confidential")).unwrap().filename, NAMELESS);
        for bad in ["filename *", "filename YQ==,filename YQ==", "a YQ==,,b YQ==", "ü YQ==", "filename /w=="] {
            assert!(Metadata::read(Some(bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(pairs in prop::collection::btree_map("[!-+.-~]{1,20}", prop::collection::vec(any::<u8>(), 0..40), 1..8)) {
            let text = written(&pairs);
            let read: BTreeMap<String, Vec<u8>> =
                super::pairs(&text).unwrap().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn nothing_that_somebody_writes_is_too_much(text in ".*") {
            let _ = Metadata::read(Some(&text));
        }
    }
}
