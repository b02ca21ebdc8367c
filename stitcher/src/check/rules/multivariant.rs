//! What the multivariant playlist says of its variants and renditions, held against what these are.

use std::collections::HashSet;

use super::super::boxes::{Media, Track};
use super::super::codecs;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{MediaPlaylist, Segment, Stream};
use super::{NO_MULTIVARIANT, NO_VIDEO, at, group, master, named, variants};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Multivariant, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "required-attributes",
        "RFC 8216bis 4.4.6",
        Level::Must,
        "Variants and renditions have the attributes that they need",
        required,
    ),
    rule("groups", "RFC 8216bis 4.4.6.2", Level::Must, "Every group that a variant names is there", groups),
    rule(
        "group-members",
        "RFC 8216bis 4.4.6.1",
        Level::Must,
        "Names in a group differ; at most one is the default; defaults are chosen by themselves",
        members,
    ),
    rule(
        "language",
        "Apple 4.7, 8.10",
        Level::Must,
        "Every EXT-X-MEDIA of audio, subtitles or captions has a LANGUAGE",
        language,
    ),
    rule(
        "codecs",
        "Apple 9.1, 9.3",
        Level::Must,
        "CODECS is there, and names the codecs that the segments have",
        codecs_told,
    ),
    rule(
        "resolution",
        "Apple 9.2, 9.4",
        Level::Must,
        "RESOLUTION is there, and is the size of the pictures",
        resolution,
    ),
    rule("variants", "Apple 9.9", Level::Must, "There are variants of several bit rates", several),
    rule(
        "independent-multivariant",
        "Apple 9.11",
        Level::Should,
        "EXT-X-INDEPENDENT-SEGMENTS is in the multivariant playlist",
        independent,
    ),
    rule(
        "independent-media",
        "Apple 9.12",
        Level::Must,
        "EXT-X-INDEPENDENT-SEGMENTS is there, or in all media playlists",
        independent_all,
    ),
    rule("frame-rate", "Apple 9.15", Level::Must, "FRAME-RATE is there, and is the rate of the pictures", frame_rate),
    rule(
        "video-range",
        "Apple 9.16",
        Level::Must,
        "VIDEO-RANGE is there unless all is SDR, and is that of the pictures",
        video_range,
    ),
    rule("aspect", "Apple 1.33", Level::Should, "All variants have the same shape (within 1.5 %)", aspect),
];

fn required(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for (line, attributes, uri) in master.variants() {
        let place = at(master, line);
        findings.hold(uri.is_some(), &place, || "no URI follows".to_owned());
        findings.hold(attributes.number("BANDWIDTH").is_some(), &place, || "there is no BANDWIDTH".to_owned());
    }
    for (line, _, attributes) in master.tags("EXT-X-I-FRAME-STREAM-INF") {
        for name in ["BANDWIDTH", "URI"] {
            findings.hold(attributes.get(name).is_some(), &at(master, line), || format!("there is no {name}"));
        }
    }
    for (line, _, attributes) in master.tags("EXT-X-MEDIA") {
        let place = at(master, line);
        for name in ["TYPE", "GROUP-ID", "NAME"] {
            findings.hold(attributes.get(name).is_some(), &place, || format!("there is no {name}"));
        }
        let (kind, has) = (attributes.get("TYPE"), |name: &str| attributes.get(name).is_some());
        match kind {
            Some("SUBTITLES") => findings.hold(has("URI"), &place, || "subtitles without URI".to_owned()),
            Some("CLOSED-CAPTIONS") => {
                findings.hold(has("INSTREAM-ID") && !has("URI"), &place, || {
                    "closed captions without INSTREAM-ID, or with URI".to_owned()
                });
            }
            Some("AUDIO" | "VIDEO") => findings.look(),
            _ => findings.fail(&place, "the TYPE is not known"),
        }
        findings
            .hold(kind == Some("SUBTITLES") || !has("FORCED"), &place, || "FORCED is for subtitles only".to_owned());
    }
    findings.verdict(NO_MULTIVARIANT)
}

