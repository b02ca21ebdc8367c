//! Matroska and WebM (RFC 9559), with what seeks before the clusters. Pure: the head, and which sample stands in which
//! cluster at what time.
//!
//! Times are whole milliseconds, as WebM asks for and readers expect; those of archives are as fine as the source's clock
//! ([`tick_ns`]).

use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::units::TimeBase;

use super::ebml::{element, float, id_bytes, master, size, text, uint, wide, wide_size};
use super::{Container, Display, Kind, Pictures, Track, entry};
use crate::boxes::Error;

pub(super) const EBML: u32 = 0x1A45_DFA3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114D_9B74;
pub(super) const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CUES: u32 = 0x1C53_BB6B;
pub(super) const CLUSTER: u32 = 0x1F43_B675;
pub(super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub(super) const TIMESTAMP: u32 = 0xE7;
pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
pub(super) const BLOCK_GROUP: u32 = 0xA0;
pub(super) const BLOCK: u32 = 0xA1;
pub(super) const BLOCK_DURATION: u32 = 0x9B;

/// In nanoseconds.
pub(crate) const MILLISECOND: u64 = 1_000_000;
/// A cluster that is this long ends at the next key picture, in nanoseconds.
const SHORT: u64 = 1000 * MILLISECOND;
/// One that is this long ends, whatever comes.
const LONG: u64 = 5000 * MILLISECOND;
/// One of so many ticks ends at the next key picture, too: times of blocks have 16 bits.
const MOST_TICKS: i64 = 1 << 14;

/// What times in an archive of a source with this time base are multiples of (TimestampScale of RFC 9559 5.1.2.9), in
/// nanoseconds: the longest power of ten, from a microsecond to a millisecond, that is no longer than a tick of the source.
/// So, unless that is below a microsecond, no two times become one, and each rounds back to the source's own.
pub(crate) fn tick_ns(time_base: TimeBase) -> u64 {
    let source_ns = u64::from(time_base.0.num()) * 1_000_000_000 / u64::from(time_base.0.den());
    [MILLISECOND, MILLISECOND / 10, MILLISECOND / 100].into_iter().find(|ns| *ns <= source_ns).unwrap_or(1000)
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Everything before the first cluster.
    pub(crate) head: Vec<u8>,
    pub(crate) clusters: Vec<Cluster>,
}

/// Samples that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// What the times of its blocks count from, in ticks.
    time: u64,
    pub(crate) blocks: Vec<Block>,
    /// Bytes of all its blocks.
    bytes: u64,
    /// Whether decoding can start here.
    is_key: bool,
}

/// A sample within a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) track: usize,
    pub(crate) sample: usize,
    time: i16,
    size: u32,
    is_key: bool,
    /// How long text is shown, in milliseconds.
    duration: Option<u64>,
}

impl Cluster {
    /// What stands before its first block.
    pub(crate) fn head(&self) -> Vec<u8> {
        let time = uint(TIMESTAMP, self.time);
        [id_bytes(CLUSTER), wide_size(time.len() as u64 + self.bytes), time].concat()
    }

    fn length(&self) -> u64 {
        self.head().len() as u64 + self.bytes
    }
}

impl Block {
    /// What stands before its sample.
    pub(crate) fn head(&self) -> Vec<u8> {
        let id = if self.duration.is_some() { BLOCK } else { SIMPLE_BLOCK };
        let mut head = [id_bytes(id), size(u64::from(self.size) + 4)].concat();
        if let Some(duration) = self.duration {
            let duration = uint(BLOCK_DURATION, duration);
            let inner = duration.len() + head.len() + 4;
            head = [id_bytes(BLOCK_GROUP), size(inner as u64 + u64::from(self.size)), duration, head].concat();
        }
        head.push(0x80 | (self.track as u8 + 1));
        head.extend(self.time.to_be_bytes());
        // Of a block in a group the group tells whether it needs others.
        head.push(if self.is_key && self.duration.is_none() { 0x80 } else { 0 });
        head
    }
}

/// When a block is, in whole ticks: when its sample is shown, and later by what is taken out at the start of sound.
pub(super) fn time(track: &Track, shown: i64, tick_ns: u64) -> i64 {
    let ns = track.nanoseconds(shown) + i128::from(codec_delay_ns(track));
    let tick = i128::from(tick_ns);
    i64::try_from((ns + tick / 2).div_euclid(tick)).unwrap_or(i64::MAX)
}

fn codec_delay_ns(track: &Track) -> u64 {
    u64::try_from(track.nanoseconds(track.priming.cast_signed())).unwrap_or(0)
}

