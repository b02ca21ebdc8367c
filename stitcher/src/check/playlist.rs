//! Playlists as they are written: every tag in its place. Pure; takes any bytes.
//!
//! `m3u8-rs`, which writes our playlists, is not what reads them here: it keeps neither order nor what is said twice,
//! repairs what can't be read by leaving it out, and holds durations in single precision. Whoever judges a playlist has
//! to see its lines.

use std::collections::HashSet;

/// Largest playlist that is read, in bytes.
pub const MOST_BYTES: u64 = 16 << 20;
/// Most lines that say something: a day in segments of a second has half of them.
const MOST_LINES: usize = 400_000;
/// The same of a multivariant playlist, whose lines are held against each other.
const MOST_VARIANT_LINES: usize = 3_000;

/// Tags with an attribute list (RFC 8216bis 4.4).
const WITH_ATTRIBUTES: [&str; 18] = [
    "EXT-X-DEFINE",
    "EXT-X-START",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-DATERANGE",
    "EXT-X-PART",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
    "EXT-X-IMAGE-STREAM-INF",
];

/// A playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playlist {
    /// Its file.
    pub name: String,
    /// Tags and URIs, in order. Comments and blank lines are left out.
    pub lines: Vec<Line>,
    /// What is not UTF-8 as RFC 8216bis 4.1 asks.
    pub encoding: Vec<String>,
    /// Whether the first line is `#EXTM3U`.
    pub opens: bool,
    /// What can't be read, and in which line.
    pub syntax: Vec<(usize, String)>,
}

/// A line that says something.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// What it says.
    pub content: Content,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A tag, without its `#`.
    Tag {
        /// Its name.
        name: String,
        /// What follows the colon.
        value: String,
        /// The same, where it is an attribute list.
        attributes: Attributes,
    },
    /// A URI.
    Uri(String),
}

/// An attribute list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// The value of an attribute, without its quotes.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The value of a decimal number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl Line {
    /// Name, value and attributes, if it is a tag.
    pub fn tag(&self) -> Option<(&str, &str, &Attributes)> {
        match &self.content {
            Content::Tag { name, value, attributes } => Some((name, value, attributes)),
            Content::Uri(_) => None,
        }
    }
}

impl Playlist {
    /// Reads a playlist.
    pub fn read(name: &str, bytes: &[u8]) -> Self {
        let mut playlist = Self { name: name.to_owned(), ..Self::default() };
        let text = playlist.decode(bytes);
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        for (number, line) in (1..).zip(text.split('\n')) {
            if playlist.lines.len() == MOST_LINES {
                playlist.syntax.push((number, format!("only {MOST_LINES} lines are read")));
                break;
            }
            playlist.line(number, line.strip_suffix('\r').unwrap_or(line));
        }
        if playlist.is_multivariant() && playlist.lines.len() > MOST_VARIANT_LINES {
            playlist.lines.truncate(MOST_VARIANT_LINES);
            playlist.syntax.push((0, format!("only {MOST_VARIANT_LINES} lines of a multivariant playlist are read")));
        }
        playlist
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let attribute = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
        let line = |line: &Line| {
            let held = match &line.content {
                Content::Tag { name, value, attributes } => {
                    name.len() + value.len() + attributes.0.iter().map(attribute).sum::<usize>()
                }
                Content::Uri(uri) => uri.len(),
            };
            size_of::<Line>() + held
        };
        let syntax = |(_, what): &(usize, String)| size_of::<(usize, String)>() + what.len();
        self.lines.iter().map(line).chain(self.syntax.iter().map(syntax)).sum()
    }

