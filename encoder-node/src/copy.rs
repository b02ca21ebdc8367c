//! Copies a source's packets into a rendition, without decoding them: for `--ladder copy`.
//!
//! It refuses sources whose packets can't be delivered as they are: other codecs than H.264, packets that show no
//! picture, parameter sets that change.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vtp_engine::chunk::{EncodedRendition, Sample};
use vtp_engine::index::{CutClass, FrameEntry, Index};
use vtp_engine::media::demux::CodecParameters;
use vtp_engine::nal::{self, Delimiting, avc};
use vtp_engine::source::VideoInfo;
use vtp_engine::units::PacketIndex;

use crate::{Error, PacketSource, SpoolWriter};

/// Why a source's packets can't be copied; the sentence says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("this source can't be copied into HLS and DASH: {0}; leave out the rung copy, or take archive")]
pub struct CopyRefused(String);

const CHANGED: &str = "its parameter sets change in mid-stream";

/// Copies packets of one source.
#[derive(Clone, Debug)]
pub struct Copier {
    config: Vec<u8>,
    /// The parameter sets in it, as [`set`] has them.
    sets: Vec<Vec<u8>>,
    /// How the source tells NAL units apart.
    delimiting: Delimiting,
}

impl Copier {
    /// A copier for the source, if its packets can be delivered as they are.
    ///
    /// # Errors
    /// [`CopyRefused`] says why not.
    pub fn new(video: &VideoInfo, index: &Index, parameters: &CodecParameters) -> Result<Self, CopyRefused> {
        let refuse = |why: String| Err(CopyRefused(why));
        if video.codec != "h264" {
            return refuse(format!("its video is {}, and only H.264 is copied", video.codec));
        }
        if index.packets.len() != index.frames.len() {
            let (packets, frames) = (index.packets.len(), index.frames.len());
            return refuse(format!("its {packets} packets show {frames} frames (an edit list, fields or damage)"));
        }
        if !index.parameter_sets.is_empty() {
            return refuse(CHANGED.to_owned());
        }
        let starts_closed = |frame: &FrameEntry| {
            index.packets.get(frame.packet.0 as usize).is_some_and(|packet| packet.cut == CutClass::Closed)
        };
        if !index.frames.first().is_some_and(starts_closed) {
            return refuse("its first picture is no IDR picture".to_owned());
        }
        Self::from_extradata(parameters.extradata()).map_err(|error| CopyRefused(error.to_string()))
    }

    fn from_extradata(extradata: &[u8]) -> Result<Self, nal::Error> {
        let delimiting = Delimiting::of_avc(extradata);
        let config = match delimiting {
            Delimiting::StartCodes => nal::avc_config(nal::annex_b(extradata))?,
            Delimiting::Lengths(_) => with_lengths_of_four(extradata),
        };
        let unreadable = nal::Error::ParameterSet("decoder configuration");
        let sets = nal::avc_config_sets(&config).ok_or(unreadable)?;
        let sets = sets.concat().into_iter().map(|unit| set(unit).to_vec()).collect();
        Ok(Self { config, sets, delimiting })
    }

    /// Writes the packets of a chunk's `frames` to `writer`. `packets` gives at least those.
    ///
    /// # Errors
    /// [`Error`] when a packet is damaged, brings other parameter sets or does not come, or the disk refuses.
    pub fn copy_chunk(
        &self,
        rendition: &str,
        frames: &[FrameEntry],
        index: &Index,
        packets: &mut dyn PacketSource,
        mut writer: Box<dyn SpoolWriter + '_>,
    ) -> Result<EncodedRendition, Error> {
        let mut times: HashMap<PacketIndex, i64> = frames.iter().map(|frame| (frame.packet, frame.pts)).collect();
        let io = |error: std::io::Error| Error::spool(PathBuf::from(rendition), &error);
        let (mut samples, mut bytes) = (Vec::with_capacity(frames.len()), Vec::new());
        while let Some((place, packet)) = packets.next()? {
            let Some(pts) = times.remove(&place) else { continue };
            bytes.clear();
            self.sample(packet.data(), &mut bytes).map_err(Error::Copy)?;
            let sync = index.packets.get(place.0 as usize).is_some_and(|entry| entry.cut == CutClass::Closed);
            let size = u32::try_from(bytes.len()).map_err(|_| Error::Copy(damaged()))?;
            let sample = Sample { pts, size, sync };
            writer.write(sample, &bytes).map_err(io)?;
            samples.push(sample);
        }
        if let Some(PacketIndex(first)) = times.keys().min() {
            let what = format!("{} of its {} packets did not come, the first {first}", times.len(), frames.len());
            return Err(Error::Samples { rendition: rendition.to_owned(), what });
        }
        let spool = writer.finish().map_err(io)?;
        Ok(EncodedRendition::unmeasured(rendition, &self.config, samples, spool, "copy"))
    }

    /// Appends the packet's NAL units with lengths of four bytes; those that the configuration replaces are left out.
    fn sample(&self, packet: &[u8], sample: &mut Vec<u8>) -> Result<(), CopyRefused> {
        self.delimiting.units(packet).try_for_each(|unit| self.unit(unit.map_err(|_| damaged())?, sample))
    }

    fn unit(&self, unit: &[u8], sample: &mut Vec<u8>) -> Result<(), CopyRefused> {
        match avc::unit_type(unit) {
            None | Some(avc::AUD | avc::FILLER) => Ok(()),
            Some(avc::SPS | avc::PPS) if self.is_configured(unit) => Ok(()),
            Some(avc::SPS | avc::PPS) => Err(CopyRefused(CHANGED.to_owned())),
            Some(_) => nal::push_length_prefixed(sample, unit).map_err(|_| damaged()),
        }
    }

