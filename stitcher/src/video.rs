//! One video rendition on disk: chunks in order become segments. Bytes go from the spool file to the segment without
//! passing through memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use vtp_engine::chunk::EncodedRendition;
use vtp_engine::index::Index;
use vtp_engine::ladder::{Look, Method, Rendition};
use vtp_engine::plan::ChunkPlan;
use vtp_engine::quality::{self, FrameScore, Outcome, Summary};
use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::units::Attempt;

use crate::boxes::codec::VideoConfig;
use crate::boxes::{FragmentSamples, VideoInit, fragment_head, segment_type, video_init};
use crate::cut::{self, Segment};
use crate::files::{Folder, at, discard, write_bytes};
use crate::iframes;
use crate::layout::{Clock, OutputLayout};
use crate::listing::{FrameRate, INIT, KeyPicture, Listing, VideoListing, Written, segment_name};
use crate::report::{ChunkReport, Curve, SegmentSize, TimedScore};
use crate::vbv::{Bucket, Picture};
use crate::{Error, boxes};

/// A rendition that grows chunk by chunk.
#[derive(Debug)]
pub(crate) struct VideoTrack {
    pub(crate) rendition: Rendition,
    pub(crate) segments: Vec<Written>,
    pub(crate) chunks: Vec<ChunkReport>,
    pub(crate) folder: Folder,
    pub(crate) init: Option<(Vec<u8>, VideoInit)>,
    clock: Clock,
    /// Fragments written so far.
    fragments: u32,
    /// The key pictures that can be fetched alone.
    pictures: Vec<KeyPicture>,
    /// Whether the rate cap holds over all chunks, where there is one.
    cap: Option<Bucket>,
    fidelity: Vec<TimedScore>,
    vmaf: Vec<TimedScore>,
    /// What all measured frames score as they are shown, measured so or concluded, and how many each stands for.
    shown: Vec<(f64, f64)>,
}

/// A chunk of one rendition, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered<'a> {
    pub(crate) plan: &'a ChunkPlan,
    pub(crate) attempt: Attempt,
    pub(crate) encoded: &'a EncodedRendition,
}

impl VideoTrack {
    pub(crate) fn create(dir: &Path, rendition: Rendition, layout: &OutputLayout, clock: Clock) -> Result<Self, Error> {
        let folder = Folder::create(dir.join(&rendition.name), layout.durability)?;
        let cap = match rendition.method {
            Method::Capped { max_rate, buffer_bits, .. } => Some(Bucket::new(clock.timescale, max_rate, buffer_bits)),
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => None,
        };
        Ok(Self {
            rendition,
            segments: Vec::new(),
            chunks: Vec::new(),
            folder,
            init: None,
            clock,
            fragments: 0,
            pictures: Vec::new(),
            cap,
            fidelity: Vec::new(),
            vmaf: Vec::new(),
            shown: Vec::new(),
        })
    }