/// The whole file, but for the samples' bytes, whose times are multiples of so many nanoseconds.
pub(crate) fn plan(container: Container, tracks: &[Track], tick_ns: u64) -> Result<Plan, Error> {
    // A track's number has one byte.
    if tracks.len() > 126 {
        return Err(Error::Range { what: "the number of tracks" });
    }
    let clusters = clusters(tracks, tick_ns)?;
    let entries = tracks.iter().zip(1..).map(|(track, number)| track_entry(container, track, number));
    let (info, entries) = (info(tracks, tick_ns), master(TRACKS, &entries.collect::<Result<Vec<_>, _>>()?));
    let seeks = |places: [(u32, u64); 3]| {
        let seek = |(id, place)| master(0x4DBB, &[element(0x53AB, &id_bytes(id)), wide(0x53AC, place)]);
        master(SEEK_HEAD, &places.map(seek))
    };
    let after_seeks = seeks([(INFO, 0), (TRACKS, 0), (CUES, 0)]).len() as u64;
    let (at_tracks, at_cues) = (after_seeks + info.len() as u64, after_seeks + (info.len() + entries.len()) as u64);
    // All places have eight bytes, so the length does not depend on them.
    let first = at_cues + cues(tracks, &clusters, tick_ns, 0).len() as u64;
    let cues = cues(tracks, &clusters, tick_ns, first);
    let seeks = seeks([(INFO, after_seeks), (TRACKS, at_tracks), (CUES, at_cues)]);
    let length = first + clusters.iter().map(Cluster::length).sum::<u64>();
    let segment = [id_bytes(SEGMENT), wide_size(length)].concat();
    Ok(Plan { head: [ebml(container), segment, seeks, info, entries, cues].concat(), clusters })
}

fn ebml(container: Container) -> Vec<u8> {
    let kind = if container == Container::WebM { "webm" } else { "matroska" };
    let versions = [uint(0x4286, 1), uint(0x42F7, 1), uint(0x42F2, 4), uint(0x42F3, 8)].concat();
    master(EBML, &[versions, text(0x4282, kind), uint(0x4287, 4), uint(0x4285, 2)])
}

fn info(tracks: &[Track], tick_ns: u64) -> Vec<u8> {
    let end = tracks.iter().map(|track| track.nanoseconds(track.end())).max().unwrap_or(0);
    let product = concat!("VideoTranscode Pro ", env!("CARGO_PKG_VERSION"));
    let duration = float(0x4489, end as f64 / tick_ns as f64);
    master(INFO, &[uint(TIMESTAMP_SCALE, tick_ns), duration, text(0x4D80, product), text(0x5741, product)])
}

/// All samples in the order in which they are decoded, cut at key pictures.
fn clusters(tracks: &[Track], tick_ns: u64) -> Result<Vec<Cluster>, Error> {
    let ticks = |ns: u64| (ns / tick_ns).cast_signed();
    let (short, long) = (ticks(SHORT).min(MOST_TICKS), ticks(LONG));
    let mut order: Vec<(i128, usize, usize)> = Vec::new();
    for (place, track) in tracks.iter().enumerate() {
        let lead = track.lead();
        let due = |decoded: u64| track.nanoseconds(decoded.cast_signed() - lead);
        order.extend(track.samples.iter().enumerate().map(|(sample, it)| (due(it.decoded), place, sample)));
    }
    order.sort_unstable();
    let mut clusters: Vec<Cluster> = Vec::new();
    for (_, track, place) in order {
        let (it, sample) = (&tracks[track], &tracks[track].samples[place]);
        let time = time(it, sample.shown, tick_ns);
        let is_key = it.is_video() && sample.sync;
        let is_due = |cluster: &Cluster| {
            let length = time - cluster.time.cast_signed();
            (is_key && (length >= short || !cluster.is_key)) || length >= long || i16::try_from(length).is_err()
        };
        if clusters.last().is_none_or(is_due) {
            let time = time.max(0).cast_unsigned();
            clusters.push(Cluster { time, blocks: Vec::new(), bytes: 0, is_key });
        }
        let Some(cluster) = clusters.last_mut() else { continue };
        let out_of_range = |_| Error::Range { what: "the time of a sample" };
        let time = i16::try_from(time - cluster.time.cast_signed()).map_err(out_of_range)?;
        let duration = it.is_text().then_some(u64::from(sample.duration));
        let block = Block { track, sample: place, time, size: sample.size, is_key: sample.sync, duration };
        cluster.bytes += block.head().len() as u64 + u64::from(block.size);
        cluster.blocks.push(block);
    }
    Ok(clusters)
}