fn groups(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for (line, attributes, _) in master.variants() {
        for kind in ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"] {
            let Some(id) = attributes.get(kind).filter(|id| *id != "NONE") else { continue };
            let mut media = master.tags("EXT-X-MEDIA");
            let is_there =
                media.any(|(_, _, media)| media.get("TYPE") == Some(kind) && media.get("GROUP-ID") == Some(id));
            findings
                .hold(is_there, &at(master, line), || format!("there is no EXT-X-MEDIA of {kind} in the group {id}"));
        }
    }
    findings.verdict("no variant names a group")
}

fn members(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let (mut findings, mut names, mut defaults) = (Findings::default(), HashSet::new(), HashSet::new());
    for (line, _, media) in master.tags("EXT-X-MEDIA") {
        let place = at(master, line);
        let group = (media.get("TYPE"), media.get("GROUP-ID"));
        let name = media.get("NAME").unwrap_or_default();
        findings.hold(names.insert((group, name)), &place, || format!("there is another {name} in the group"));
        if media.get("DEFAULT") == Some("YES") {
            findings.hold(defaults.insert(group), &place, || "there is another default in the group".to_owned());
            let chosen = media.get("AUTOSELECT") != Some("NO");
            findings.hold(chosen, &place, || "it is a default with AUTOSELECT=NO".to_owned());
        }
    }
    findings.verdict("there is no EXT-X-MEDIA")
}

fn language(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for (line, _, media) in master.tags("EXT-X-MEDIA").filter(|(_, _, media)| media.get("TYPE") != Some("VIDEO")) {
        let told = media.get("LANGUAGE").is_some_and(|language| !language.is_empty());
        findings.hold(told, &at(master, line), || "there is no LANGUAGE".to_owned());
    }
    findings.verdict("there is no EXT-X-MEDIA but of video")
}

fn codecs_told(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for variant in variants(hls, master) {
        let members = ["AUDIO", "VIDEO", "SUBTITLES"].map(|kind| group(hls, master, kind, variant.attributes)).concat();
        let read: Vec<Option<&MediaPlaylist>> =
            variant.rendition.into_iter().chain(members).map(|rendition| rendition.playlist()).collect();
        compare(&mut findings, &variant.place, variant.attributes.get("CODECS"), &read);
    }
    for (line, _, attributes) in master.tags("EXT-X-I-FRAME-STREAM-INF") {
        let rendition = attributes.get("URI").and_then(|uri| named(hls, master, uri));
        let read = [rendition.and_then(|rendition| rendition.playlist())];
        compare(&mut findings, &at(master, line), attributes.get("CODECS"), &read);
    }
    findings.verdict(NO_MULTIVARIANT)
}

/// Holds CODECS against what the playlists have; `None` stands for one that was not read.
fn compare(findings: &mut Findings, place: &str, told: Option<&str>, read: &[Option<&MediaPlaylist>]) {
    let Some(told) = told else { return findings.fail(place, "there is no CODECS") };
    let told: Vec<&str> = told.split(',').map(str::trim).collect();
    let found: Vec<String> = read.iter().flatten().flat_map(|media| media.codecs()).collect();
    // Of a transport stream, profile and level are not always known.
    let same = |told: &str, codec: &str| codecs::same(told, codec) || told.starts_with(&format!("{codec}."));
    let all_told = found.iter().all(|codec| told.iter().any(|told| same(told, codec)));
    let all_known = read.iter().all(|media| media.is_some_and(is_known));
    let is_text = |told: &str| matches!(told, "wvtt" | "stpp.ttml.im1t");
    let all_there = told.iter().all(|told| is_text(told) || found.iter().any(|codec| same(told, codec)));
    findings.hold(all_told && (all_there || !all_known), place, || {
        format!("CODECS is {}, the segments have {}", told.join(","), found.join(","))
    });
}

/// Whether it is known what a playlist holds.
fn is_known(media: &MediaPlaylist) -> bool {
    let is_read = media.inits.iter().all(|(_, init)| init.is_ok());
    is_read
        && (!media.codecs().is_empty() || media.contents().all(|(_, contents)| contents.leading().is_none()))
        && media.segments.iter().any(|segment| segment.contents.is_ok())
        && !media.contents().any(|(_, contents)| matches!(contents.form, super::super::stream::Form::Other(_)))
}

