//! What is to be made of a video, as the API has it, and as `vtp encode` is told. Every word of it is of a known list or a number.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::problem::{Kind, Outcome, Problem};

// A word is a `tt`: a `literal` comes in a group of its own, in which the description of the API does not see the name.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words!(
    /// A rung of a ladder.
    Rung {
        /// Every rung at or below the source, and its own height.
        Auto = "auto",
        /// What of `auto` the content needs.
        Smart = "smart",
        /// 480 lines.
        Mobile = "mobile",
        /// 720 lines.
        Standard = "standard",
        /// 1080 lines.
        Hd = "hd",
        /// 2160 lines.
        Uhd = "4k",
        /// Lossless, as the source.
        Archive = "archive",
        /// The source's own samples.
        Copy = "copy",
    }
);

words!(
    /// A codec of the pictures.
    Codec {
        /// H.264.
        H264 = "h264",
        /// H.265.
        Hevc = "hevc",
        /// VP9.
        Vp9 = "vp9",
        /// AV1.
        Av1 = "av1",
    }
);

words!(
    /// How long an encoder may think.
    Speed {
        /// Least.
        Ultrafast = "ultrafast",
        /// More.
        Superfast = "superfast",
        /// More.
        Veryfast = "veryfast",
        /// More.
        Faster = "faster",
        /// More.
        Fast = "fast",
        /// The usual.
        Medium = "medium",
        /// More.
        Slow = "slow",
        /// More.
        Slower = "slower",
        /// Most.
        Veryslow = "veryslow",
    }
);

words!(
    /// A whole file beside the ladder.
    WholeFile {
        /// MP4.
        Mp4 = "mp4",
        /// QuickTime.
        Mov = "mov",
        /// Matroska.
        Mkv = "mkv",
        /// WebM, of vp9 or av1.
        Webm = "webm",
    }
);

/// What is to be made of a video.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Template {
    /// The rungs; `auto` if there are none. `auto` and `smart` stand alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = ladders)]
    pub ladder: Vec<Rung>,
    /// The codecs, the one that everybody plays first; `h264` if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = std::collections::BTreeSet<Codec>)]
    pub codecs: Vec<Codec>,
    /// How long encoders may think; `medium` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// Least mean fidelity (VMAF) of a chunk, 0 to 100; 93 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub quality: Option<f64>,
    /// Seconds of a segment, 0.5 to 60; 4 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.5, maximum = 60)]
    pub segment_s: Option<f64>,
    /// Files beside the ladder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = std::collections::BTreeSet<WholeFile>)]
    pub files: Vec<WholeFile>,
}

/// The ladders that can be meant: a rung that stands alone, or some of the others, each once.
fn ladders() -> Schema {
    let of = |words: &[Rung]| {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().map(|it| it.word())))
    };
    let (alone, others): (Vec<Rung>, Vec<Rung>) = Rung::ALL.iter().partition(|it| it.stands_alone());
    let one = ArrayBuilder::new().items(of(&alone)).min_items(Some(1)).max_items(Some(1));
    let some = ArrayBuilder::new().items(of(&others)).unique_items(true);
    let description = "The rungs; `auto` if there are none. `auto` and `smart` stand alone.";
    OneOfBuilder::new().item(one).item(some).description(Some(description)).into()
}

fn has_twice<T: PartialEq>(all: &[T]) -> bool {
    all.iter().enumerate().any(|(at, one)| all.iter().take(at).any(|other| other == one))
}

impl Rung {
    fn stands_alone(self) -> bool {
        matches!(self, Self::Auto | Self::Smart)
    }
}

impl Template {
    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// [`Kind::Invalid`].
    pub fn check(&self) -> Outcome<()> {
        let invalid = |detail: &'static str| Err(Problem::new(Kind::Invalid, detail));
        if self.ladder.len() > 1 && self.ladder.iter().any(|it| it.stands_alone()) {
            return invalid("ladder: auto and smart stand alone");
        }
        if has_twice(&self.ladder) || has_twice(&self.codecs) || has_twice(&self.files) {
            return invalid("ladder, codecs, files: each thing once");
        }
        if self.quality.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
            return invalid("quality: a score of VMAF from 0 to 100");
        }
        if self.segment_s.is_some_and(|it| !(0.5..=60.0).contains(&it)) {
            return invalid("segment_s: from 0.5 to 60 seconds");
        }
        Ok(())
    }

    /// The words of `vtp encode` that say the same.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push(format!("--{name}={value}"));
            }
        };
        let list = |words: Vec<&str>| (!words.is_empty()).then(|| words.join(","));
        option("ladder", list(self.ladder.iter().map(|it| it.word()).collect()));
        option("codec", list(self.codecs.iter().map(|it| it.word()).collect()));
        option("speed", self.speed.map(|it| it.word().to_owned()));
        option("quality", self.quality.map(|it| it.to_string()));
        option("segment", self.segment_s.map(|it| format!("{it}s")));
        option("files", list(self.files.iter().map(|it| it.word()).collect()));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Template, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_asked_for_becomes_words_of_the_command() {
        let text = r#"{"ladder":["hd","mobile"],"codecs":["hevc","h264"],"speed":"fast","quality":90.5,"segment_s":2,
                       "files":["mp4"]}"#;
        let words = read(text).unwrap().words();
        let expected = "--ladder=hd,mobile --codec=hevc,h264 --speed=fast --quality=90.5 --segment=2s --files=mp4";
        assert_eq!(words.join(" "), expected);
        assert_eq!(read("{}").unwrap().words(), [""; 0]);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        assert!(read(r#"{"ladder":["--force"]}"#).is_err() && read(r#"{"lader":["hd"]}"#).is_err());
        let bad = [
            r#"{"ladder":["auto","hd"]}"#,
            r#"{"quality":101}"#,
            r#"{"segment_s":0}"#,
            r#"{"quality":-1}"#,
            r#"{"codecs":["av1","av1"]}"#,
            r#"{"ladder":["hd","mobile","hd"]}"#,
        ];
        for text in bad {
            assert_eq!(read(text).unwrap().check().unwrap_err().status(), 422, "{text}");
        }
        assert!(read(r#"{"ladder":["smart"]}"#).unwrap().check().is_ok());
    }
}
