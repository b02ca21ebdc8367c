//! The census: decodes a source once, in order, and lists the frames that come out. For sources whose packets do
//! not tell (times missing, field pictures, damage).

use vtp_engine::index::{FrameEntry, FrameList, PacketEntry};
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::SourceFile;
use vtp_engine::media::{self, Picture};
use vtp_engine::units::PacketIndex;

use crate::mend::mend;
use crate::{Error, Source, frames, scan};

/// Replaces the frames of `source`'s index by those that decoding yields.
pub(crate) fn take(source: &mut Source, file: &SourceFile, doubt: &str, alive: &mut dyn FnMut()) -> Result<(), Error> {
    let video = &source.info.video;
    let mut demuxer = source.container(file).open()?;
    let mut decoder = VideoDecoder::new(source.video_parameters()?, video.time_base, file.limits())?;
    let wanted: Vec<usize> = std::iter::once(video.stream).chain(source.info.audio.iter().map(|a| a.stream)).collect();
    demuxer.keep_only(&wanted);
    let video_base = video.time_base;
    let nominal = video.time_base.ticks(1.0 / nominal_rate(video.frame_rate.as_f64())).max(1);
    let mut list = Listing::default();
    let timeless = source.index.packets.iter().all(|entry| entry.pts.is_none() && entry.dts.is_none());
    let mut packets = source.index.packets.iter();
    let mut index = 0;
    while let Some(mut packet) = demuxer.read()? {
        alive();
        if packet.stream() != video.stream {
            continue;
        }
        let entry = packets.next().ok_or(Error::Changed)?;
        if entry.crc != crc32fast::hash(packet.data()) {
            return Err(Error::Changed);
        }
        packet.set_times(entry.pts, decode_time(entry, timeless.then_some(i64::from(index) * nominal)));
        decoder.send::<media::Error>(PacketIndex(index), packet, &mut |picture| list.take(&picture))?;
        index += 1;
    }
    if packets.next().is_some() {
        return Err(Error::Changed);
    }
    decoder.finish::<media::Error>(&mut |picture| list.take(&picture))?;
    let Listing { packets, told, last_duration } = list;
    let (times, moved) = mend(&told, nominal);
    let frames: Vec<FrameEntry> =
        packets.into_iter().zip(times).map(|(packet, pts)| FrameEntry { packet, pts }).collect();
    if frames.is_empty() {
        return Err(Error::Corrupt("not one picture can be decoded; get another copy of the file".into()));
    }
    source.info.video.frame_rate = frames::frame_rate(&frames, video.time_base).unwrap_or(source.info.video.frame_rate);
    note(source, doubt, decoder.damaged(), moved, frames.len());
    let last = last_duration.or_else(|| frames::median_gap(&frames)).unwrap_or(nominal);
    source.index.last_duration = last.clamp(1, frames::longest(video_base));
    source.index.frames = frames;
    source.index.frame_list = FrameList::Census;
    source.origin = scan::origin(&source.info.video, &source.index, &source.info.audio);
    Ok(())
}

/// The decode time of a packet. In a source without any, packets follow each other at the `nominal` one, as FFmpeg's own
/// tools assume; among others with times, that would be far from theirs, and the neighbours tell more.
fn decode_time(entry: &PacketEntry, nominal: Option<i64>) -> Option<i64> {
    entry.dts.or(nominal.filter(|_| entry.pts.is_none()))
}

/// The rate for a source that has no times: what the container says where that is believable, else 25.
fn nominal_rate(told: f64) -> f64 {
    if (1.0..=240.0).contains(&told) { told } else { 25.0 }
}

fn note(source: &mut Source, doubt: &str, damaged: u32, moved: usize, frames: usize) {
    let warnings = &mut source.index.warnings;
    warnings.push(format!("the frames were listed by decoding the source once, because of this: {doubt}"));
    if damaged > 0 {
        let packets = source.index.packets.len();
        warnings
            .push(format!("the video is damaged: {packets} packets gave {frames} frames, and {damaged} complaints"));
    }
    if moved > 0 {
        let frames = if moved == 1 { "1 frame".to_owned() } else { format!("{moved} frames") };
        warnings.push(format!(
            "{frames} without a time, or with one out of order, got one between those of their neighbours"
        ));
    }
}

/// The pictures that came out, in order.
#[derive(Default)]
struct Listing {
    packets: Vec<PacketIndex>,
    told: Vec<Option<i64>>,
    last_duration: Option<i64>,
}

impl Listing {
    fn take(&mut self, picture: &Picture) -> Result<(), media::Error> {
        let Some(packet) = picture.packet() else {
            return Err(media::Error::new(media::Kind::Internal, "a decoded picture has lost its packet"));
        };
        self.packets.push(packet);
        self.told.push(picture.best_effort_pts());
        self.last_duration = picture.duration();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::index::CutClass;

    use super::*;

    #[test]
    fn only_in_a_source_without_times_packets_get_nominal_ones() {
        let entry = |pts, dts| PacketEntry { pts, dts, size: 1, crc: 0, cut: CutClass::None };
        assert_eq!(decode_time(&entry(None, None), Some(80)), Some(80));
        assert_eq!(decode_time(&entry(None, None), None), None);
        assert_eq!(decode_time(&entry(Some(5), None), Some(80)), None);
        assert_eq!(decode_time(&entry(None, Some(3)), Some(80)), Some(3));
    }
}
