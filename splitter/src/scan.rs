//! One pass over a source without decoding: lists the video packets, heals jumps, and decodes just enough to know
//! the first picture and where each sound starts.

use vtp_engine::bitstream::captions::{CaptionFinder, Channel};
use vtp_engine::bitstream::{Access, Classifier, PacketClass};
use vtp_engine::index::{CutClass, FrameList, Heal, Index, PacketEntry, ParameterSets, TimeShift};
use vtp_engine::limits::{Limit, Limits};
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{SourceFile, SourcePacket, StreamFacts};
use vtp_engine::media::{self, Demuxer, Picture};
use vtp_engine::source::{AudioInfo, SourceInfo, VideoInfo};
use vtp_engine::subtitles::Cue;
use vtp_engine::units::{PacketIndex, Ratio, TimeBase};

use crate::audio::AudioScan;
use crate::clock::{SECOND_US, believable};
use crate::frames::{self, ScannedPacket};
use crate::heal::{self, Healer, RunId};
use crate::others::Others;
use crate::runs::Runs;
use crate::subtitles::SubtitleScan;
use crate::{Error, Source, tracks};

/// FFmpeg's name of MPEG-TS.
const TRANSPORT_STREAM: &str = "mpegts";

/// What the pass found.
pub(crate) struct Scanned {
    pub(crate) source: Source,
    /// Why the packets do not tell what frames come out, if they do not.
    pub(crate) doubt: Option<String>,
}

/// Looks into `file`.
pub(crate) fn scan(file: &SourceFile, alive: &mut dyn FnMut()) -> Result<Scanned, Error> {
    let limits = file.limits();
    let mut demuxer = Demuxer::open_file(file)?;
    let tracks = tracks::choose(&demuxer, limits)?;
    let mut left_out = tracks.left_out;
    let wanted: Vec<usize> =
        std::iter::once(&tracks.video).chain(tracks.audio.iter().map(|(f, _)| f)).map(|f| f.index).collect();
    let texts = tracks.subtitles.iter().map(|(facts, _)| facts.index);
    let mut kept: Vec<usize> = wanted.iter().copied().chain(texts).collect();
    // Only there may the video go on in another stream.
    if demuxer.container() == TRANSPORT_STREAM {
        kept.extend(&tracks.other_videos);
    }
    demuxer.keep_only(&kept);
    let mut others = Others::new(demuxer.streams().len());
    let mut subtitles: Vec<SubtitleScan> = Vec::new();
    for (facts, form) in tracks.subtitles {
        let headers = demuxer.parameters(facts.index)?;
        subtitles.push(SubtitleScan::new(facts, form, headers.extradata(), limits));
    }
    let mut healer = Healer::new(wanted.len());
    let mut video = VideoScan::new(&demuxer, tracks.video, tracks.video_decoder)?;
    let mut audio: Vec<AudioScan> =
        tracks.audio.into_iter().map(|(facts, decoder)| AudioScan::new(facts, decoder)).collect();
    while let Some(packet) = demuxer.read()? {
        alive();
        match wanted.iter().position(|&stream| stream == packet.stream()) {
            Some(0) => {
                others.take_chosen();
                video.take(packet, &mut healer, limits)?;
            }
            Some(track) => audio[track - 1].take(packet, track, &mut healer)?,
            None if take_subtitles(&mut subtitles, &packet, &healer, limits) => {}
            None => others.take(packet.stream()),
        }
        let noted = video.bytes() + audio.iter().map(AudioScan::bytes).sum::<u64>() + healer.bytes();
        limits.check(Limit::Index, noted)?;
    }
    let streams = demuxer.streams();
    left_out.extend(others.finish(wanted[0], streams.iter().map(|facts| (facts.index, facts.medium, &*facts.codec)))?);
    hold_to_length(&healer, limits)?;
    let mut warnings = Vec::new();
    if demuxer.ended_in_damage() {
        warnings.push("the container is damaged: it could not be read to its end".to_owned());
    }
    let doubt = video.doubt.take();
    let captions = video.captions();
    let (mut texts, mut cues) = (Vec::new(), Vec::new());
    for track in subtitles {
        match track.finish(&healer, &mut warnings) {
            Ok((info, found)) => {
                texts.push(info);
                cues.push(found);
            }
            Err(why) => left_out.push(why),
        }
    }
    let last_text = cues.iter().flatten().map(|cue: &Cue| cue.end_us).max();
    warnings.extend(strays(&healer));
    warnings.extend(missing_end(demuxer.declared_duration_s(), &healer, last_text, limits));
    let (info, index, frames_doubt) = video.finish(&healer, warnings)?;
    let (mut streams, mut audio_shifts) = (Vec::new(), Vec::new());
    for track in audio {
        let why_not = tracks::holds_none(&track.facts);
        match track.finish(&healer)? {
            Some((info, shifts)) => {
                streams.push(info);
                audio_shifts.push(shifts);
            }
            None => left_out.push(why_not),
        }
    }
    let origin = origin(&info, &index, &streams);
    let info = SourceInfo {
        bytes: file.size(),
        container: demuxer.container(),
        video: info,
        audio: streams,
        subtitles: texts,
        captions,
        left_out,
    };
    let source = Source { streams: demuxer.all_parameters(), info, index, audio_shifts, cues, origin };
    Ok(Scanned { source, doubt: doubt.or(frames_doubt) })
}

