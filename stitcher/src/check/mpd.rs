//! The MPD (ISO/IEC 23009-1) as a linter needs it: every Representation with the segments that it lists. Pure; takes any
//! bytes. Read by `dash-mpd-core`.

use std::time::Duration;

use dash_mpd_core::{
    AdaptationSet, BaseURL, MPD, Period, Representation, SegmentList, SegmentTemplate, SegmentTimeline,
};
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Reader};

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
                        let id = representation.id.as_deref().map_or_else(|| place.to_string(), super::playlist::short);
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

/// What may still be listed of all Representations together.
struct Budget {
    segments: usize,
    bytes: usize,
}

/// More is listed than is looked at; the sentence that says so.
struct Spent(String);

impl Budget {
    fn segments(&mut self, count: usize) -> Result<(), Spent> {
        let spent = || Spent(format!("only {MOST_SEGMENTS_OF_ALL} segments are looked at"));
        self.segments = self.segments.checked_sub(count).ok_or_else(spent)?;
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<(), Spent> {
        let spent = || Spent(format!("only {MOST_NAME_BYTES} bytes of names are looked at"));
        self.bytes = self.bytes.checked_sub(count).ok_or_else(spent)?;
        Ok(())
    }
}

/// Why the segments of a Representation are not known.
enum Unlisted {
    /// What is wrong with it.
    Wrong(String),
    /// There is too much of everything.
    Spent(Spent),
}

impl From<String> for Unlisted {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl From<&str> for Unlisted {
    fn from(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

impl From<Spent> for Unlisted {
    fn from(spent: Spent) -> Self {
        Self::Spent(spent)
    }
}

/// The elements that a Representation inherits from.
struct Levels<'a> {
    mpd: &'a MPD,
    period: &'a Period,
    set: &'a AdaptationSet,
    own: &'a Representation,
}

impl Levels<'_> {
    /// Takes from the budget what is kept for the Representation itself, and what has to be walked to list its segments.
    fn fit(&self, budget: &mut Budget) -> Result<(), Spent> {
        if let Some(text) = self.texts().find(|text| text.len() > MOST_TEXT_BYTES) {
            return Err(Spent(format!("a text of {} bytes is not read", text.len())));
        }
        budget.bytes(self.texts().map(str::len).sum())?;
        budget.segments(1 + self.rows())
    }

    /// What names are made of, and what it inherits.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { mpd, period, set, own } = self;
        let templates = [&own.SegmentTemplate, &set.SegmentTemplate, &period.SegmentTemplate].into_iter().flatten();
        let plain = [&period.id, &own.id, &own.codecs, &set.codecs, &own.mimeType, &set.mimeType];
        let plain = plain.into_iter().chain([&own.frameRate, &set.frameRate]).flatten();
        let urls = [&mpd.base_url, &period.BaseURL, &set.BaseURL, &own.BaseURL].into_iter().filter_map(|it| it.first());
        plain
            .chain(templates.flat_map(|template| [&template.media, &template.initialization]).flatten())
            .map(String::as_str)
            .chain(urls.map(|url| url.base.as_str()))
    }

    /// How many rows and URLs stand in the longest timeline or list of the levels.
    fn rows(&self) -> usize {
        let Self { period, set, own, .. } = self;
        let templates = [&own.SegmentTemplate, &set.SegmentTemplate, &period.SegmentTemplate].into_iter().flatten();
        let lists = [&own.SegmentList, &set.SegmentList, &period.SegmentList].into_iter().flatten();
        let timelines = templates
            .map(|template| &template.SegmentTimeline)
            .chain(lists.clone().map(|list| &list.SegmentTimeline))
            .flatten();
        let rows = timelines.map(|timeline| timeline.segments.len()).chain(lists.map(|list| list.segment_urls.len()));
        rows.max().unwrap_or(0)
    }

