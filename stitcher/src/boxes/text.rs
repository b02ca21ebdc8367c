//! WebVTT in ISO media files (ISO/IEC 14496-30, 7): the initialization segment of a text track, and its samples.

use mp4_atom::{FourCC, Hdlr, Mdhd, Nmhd, PlainText, VttC, Wvtt};

use super::init::{Media, init, track_header};
use super::{Error, boxed, nest};

/// The initialization segment of a text track, whose language is told by three letters (ISO 639-2/T).
pub fn text_init(timescale: u32, language: &str) -> Result<Vec<u8>, Error> {
    let entry = Wvtt {
        plaintext: PlainText { data_reference_index: 1 },
        config: VttC { config: "WEBVTT".to_owned() },
        label: None,
        btrt: None,
    };
    let media = Media {
        mdhd: Mdhd { timescale, language: language.to_owned(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(b"text"), name: "TextHandler".to_owned() },
        header: boxed(&Nmhd {})?,
        entry: boxed(&entry)?,
    };
    init(&[b"iso6", b"cmfc", b"cwvt"], &track_header(), None, media)
}

/// The sample that shows these cues, each with its settings and its text; where there are none, that of an empty screen.
pub fn text_sample<'a>(cues: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<u8>, Error> {
    let mut sample = Vec::new();
    for (settings, text) in cues {
        let payload = nest(b"payl", &[text.as_bytes().to_vec()])?;
        let settings = match settings {
            "" => Vec::new(),
            settings => nest(b"sttg", &[settings.as_bytes().to_vec()])?,
        };
        sample.extend(nest(b"vttc", &[settings, payload])?);
    }
    if sample.is_empty() { nest(b"vtte", &[]) } else { Ok(sample) }
}
