//! The MPD (ISO/IEC 23009-1) as a linter needs it: every Representation with the segments that it lists. Pure; takes any
//! bytes. Read by `dash-mpd-core`.

mod segments;

use std::time::Duration;

use dash_mpd_core::MPD;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Reader};
use segments::{Budget, Levels, Spent};

/// Largest MPD that is read, in bytes.
pub const MOST_BYTES: u64 = 16 << 20;
/// Most segments of a Representation.
const MOST_SEGMENTS: usize = 200_000;
/// Most segments of all Representations.
const MOST_SEGMENTS_OF_ALL: usize = 1_000_000;
/// Longest text that names are made of or that Representations inherit, in bytes.
const MOST_TEXT_BYTES: usize = 4 << 10;
/// Most bytes of all names of segments together.
const MOST_NAME_BYTES: usize = 64 << 20;
/// Most elements, but for rows of timelines and URLs of lists.
const MOST_ELEMENTS: usize = 100_000;

/// What an MPD says.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Whether it is static.
    pub is_static: bool,
    /// Its profiles.
    pub profiles: Option<String>,
    /// Seconds of the whole presentation.
    pub duration: Option<f64>,
    /// Its minBufferTime in seconds.
    pub buffer: Option<f64>,
    /// All Representations of all periods.
    pub representations: Vec<Listed>,
    /// What is contradictory.
    pub problems: Vec<(String, String)>,
}

/// A Representation, with what it inherits.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Its id, behind that of its period where there are several.
    pub name: String,
    /// Which AdaptationSet it is of.
    pub set: usize,
    /// Start of its period in seconds.
    pub period_start: f64,
    /// Length of its period in seconds.
    pub period_length: Option<f64>,
    /// Whether the segments of the AdaptationSet are said to be aligned.
    pub aligned: bool,
    /// The type of stream access point that segments are said to start with.
    pub sap: Option<u64>,
    /// Bits a second.
    pub bandwidth: Option<u64>,
    /// Its codecs.
    pub codecs: Option<String>,
    /// Its MIME type.
    pub mime: Option<String>,
    /// Width and height.
    pub size: Option<(u64, u64)>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// The same as it is told.
    pub frame_rate_text: Option<String>,
    /// Samples a second.
    pub sampling_rate: Option<u64>,
    /// Whether it is said to be encrypted.
    pub protected: bool,
    /// Units a second of its times.
    pub timescale: u64,
    /// The time on the media timeline that is the period's start.
    pub offset: u64,
    /// How its segments are found.
    pub addressing: Addressing,
}

/// How the segments of a Representation are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Addressing {
    /// Not at all.
    #[default]
    None,
    /// One file.
    Whole(Reference),
    /// One file with an index in this byte range (first and last byte).
    Indexed {
        /// The file, with the byte range of its initialization segment.
        init: Reference,
        /// The range of the index.
        index: (u64, u64),
    },
    /// Each by itself.
    Segments {
        /// The initialization segment.
        init: Option<Reference>,
        /// Each segment: where, start and duration.
        segments: Vec<(Reference, u64, u64)>,
        /// Whether times are told one by one, by a SegmentTimeline.
        exact: bool,
    },
}

/// A URI, and the first and the last byte where it is a part of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// Relative to the MPD.
    pub uri: String,
    /// The byte range.
    pub range: Option<(u64, u64)>,
}

/// Reads an MPD.
///
/// # Errors
/// What is wrong with it, if it is none.
pub fn read(bytes: &[u8]) -> Result<Outline, String> {
    let xml = std::str::from_utf8(bytes).map_err(|error| format!("byte {} is no UTF-8", error.valid_up_to()))?;
    if has_endless_duration(xml) {
        return Err("a duration has too many digits".to_owned());
    }
    let xml = xml.strip_prefix('\u{FEFF}').unwrap_or(xml);
    if has_too_many_elements(xml) {
        return Err(format!("it has more than {MOST_ELEMENTS} elements"));
    }
    let mpd = dash_mpd_core::parse(xml).map_err(|error| error.to_string())?;
    let mut outline = outline(&mpd);
    outline.problems.extend(lax(xml).map(|problem| ("MPD".to_owned(), problem)));
    Ok(outline)
}

/// What `dash-mpd-core` reads and others refuse: characters that XML does not have (XML 1.0, 2.2), and prefixes that are
/// bound to no namespace (Namespaces in XML 1.0, 5).
fn lax(xml: &str) -> Option<String> {
    let is_none =
        |c: &char| matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    if let Some(odd) = xml.chars().find(is_none) {
        return Some(format!("U+{:04X} in it is no character of XML", u32::from(odd)));
    }
    let mut reader = NsReader::from_str(xml);
    loop {
        let element = match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => element,
            Event::Eof => return None,
            _ => continue,
        };
        let resolver = reader.resolver();
        let attributes = element.attributes().flatten().map(|attribute| resolver.resolve_attribute(attribute.key).0);
        let names = std::iter::once(resolver.resolve_element(element.name()).0).chain(attributes);
        let unbound = names.into_iter().find_map(|name| match name {
            ResolveResult::Unknown(prefix) => Some(prefix),
            ResolveResult::Unbound | ResolveResult::Bound(_) => None,
        });
        if let Some(prefix) = unbound {
            return Some(format!("the prefix {} is bound to no namespace", super::playlist::short(&prefix)));
        }
    }
}