    fn decode(&mut self, bytes: &[u8]) -> String {
        if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
            self.encoding.push("it starts with a byte order mark".to_owned());
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            self.encoding.push(format!("byte {} is no UTF-8", error.valid_up_to()));
        }
        if let Some(at) = bytes.iter().position(|byte| (*byte < 0x20 && !b"\r\n\t".contains(byte)) || *byte == 0x7F) {
            self.encoding.push(format!("byte {at} is a control character"));
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn line(&mut self, number: usize, line: &str) {
        if number == 1 {
            self.opens = line == "#EXTM3U";
        }
        let content = match line.strip_prefix("#EXT") {
            Some(rest) => {
                let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
                let name = format!("EXT{name}");
                let attributes = match WITH_ATTRIBUTES.contains(&name.as_str()) {
                    true => self.attributes(number, value),
                    false => Attributes::default(),
                };
                Content::Tag { name, value: value.to_owned(), attributes }
            }
            None if line.starts_with('#') || line.trim().is_empty() => return,
            None => Content::Uri(line.to_owned()),
        };
        self.lines.push(Line { number, content });
    }

    /// RFC 8216bis 4.2.
    fn attributes(&mut self, number: usize, list: &str) -> Attributes {
        let (mut found, mut names, mut rest) = (Vec::new(), HashSet::new(), list);
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once('=') else {
                self.syntax.push((number, format!("`{}` is no attribute", short(rest))));
                break;
            };
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
            {
                self.syntax.push((number, format!("`{}` is no attribute name", short(name))));
            }
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => match quoted.split_once('"') {
                    Some((value, after)) => (value, after),
                    None => {
                        self.syntax.push((number, format!("the value of {} has no closing quote", short(name))));
                        (quoted, "")
                    }
                },
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            rest = match after.strip_prefix(',') {
                Some(next) => next,
                None if after.is_empty() => "",
                None => {
                    self.syntax
                        .push((number, format!("`{}` stands behind the value of {}", short(after), short(name))));
                    ""
                }
            };
            let name = name.trim();
            if !names.insert(name.to_owned()) {
                self.syntax.push((number, format!("the attribute {} is there twice", short(name))));
            }
            found.push((name.to_owned(), value.to_owned()));
        }
        Attributes(found)
    }

    /// Every tag of this name: line number, value, attributes.
    pub fn tags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a str, &'a Attributes)> {
        self.lines.iter().filter_map(move |line| {
            let (of, value, attributes) = line.tag()?;
            (of == name).then_some((line.number, value, attributes))
        })
    }

    /// Whether there is such a tag.
    pub fn has(&self, name: &str) -> bool {
        self.tags(name).next().is_some()
    }

    /// Its whole number, if there is such a tag with one.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.tags(name).next()?.1.trim().parse().ok()
    }

    /// Whether it lists variants rather than segments.
    pub fn is_multivariant(&self) -> bool {
        self.has("EXT-X-STREAM-INF") || self.has("EXT-X-MEDIA") || self.has("EXT-X-I-FRAME-STREAM-INF")
    }

    /// Each EXT-X-STREAM-INF with the URI behind it.
    pub fn variants(&self) -> impl Iterator<Item = (usize, &Attributes, Option<&str>)> {
        (0..self.lines.len()).filter_map(|at| {
            let ("EXT-X-STREAM-INF", _, attributes) = self.lines[at].tag()? else { return None };
            let uri = match self.lines.get(at + 1).map(|line| &line.content) {
                Some(Content::Uri(uri)) => Some(uri.as_str()),
                _ => None,
            };
            Some((self.lines[at].number, attributes, uri))
        })
    }

    /// The entries of a media playlist, and the places of what its EXT-X-MAPs name.
    pub fn entries(&self) -> (Vec<Entry>, Vec<Map>) {
        let (mut entries, mut maps) = (Vec::new(), Vec::new());
        let mut state = Entry::default();
        for line in &self.lines {
            match &line.content {
                Content::Tag { name, value, attributes } => match name.as_str() {
                    "EXTINF" => state.seconds = seconds(value),
                    "EXT-X-DISCONTINUITY" => state.discontinuity = true,
                    "EXT-X-GAP" => state.gap = true,
                    "EXT-X-BYTERANGE" => state.range = byte_range(value),
                    "EXT-X-KEY" => state.encryption = Encryption::of(attributes),
                    "EXT-X-MAP" => {
                        state.map = Some(maps.len());
                        let range = attributes.get("BYTERANGE").and_then(byte_range);
                        let uri = attributes.get("URI").unwrap_or_default().to_owned();
                        maps.push(Map { line: line.number, uri, range, encryption: state.encryption });
                    }
                    _ => {}
                },
                Content::Uri(uri) => {
                    let Entry { map, encryption, .. } = state;
                    entries.push(Entry { line: line.number, uri: uri.clone(), ..state });
                    state = Entry { map, encryption, ..Entry::default() };
                }
            }
        }
        (entries, maps)
    }
}

