//! The MPD (ISO/IEC 23009-1) of a proved presentation: static, segments by template and timeline. Pure.

use std::time::Duration;

use dash_mpd_core::{
    Accessibility, AdaptationSet, AudioChannelConfiguration, BaseURL, ContentProtection, EssentialProperty, Label,
    Laurl, MPD, Period, Representation, Role, S, SegmentTemplate, SegmentTimeline, SupplementalProperty,
};
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::ladder::VideoCodec;
use vtp_engine::source::AudioPurpose;

use crate::Error;
use crate::listing::{AudioListing, Listing, Presentation, SubtitleListing, VideoListing, Written};
use crate::rates;
use crate::seal::Seal;

const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";
const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";
const ROLES: &str = "urn:mpeg:dash:role:2011";
/// Common encryption, and ClearKey's licences (DASH-IF, content protection identifiers).
const PROTECTION: &str = "urn:mpeg:dash:mp4protection:2011";
const CLEAR_KEY: &str = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e";
/// The namespace of where ClearKey's licences are.
const LICENSES: &str = "http://dashif.org/guidelines/clearKey";
/// Players may go on in these other sets (ISO/IEC 23009-1 5.3.3.5).
const SWITCHING: &str = "urn:mpeg:dash:adaptation-set-switching:2016";
/// Transfer characteristics by their number in ITU-T H.273 (ISO/IEC 23091-2).
const TRANSFER: &str = "urn:mpeg:mpegB:cicp:TransferCharacteristics";
const CEA_608: &str = "urn:scte:dash:cc:cea-608:2015";
const CEA_708: &str = "urn:scte:dash:cc:cea-708:2015";
const CHANNELS: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
/// Channel configurations by their number in ISO/IEC 23091-3.
const CONFIGURATIONS: &str = "urn:mpeg:mpegB:cicp:ChannelConfiguration";

/// The MPD. `buffer_s` is what `@bandwidth` of every Representation needs (23009-1 5.3.5.2).
pub fn mpd(presentation: &Presentation, buffer_s: f64) -> MPD {
    // The period starts at 0, whatever begins later.
    let length = micros(presentation.interval().1);
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in presentation.video.iter().map(Kind::of) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let video = (0..kinds.len()).map(|place| video_set(place, &kinds, presentation));
    let audio =
        (kinds.len().max(1) + 1..).zip(&presentation.audio).map(|(id, audio)| audio_set(id, audio, presentation));
    let first = kinds.len().max(1) + 1 + presentation.audio.len();
    let text = (first..).zip(&presentation.subtitles).map(|(id, track)| text_set(id, track, presentation));
    let images = presentation.sheets.iter().map(|sheets| sheets.set(first + presentation.subtitles.len()));
    let period = Period {
        id: Some("1".to_owned()),
        start: Some(Duration::ZERO),
        adaptations: video.chain(audio).chain(text).chain(images).collect(),
        ..Period::default()
    };
    MPD {
        xmlns: Some(NAMESPACE.to_owned()),
        mpdtype: Some("static".to_owned()),
        profiles: Some(PROFILES.to_owned()),
        mediaPresentationDuration: Some(length),
        minBufferTime: Some(Duration::from_millis(rates::whole(buffer_s * 1000.0))),
        maxSegmentDuration: Some(Duration::from_millis(rates::whole(presentation.longest_s() * 1000.0))),
        // What relative names mean anyway; FFmpeg 5.1's reader finds the segments of a relative path only with it.
        base_url: vec![BaseURL { base: "./".to_owned(), ..BaseURL::default() }],
        periods: vec![period],
        ..MPD::default()
    }
}

/// Has the MPD tell that sound and pictures are protected by `cbcs` (ISO/IEC 23009-1 5.8.4.1, 23001-7 11.2), and where
/// ClearKey players get a licence (DASH-IF IOP, part 6).
pub fn protect(mpd: &mut MPD, seal: Option<&Seal>) {
    let Some(seal) = seal else { return };
    let common = ContentProtection {
        schemeIdUri: PROTECTION.to_owned(),
        value: Some("cbcs".to_owned()),
        default_KID: Some(seal.key_uuid()),
        ..ContentProtection::default()
    };
    let clear_key = seal.license_url.as_ref().map(|url| ContentProtection {
        schemeIdUri: CLEAR_KEY.to_owned(),
        value: Some("ClearKey1.0".to_owned()),
        clearkey_laurl: Some(Laurl { lic_type: Some("EME-1.0".to_owned()), content: Some(url.clone()) }),
        ..ContentProtection::default()
    });
    for set in mpd.periods.iter_mut().flat_map(|period| &mut period.adaptations) {
        if matches!(set.contentType.as_deref(), Some("video" | "audio")) {
            set.ContentProtection = [Some(common.clone()), clear_key.clone()].into_iter().flatten().collect();
        }
    }
}