fn resolution(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    let listed = variants(hls, master).map(|variant| (variant.place, variant.attributes, variant.rendition));
    let frames = master.tags("EXT-X-I-FRAME-STREAM-INF").map(|(line, _, attributes)| {
        (at(master, line), attributes, attributes.get("URI").and_then(|uri| named(hls, master, uri)))
    });
    for (place, attributes, rendition) in listed.chain(frames) {
        let media = rendition.and_then(|rendition| rendition.playlist());
        let told = attributes.get("RESOLUTION");
        match (told.map(size), media.map(|media| (media.track(Media::Video), media.holds(Media::Video)))) {
            (None, Some((_, true))) => findings.fail(&place, "there is no RESOLUTION"),
            (Some(None), _) => findings.fail(&place, "RESOLUTION is no width and height"),
            (Some(Some(told)), Some((Some(track), _))) => {
                let sizes = sizes(track);
                findings.hold(sizes.iter().any(|size| is_near(*size, told)), &place, || {
                    let [shown, ..] = sizes[..] else { return String::new() };
                    format!("RESOLUTION is {}x{}, the pictures are {}x{}", told.0, told.1, shown.0, shown.1)
                });
            }
            (Some(Some(_)), Some((None, true))) => findings.look(),
            (_, None) => findings.unknown(),
            (_, Some((_, false))) => {}
        }
    }
    findings.verdict(NO_VIDEO)
}

fn size(text: &str) -> Option<(f64, f64)> {
    let (width, height) = text.split_once('x')?;
    Some((f64::from(width.parse::<u32>().ok()?), f64::from(height.parse::<u32>().ok()?)))
}

/// What may count as the size of a track's pictures: as coded, in square pixels, as shown, and each of them turned.
fn sizes(track: &Track) -> Vec<(f64, f64)> {
    let number = |(width, height): (u32, u32)| (f64::from(width), f64::from(height));
    let (coded, pixel) = (number(track.entry.size), number(track.entry.pixel));
    let square = (coded.0 * pixel.0 / pixel.1, coded.1);
    let upright = [coded, square, number(track.display)];
    upright.iter().copied().chain(upright.iter().map(|(width, height)| (*height, *width))).collect()
}

/// Within a pixel.
fn is_near(a: (f64, f64), b: (f64, f64)) -> bool {
    (a.0 - b.0).abs() <= 1.0 && (a.1 - b.1).abs() <= 1.0
}

fn several(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let rates: HashSet<Option<&str>> =
        master.variants().map(|(_, attributes, _)| attributes.get("BANDWIDTH")).collect();
    let mut findings = Findings::default();
    findings
        .hold(rates.len() > 1, &master.name, || "all variants have the same bit rate, or there is only one".to_owned());
    findings.verdict(NO_MULTIVARIANT)
}

fn independent(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    findings.hold(master.has("EXT-X-INDEPENDENT-SEGMENTS"), &master.name, || "it is not there".to_owned());
    findings.verdict(NO_MULTIVARIANT)
}

fn independent_all(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    if master(stream).is_some_and(|(_, master)| master.has("EXT-X-INDEPENDENT-SEGMENTS")) {
        return Verdict::Pass;
    }
    for (rendition, media) in super::whole(stream) {
        if super::is_video(rendition, media) {
            let is_there = media.text.has("EXT-X-INDEPENDENT-SEGMENTS");
            findings.hold(is_there, &media.text.name, || "it is not there".to_owned());
        }
    }
    findings.verdict(NO_VIDEO)
}

fn frame_rate(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for variant in variants(hls, master) {
        let media = variant.rendition.and_then(|rendition| rendition.playlist());
        let Some(media) = media.filter(|media| media.holds(Media::Video)) else { continue };
        let Some(told) = variant.attributes.number("FRAME-RATE") else {
            findings.fail(&variant.place, "there is no FRAME-RATE");
            continue;
        };
        let Some(rates) = rates(media) else {
            findings.unknown();
            continue;
        };
        findings.hold(rates.fit(told), &variant.place, || {
            format!("FRAME-RATE is {told}, there are {:.3} pictures a second", rates.average)
        });
    }
    findings.verdict(NO_VIDEO)
}

