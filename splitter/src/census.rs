//! The census: decodes a source once, in order, and lists the frames that come out. For sources whose packets do
//! not tell (times missing, field pictures, damage).

use vtp_engine::index::{FrameEntry, FrameList};
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::{self, Demuxer, Picture};
use vtp_engine::units::PacketIndex;

use crate::{Error, Source, frames, scan};

/// Replaces the frames of `source`'s index by those that decoding yields.
pub(crate) fn take(source: &mut Source, doubt: &str) -> Result<(), Error> {
    let video = &source.info.video;
    let mut demuxer = Demuxer::open(&source.path)?;
    let parameters = demuxer.parameters(video.stream)?;
    let mut decoder = VideoDecoder::new(&parameters, video.time_base)?;
    let wanted: Vec<usize> = std::iter::once(video.stream).chain(source.info.audio.iter().map(|a| a.stream)).collect();
    demuxer.keep_only(&wanted);
    let nominal = video.time_base.ticks(1.0 / nominal_rate(video.frame_rate.as_f64())).max(1);
    let mut list = Listing { frames: Vec::new(), nominal, moved: 0, last_duration: None, only_time: OnlyTime::NoneYet };
    let mut packets = source.index.packets.iter();
    let mut index = 0;
    while let Some(mut packet) = demuxer.read() {
        if packet.stream() != video.stream {
            continue;
        }
        let entry = packets.next().ok_or(Error::Changed)?;
        if entry.crc != crc32fast::hash(packet.data()) {
            return Err(Error::Changed);
        }
        // Without any time a packet takes its place at the nominal rate, as FFmpeg's own tools assume.
        let dts = entry.dts.or_else(|| entry.pts.is_none().then_some(i64::from(index) * nominal));
        packet.set_times(entry.pts, dts);
        decoder.send::<media::Error>(PacketIndex(index), packet, &mut |picture| list.take(&picture))?;
        index += 1;
    }
    decoder.finish::<media::Error>(&mut |picture| list.take(&picture))?;
    list.retime_if_time_stands_still();
    let Listing { frames, moved, last_duration, .. } = list;
    if frames.is_empty() {
        return Err(Error::Corrupt("not one picture can be decoded; get another copy of the file".into()));
    }
    source.info.video.frame_rate = frames::frame_rate(&frames, video.time_base).unwrap_or(source.info.video.frame_rate);
    note(source, doubt, decoder.damaged(), moved, frames.len());
    let last = last_duration.or_else(|| frames::median_gap(&frames)).unwrap_or(nominal);
    source.index.last_duration = last.max(1);
    source.index.frames = frames;
    source.index.frame_list = FrameList::Census;
    source.origin = scan::origin(&source.info.video, &source.index, &source.info.audio);
    Ok(())
}

/// The rate for a source that has no times: what the container says where that is believable, else 25.
fn nominal_rate(told: f64) -> f64 {
    if (1.0..=240.0).contains(&told) { told } else { 25.0 }
}

fn note(source: &mut Source, doubt: &str, damaged: u32, moved: u32, frames: usize) {
    let warnings = &mut source.index.warnings;
    warnings.push(format!("the frames were listed by decoding the source once, because of this: {doubt}"));
    if damaged > 0 {
        let packets = source.index.packets.len();
        warnings
            .push(format!("the video is damaged: {packets} packets gave {frames} frames, and {damaged} complaints"));
    }
    if moved > 0 {
        let frames = if moved == 1 { "1 frame" } else { &format!("{moved} frames") };
        warnings.push(format!("{frames} without a time, or with one out of order, got the next one that is free"));
    }
}

struct Listing {
    frames: Vec<FrameEntry>,
    nominal: i64,
    moved: u32,
    last_duration: Option<i64>,
    /// The only time that any frame was told to have, while there is but one.
    only_time: OnlyTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnlyTime {
    NoneYet,
    Is(i64),
    Several,
}

impl Listing {
    /// A stream whose time never advances has none: its frames follow each other at the nominal rate.
    fn retime_if_time_stands_still(&mut self) {
        if self.only_time == OnlyTime::Several || self.frames.len() < 2 {
            return;
        }
        for (frame, place) in self.frames.iter_mut().zip(0..) {
            frame.pts = place * self.nominal;
        }
        self.last_duration = Some(self.nominal);
    }

    fn take(&mut self, picture: &Picture) -> Result<(), media::Error> {
        let Some(packet) = picture.packet() else {
            return Err(media::Error::new(media::Kind::Internal, "a decoded picture has lost its packet"));
        };
        let last = self.frames.last().map(|frame| frame.pts);
        let told = picture.best_effort_pts();
        self.only_time = match (self.only_time, told) {
            (only, None) => only,
            (OnlyTime::NoneYet, Some(pts)) => OnlyTime::Is(pts),
            (OnlyTime::Is(only), Some(pts)) if only == pts => OnlyTime::Is(only),
            _ => OnlyTime::Several,
        };
        let pts = match (told, last) {
            (Some(pts), Some(last)) if pts <= last => last + 1,
            (Some(pts), _) => pts,
            (None, Some(last)) => last + self.nominal,
            (None, None) => 0,
        };
        self.moved += u32::from(told != Some(pts));
        self.last_duration = picture.duration();
        self.frames.push(FrameEntry { packet, pts });
        Ok(())
    }
}