/// The MPD as XML.
pub fn text(mpd: &MPD) -> Result<Vec<u8>, Error> {
    use std::fmt::Write;
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let from = xml.len();
    writeln!(xml, "{mpd}").map_err(|_| Error::Xml)?;
    let sets = mpd.periods.iter().flat_map(|period| &period.adaptations);
    if sets.flat_map(|set| &set.ContentProtection).any(|protection| protection.clearkey_laurl.is_some()) {
        // Of the prefixes that the crate writes, this is one that its MPD has no field to declare.
        let at = from + xml[from..].find("<MPD").ok_or(Error::Xml)? + "<MPD".len();
        xml.insert_str(at, &format!(" xmlns:clearkey=\"{LICENSES}\""));
    }
    Ok(xml.into_bytes())
}

/// What the renditions of a set have in common. Players switch within a set, and know by it whether they can show it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    codec: VideoCodec,
    /// The transfer function of a high dynamic range.
    range: Option<u8>,
}

impl Kind {
    fn of(video: &VideoListing) -> Self {
        Self { codec: video.codec, range: Some(video.transfer).filter(|transfer| matches!(transfer, 16 | 18)) }
    }
}

/// The set of one of these kinds. All video renditions have the same segments, so they share one timeline.
fn video_set(place: usize, kinds: &[Kind], presentation: &Presentation) -> AdaptationSet {
    let Kind { codec, range } = kinds[place];
    let videos: Vec<&VideoListing> =
        presentation.video.iter().filter(|video| Kind::of(video) == kinds[place]).collect();
    let alike = |other: &usize| *other != place && kinds[*other].range == range;
    let others: Vec<String> = (0..kinds.len()).filter(alike).map(|other| (other + 1).to_string()).collect();
    let switching = (!others.is_empty()).then(|| SupplementalProperty {
        schemeIdUri: SWITCHING.to_owned(),
        value: Some(others.join(",")),
        ..SupplementalProperty::default()
    });
    // A player that knows no high dynamic range must leave the set alone.
    let range = range.map(|transfer| EssentialProperty {
        schemeIdUri: TRANSFER.to_owned(),
        value: Some(transfer.to_string()),
        ..EssentialProperty::default()
    });
    AdaptationSet {
        id: Some((place + 1).to_string()),
        supplemental_property: switching.into_iter().collect(),
        essential_property: range.into_iter().collect(),
        contentType: Some("video".to_owned()),
        segmentAlignment: Some(true),
        startWithSAP: Some(1),
        Accessibility: match presentation.carries_captions(codec) {
            true => captions(&presentation.captions),
            false => Vec::new(),
        },
        maxWidth: videos.iter().map(|video| video.size.width.into()).max(),
        maxHeight: videos.iter().map(|video| video.size.height.into()).max(),
        SegmentTemplate: videos.first().map(|video| template(&video.listing)),
        representations: videos.into_iter().map(|video| video_representation(video, presentation)).collect(),
        ..AdaptationSet::default()
    }
}

fn video_representation(video: &VideoListing, presentation: &Presentation) -> Representation {
    let aspect = video.sample_aspect;
    Representation {
        width: Some(video.size.width.into()),
        height: Some(video.size.height.into()),
        sar: Some(format!("{}:{}", aspect.num(), aspect.den())),
        frameRate: Some(video.frame_rate.told()),
        ..representation(&video.listing, "video/mp4", presentation)
    }
}

fn audio_set(id: usize, audio: &AudioListing, presentation: &Presentation) -> AdaptationSet {
    let role = |value: &str| Role { schemeIdUri: ROLES.to_owned(), value: Some(value.to_owned()), ..Role::default() };
    // ISO/IEC 23009-1 5.8.5.5.
    let (own, accessible) = match audio.purpose {
        AudioPurpose::Programme => (None, None),
        AudioPurpose::Dub => (Some("dub"), None),
        AudioPurpose::Commentary => (Some("commentary"), None),
        AudioPurpose::Description => (Some("description"), Some("description")),
        AudioPurpose::ClearSpeech => (Some("enhanced-audio-intelligibility"), Some("enhanced-audio-intelligibility")),
    };
    let general = if audio.default { Some("main") } else { own.is_none().then_some("alternate") };
    let accessibility = |value: &str| Accessibility {
        schemeIdUri: ROLES.to_owned(),
        value: Some(value.to_owned()),
        ..Accessibility::default()
    };
    // The sample entry cannot hold a rate above 16 bits, so it is not told against it.
    let told = audio.sample_rate <= u32::from(u16::MAX);
    let one = Representation {
        audioSamplingRate: told.then(|| audio.sample_rate.to_string()),
        AudioChannelConfiguration: vec![channels(audio.channels)],
        supplemental_property: audio.objects.map(objects).into_iter().flatten().collect(),
        ..representation(&audio.listing, "audio/mp4", presentation)
    };
    AdaptationSet {
        id: Some(id.to_string()),
        contentType: Some("audio".to_owned()),
        lang: Some(audio.language.tag()),
        segmentAlignment: Some(true),
        startWithSAP: Some(1),
        Role: general.into_iter().chain(own).map(role).collect(),
        Accessibility: accessible.into_iter().map(accessibility).collect(),
        Label: vec![Label { content: audio.name.clone(), ..Label::default() }],
        SegmentTemplate: Some(template(&audio.listing)),
        representations: vec![one],
        ..AdaptationSet::default()
    }
}