/// A segment as a media playlist lists it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Line of its URI.
    pub line: usize,
    /// Its URI.
    pub uri: String,
    /// Its EXTINF, where there is one that can be read.
    pub seconds: Option<f64>,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Whether it is a gap.
    pub gap: bool,
    /// Length and, where told, start of its bytes in the file.
    pub range: Option<(u64, Option<u64>)>,
    /// Which EXT-X-MAP it is under.
    pub map: Option<usize>,
    /// What EXT-X-KEY it is under.
    pub encryption: Encryption,
}

/// What an EXT-X-MAP names.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Its line.
    pub line: usize,
    /// Its URI.
    pub uri: String,
    /// Length and, where told, start of its bytes in the file.
    pub range: Option<(u64, Option<u64>)>,
    /// What EXT-X-KEY it is under.
    pub encryption: Encryption,
}

/// How segments are encrypted (RFC 8216bis 4.4.4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// As a whole: nothing of them can be read.
    Whole,
    /// Their samples: everything else can be read.
    Samples,
}

impl Encryption {
    fn of(key: &Attributes) -> Self {
        match key.get("METHOD") {
            None | Some("NONE") => Self::None,
            Some(method) if method.starts_with("SAMPLE-AES") => Self::Samples,
            Some(_) => Self::Whole,
        }
    }
}

fn seconds(value: &str) -> Option<f64> {
    let number = value.split(',').next()?.trim();
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.parse().ok().filter(|seconds: &f64| plain && seconds.is_finite())
}

fn byte_range(value: &str) -> Option<(u64, Option<u64>)> {
    match value.trim().split_once('@') {
        Some((length, start)) => Some((length.parse().ok()?, Some(start.parse().ok()?))),
        None => Some((value.trim().parse().ok()?, None)),
    }
}

/// The start of a text that may be long.
pub(super) fn short(text: &str) -> String {
    let start: String = text.chars().take(40).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if start.len() < text.len() && text.chars().count() > 40 { start + "…" } else { start }
}

/// A text that may be hostile, as it can be shown: not too long, and nothing of it moves a terminal's cursor.
pub(super) fn printable(name: &str) -> String {
    let mut shown: String = name.chars().take(400).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if name.chars().nth(400).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"10@0\"\n\
                         #EXTINF:4.004,\n#EXT-X-BYTERANGE:20@10\na.mp4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
                         #EXT-X-DISCONTINUITY\n#EXTINF:2,t\nb.mp4\n#EXT-X-ENDLIST\n";

    #[test]
    fn entries_know_the_tags_that_stand_before_them() {
        let (entries, maps) = Playlist::read("p", MEDIA.as_bytes()).entries();
        assert_eq!(maps[0].range, Some((10, Some(0))));
        assert_eq!((entries[0].seconds, entries[0].range, entries[0].line), (Some(4.004), Some((20, Some(10))), 7));
        assert!(!entries[0].discontinuity && entries[1].discontinuity);
        assert_eq!((entries[1].encryption, entries[1].range, entries[1].map), (Encryption::Whole, None, Some(0)));
    }

    #[test]
    fn what_is_badly_written_is_told_with_its_line() {
        let text = "\u{FEFF}#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,TYPE=VIDEO,NAME=\"a\n#EXT-X-STREAM-INF:BANDWIDTH\nx.m3u8";
        let playlist = Playlist::read("p", text.as_bytes());
        assert!(playlist.opens && playlist.is_multivariant());
        assert_eq!(playlist.encoding, ["it starts with a byte order mark"]);
        let lines: Vec<usize> = playlist.syntax.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 2, 3], "{:?}", playlist.syntax);
    }

    #[test]
    fn quoted_values_may_hold_commas_and_equal_signs() {
        let playlist = Playlist::read("p", b"#EXTM3U\n#EXT-X-STREAM-INF:CODECS=\"a,b=c\",BANDWIDTH=5\nv\n");
        let (_, attributes, uri) = playlist.variants().next().unwrap();
        assert_eq!(
            (attributes.get("CODECS"), attributes.number("BANDWIDTH"), uri),
            (Some("a,b=c"), Some(5.0), Some("v"))
        );
        assert_eq!(playlist.syntax, []);
    }

    #[test]
    fn a_duration_is_a_plain_decimal_number() {
        assert_eq!(
            ["4", "4.5,title", "1e3", "-4", "inf", ""].map(seconds),
            [Some(4.0), Some(4.5), None, None, None, None]
        );
    }
}