    /// The Representation, and what is wrong with it.
    fn listed(&self, length: Option<f64>, budget: &mut Budget) -> Result<(Listed, Option<String>), Spent> {
        let (set, own) = (self.set, self.own);
        let template = self.template();
        let base = self.own.SegmentBase.as_ref().or(set.SegmentBase.as_ref()).or(self.period.SegmentBase.as_ref());
        let list = self.own.SegmentList.as_ref().or(set.SegmentList.as_ref()).or(self.period.SegmentList.as_ref());
        let timescale = [
            template.as_ref().and_then(|template| template.timescale),
            base.and_then(|base| base.timescale),
            list.and_then(|list| list.timescale),
        ];
        let frame_rate = own.frameRate.as_deref().or(set.frameRate.as_deref());
        let listed = Listed {
            name: own.id.clone().unwrap_or_else(|| "without id".to_owned()),
            aligned: set.segmentAlignment.unwrap_or(false),
            sap: own.startWithSAP.or(set.startWithSAP),
            bandwidth: own.bandwidth,
            codecs: own.codecs.clone().or_else(|| set.codecs.clone()),
            mime: own.mimeType.clone().or_else(|| set.mimeType.clone()),
            size: own.width.or(set.width).zip(own.height.or(set.height)),
            frame_rate: frame_rate.and_then(ratio),
            frame_rate_text: frame_rate.map(str::to_owned),
            sampling_rate: own
                .audioSamplingRate
                .as_deref()
                .or(set.audioSamplingRate.as_deref())
                .and_then(|rate| rate.parse().ok()),
            protected: !own.ContentProtection.is_empty() || !set.ContentProtection.is_empty(),
            timescale: timescale.into_iter().flatten().next().unwrap_or(1).max(1),
            offset: (template.as_ref().and_then(|template| template.presentationTimeOffset))
                .or(base.and_then(|base| base.presentationTimeOffset))
                .unwrap_or(0),
            ..Listed::default()
        };
        let url = self.url();
        let addressing = match (template, base, list) {
            (Some(template), ..) => self.by_template(&template, &url, (length, listed.timescale), budget),
            (_, Some(base), _) if base.indexRange.is_some() => {
                let init = base.Initialization.as_ref().and_then(|init| init.range.as_deref()).and_then(range);
                match base.indexRange.as_deref().and_then(range) {
                    Some(index) => Ok(Addressing::Indexed {
                        init: Reference { uri: url, range: init.or(Some((0, index.0.saturating_sub(1)))) },
                        index,
                    }),
                    None => Err("indexRange can't be read".into()),
                }
            }
            (.., Some(list)) => by_list(list, &url, (length, listed.timescale), budget),
            _ if url.is_empty() => Err("it names no segments".into()),
            _ => Ok(Addressing::Whole(Reference { uri: url, range: None })),
        };
        match addressing {
            Ok(addressing) => Ok((Listed { addressing, ..listed }, None)),
            Err(Unlisted::Wrong(problem)) => Ok((listed, Some(problem))),
            Err(Unlisted::Spent(spent)) => Err(spent),
        }
    }

    /// The SegmentTemplates of the levels, inner attributes over outer ones (23009-1 5.3.9.1).
    fn template(&self) -> Option<SegmentTemplate> {
        let levels = [&self.own.SegmentTemplate, &self.set.SegmentTemplate, &self.period.SegmentTemplate];
        levels.into_iter().flatten().cloned().reduce(|inner, outer| SegmentTemplate {
            media: inner.media.or(outer.media),
            initialization: inner.initialization.or(outer.initialization),
            startNumber: inner.startNumber.or(outer.startNumber),
            duration: inner.duration.or(outer.duration),
            timescale: inner.timescale.or(outer.timescale),
            presentationTimeOffset: inner.presentationTimeOffset.or(outer.presentationTimeOffset),
            SegmentTimeline: inner.SegmentTimeline.or(outer.SegmentTimeline),
            ..SegmentTemplate::default()
        })
    }

    /// The URL that names of segments are relative to.
    fn url(&self) -> String {
        let levels = [&self.mpd.base_url, &self.period.BaseURL, &self.set.BaseURL, &self.own.BaseURL];
        let first = |urls: &&Vec<BaseURL>| urls.first().map(|url| url.base.trim().to_owned());
        levels.iter().filter_map(first).fold(String::new(), |base, url| joined(&base, &url))
    }