/// The usual configuration of so many channels. Up to 5.1 its number is theirs; 6.1 and 7.1 are 11 and 12.
fn channels(count: u16) -> AudioChannelConfiguration {
    let (scheme, value) = match count {
        7 => (CONFIGURATIONS, 11),
        8 => (CONFIGURATIONS, 12),
        other => (CHANNELS, other),
    };
    AudioChannelConfiguration {
        schemeIdUri: scheme.to_owned(),
        value: Some(value.to_string()),
        ..AudioChannelConfiguration::default()
    }
}

/// How many objects the channels are a mix of (ETSI TS 103 420 D.2).
fn objects(count: u8) -> [SupplementalProperty; 2] {
    let property = |name: &str, value: String| SupplementalProperty {
        schemeIdUri: format!("tag:dolby.com,2018:dash:{name}:2018"),
        value: Some(value),
        ..SupplementalProperty::default()
    };
    [property("EC3_ExtensionType", "JOC".to_owned()), property("EC3_ExtensionComplexityIndex", count.to_string())]
}

/// Subtitles as fragments of WebVTT: text that comes in segments has to (DASH-IF IOP 4.3, 6.4.5).
fn text_set(id: usize, track: &SubtitleListing, presentation: &Presentation) -> AdaptationSet {
    let what = match track {
        SubtitleListing { forced: true, .. } => "forced-subtitle",
        SubtitleListing { hearing_impaired: true, .. } => "caption",
        _ => "subtitle",
    };
    let roles = [Some(what), track.default.then_some("main")].into_iter().flatten();
    let role = |value: &str| Role { schemeIdUri: ROLES.to_owned(), value: Some(value.to_owned()), ..Role::default() };
    AdaptationSet {
        id: Some(id.to_string()),
        contentType: Some("text".to_owned()),
        lang: Some(track.language.tag()),
        segmentAlignment: Some(true),
        startWithSAP: Some(1),
        Role: roles.map(role).collect(),
        Label: vec![Label { content: track.name.clone(), ..Label::default() }],
        SegmentTemplate: Some(template(&track.fragments)),
        representations: vec![representation(&track.fragments, "application/mp4", presentation)],
        ..AdaptationSet::default()
    }
}

/// What tells of captions inside the video (ANSI/SCTE 214-1, 7.2.3 and 7.2.4).
fn captions(captions: &[Channel]) -> Vec<Accessibility> {
    let of = |scheme: &str, values: Vec<String>| {
        (!values.is_empty()).then(|| Accessibility {
            schemeIdUri: scheme.to_owned(),
            value: Some(values.join(";")),
            ..Accessibility::default()
        })
    };
    let (mut line21, mut services) = (Vec::new(), Vec::new());
    for channel in captions {
        match channel {
            Channel::Cea608(number) => line21.push(format!("CC{number}=und")),
            Channel::Cea708(number) => services.push(format!("{number}=lang:und")),
        }
    }
    [of(CEA_608, line21), of(CEA_708, services)].into_iter().flatten().collect()
}

fn representation(listing: &Listing, mime: &str, presentation: &Presentation) -> Representation {
    Representation {
        id: Some(listing.folder.clone()),
        bandwidth: Some(rates::whole(presentation.rates(listing).peak)),
        mimeType: Some(mime.to_owned()),
        codecs: Some(listing.codec.clone()),
        ..Representation::default()
    }
}

fn template(listing: &Listing) -> SegmentTemplate {
    SegmentTemplate {
        initialization: Some("$RepresentationID$/init.mp4".to_owned()),
        media: Some("$RepresentationID$/seg-$Number%05d$.m4s".to_owned()),
        startNumber: Some(1),
        timescale: Some(listing.timescale.into()),
        SegmentTimeline: Some(SegmentTimeline { segments: timeline(&listing.segments) }),
        ..SegmentTemplate::default()
    }
}

/// Runs of equal durations; only the first says when it starts, for the others follow without a gap.
fn timeline(segments: &[Written]) -> Vec<S> {
    let mut rows: Vec<S> = Vec::new();
    for segment in segments {
        match rows.last_mut() {
            Some(row) if row.d == segment.ticks => row.r = Some(row.r.unwrap_or(0) + 1),
            _ => rows.push(S { t: rows.is_empty().then_some(segment.start), d: segment.ticks, ..S::default() }),
        }
    }
    rows
}