/// Pictures a second.
pub(super) struct Rates {
    pub(super) average: f64,
    /// By the shortest picture; no less than the average.
    pub(super) most: f64,
    /// On average without the last picture, which may be cut short.
    least: f64,
}

impl Rates {
    /// Of so many pictures in so many seconds, of which the shortest lasts so long. `None` where there is nothing to divide by.
    pub(super) fn new(frames: f64, seconds: f64, shortest: f64) -> Option<Self> {
        let average = frames / seconds;
        let is_told = seconds > 0.0 && shortest > 0.0 && shortest.is_finite();
        is_told.then(|| Self { average, most: average.max(1.0 / shortest), least: (frames - 1.0) / seconds })
    }

    /// Whether this rate may be told of them: of a variable one anything from the average to the largest.
    pub(super) fn fit(&self, told: f64) -> bool {
        told >= self.least.min(0.99 * self.average) && told <= 1.01 * self.most
    }
}

/// Those of a playlist, where its pictures tell.
pub(super) fn rates(media: &MediaPlaylist) -> Option<Rates> {
    let of = |segment: &Segment| segment.contents.as_ref().ok()?.span(Media::Video);
    let places = media.segments.iter().enumerate();
    let spans: Vec<_> = places.filter_map(|(place, segment)| Some((place, of(segment)?))).collect();
    let seconds: f64 = spans.iter().map(|(place, span)| media.lasts(*place, *span, of)).sum();
    let spans: Vec<_> = spans.into_iter().map(|(_, span)| span).collect();
    let frames: f64 = spans.iter().map(|span| span.frames as f64).sum();
    let shortest = spans.iter().map(|span| span.frame).filter(|frame| *frame > 0.0).fold(f64::INFINITY, f64::min);
    Rates::new(frames, seconds, shortest)
}

fn video_range(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    let listed: Vec<_> = variants(hls, master).collect();
    let of_pictures = |rendition: &super::Rendition| {
        let track = rendition.playlist()?.track(Media::Video)?;
        Some(match track.entry.colors?.transfer {
            16 => "PQ",
            18 => "HLG",
            _ => "SDR",
        })
    };
    let ranges: Vec<_> = listed.iter().map(|variant| variant.rendition.and_then(of_pictures)).collect();
    let told = |place: usize| listed[place].attributes.get("VIDEO-RANGE");
    let is_hdr = (0..listed.len()).any(|place| {
        ranges[place].is_some_and(|range| range != "SDR") || told(place).is_some_and(|range| range != "SDR")
    });
    for (place, variant) in listed.iter().enumerate() {
        let has_video =
            variant.rendition.and_then(|rendition| rendition.playlist()).is_some_and(|media| media.holds(Media::Video));
        match (told(place), ranges[place]) {
            _ if !has_video => {}
            (None, _) => findings.hold(!is_hdr, &variant.place, || {
                "there is no VIDEO-RANGE beside variants that are not SDR".to_owned()
            }),
            (Some(told), Some(range)) => {
                findings
                    .hold(told == range, &variant.place, || format!("VIDEO-RANGE is {told}, the pictures are {range}"));
            }
            (Some("SDR"), None) => findings.look(),
            (Some(_), None) => findings.unknown(),
        }
    }
    findings.verdict(NO_VIDEO)
}

fn aspect(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let (mut findings, mut first) = (Findings::default(), None);
    for (line, attributes, _) in master.variants() {
        let Some((width, height)) = attributes.get("RESOLUTION").and_then(size).filter(|size| size.1 > 0.0) else {
            continue;
        };
        let shape = width / height;
        let first = *first.get_or_insert(shape);
        findings.hold((shape / first - 1.0).abs() < 0.015, &at(master, line), || {
            format!("{width}x{height} is {shape:.3}, the first variant {first:.3}")
        });
    }
    findings.verdict("no variant has a RESOLUTION")
}
