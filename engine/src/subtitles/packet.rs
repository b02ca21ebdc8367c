//! What containers hold: a packet's payload is the text of one cue, in a form that the stream's codec names.

use super::bytes::decode;
use super::markup::{self, Marked};
use super::{ass, mov_text};

/// How the payloads of a stream are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// SubRip's text without its times.
    Srt,
    /// Text without markup.
    Plain,
    /// An event of ASS or SSA.
    Ass,
    /// 3GPP timed text.
    MovText,
    /// WebVTT cue text.
    WebVtt,
}

/// What a packet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The cue's text; empty if it shows nothing.
    pub marked: Marked,
    /// What is doubtful about its bytes, in half a sentence.
    pub doubt: Option<&'static str>,
}

impl Form {
    /// The form of the codec that FFmpeg calls `codec`; `None` if that is no text.
    pub fn of(codec: &str) -> Option<Self> {
        match codec {
            "subrip" | "srt" => Some(Self::Srt),
            "text" => Some(Self::Plain),
            "ass" | "ssa" => Some(Self::Ass),
            "mov_text" => Some(Self::MovText),
            "webvtt" => Some(Self::WebVtt),
            _ => None,
        }
    }

    /// Whether a stream of this form with these codec headers says that all of it has to be shown.
    pub fn forces(self, headers: &[u8]) -> bool {
        self == Self::MovText && mov_text::is_forced(headers)
    }

    /// Reads a payload; `settings` are the WebVTT settings that came beside it.
    pub fn read(self, payload: &[u8], settings: &str) -> Payload {
        if self == Self::MovText {
            let (marked, doubt) = mov_text::read(payload);
            return Payload { marked, doubt };
        }
        // Some writers end the text with a zero byte.
        let end = payload.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let decoded = decode(&payload[..end]);
        let marked = match self {
            Self::Srt => markup::srt(&decoded.text),
            Self::Ass => ass::packet_text(&decoded.text).map(markup::ass).unwrap_or_default(),
            Self::WebVtt => markup::vtt(&decoded.text, settings),
            Self::Plain | Self::MovText => markup::plain(&decoded.text),
        };
        Payload { marked, doubt: decoded.doubt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_yields_cue_text() {
        for (codec, payload, text) in [
            ("subrip", &b"a <i>b</i>\r\nc\0"[..], "a <i>b</i>\nc"),
            ("text", b"a <i>b</i>", "a &lt;i&gt;b&lt;/i&gt;"),
            ("ass", b"1,0,Default,,0,0,0,,{\\i1}a\\Nb", "<i>a\nb</i>"),
            ("mov_text", b"\0\x01x", "x"),
            ("webvtt", b"<v A>x", "<v A>x</v>"),
        ] {
            let read = Form::of(codec).unwrap().read(payload, "");
            assert_eq!((read.marked.text.as_str(), read.doubt), (text, None), "{codec}");
        }
        assert_eq!(Form::of("hdmv_pgs_subtitle"), None);
        assert!(Form::Srt.read(b"caf\xE9", "").doubt.is_some());
    }
}