fn micros(seconds: f64) -> Duration {
    Duration::from_micros((seconds.max(0.0) * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use dash_mpd_core::parse;
    use vtp_engine::units::{Ratio, Size};

    use super::*;
    use crate::check::mpd::read;
    use crate::listing::FrameRate;
    use crate::seal::{ContentKey, Scheme};

    #[test]
    fn where_a_licence_is_stands_in_a_namespace_that_is_declared() {
        let sets = ["video", "audio", "text"]
            .map(|kind| AdaptationSet { contentType: Some(kind.to_owned()), ..AdaptationSet::default() });
        let period = Period { adaptations: sets.into(), ..Period::default() };
        let plain = MPD { xmlns: Some(NAMESPACE.to_owned()), periods: vec![period], ..MPD::default() };
        let seal = |license_url| Seal {
            scheme: Scheme::Cbcs,
            key: ContentKey::new([1; 16]),
            key_id: [2; 16],
            iv: [3; 16],
            key_uri: "key".to_owned(),
            license_url,
        };
        for license in [Some("https://l/?a=1&b=2".to_owned()), None] {
            let mut mpd = plain.clone();
            protect(&mut mpd, Some(&seal(license.clone())));
            let text = String::from_utf8(text(&mpd).unwrap()).unwrap();
            assert_eq!(read(text.as_bytes()).unwrap().problems, [], "{text}");
            assert_eq!(text.contains(LICENSES), license.is_some(), "{text}");
            let sets = &parse(&text).unwrap().periods[0].adaptations;
            let told = |set: &AdaptationSet| set.ContentProtection.iter().find_map(|it| it.clearkey_laurl.clone());
            let urls: Vec<_> = sets.iter().map(|set| told(set).and_then(|laurl| laurl.content)).collect();
            assert_eq!(urls, [license.clone(), license, None]);
        }
    }

    /// One of `kinds` each of video, in the order of the presentation.
    fn of_video(kinds: &[(VideoCodec, u8)]) -> Presentation {
        let size = Size { width: 64, height: 36 };
        let video = kinds.iter().enumerate().map(|(place, (codec, transfer))| VideoListing {
            listing: Listing::new(place.to_string(), "x".to_owned(), 10, &[], 0),
            size,
            display: size,
            sample_aspect: Ratio::ONE,
            codec: *codec,
            frame_rate: FrameRate { num: 25, den: 1 },
            transfer: *transfer,
            pictures: Vec::new(),
        });
        Presentation {
            video: video.collect(),
            audio: Vec::new(),
            subtitles: Vec::new(),
            captions: Vec::new(),
            sheets: None,
            told_target_s: 0,
        }
    }

    #[test]
    fn a_set_has_one_codec_and_one_range_and_players_go_on_in_those_of_their_range() {
        use VideoCodec::{H264, Hevc};
        let mpd = mpd(&of_video(&[(Hevc, 16), (Hevc, 16), (H264, 1), (Hevc, 1), (H264, 6)]), 1.0);
        let sets = mpd.periods[0].adaptations.iter().map(|set| {
            let ids: Vec<_> = set.representations.iter().filter_map(|it| it.id.clone()).collect();
            let others = set.supplemental_property.first().and_then(|it| it.value.clone());
            let range = set.essential_property.first().and_then(|it| it.value.clone());
            (set.id.clone().unwrap(), ids.join(","), others, range)
        });
        let some = |text: &str| Some(text.to_owned());
        let due = [
            ("1".into(), "0,1".into(), None, some("16")),
            ("2".into(), "2,4".into(), some("3"), None),
            ("3".into(), "3".into(), some("2"), None),
        ];
        assert_eq!(sets.collect::<Vec<_>>(), due);
    }

    #[test]
    fn more_channels_than_5_1_are_told_by_the_number_of_their_configuration() {
        let told = [2, 6, 7, 8].map(|count| {
            let it = channels(count);
            (it.schemeIdUri, it.value.unwrap())
        });
        let due = [(CHANNELS, "2"), (CHANNELS, "6"), (CONFIGURATIONS, "11"), (CONFIGURATIONS, "12")];
        assert_eq!(told, due.map(|(scheme, value)| (scheme.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_presentation_lasts_from_the_start_of_its_period_on() {
        let mut presentation = of_video(&[(VideoCodec::H264, 1)]);
        presentation.video[0].listing.segments = vec![Written { start: 7, ticks: 50, bytes: 10, samples: 5 }];
        assert_eq!(mpd(&presentation, 1.0).mediaPresentationDuration, Some(Duration::from_millis(5700)));
    }
}
