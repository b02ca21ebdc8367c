//! Encoders that are broken are found out: what they give is refused, not delivered.

use std::path::Path;

use crate::common::{Clip, capped, generate};
use vtp_encoder_node::{Class, Error};
use vtp_engine::chunk::{EncodeTask, EncodedChunk};
use vtp_engine::limits::Limits;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::Demuxer;
use vtp_engine::media::encode::{self, EncodedPicture, SampleSink, VideoEncoder};
use vtp_engine::media::{self, Picture};
use vtp_engine::quality::{Check, Sampling, Target};
use vtp_engine::units::PacketIndex;

/// What is wrong with an encoder.
#[derive(Clone, Copy)]
enum Fault {
    Nothing,
    /// Every tenth picture never comes out.
    Drops,
    /// Every tenth picture comes out twice.
    Doubles,
    /// Every second picture is the one before it once more.
    Repeats,
    /// Every picture is the one before it.
    Late,
    /// Everything is made twelve levels brighter: these pictures are encoded instead.
    Swaps,
}

struct Faulty {
    inner: Box<dyn VideoEncoder>,
    fault: Fault,
    instead: Vec<Picture>,
    before: Option<Picture>,
    sent: usize,
}

impl VideoEncoder for Faulty {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), media::Error> {
        let at = self.sent;
        self.sent += 1;
        let before = self.before.replace(picture.share().unwrap());
        let tenth = at % 10 == 9;
        let shown = match self.fault {
            Fault::Drops if tenth => return Ok(()),
            Fault::Doubles if tenth => {
                let mut twice = |it: EncodedPicture<'_>| sink(it).and_then(|()| sink(it));
                return self.inner.send(picture, pts, force_idr, &mut twice);
            }
            Fault::Repeats if at % 2 == 1 => before.as_ref(),
            Fault::Late => before.as_ref(),
            Fault::Swaps => self.instead.get(at),
            Fault::Nothing | Fault::Drops | Fault::Doubles | Fault::Repeats => None,
        };
        self.inner.send(shown.unwrap_or(picture), pts, force_idr, sink)
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), media::Error> {
        self.inner.finish(sink)
    }

    fn config(&self) -> &[u8] {
        self.inner.config()
    }

    fn name(&self) -> &'static str {
        "faulty"
    }
}

/// Three seconds of a film, 320 pixels wide, its luma and one plane of chroma raised by so many levels.
fn film(folder: &Path, luma: u32, chroma: u32) -> Option<Clip> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/sintel-720p.mp4");
    let filter = format!("scale=320:180,lutyuv=y=val+{luma}:v=val+{chroma}");
    let arguments = ["-ss", "4", "-t", "3", "-i", source.to_str()?, "-an", "-vf", &filter];
    let arguments = [&arguments[..], &["-c:v", "libx264", "-qp", "4"]].concat();
    generate(folder, &format!("film-{luma}-{chroma}.mp4"), &arguments).map(|path| Clip::open(&path))
}

fn task(clip: &Clip, folder: &Path) -> EncodeTask {
    let mut task = clip.task(0, 0..clip.packets, 48, folder);
    task.renditions = vec![capped("own", 320, 180, 1_500_000)];
    task.check = Some(Check { sampling: Sampling::every(7), target: Target::default() });
    task
}

fn pictures(clip: &Clip) -> Vec<Picture> {
    let mut demuxer = Demuxer::open(&clip.path).unwrap();
    let mut decoder = VideoDecoder::new(&clip.parameters, clip.video.time_base, &Limits::DEFAULT).unwrap();
    let mut pictures = Vec::new();
    let mut keep = |picture: Picture| -> Result<(), media::Error> {
        pictures.push(picture);
        Ok(())
    };
    while let Some(packet) = demuxer.read().unwrap() {
        decoder.send(PacketIndex(0), packet, &mut keep).unwrap();
    }
    decoder.finish(&mut keep).unwrap();
    pictures
}

/// Encodes the film with such an encoder; where it swaps pictures, for those of `instead`.
fn encoded(folder: &Path, fault: Fault, instead: Option<&Clip>) -> Option<Result<EncodedChunk, Error>> {
    let clip = film(folder, 0, 0)?;
    let open = |video: &_, rendition: &_, shape| {
        let inner = encode::open(video, rendition, shape)?;
        let instead = instead.map(pictures).unwrap_or_default();
        Ok(Box::new(Faulty { inner, fault, instead, before: None, sent: 0 }) as Box<dyn VideoEncoder>)
    };
    Some(clip.encode_with(&task(&clip, folder), &open))
}

fn assert_unfaithful(result: Result<EncodedChunk, Error>, told: &str) {
    match result {
        Err(error @ Error::Unfaithful { .. }) => {
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.class(), Class::Retryable);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_encoder_passes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(result) = encoded(folder.path(), Fault::Nothing, None) else { return };
    let chunk = result.unwrap();
    let scores = chunk.renditions[0].fidelity.as_ref().unwrap();
    assert!(scores.iter().all(|it| it.score > 60.0), "{scores:?}");
}

#[test]
fn dropped_and_doubled_frames_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for fault in [Fault::Drops, Fault::Doubles] {
        let Some(result) = encoded(folder.path(), fault, None) else { return };
        let error = result.unwrap_err();
        assert!(error.to_string().contains("the samples are not those of the chunk's frames"), "{error}");
    }
}

#[test]
fn repeated_pictures_under_the_right_times_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(result) = encoded(folder.path(), Fault::Repeats, None) else { return };
    assert_unfaithful(result, "show the source's picture before theirs");
}

#[test]
fn pictures_that_come_one_frame_late_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(result) = encoded(folder.path(), Fault::Late, None) else { return };
    assert_unfaithful(result, "show the source's picture before theirs");
}

#[test]
fn brightened_and_tinted_pictures_are_refused_although_vmaf_hardly_minds() {
    let folder = tempfile::tempdir().unwrap();
    for (luma, chroma, told) in [(12, 0, "in plane 0 by +1"), (0, 8, "in plane 2 by +")] {
        let Some(instead) = film(folder.path(), luma, chroma) else { return };
        let Some(result) = encoded(folder.path(), Fault::Swaps, Some(&instead)) else { return };
        assert_unfaithful(result, told);
    }
}