    fn is_configured(&self, unit: &[u8]) -> bool {
        self.sets.iter().any(|known| known == set(unit))
    }
}

/// The `avcC` of a stream whose samples are written with lengths of four bytes (lengthSizeMinusOne 3).
fn with_lengths_of_four(record: &[u8]) -> Vec<u8> {
    let mut record = record.to_vec();
    if let Some(size) = record.get_mut(4) {
        *size |= 3;
    }
    record
}

/// A parameter set without the zeros that may follow it, which are none of it (ITU-T H.264, B.1).
fn set(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().rev().take_while(|&&byte| byte == 0).count();
    &unit[..unit.len() - zeros]
}

fn damaged() -> CopyRefused {
    CopyRefused("a packet of it is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use vtp_engine::index::{PacketEntry, ParameterSets};
    use vtp_engine::media::demux::SourcePacket;

    use super::*;
    use crate::{Spool as _, SpoolFolder};

    const SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x01, 0x41, 0xFB];
    const PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    #[test]
    fn start_codes_become_lengths_and_known_parameter_sets_go() {
        let copier = Copier::from_extradata(&stream(&[SPS, PPS])).unwrap();
        let mut sample = Vec::new();
        copier.sample(&stream(&[&[9, 0xF0], SPS, PPS, &[0x65, 1, 2]]), &mut sample).unwrap();
        assert_eq!(sample, [0, 0, 0, 3, 0x65, 1, 2]);
    }

    #[test]
    fn lengths_of_two_bytes_become_four() {
        let config = [&[1, 0x42, 0xC0, 0x1E, 0xFD, 0xE1, 0, 8], SPS, &[1, 0, 4], PPS].concat();
        let copier = Copier::from_extradata(&config).unwrap();
        assert_eq!(copier.config[4], 0xFF);
        let mut sample = Vec::new();
        copier.sample(&[0, 2, 0x41, 7], &mut sample).unwrap();
        assert_eq!(sample, [0, 0, 0, 2, 0x41, 7]);
        assert!(copier.sample(&[0, 9, 0x41], &mut sample).is_err(), "cut short");
    }

    #[test]
    fn units_of_one_byte_are_carried_over_with_what_follows_them() {
        let config = [&[1, 0x42, 0xC0, 0x1E, 0xFF, 0xE1, 0, 8], SPS, &[1, 0, 4], PPS].concat();
        let copier = Copier::from_extradata(&config).unwrap();
        let (ended, mut sample) = ([0, 0, 0, 1, 0x0A, 0, 0, 0, 2, 0x65, 7], Vec::new());
        copier.sample(&ended, &mut sample).unwrap();
        assert_eq!(sample, ended);
    }

    /// So many packets that hold a slice each.
    struct Slices(std::ops::Range<u32>);

    impl PacketSource for Slices {
        fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
            let slice = SourcePacket::of(&stream(&[&[0x41, 7]])).unwrap();
            Ok(self.0.next().map(|at| (PacketIndex(at), slice)))
        }
    }

    #[test]
    fn a_chunk_whose_packets_end_early_is_not_taken_for_whole() {
        let folder = tempfile::tempdir().unwrap();
        let task = crate::testing::task(folder.path(), None);
        let entry = PacketEntry { pts: Some(0), dts: Some(0), size: 1, crc: 0, cut: CutClass::Closed };
        let index = Index::of(vec![entry; 25], task.frames.clone(), 1);
        let copier = Copier::from_extradata(&stream(&[SPS, PPS])).unwrap();
        let copy = |packets: std::ops::Range<u32>| {
            let writer = SpoolFolder::Buffered.begin(&task, &task.renditions[0]).unwrap();
            copier.copy_chunk("copy", &task.frames, &index, &mut Slices(packets), writer)
        };
        assert_eq!(copy(0..30).unwrap().samples.len(), 25);
        let short = copy(0..22).unwrap_err().to_string();
        assert_eq!(short, "rendition copy: 3 of its 25 packets did not come, the first 22");
    }

    #[test]
    fn parameter_sets_that_change_apart_from_the_packets_are_refused() {
        let packets = vec![PacketEntry { pts: Some(0), dts: Some(0), size: 1, crc: 0, cut: CutClass::Closed }; 2];
        let task = crate::testing::task(std::path::Path::new(""), None);
        let mut index = Index::of(packets, task.frames[..2].to_vec(), 1);
        let codec = vtp_engine::ladder::VideoCodec::H264;
        let parameters = CodecParameters::video(codec, &stream(&[SPS, PPS]));
        assert!(Copier::new(&task.video, &index, &parameters).is_ok());
        index.parameter_sets.push(ParameterSets { from: PacketIndex(1), extradata: stream(&[SPS]) });
        let refused = Copier::new(&task.video, &index, &parameters).unwrap_err();
        assert!(refused.to_string().contains("change in mid-stream"), "{refused}");
    }

    #[test]
    fn parameter_sets_that_change_are_refused() {
        let copier = Copier::from_extradata(&stream(&[SPS, PPS])).unwrap();
        let other = stream(&[&[0x67, 0x42, 0xC0, 0x1F, 0xD9], &[0x65, 1]]);
        for other in [other, stream(&[&PPS[..2]]), stream(&[&SPS[..1]])] {
            let refused = copier.sample(&other, &mut Vec::new()).unwrap_err();
            assert!(refused.to_string().contains("change in mid-stream"), "{refused}");
        }
    }
}