/// Where clusters that open with a key picture are, at most one in half a second, if the first is at `at` in the segment.
fn cues(tracks: &[Track], clusters: &[Cluster], tick_ns: u64, mut at: u64) -> Vec<u8> {
    let mut points = Vec::new();
    let mut due = 0;
    for cluster in clusters {
        if let Some(key) = cluster.blocks.first().filter(|_| cluster.is_key) {
            let time = time(&tracks[key.track], tracks[key.track].samples[key.sample].shown, tick_ns);
            let time = time.max(0).cast_unsigned();
            if time >= due {
                let position = master(0xB7, &[uint(0xF7, key.track as u64 + 1), wide(0xF1, at)]);
                points.push(master(0xBB, &[uint(0xB3, time), position]));
                due = time + SHORT / 2 / tick_ns;
            }
        }
        at += cluster.length();
    }
    master(CUES, &points)
}

fn track_entry(container: Container, track: &Track, number: u64) -> Result<Vec<u8>, Error> {
    let (kind, codec) = match &track.kind {
        Kind::Video(_) => (1, entry::codec(&track.entry, true)?),
        Kind::Audio { .. } => (2, entry::codec(&track.entry, false)?),
        Kind::Text { .. } => (17, entry::text(container)),
    };
    // Numbers, no lacing, and flags.
    let mut parts = vec![uint(0xD7, number), uint(0x73C5, number), uint(0x83, kind), uint(0x9C, 0)];
    parts.push(uint(0x88, track.default.into()));
    parts.push(text(0x22_B59C, track.language.bibliographic()));
    parts.push(text(0x22_B59D, &track.language.tag()));
    if !track.name.is_empty() {
        parts.push(text(0x536E, &track.name));
    }
    parts.push(text(0x86, codec.id));
    if !codec.private.is_empty() {
        parts.push(element(0x63A2, &codec.private));
    }
    let delay = codec_delay_ns(track);
    parts.extend((delay > 0).then(|| uint(0x56AA, delay)));
    parts.extend((codec.preroll_ns > 0).then(|| uint(0x56BB, codec.preroll_ns)));
    parts.extend(default_duration(track).filter(|_| !track.is_text()).map(|ns| uint(0x23_E383, ns)));
    parts.extend(match &track.kind {
        Kind::Video(pictures) => vec![video(pictures)],
        Kind::Audio { channels, sample_rate } => {
            vec![master(0xE1, &[float(0xB5, f64::from(*sample_rate)), uint(0x9F, u64::from(*channels))])]
        }
        Kind::Text { forced, hearing_impaired } => {
            vec![uint(0x55AA, (*forced).into()), uint(0x55AB, (*hearing_impaired).into())]
        }
    });
    Ok(master(0xAE, &parts))
}

/// How long every sample lasts in nanoseconds, where all last as long (the last one may not).
fn default_duration(track: &Track) -> Option<u64> {
    let first = track.samples.first()?.duration;
    let (_, others) = track.samples.split_last()?;
    let ns = u64::try_from(track.nanoseconds(first.into())).ok()?;
    others.iter().all(|it| it.duration == first).then_some(ns).filter(|ns| *ns > 0)
}

fn video(of: &Pictures) -> Vec<u8> {
    let mut parts = Vec::new();
    // Both fields stand in one picture, line by line.
    if let Some(top_first) = of.fields {
        let order = top_first.map_or(2, |top_first| if top_first { 9 } else { 14 });
        parts.extend([uint(0x9A, 1), uint(0x9D, order)]);
    }
    parts.extend([uint(0xB0, of.size.width.into()), uint(0xBA, of.size.height.into())]);
    let (Display::Pixels(shown) | Display::Aspect(shown)) = of.display;
    parts.extend([uint(0x54B0, shown.width.into()), uint(0x54BA, shown.height.into())]);
    parts.extend(matches!(of.display, Display::Aspect(_)).then(|| uint(0x54B2, 3)));
    parts.push(master(0x55B0, &colour(of.color, of.hdr)));
    parts.extend((!of.rotation.is_identity()).then(|| projection(of.rotation)));
    master(0xE0, &parts)
}

/// A flat picture that is turned (RFC 9559 5.1.4.1.28.41 and following): mirrored by half a turn around the upright axis, then
/// turned, against the clock.
fn projection(rotation: Rotation) -> Vec<u8> {
    let against_clock = match rotation.quarter_turns % 4 {
        0 => 0.0,
        1 => -90.0,
        2 => 180.0,
        _ => 90.0,
    };
    let yaw = if rotation.mirrored { 180.0 } else { 0.0 };
    master(0x7670, &[uint(0x7671, 0), float(0x7673, yaw), float(0x7674, 0.0), float(0x7675, against_clock)])
}