/// Whether there are more elements than are read, each of which takes far more memory than the text that it stands in.
fn has_too_many_elements(xml: &str) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut count = 0;
    while count <= MOST_ELEMENTS {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => {
                count += usize::from(!matches!(element.local_name().as_ref(), "S" | "SegmentURL"));
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    true
}

/// Whether a duration has a number that `dash-mpd-core` would multiply beyond 64 bits, be it behind references to plain
/// letters and digits, which nobody writes.
fn has_endless_duration(xml: &str) -> bool {
    let is_long = |value: &str| {
        let numbers = value.split(|c: char| !c.is_ascii_digit() && c != '.');
        value.trim_start_matches(['-', '+']).starts_with('P')
            && numbers.map(|number| number.split('.').next().unwrap_or_default()).any(|digits| digits.len() > 11)
    };
    let is_plain = |reference: &str| {
        let code = reference.split(';').next().unwrap_or_default();
        let code = match code.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => code.parse(),
        };
        code.ok().and_then(char::from_u32).is_some_and(|c| c.is_ascii_alphanumeric())
    };
    xml.split(['"', '\'']).any(is_long) || xml.split("&#").skip(1).any(is_plain)
}

fn outline(mpd: &MPD) -> Outline {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    let mut outline = Outline {
        is_static: mpd.mpdtype.as_deref().unwrap_or("static") == "static",
        profiles: mpd.profiles.clone(),
        duration: seconds(mpd.mediaPresentationDuration),
        buffer: seconds(mpd.minBufferTime),
        ..Outline::default()
    };
    let (mut set, mut start) = (0, 0.0);
    let mut budget = Budget { segments: MOST_SEGMENTS_OF_ALL, bytes: MOST_NAME_BYTES };
    for (place, period) in mpd.periods.iter().enumerate() {
        start = seconds(period.start).unwrap_or(start);
        let next = mpd.periods.get(place + 1).and_then(|next| seconds(next.start));
        let end = next.or(outline.duration);
        let length = seconds(period.duration).or(end.map(|end| (end - start).max(0.0)));
        for adaptations in &period.adaptations {
            for representation in &adaptations.representations {
                let levels = Levels { mpd, period, set: adaptations, own: representation };
                let listed = levels.fit(&mut budget).and_then(|()| levels.listed(length, &mut budget));
                let (mut listed, problem) = match listed {
                    Ok(found) => found,
                    Err(Spent(what)) => {
                        let id = representation.id.as_deref();
                        let id = id.map_or_else(|| "without id".to_owned(), super::playlist::short);
                        outline.problems.push((format!("Representation {id}"), what));
                        return outline;
                    }
                };
                outline.problems.extend(problem.map(|what| (format!("Representation {}", listed.name), what)));
                (listed.set, listed.period_start, listed.period_length) = (set, start, length);
                if mpd.periods.len() > 1 {
                    listed.name = format!("{}/{}", period.id.clone().unwrap_or_else(|| place.to_string()), listed.name);
                }
                outline.representations.push(listed);
            }
            set += 1;
        }
        start += length.unwrap_or(0.0);
    }
    outline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mpd(inner: &str) -> Outline {
        let text = format!(
            "<MPD type=\"static\" mediaPresentationDuration=\"PT10S\" minBufferTime=\"PT2S\"><Period><AdaptationSet \
             segmentAlignment=\"true\"><SegmentTemplate timescale=\"10\" media=\"$RepresentationID$/$Number%03d$.m4s\" \
             initialization=\"i\"/><Representation id=\"a\" bandwidth=\"5\">{inner}</Representation></AdaptationSet>\
             </Period></MPD>"
        );
        read(text.as_bytes()).unwrap()
    }

    fn times(outline: &Outline) -> Vec<(&str, u64, u64)> {
        let Addressing::Segments { segments, .. } = &outline.representations[0].addressing else { return Vec::new() };
        segments.iter().map(|(reference, start, ticks)| (reference.uri.as_str(), *start, *ticks)).collect()
    }

    #[test]
    fn rows_of_a_timeline_repeat_and_reach_to_the_end_of_the_period() {
        let of =
            |rows: &str| mpd(&format!("<SegmentTemplate><SegmentTimeline>{rows}</SegmentTimeline></SegmentTemplate>"));
        assert_eq!(times(&of("<S t=\"5\" d=\"20\" r=\"1\"/>")), [("a/001.m4s", 5, 20), ("a/002.m4s", 25, 20)]);
        assert_eq!(times(&of("<S d=\"40\" r=\"-1\"/>")).len(), 3);
        let endless = of("<S d=\"1\" r=\"9000000000000\"/>");
        assert!(endless.problems[0].1.contains("more than"), "{:?}", endless.problems);
    }

    #[test]
    fn a_small_mpd_does_not_become_large_by_what_is_repeated_in_names() {
        let of = |media: &str, id: &str, inner: &str| {
            let text = format!(
                "<MPD mediaPresentationDuration=\"PT100000S\"><Period><AdaptationSet><SegmentTemplate duration=\"1\" \
                 media=\"{media}\"/><Representation id=\"{id}\">{inner}</Representation></AdaptationSet></Period></MPD>"
            );
            let outline = read(text.as_bytes()).unwrap();
            (outline.representations.len(), outline.problems.into_iter().map(|(_, what)| what).collect::<Vec<_>>())
        };
        let id = "i".repeat(MOST_TEXT_BYTES);
        assert_eq!(of("$Number$", &id, ""), (1, vec![]));
        let names = vec!["only 67108864 bytes of names are looked at".to_owned()];
        assert_eq!(of("$RepresentationID$$Number$", &id, ""), (0, names.clone()));
        let list = format!("<SegmentList duration=\"1\">{}</SegmentList>", "<SegmentURL/>".repeat(20_000));
        let base = format!("<BaseURL>{}/</BaseURL>", &id[1..]);
        let text = format!(
            "<MPD><Period>{base}<AdaptationSet><Representation>{list}</Representation></AdaptationSet></Period></MPD>"
        );
        let problems = read(text.as_bytes()).unwrap().problems;
        assert_eq!(problems.into_iter().map(|(_, what)| what).collect::<Vec<_>>(), names);
        let text = vec!["a text of 4097 bytes is not read".to_owned()];
        assert_eq!(of("$Number$", &format!("{id}i"), ""), (0, text));
    }

    #[test]
    fn representations_that_share_a_long_timeline_are_counted_by_it_and_elements_by_themselves() {
        let rows = "<S t=\"0\" d=\"0\" r=\"-1\"/>".repeat(100_000);
        let representations = "<Representation bandwidth=\"1\"/>".repeat(20);
        let text = format!(
            "<MPD><Period duration=\"PT1S\"><AdaptationSet><SegmentTemplate media=\"a\"><SegmentTimeline>{rows}\
             </SegmentTimeline></SegmentTemplate>{representations}</AdaptationSet></Period></MPD>"
        );
        let outline = read(text.as_bytes()).unwrap();
        assert_eq!(outline.representations.len(), 9);
        let told = ("Representation without id".to_owned(), "only 1000000 segments are looked at".to_owned());
        assert_eq!(outline.problems[0], told);
        let periods = format!("<MPD>{}</MPD>", "<Period/>".repeat(MOST_ELEMENTS));
        assert_eq!(read(periods.as_bytes()).unwrap_err(), "it has more than 100000 elements");
    }

    #[test]
    fn nominal_durations_cover_the_period() {
        let nominal = mpd("<SegmentTemplate duration=\"40\"/>");
        assert_eq!(times(&nominal), [("a/001.m4s", 0, 40), ("a/002.m4s", 40, 40), ("a/003.m4s", 80, 20)]);
    }

    #[test]
    fn what_is_no_mpd_and_durations_beyond_all_measure_are_refused() {
        assert!(read(b"<html/>").is_err() || read(b"<html/>").unwrap().representations.is_empty());
        assert!(read(b"\xFF").is_err());
        assert!(read(b"<MPD mediaPresentationDuration=\"P99999999999999999Y\"><Period/></MPD>").is_err());
    }

    #[test]
    fn what_only_a_lax_reader_takes_is_a_problem() {
        let of = |inside: &str| {
            let text = format!("<MPD xmlns=\"urn:m\" xmlns:a=\"urn:a\">{inside}</MPD>");
            read(text.as_bytes()).unwrap().problems.into_iter().map(|(_, what)| what).collect::<Vec<_>>()
        };
        assert_eq!(of("<Period a:x=\"1\" xml:lang=\"en\"><a:y/></Period><b:z xmlns:b=\"urn:b\"/>"), [""; 0]);
        assert_eq!(of("<Period><b:y/></Period>"), ["the prefix b is bound to no namespace"]);
        assert_eq!(of("<Period b:x=\"\"/>"), ["the prefix b is bound to no namespace"]);
        assert_eq!(of("<Period id=\"\u{FFFE}\"/>"), ["U+FFFE in it is no character of XML"]);
    }
}
