//! Matroska and WebM (RFC 9559), with what seeks before the clusters. Pure: the head, and which sample stands in which
//! cluster at what time.
//!
//! Times are whole milliseconds, as everywhere in Matroska: WebM asks for it, and readers expect it.

use vtp_engine::source::{Color, HdrMetadata};

use super::ebml::{element, float, id_bytes, master, size, text, uint, wide, wide_size};
use super::{Container, Kind, Track, entry};
use crate::boxes::{Error, VideoInit};

pub(super) const EBML: u32 = 0x1A45_DFA3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114D_9B74;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CUES: u32 = 0x1C53_BB6B;
pub(super) const CLUSTER: u32 = 0x1F43_B675;
pub(super) const TIMESTAMP: u32 = 0xE7;
pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
pub(super) const BLOCK_GROUP: u32 = 0xA0;
pub(super) const BLOCK: u32 = 0xA1;
pub(super) const BLOCK_DURATION: u32 = 0x9B;

const MILLISECOND: i128 = 1_000_000;
/// A cluster that is this long ends at the next key picture, in milliseconds.
const SHORT: i64 = 1000;
/// One that is this long ends, whatever comes.
const LONG: i64 = 5000;

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
    /// What the times of its blocks count from, in milliseconds.
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

/// When a block is, in whole milliseconds: when its sample is shown, and later by what is taken out at the start of sound.
pub(super) fn time_ms(track: &Track, shown: i64) -> i64 {
    let ns = track.nanoseconds(shown) + i128::from(codec_delay_ns(track));
    i64::try_from((ns + MILLISECOND / 2).div_euclid(MILLISECOND)).unwrap_or(i64::MAX)
}

fn codec_delay_ns(track: &Track) -> u64 {
    u64::try_from(track.nanoseconds(track.priming.cast_signed())).unwrap_or(0)
}

/// The whole file, but for the samples' bytes.
pub(crate) fn plan(container: Container, tracks: &[Track]) -> Result<Plan, Error> {
    // A track's number has one byte.
    if tracks.len() > 126 {
        return Err(Error::Range { what: "the number of tracks" });
    }
    let clusters = clusters(tracks)?;
    let entries = tracks.iter().zip(1..).map(|(track, number)| track_entry(container, track, number));
    let (info, entries) = (info(tracks), master(TRACKS, &entries.collect::<Result<Vec<_>, _>>()?));
    let seeks = |places: [(u32, u64); 3]| {
        let seek = |(id, place)| master(0x4DBB, &[element(0x53AB, &id_bytes(id)), wide(0x53AC, place)]);
        master(SEEK_HEAD, &places.map(seek))
    };
    let after_seeks = seeks([(INFO, 0), (TRACKS, 0), (CUES, 0)]).len() as u64;
    let (at_tracks, at_cues) = (after_seeks + info.len() as u64, after_seeks + (info.len() + entries.len()) as u64);
    // All places have eight bytes, so the length does not depend on them.
    let first = at_cues + cues(tracks, &clusters, 0).len() as u64;
    let cues = cues(tracks, &clusters, first);
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

fn info(tracks: &[Track]) -> Vec<u8> {
    let end = tracks.iter().map(|track| track.nanoseconds(track.end())).max().unwrap_or(0);
    let product = concat!("VideoTranscode Pro ", env!("CARGO_PKG_VERSION"));
    let duration = float(0x4489, end as f64 / MILLISECOND as f64);
    master(INFO, &[uint(0x2A_D7B1, MILLISECOND as u64), duration, text(0x4D80, product), text(0x5741, product)])
}

/// All samples in the order in which they are decoded, cut at key pictures.
fn clusters(tracks: &[Track]) -> Result<Vec<Cluster>, Error> {
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
        let time = time_ms(it, sample.shown);
        let is_key = it.is_video() && sample.sync;
        let is_due = |cluster: &Cluster| {
            let length = time - cluster.time.cast_signed();
            (is_key && (length >= SHORT || !cluster.is_key)) || length >= LONG || i16::try_from(length).is_err()
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

/// Where each cluster that opens with a key picture is, if the first is at `at` in the segment.
fn cues(tracks: &[Track], clusters: &[Cluster], mut at: u64) -> Vec<u8> {
    let mut points = Vec::new();
    for cluster in clusters {
        if let Some(key) = cluster.blocks.first().filter(|_| cluster.is_key) {
            let time = time_ms(&tracks[key.track], tracks[key.track].samples[key.sample].shown);
            let position = master(0xB7, &[uint(0xF7, key.track as u64 + 1), wide(0xF1, at)]);
            points.push(master(0xBB, &[uint(0xB3, time.max(0).cast_unsigned()), position]));
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
        Kind::Video(init) => vec![video(init)],
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

fn video(init: &VideoInit) -> Vec<u8> {
    let display = init.display();
    let parts = [
        uint(0xB0, init.size.width.into()),
        uint(0xBA, init.size.height.into()),
        uint(0x54B0, display.width.into()),
        uint(0x54BA, display.height.into()),
        master(0x55B0, &colour(init.color, init.hdr)),
    ];
    master(0xE0, &parts)
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
        let plan = plan(container, tracks).unwrap();
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
        let found = read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64, &tracks).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [50, 100]);
        assert!(read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64 - 1, &tracks).is_err());
        let other = [video(50, 25), audio(100)];
        assert!(read::matroska(&mut Cursor::new(&bytes), bytes.len() as u64, &other).is_err(), "other key pictures");
    }

    #[test]
    fn clusters_begin_with_key_pictures_and_cues_lead_to_them() {
        let tracks = [video(250, 50), audio(400)];
        let plan = plan(Container::WebM, &tracks).unwrap();
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
        let plan = plan(Container::Mkv, &[slow]).unwrap();
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