    fn by_template(
        &self,
        template: &SegmentTemplate,
        base: &str,
        (length, timescale): (Option<f64>, u64),
        budget: &mut Budget,
    ) -> Result<Addressing, Unlisted> {
        let media = template.media.as_deref().ok_or("its SegmentTemplate has no media attribute")?;
        let times = match (&template.SegmentTimeline, template.duration) {
            (Some(timeline), _) => {
                by_timeline(timeline, length, timescale, template.presentationTimeOffset.unwrap_or(0))?
            }
            (None, Some(duration)) => by_duration(duration, length, timescale, None)?,
            (None, None) => return Err("its SegmentTemplate has neither SegmentTimeline nor duration".into()),
        };
        budget.segments(times.len().saturating_sub(self.rows()))?;
        let id = self.own.id.as_deref().unwrap_or_default();
        let bandwidth = self.own.bandwidth.unwrap_or(0);
        let mut name = |text: &str, number: u64, time: u64| {
            let uri = joined(base, &filled(text, id, bandwidth, number, time)?);
            budget.bytes(uri.len())?;
            Ok::<_, Unlisted>(Reference { uri, range: None })
        };
        let init = template.initialization.as_deref().map(|text| name(text, 0, 0)).transpose()?;
        let first = template.startNumber.unwrap_or(1);
        let segments = (0_u64..)
            .zip(times)
            .map(|(place, (start, ticks))| Ok((name(media, first.saturating_add(place), start)?, start, ticks)));
        let segments = segments.collect::<Result<_, Unlisted>>()?;
        Ok(Addressing::Segments { init, segments, exact: template.SegmentTimeline.is_some() })
    }
}

fn by_list(
    list: &SegmentList,
    base: &str,
    (length, timescale): (Option<f64>, u64),
    budget: &mut Budget,
) -> Result<Addressing, Unlisted> {
    let mut reference = |uri: Option<&str>, bytes: Option<&str>| {
        let uri = uri.map_or_else(|| base.to_owned(), |uri| joined(base, uri));
        budget.bytes(uri.len())?;
        Ok::<_, Spent>(Reference { uri, range: bytes.and_then(range) })
    };
    let init = list.Initialization.as_ref().map(|init| reference(init.sourceURL.as_deref(), init.range.as_deref()));
    let init = init.transpose()?;
    let urls = &list.segment_urls;
    let times = match (&list.SegmentTimeline, list.duration) {
        (Some(timeline), _) => by_timeline(timeline, length, timescale, 0)?,
        (None, Some(duration)) => by_duration(duration as f64, length, timescale, Some(urls.len()))?,
        (None, None) => vec![(0, (length.unwrap_or(0.0) * timescale as f64) as u64)],
    };
    if times.len() != urls.len() {
        return Err(format!("its SegmentList has {} URLs and {} times", urls.len(), times.len()).into());
    }
    let segments = urls
        .iter()
        .zip(times)
        .map(|(url, (start, ticks))| Ok((reference(url.media.as_deref(), url.mediaRange.as_deref())?, start, ticks)));
    let segments = segments.collect::<Result<_, Spent>>()?;
    Ok(Addressing::Segments { init, segments, exact: list.SegmentTimeline.is_some() })
}

/// Start and duration of each segment (23009-1 5.3.9.6).
fn by_timeline(
    timeline: &SegmentTimeline,
    length: Option<f64>,
    timescale: u64,
    offset: u64,
) -> Result<Vec<(u64, u64)>, String> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (place, row) in timeline.segments.iter().enumerate() {
        let mut at = row.t.unwrap_or_else(|| found.last().map_or(0, |(start, ticks)| start.saturating_add(*ticks)));
        let count = match row.r.unwrap_or(0) {
            // Up to the next row or the end of the period.
            ..0 => {
                let end = timeline.segments.get(place + 1).and_then(|next| next.t);
                let end = end.or(length.map(|length| offset.saturating_add((length * timescale as f64) as u64)));
                let end = end.ok_or("a row of its SegmentTimeline has no end")?;
                if row.d == 0 { 0 } else { end.saturating_sub(at).div_ceil(row.d) }
            }
            more => more.unsigned_abs().saturating_add(1),
        };
        if count > (MOST_SEGMENTS - found.len()) as u64 {
            return Err(format!("it lists more than {MOST_SEGMENTS} segments"));
        }
        for _ in 0..count {
            found.push((at, row.d));
            at = at.saturating_add(row.d);
        }
    }
    Ok(found)
}