    /// Publishes the segments of the next chunk, then deletes its spool file.
    pub(crate) fn append(&mut self, it: Delivered<'_>, layout: &OutputLayout, index: &Index) -> Result<(), Error> {
        let delay = self.configure(it, layout, index)?;
        let cut = cut::cut(&it.encoded.samples, it.plan, &layout.plan, index, self.clock, delay);
        let segments = cut.map_err(|source| self.cut_error(it.plan, source))?;
        let spool = &it.encoded.spool;
        let mut bytes = File::open(spool).map_err(at(spool))?;
        let before = self.segments.len();
        for segment in &segments {
            let written = self.write(segment, delay, &mut bytes, spool)?;
            self.segments.push(written);
        }
        let time_s = |position: u32| {
            let frame = &index.frames[(it.plan.frames.start + position) as usize];
            layout.video.time_base.seconds(frame.pts - layout.video.origin)
        };
        let shown =
            quality::shown(it.encoded.fidelity.as_deref().unwrap_or(&[]), it.encoded.vmaf.as_deref().unwrap_or(&[]));
        self.chunks.push(ChunkReport {
            index: it.plan.index.0,
            start_s: time_s(0),
            frames: it.plan.frames.end - it.plan.frames.start,
            bytes: self.segments[before..].iter().map(|segment| segment.bytes).sum(),
            attempts: it.attempt.0.saturating_sub(1) + it.encoded.encodings,
            encoder: it.encoded.encoder.clone(),
            crf: it.encoded.crf,
            search: it.encoded.search,
            fidelity: Summary::of(it.encoded.fidelity.iter().flatten().map(weighed)),
            vmaf: as_shown(&shown, it.encoded.vmaf.iter().flatten().count()),
            met_target: it.encoded.outcome.map(|outcome| outcome == Outcome::Met),
            outcome: it.encoded.outcome,
        });
        let samples = segments.iter().flat_map(|segment| &segment.samples);
        let pictures = samples.map(|s| Picture { bits: u64::from(s.size) * 8, duration: s.duration });
        if let Some(bucket) = &mut self.cap {
            pictures.for_each(|picture| bucket.pour(picture));
        }
        let timed = |it: &FrameScore| TimedScore { time_s: time_s(it.position), score: it.score, weight: it.weight };
        self.fidelity.extend(it.encoded.fidelity.iter().flatten().map(timed));
        self.vmaf.extend(it.encoded.vmaf.iter().flatten().map(timed));
        self.shown.extend(shown);
        discard(spool);
        Ok(())
    }

    /// What all measured frames' scores at the rendition's own size come to, if any were measured.
    pub(crate) fn fidelity(&self) -> Option<Summary> {
        Summary::of(self.fidelity.iter().map(|it| (it.score, it.weight)))
    }

    /// The same at the size that the source is shown at.
    pub(crate) fn vmaf(&self) -> Option<Summary> {
        as_shown(&self.shown, self.vmaf.len())
    }

    /// What is told of it over time.
    pub(crate) fn curve(&self) -> Curve {
        let seconds = |ticks: u64| ticks as f64 / f64::from(self.clock.timescale);
        let segments = self.segments.iter().map(|it| SegmentSize {
            start_s: seconds(it.start),
            duration_s: seconds(it.ticks),
            bytes: it.bytes,
        });
        Curve { fidelity: self.fidelity.clone(), vmaf: self.vmaf.clone(), segments: segments.collect() }
    }

    /// By how many bits the joined chunks exceed the rate cap's buffer at worst; negative is what is left of it, `None`
    /// is no cap.
    pub(crate) fn cap_overflow_bits(&self) -> Option<i64> {
        self.cap.as_ref()?.worst().map(|worst| worst.overflow_bits)
    }

    /// The first chunk's configuration becomes the initialization segment; all later ones must be equal. Returns the
    /// delay of its pictures.
    fn configure(&mut self, it: Delivered<'_>, layout: &OutputLayout, index: &Index) -> Result<u64, Error> {
        if let Some((first, init)) = &self.init {
            let (chunk, rendition) = (it.plan.index, self.rendition.name.clone());
            return if *first == it.encoded.config { Ok(init.delay) } else { Err(Error::Config { chunk, rendition }) };
        }
        let range = || self.cut_error(it.plan, cut::Error::Range { segment: it.plan.segments.start });
        let delay = cut::delay(&it.encoded.samples, &layout.plan, index, self.clock).ok_or_else(range)?;
        let (color, hdr) = match self.rendition.look() {
            Look::Kept => {
                let color = match self.rendition.method {
                    Method::Capped { .. } => layout.video.made_color,
                    Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => layout.video.color,
                };
                (color, layout.video.hdr)
            }
            Look::Sdr => {
                let chroma_location = layout.video.color.chroma_location;
                (Color { chroma_location, ..Color::BT709 }, HdrMetadata::default())
            }
        };
        let init = VideoInit {
            timescale: self.clock.timescale,
            size: self.rendition.size,
            sample_aspect: self.rendition.sample_aspect,
            color,
            hdr,
            rotation: match self.rendition.method {
                Method::Capped { .. } => Rotation::default(),
                Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => layout.video.rotation,
            },
            config: VideoConfig::new(self.rendition.codec(), &it.encoded.config).map_err(self.boxes_error())?,
            delay,
        };
        let bytes = video_init(&init).map_err(self.boxes_error())?;
        let path = self.folder.file(INIT);
        self.folder.publish(INIT, |file| write_bytes(file, &path, &bytes))?;
        self.init = Some((it.encoded.config.clone(), init));
        Ok(delay)
    }

