//! What decoding an audio stream yields: priming gone, times right, damage survived.

#![cfg(feature = "media")]
#![allow(clippy::unwrap_used)]

mod audio_fixture;

use std::path::Path;

use audio_fixture::{audio_streams, clip, synthesise};
use vtp_engine::media::audio::AudioDecoder;
use vtp_engine::media::demux::{Demuxer, SourcePacket};
use vtp_engine::media::{self, Error};

struct Decoded {
    first_s: f64,
    samples: usize,
    rate: u32,
    channels: u16,
    damaged: u32,
}

fn decode(path: &Path) -> Decoded {
    decode_with(path, None)
}

/// The same with a packet without payload in place of one.
fn decode_with(path: &Path, empty: Option<usize>) -> Decoded {
    media::silence_log();
    let mut demuxer = Demuxer::open(path).unwrap();
    let stream = audio_streams(&demuxer).remove(0);
    demuxer.keep_only(&[stream.index]);
    let mut decoder = AudioDecoder::new(&demuxer.parameters(stream.index).unwrap(), stream.time_base).unwrap();
    let (mut first, mut samples, mut format) = (None, 0, (0, 0));
    let mut sink = |sound: media::audio::Sound| -> Result<(), Error> {
        first = first.or(sound.pts());
        samples += sound.samples();
        format = (sound.rate(), sound.channels());
        Ok(())
    };
    let mut count = 0;
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream() == stream.index {
            let packet = if empty == Some(count) { SourcePacket::of(&[]).unwrap() } else { packet };
            decoder.send(packet, &mut sink).unwrap();
            count += 1;
        }
    }
    decoder.finish(&mut sink).unwrap();
    let first_s = stream.time_base.seconds(first.expect("some sound has a time"));
    Decoded { first_s, samples, rate: format.0, channels: format.1, damaged: decoder.damaged() }
}

#[test]
fn the_priming_that_an_edit_list_cuts_away_is_dropped_and_sound_begins_at_zero() {
    let dir = tempfile::tempdir().unwrap();
    let path = synthesise(dir.path(), "a.mp4", "-f lavfi -i sine=440:r=48000:d=2 -c:a aac");
    let sound = decode(&path);
    assert_eq!((sound.rate, sound.channels, sound.damaged), (48_000, 1, 0));
    assert!(sound.first_s.abs() < 1e-9, "starts at {} s", sound.first_s);
    assert!((96_000..=96_000 + 1023).contains(&sound.samples), "{} samples", sound.samples);
}

#[test]
fn opus_in_matroska_loses_its_pre_skip_and_its_padding() {
    let dir = tempfile::tempdir().unwrap();
    let path = synthesise(dir.path(), "a.mkv", "-f lavfi -i sine=440:r=48000:d=2 -c:a libopus");
    let sound = decode(&path);
    assert!(sound.first_s.abs() < 0.0011, "starts at {} s", sound.first_s);
    assert!(sound.samples.abs_diff(96_000) <= 48, "{} samples", sound.samples);
}

#[test]
fn what_follows_a_packet_without_payload_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = synthesise(dir.path(), "a.mp4", "-f lavfi -i sine=440:r=48000:d=4 -c:a aac");
    let (whole, rest) = (decode(&path), decode_with(&path, Some(20)));
    assert_eq!((rest.samples, rest.damaged), (whole.samples - 1024, 0));
}

#[test]
fn damage_is_counted_and_the_rest_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = synthesise(dir.path(), "a.aac", "-f lavfi -i sine=440:r=48000:d=4 -c:a aac -f mpegts");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 600] {
        *byte ^= 0x5A;
    }
    std::fs::write(&path, bytes).unwrap();
    let sound = decode(&path);
    assert!(sound.samples > 150_000, "{} samples", sound.samples);
}

#[test]
fn a_late_start_is_told_by_the_times() {
    let Some(path) = clip("torture/d_h264_audio_starts_late.mp4") else { return };
    let sound = decode(&path);
    assert!(sound.first_s > 0.1, "starts at {} s", sound.first_s);
}