/// Whether the packet is one of subtitles.
fn take_subtitles(tracks: &mut [SubtitleScan], packet: &SourcePacket, healer: &Healer, limits: &Limits) -> bool {
    let Some(place) = tracks.iter().position(|track| track.stream() == packet.stream()) else { return false };
    tracks[place].take(packet, healer);
    let all = tracks.iter().map(SubtitleScan::bytes).sum();
    if let Err(exceeded) = limits.check(Limit::Subtitles, all) {
        tracks[place].refuse(exceeded);
    }
    true
}

/// A sentence for wrong times that were mended.
fn strays(healer: &Healer) -> Option<String> {
    let times = match healer.strays() {
        0 => return None,
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    Some(format!("timestamps jumped and came straight back {times}; what had wrong ones was put beside its neighbours"))
}

/// A sentence for a container that promises more than it holds, as after an interrupted copy. Its length counts from its
/// earliest timestamp, which is not before the first packet; a second or 2 % may be rounding. Text may be shown for longer
/// than there are pictures and sound. Where times jumped, or the declared length exceeds what any source may have, it says
/// nothing.
fn missing_end(declared_s: Option<f64>, healer: &Healer, last_text_us: Option<i64>, limits: &Limits) -> Option<String> {
    let is_certain = healer.jumps().is_empty() && healer.strays() == 0;
    let is_meant = |declared: &f64| *declared <= limits.duration as f64 && is_certain;
    let declared = declared_s.filter(is_meant)?;
    let (start, end) = (healer.began_us()?, healer.reached_us()?);
    let seconds = |end: i64| end.saturating_sub(start) as f64 / f64::from(SECOND_US);
    let (found, with_text) = (seconds(end), seconds(end.max(last_text_us.unwrap_or(end))));
    (with_text < declared - f64::max(1.0, declared * 0.02)).then(|| {
        format!("the container declares {declared:.1} s, but its video and audio end after {found:.1} s; if it was cut short, get the whole file")
    })
}

/// Where the earlier of picture and sound starts, in the video's ticks, rounded down.
pub(crate) fn origin(video: &VideoInfo, index: &Index, audio: &[AudioInfo]) -> i64 {
    let sounds = audio.iter().map(|track| track.time_base.rescale_floor(track.start, video.time_base));
    sounds.chain(index.frames.first().map(|frame| frame.pts)).min().unwrap_or(0)
}

/// Whatever the container declares, what it holds counts.
fn hold_to_length(healer: &Healer, limits: &Limits) -> Result<(), Error> {
    let (Some(start), Some(end)) = (healer.began_us(), healer.reached_us()) else { return Ok(()) };
    let seconds = end.saturating_sub(start).max(0).unsigned_abs() / u64::from(SECOND_US);
    Ok(limits.check(Limit::Duration, seconds)?)
}

/// Presentation and decode time of the next packet of `stream` in ticks of `base`, as they are told, and the run of the
/// healed timeline that it is in. Times that can't be meant are left out.
pub(crate) fn placed(
    healer: &mut Healer,
    stream: usize,
    base: TimeBase,
    [pts, dts]: [Option<i64>; 2],
    duration: Option<i64>,
) -> ([Option<i64>; 2], Option<RunId>) {
    let (pts, dts) = (believable(base, pts), believable(base, dts));
    let us = |ticks| base.rescale(ticks, TimeBase::MICROSECONDS);
    let duration = duration.map_or(0, us);
    // No picture waits longer to be shown, but for stills that last long themselves.
    let longest = heal::longest_delay_us(duration);
    let pts = pts.filter(|&pts| dts.is_none_or(|dts| (us(pts) - us(dts)).abs() <= longest));
    let run = match (dts, pts) {
        (Some(dts), _) => Some(healer.place(stream, us(dts), duration)),
        (None, Some(pts)) => Some(healer.place_shown(stream, us(pts), duration)),
        (None, None) => None,
    };
    ([pts, dts], run)
}

/// Shifts the times of packets, which are as told until now, to where they belong.
pub(crate) fn heal(packets: &mut [ScannedPacket], runs: &Runs, healer: &Healer, base: TimeBase) {
    let shifts = runs.shifts(healer, base);
    for (packet, number) in packets.iter_mut().zip(0..) {
        let shift = TimeShift::at(&shifts, number);
        let healed = |time: Option<i64>| believable(base, time.map(|ticks| ticks.saturating_add(shift)));
        (packet.entry.pts, packet.entry.dts) = (healed(packet.entry.pts), healed(packet.entry.dts));
    }
}

struct VideoScan {
    facts: StreamFacts,
    classifier: Classifier,
    captions: CaptionFinder,
    decoder: VideoDecoder,
    first_picture: Option<Picture>,
    packets: Vec<ScannedPacket>,
    runs: Runs,
    /// The stream's own parameter sets, and those that come after them.
    extradata: Vec<u8>,
    parameter_sets: Vec<ParameterSets>,
    /// Their bytes.
    sets_bytes: u64,
    doubt: Option<String>,
    encrypted: bool,
}

impl VideoScan {
    fn new(demuxer: &Demuxer, facts: StreamFacts, decoder: VideoDecoder) -> Result<Self, Error> {
        let parameters = demuxer.parameters(facts.index)?;
        let classifier = Classifier::new(&facts.codec, parameters.extradata());
        // Two packets may make one frame of two fields; only decoding tells which.
        let doubt = (facts.interlaced && facts.codec == "h264").then(|| "field pictures are possible".to_owned());
        let captions = CaptionFinder::new(&facts.codec, parameters.extradata());
        let extradata = parameters.extradata().to_vec();
        let (packets, parameter_sets) = (Vec::new(), Vec::new());
        let (first_picture, encrypted) = (None, false);
        Ok(Self {
            facts,
            classifier,
            captions,
            decoder,
            first_picture,
            packets,
            runs: Runs::default(),
            extradata,
            parameter_sets,
            sets_bytes: 0,
            doubt,
            encrypted,
        })
    }

    /// Notes what changes with packet `from`. Containers also repeat what has not changed.
    fn note_parameter_sets(&mut self, from: PacketIndex, extradata: &[u8]) {
        let known = self.parameter_sets.last().map_or(&self.extradata, |last| &last.extradata);
        if known.as_slice() != extradata {
            self.sets_bytes += (extradata.len() + size_of::<ParameterSets>()) as u64;
            self.parameter_sets.push(ParameterSets { from, extradata: extradata.to_vec() });
        }
    }

    fn take(&mut self, mut packet: SourcePacket, healer: &mut Healer, limits: &Limits) -> Result<(), Error> {
        limits.check(Limit::Frames, self.packets.len() as u64 + 1)?;
        let times = [packet.pts(), packet.dts()];
        let ([pts, dts], run) = match packet.is_discarded() {
            // What an edit list has cut out lies where the edit before it does, and says nothing of where the stream goes on.
            true => (times.map(|time| believable(self.facts.time_base, time)), None),
            false => placed(healer, 0, self.facts.time_base, times, packet.duration()),
        };
        let class = match packet.data() {
            // Writers leave such where a picture is missing; the one before it is shown on.
            [] => PacketClass { access: Access::None, hidden: true },
            data => self.classifier.classify(data, packet.is_key()),
        };
        self.captions.look(packet.data());
        if packet.is_corrupt() && self.doubt.is_none() {
            self.doubt = Some("the container marks packets as damaged".to_owned());
        }
        self.encrypted |= packet.is_encrypted();
        let entry = PacketEntry {
            pts,
            dts,
            size: u32::try_from(packet.data().len()).unwrap_or(u32::MAX),
            crc: crc32fast::hash(packet.data()),
            cut: CutClass::None,
        };
        let shown = !packet.is_discarded() && !class.hidden;
        let index = PacketIndex(u32::try_from(self.packets.len()).map_err(|_| too_long())?);
        if let Some(extradata) = packet.new_extradata() {
            self.note_parameter_sets(index, extradata);
        }
        if let Some(run) = run {
            self.runs.note(index.0.into(), run);
        }
        self.packets.push(ScannedPacket {
            entry,
            access: class.access,
            shown,
            duration: packet.duration(),
            place: packet.place(),
            told_dts: packet.dts(),
        });
        if self.first_picture.is_none() && !self.encrypted {
            packet.set_times(entry.pts, entry.dts);
            if index.0 == 0 {
                self.first_picture = self.decoder.look_at(&packet);
            }
        }
        if self.first_picture.is_none() && !self.encrypted {
            let first = &mut self.first_picture;
            self.decoder.send::<media::Error>(index, packet, &mut |picture| keep_first(first, picture))?;
        }
        Ok(())
    }

    /// Bytes that what is noted of its packets takes in memory.
    fn bytes(&self) -> u64 {
        size_of_val(self.packets.as_slice()) as u64 + self.sets_bytes + self.runs.bytes()
    }

    fn captions(&self) -> Vec<Channel> {
        self.captions.channels()
    }

    /// The stream's facts and index; why the frames need a census, if they do.
    fn finish(mut self, healer: &Healer, warnings: Vec<String>) -> Result<(VideoInfo, Index, Option<String>), Error> {
        if self.packets.is_empty() {
            return Err(Error::Corrupt("the file declares a video stream but holds no picture of it".into()));
        }
        if self.encrypted {
            return Err(Error::Unsupported("the video is encrypted; give a file without encryption".into()));
        }
        if self.first_picture.is_none() {
            let first = &mut self.first_picture;
            self.decoder.finish::<media::Error>(&mut |picture| keep_first(first, picture))?;
        }
        let picture = self.first_picture.take().ok_or_else(|| nothing_decodes(&self.facts.codec))?;
        heal(&mut self.packets, &self.runs, healer, self.facts.time_base);
        let (list, doubt) = match frames::list(&self.packets, frames::is_fenced(&self.facts.codec)) {
            Ok(list) => (list, None),
            Err(doubt) => (Vec::new(), Some(doubt)),
        };
        frames::classify_cuts(&mut self.packets);
        let rate = frames::frame_rate(&list, self.facts.time_base).or(self.facts.frame_rate);
        let info = video_info(&self.facts, &picture, rate);
        let nominal = info.time_base.ticks(1.0 / info.frame_rate.as_f64());
        let heals: Vec<Heal> = healer.jumps().iter().map(told).collect();
        let index = Index {
            places: frames::places(&self.packets, !heals.is_empty() || healer.strays() > 0),
            last_duration: frames::last_duration(&list, &self.packets, nominal, frames::longest(info.time_base)),
            packets: self.packets.into_iter().map(|packet| packet.entry).collect(),
            frames: list,
            frame_list: FrameList::Packets,
            parameter_sets: self.parameter_sets,
            heals,
            warnings,
        };
        Ok((info, index, doubt))
    }
}

fn told(jump: &heal::Jump) -> Heal {
    let seconds = |us: i64| us as f64 / f64::from(SECOND_US);
    Heal { at_s: seconds(jump.at_us), shift_s: seconds(jump.shift_us) }
}

fn too_long() -> Error {
    Error::Unsupported("the source has more than four billion packets; give it in parts".into())
}

fn nothing_decodes(codec: &str) -> Error {
    // So FFmpeg takes what is newer than FLV itself (Enhanced RTMP).
    if codec == "vp6f" {
        let what = "the video in the FLV is not read: if it is H.265, VP9 or AV1, put it into MP4 or MKV, without encoding it anew";
        return Error::Unsupported(what.into());
    }
    Error::Corrupt(format!("not one picture of the {codec} video can be decoded; get another copy of the file"))
}

fn keep_first(first: &mut Option<Picture>, picture: Picture) -> Result<(), media::Error> {
    first.get_or_insert(picture);
    Ok(())
}

fn video_info(facts: &StreamFacts, picture: &Picture, rate: Option<Ratio>) -> VideoInfo {
    VideoInfo {
        stream: facts.index,
        codec: facts.codec.clone(),
        time_base: facts.time_base,
        size: picture.size(),
        // The container's word counts before the codec's, as in players.
        sample_aspect: facts.sample_aspect.unwrap_or_else(|| picture.sample_aspect()),
        picture_aspect: picture.own_sample_aspect(),
        rotation: facts.rotation,
        pixel_format: picture.pixel_format().0,
        // The codec's word counts before the container's.
        color: picture.color().or(facts.color),
        hdr: picture.hdr().or(facts.hdr),
        interlaced: facts.interlaced || picture.is_interlaced(),
        top_field_first: picture.is_top_field_first(),
        frame_rate: rate.or_else(|| Ratio::new(25, 1)).unwrap_or(Ratio::ONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Healed presentation times of packets with these times, a second apart in milliseconds.
    fn shown(times: &[[Option<i64>; 2]]) -> Vec<Option<i64>> {
        let mut healer = Healer::new(1);
        let base = TimeBase::per_second(1000).unwrap();
        let (mut packets, mut runs) = (Vec::new(), Runs::default());
        for (&times, number) in times.iter().zip(0..) {
            let ([pts, dts], run) = placed(&mut healer, 0, base, times, Some(1000));
            let entry = PacketEntry { pts, dts, size: 1, crc: 0, cut: CutClass::None };
            let access = Access::None;
            packets.push(ScannedPacket { entry, access, shown: true, duration: None, place: None, told_dts: None });
            run.into_iter().for_each(|run| runs.note(number, run));
        }
        heal(&mut packets, &runs, &healer, base);
        packets.iter().map(|packet| packet.entry.pts).collect()
    }

    #[test]
    fn times_that_cannot_be_meant_count_as_not_told() {
        let both = |time| [Some(time), Some(time)];
        assert_eq!(shown(&[both(0), both(i64::MAX), both(2000)]), [Some(0), None, Some(2000)]);
        assert_eq!(shown(&[both(i64::MIN), both(-i64::MAX), both(7)]), [None, None, Some(7)]);
        assert_eq!(shown(&[both(0), [Some(3_600_000), Some(1000)], both(2000)]), [Some(0), None, Some(2000)]);
    }

    #[test]
    fn a_time_far_ahead_that_could_be_meant_is_healed() {
        let both = |time| [Some(time), Some(time)];
        let year = 365 * 86_400_000;
        assert_eq!(shown(&[both(0), both(year), both(year + 1000)]), [Some(0), Some(1000), Some(2000)]);
    }
}
