//! Copies a source's packets into a rendition, without decoding them: for `--ladder copy`.
//!
//! It refuses sources whose packets can't be delivered as they are: other codecs than H.264, packets that show no
//! picture, parameter sets that change.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vtp_engine::chunk::{EncodedRendition, Sample};
use vtp_engine::index::{CutClass, FrameEntry, Index};
use vtp_engine::ladder::Search;
use vtp_engine::media::demux::CodecParameters;
use vtp_engine::nal::{self, avc};
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
    /// Bytes of the length before each NAL unit in the source; `None` for start codes.
    length_size: Option<usize>,
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
        if let [1, _, _, _, size, ..] = extradata {
            let (mut config, length_size) = (extradata.to_vec(), usize::from(size & 3) + 1);
            // Samples are written with lengths of four bytes (lengthSizeMinusOne 3).
            config[4] |= 3;
            return Ok(Self { config, length_size: Some(length_size) });
        }
        Ok(Self { config: nal::avc_config(nal::annex_b(extradata))?, length_size: None })
    }

    /// Writes the packets of a chunk's `frames` to `writer`. `packets` gives at least those.
    ///
    /// # Errors
    /// [`Error`] when a packet is damaged, brings other parameter sets, or the disk refuses.
    pub fn copy_chunk(
        &self,
        rendition: &str,
        frames: &[FrameEntry],
        index: &Index,
        packets: &mut dyn PacketSource,
        mut writer: Box<dyn SpoolWriter + '_>,
    ) -> Result<EncodedRendition, Error> {
        let times: HashMap<PacketIndex, i64> = frames.iter().map(|frame| (frame.packet, frame.pts)).collect();
        let io = |error: std::io::Error| Error::spool(PathBuf::from(rendition), &error);
        let (mut samples, mut bytes) = (Vec::with_capacity(frames.len()), Vec::new());
        while let Some((place, packet)) = packets.next()? {
            let Some(&pts) = times.get(&place) else { continue };
            bytes.clear();
            self.sample(packet.data(), &mut bytes).map_err(Error::Copy)?;
            let sync = index.packets.get(place.0 as usize).is_some_and(|entry| entry.cut == CutClass::Closed);
            let size = u32::try_from(bytes.len()).map_err(|_| Error::Copy(damaged()))?;
            let sample = Sample { pts, size, sync };
            writer.write(sample, &bytes).map_err(io)?;
            samples.push(sample);
        }
        let spool = writer.finish().map_err(io)?;
        Ok(EncodedRendition {
            rendition: rendition.to_owned(),
            config: self.config.clone(),
            samples,
            spool,
            encoder: "copy".to_owned(),
            crf: None,
            search: Search::Preset,
            fidelity: None,
            vmaf: None,
            outcome: None,
            encodings: 1,
        })
    }

    /// Appends the packet's NAL units with lengths of four bytes; those that the configuration replaces are left out.
    fn sample(&self, packet: &[u8], sample: &mut Vec<u8>) -> Result<(), CopyRefused> {
        match self.length_size {
            Some(4) if packet.starts_with(&[0, 0, 0, 1]) => {}
            Some(size) => {
                for unit in nal::length_prefixed(packet, size) {
                    self.unit(unit.map_err(|_| damaged())?, sample)?;
                }
                return Ok(());
            }
            None => {}
        }
        nal::annex_b(packet).try_for_each(|unit| self.unit(unit, sample))
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
        self.config.windows(unit.len()).any(|window| window == unit)
    }
}

fn damaged() -> CopyRefused {
    CopyRefused("a packet of it is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let config = [1, 0x42, 0xC0, 0x1E, 0xFD, 0xE1, 0, 0, 1, 0, 0];
        let copier = Copier::from_extradata(&config).unwrap();
        assert_eq!(copier.config[4], 0xFF);
        let mut sample = Vec::new();
        copier.sample(&[0, 2, 0x41, 7], &mut sample).unwrap();
        assert_eq!(sample, [0, 0, 0, 2, 0x41, 7]);
        assert!(copier.sample(&[0, 9, 0x41], &mut sample).is_err(), "cut short");
    }

    #[test]
    fn parameter_sets_that_change_apart_from_the_packets_are_refused() {
        use vtp_engine::index::{PacketEntry, ParameterSets};
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
        assert!(copier.sample(&other, &mut Vec::new()).unwrap_err().to_string().contains("change in mid-stream"));
    }
}