fn colour(color: Color, hdr: HdrMetadata) -> Vec<Vec<u8>> {
    let codes = [(0x55B1, color.matrix), (0x55BA, color.transfer), (0x55BB, color.primaries)];
    let mut parts: Vec<Vec<u8>> = codes.into_iter().map(|(id, code)| uint(id, code.into())).collect();
    parts.extend(color.full_range.map(|full| uint(0x55B9, 1 + u64::from(full))));
    if let Some(light) = hdr.light {
        parts.extend([uint(0x55BC, light.most.into()), uint(0x55BD, light.most_mean.into())]);
    }
    if let Some(display) = hdr.mastering {
        let points = display.primaries.into_iter().chain([display.white]).flatten();
        let mut metadata: Vec<Vec<u8>> =
            (0x55D1..).zip(points).map(|(id, point)| float(id, f64::from(point) / 50_000.0)).collect();
        let luminance = |id, value: u32| float(id, f64::from(value) / 10_000.0);
        metadata.extend([luminance(0x55D9, display.most), luminance(0x55DA, display.least)]);
        parts.push(master(0x55D0, &metadata));
    }
    parts
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::super::read;
    use super::super::testing::{audio, video};
    use super::*;

    /// The file with zeros for samples.
    pub(in super::super) fn file(container: Container, tracks: &[Track]) -> Vec<u8> {
        let plan = plan(container, tracks, MILLISECOND).unwrap();
        let mut bytes = plan.head;
        for cluster in &plan.clusters {
            bytes.extend(cluster.head());
            for block in &cluster.blocks {
                bytes.extend(block.head());
                bytes.resize(bytes.len() + tracks[block.track].samples[block.sample].size as usize, 0);
            }
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_and_the_segment_ends_where_it_says() {
        let tracks = [video(50, 10), audio(100)];
        let bytes = file(Container::Mkv, &tracks);
        let found = read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64, &tracks, MILLISECOND).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [50, 100]);
        assert!(read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64 - 1, &tracks, MILLISECOND).is_err());
        let other = [video(50, 25), audio(100)];
        assert!(
            read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64, &other, MILLISECOND).is_err(),
            "other key pictures"
        );
    }

    #[test]
    fn clusters_begin_with_key_pictures_and_cues_lead_to_them() {
        let tracks = [video(250, 50), audio(400)];
        let plan = plan(Container::WebM, &tracks, MILLISECOND).unwrap();
        assert!(plan.clusters.iter().all(|cluster| cluster.is_key && cluster.blocks[0].track == 0));
        assert_eq!(plan.clusters.iter().map(|cluster| cluster.time).collect::<Vec<_>>(), [0, 2000, 4000, 6000, 8000]);
        let bytes = file(Container::WebM, &tracks);
        let segment = bytes.windows(4).position(|four| four == id_bytes(SEGMENT)).unwrap() + 12;
        let places = bytes[..plan.head.len()].windows(10).filter(|it| it[..2] == [0xF1, 0x88]);
        let places: Vec<usize> =
            places.map(|it| u64::from_be_bytes(it[2..].try_into().unwrap()) as usize + segment).collect();
        assert_eq!(places.len(), 5);
        assert!(places.iter().all(|&at| bytes[at..at + 4] == id_bytes(CLUSTER)));
    }

    #[test]
    fn a_long_wait_without_a_key_picture_ends_a_cluster_too() {
        let mut slow = video(20, 20);
        slow.samples.iter_mut().for_each(|it| {
            (it.decoded, it.shown, it.duration) = (it.decoded * 1000, it.shown * 1000, 1000);
        });
        let plan = plan(Container::Mkv, &[slow], MILLISECOND).unwrap();
        assert!(plan.clusters.len() > 5);
        assert_eq!(plan.clusters.iter().filter(|cluster| cluster.is_key).count(), 1);
    }

    #[test]
    fn what_a_high_dynamic_range_was_mastered_for_is_told_in_the_units_of_matroska() {
        use vtp_engine::source::{ContentLight, MasteringDisplay};

        let primaries = [[34_000, 16_000], [13_250, 34_500], [7_500, 3_000]];
        let mastering = MasteringDisplay { primaries, white: [15_635, 16_450], most: 10_000_000, least: 1 };
        let light = Some(ContentLight { most: 1000, most_mean: 400 });
        let color = Color { full_range: Some(false), ..Color::BT709 };
        let told = colour(color, HdrMetadata { mastering: Some(mastering), light }).concat();
        let has = |element: Vec<u8>| told.windows(element.len()).any(|it| it == element);
        assert!(has(uint(0x55B9, 1)) && has(uint(0x55BC, 1000)) && has(uint(0x55BD, 400)));
        assert!(has(float(0x55D1, 0.68)) && has(float(0x55D4, 0.69)) && has(float(0x55D8, 0.329)));
        assert!(has(float(0x55D9, 1000.0)) && has(float(0x55DA, 0.0001)));
    }
}