/// Nominal start and duration of each segment.
fn by_duration(
    duration: f64,
    length: Option<f64>,
    timescale: u64,
    count: Option<usize>,
) -> Result<Vec<(u64, u64)>, String> {
    let all = length.map(|length| (length * timescale as f64).round());
    if !duration.is_finite() || duration < 1.0 {
        return Err("the duration of its segments is no duration".to_owned());
    }
    let all = all.or(count.map(|count| count as f64 * duration)).ok_or("the duration of its period is not told")?;
    // A last segment of less than a thousandth is rounding.
    let count = count.map_or((all / duration - 1e-3).ceil().max(0.0), |count| count as f64);
    if count > MOST_SEGMENTS as f64 {
        return Err(format!("it lists more than {MOST_SEGMENTS} segments"));
    }
    let row = |place: usize| {
        let start = place as f64 * duration;
        (start as u64, duration.min(all - start).max(0.0) as u64)
    };
    Ok((0..count as usize).map(row).collect())
}

/// A name with its identifiers filled in (23009-1 table 16).
fn filled(text: &str, id: &str, bandwidth: u64, number: u64, time: u64) -> Result<String, String> {
    let wrong = || format!("`{}` is no template", super::playlist::short(text));
    let mut parts = text.split('$');
    let mut name = parts.next().unwrap_or_default().to_owned();
    while let Some(identifier) = parts.next() {
        let (which, width) = match identifier.split_once("%0") {
            Some((which, format)) => {
                let digits = format.strip_suffix('d').and_then(|digits| digits.parse().ok());
                (which, digits.filter(|width: &usize| *width <= 20).ok_or_else(wrong)?)
            }
            None => (identifier, 1),
        };
        match which {
            "" => name.push('$'),
            "RepresentationID" => name.push_str(id),
            "Number" => name.push_str(&format!("{number:0width$}")),
            "Time" => name.push_str(&format!("{time:0width$}")),
            "Bandwidth" => name.push_str(&format!("{bandwidth:0width$}")),
            _ => return Err(wrong()),
        }
        name.push_str(parts.next().ok_or_else(wrong)?);
    }
    Ok(name)
}

/// What `url` means at `base`, as far as that matters for names of files.
fn joined(base: &str, url: &str) -> String {
    if url.starts_with('/') || has_scheme(url) {
        return url.to_owned();
    }
    let folder = base.rfind('/').map_or("", |end| &base[..=end]);
    format!("{folder}{url}")
}

/// Whether a URI starts with a scheme (RFC 3986 3.1).
pub(super) fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.trim().split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn ratio(text: &str) -> Option<f64> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let rate = num.trim().parse::<f64>().ok()? / den.trim().parse::<f64>().ok()?;
    rate.is_finite().then_some(rate)
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
        assert_eq!(outline.problems[0].1, "only 1000000 segments are looked at");
        let periods = format!("<MPD>{}</MPD>", "<Period/>".repeat(MOST_ELEMENTS));
        assert_eq!(read(periods.as_bytes()).unwrap_err(), "it has more than 100000 elements");
    }

    #[test]
    fn nominal_durations_cover_the_period() {
        let nominal = mpd("<SegmentTemplate duration=\"40\"/>");
        assert_eq!(times(&nominal), [("a/001.m4s", 0, 40), ("a/002.m4s", 40, 40), ("a/003.m4s", 80, 20)]);
    }

    #[test]
    fn templates_with_odd_identifiers_are_refused() {
        assert_eq!(filled("a$$b$Time$", "x", 1, 2, 3).as_deref(), Ok("a$b3"));
        assert!(filled("$Number%099999999999d$", "x", 1, 2, 3).is_err());
        assert!(filled("$Number", "x", 1, 2, 3).is_err());
        assert!(filled("$Other$", "x", 1, 2, 3).is_err());
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

    #[test]
    fn urls_are_joined_level_by_level() {
        assert_eq!(joined("./", "a/b.m4s"), "./a/b.m4s");
        assert_eq!(joined("x/y.mp4", "b"), "x/b");
        assert_eq!(joined("x/", "https://h/b"), "https://h/b");
        assert!(has_scheme("data:x") && !has_scheme("a/b:c"));
    }
}