    fn write(&mut self, segment: &Segment, delay: u64, spool: &mut File, spool_path: &Path) -> Result<Written, Error> {
        let last = self.pictures.last().map(|picture| picture.shown);
        let styp = segment_type().map_err(self.boxes_error())?;
        let (mut bytes, mut parts, mut pictures) = (styp.len() as u64, Vec::new(), Vec::new());
        for (part, sequence) in iframes::fragments(segment, self.clock.timescale, last).into_iter().zip(1..) {
            let samples = &segment.samples[part.samples];
            let fragment = FragmentSamples::Video { samples, delay };
            let head = fragment_head(self.fragments + sequence, part.start, fragment);
            let head = head.map_err(self.boxes_error())?;
            let payload = samples.iter().map(|sample| u64::from(sample.size)).sum();
            let range = bytes..bytes + head.len() as u64 + payload;
            bytes = range.end;
            pictures.extend(part.picture.map(|shown| KeyPicture { segment: segment.place, range, shown }));
            parts.push((head, payload));
        }
        let name = segment_name(segment.place);
        let path = self.folder.file(&name);
        self.folder.publish(&name, |file| {
            write_bytes(file, &path, &styp)?;
            for (head, payload) in &parts {
                write_bytes(file, &path, head)?;
                let copied = io::copy(&mut spool.take(*payload), file).map_err(at(&path))?;
                let short =
                    || io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} bytes missing", payload - copied));
                if copied < *payload {
                    return Err(short()).map_err(at(spool_path));
                }
            }
            Ok(())
        })?;
        self.fragments += parts.len() as u32;
        self.pictures.extend(pictures);
        Ok(Written { start: segment.start, ticks: segment.ticks, bytes, samples: segment.samples.len() as u32 })
    }

    /// What the manifests say of the finished rendition. `None` before the first chunk.
    pub(crate) fn listing(&self, index: &Index) -> Option<VideoListing> {
        let (_, init) = self.init.as_ref()?;
        let (name, codec) = (self.rendition.name.clone(), init.config.name());
        Some(VideoListing {
            listing: Listing::new(name, codec, init.timescale, &self.segments, 0),
            size: init.size,
            display: init.display(),
            sample_aspect: init.sample_aspect,
            codec: self.rendition.codec(),
            frame_rate: frame_rate(index, self.clock)?,
            transfer: init.color.transfer,
            pictures: self.pictures.clone(),
        })
    }

    fn cut_error(&self, chunk: &ChunkPlan, source: cut::Error) -> Error {
        Error::Cut { chunk: chunk.index, rendition: self.rendition.name.clone(), source }
    }

    fn boxes_error(&self) -> impl Fn(boxes::Error) -> Error + use<> {
        let name = self.rendition.name.clone();
        move |source| Error::Boxes { name: name.clone(), source }
    }
}

/// Mean rate from the first frame to the last; that of the one frame's duration where there is only one.
fn frame_rate(index: &Index, clock: Clock) -> Option<FrameRate> {
    let (count, first) = (index.frame_count(), clock.frame_time(index, 0)?);
    let last = if count > 1 { count - 1 } else { count };
    let ticks = clock.frame_time(index, last)?.checked_sub(first)?;
    Some(FrameRate::new(last.into(), ticks, clock.timescale))
}

fn weighed(score: &FrameScore) -> (f64, f64) {
    (score.score, score.weight)
}

/// What frames score as they are shown, of which so many were measured so.
fn as_shown(scores: &[(f64, f64)], measured: usize) -> Option<Summary> {
    let measured = u32::try_from(measured).unwrap_or(u32::MAX);
    Summary::of(scores.iter().copied()).map(|summary| Summary { measured, ..summary })
}
