//! One chunk, from packets to spooled samples. The calling thread decodes, conditions and scales; each rendition
//! encodes on a thread of its own.
//!
//! ```text
//!  packets ─► decoder ─► line-up ─► conditioner ─► scaler ─┬─► encoder ─► spool      (one thread each)
//!                           │                              └─► encoder ─► spool
//!                           │                └─► pictures by themselves ─► spool
//!                           └── as they are ─────────────────► lossless encoder ─► spool
//! ```
//! An encoder that is to be measured has a gauge beside it, on the same thread. The queues between are short, so memory
//! is bounded whatever the chunk's length. Where every core has a chunk of its own the threads only take turns; at a
//! job's end, idle cores help with the last chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use crossbeam_channel::{Sender, bounded};

use vtp_engine::bitstream::Classifier;
use vtp_engine::chunk::{EncodeTask, EncodedChunk, StageCpu};
use vtp_engine::ladder::{Look, Method, Rendition};
use vtp_engine::limits::Limits;
use vtp_engine::media::condition::Conditioner;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{CodecParameters, SourcePacket};
use vtp_engine::media::encode::{self, ChunkShape, VideoEncoder};
use vtp_engine::media::{self, Kind, Picture, cpu};
use vtp_engine::source::VideoInfo;

use crate::lane::{Lane, Order, Stop, Subject};
use crate::lineup::Lineup;
use crate::rendition::{Finished, Work};
use crate::spool::{Spool, SpoolFolder};
use crate::stills::{StillsLane, is_stills};
use crate::view::View;
use crate::{Error, Extractors, Observer, PacketSource};

/// Pictures that wait for each encoder.
const QUEUE: usize = 3;

/// Opens an encoder, as [`vtp_engine::media::encode::open`] does.
pub type OpenEncoder<'a> =
    dyn Fn(&VideoInfo, &Rendition, ChunkShape) -> Result<Box<dyn VideoEncoder>, media::Error> + Sync + 'a;

/// What chunks are encoded with, besides what their tasks say.
pub struct Equipment<'a> {
    /// The source's video stream, whose packets come.
    pub parameters: &'a CodecParameters,
    /// Where encoders come from.
    pub open: &'a OpenEncoder<'a>,
    /// What they are measured with.
    pub extractors: &'a Extractors,
    /// Where their samples go.
    pub spool: &'a dyn Spool,
    /// What pictures of the source may be like.
    pub limits: &'a Limits,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Raising it ends an encoding within a few frames.
    pub cancel: &'a AtomicBool,
}

impl<'a> Equipment<'a> {
    /// For packets of a stream with these `parameters`: the encoders that this machine has, the task's own spool folder,
    /// the default limits, and nobody who watches.
    pub fn new(parameters: &'a CodecParameters, extractors: &'a Extractors, cancel: &'a AtomicBool) -> Self {
        let (spool, limits) = (&SpoolFolder::Durable, &Limits::DEFAULT);
        Self { parameters, open: &encode::open, extractors, spool, limits, observer: &(), cancel }
    }
}

/// Encodes every rendition of `task` from the packets that `packets` gives. Blocks until the samples are durable in the
/// task's spool folder. Everything is the same when it is called again with the same task: files of an earlier attempt
/// are overwritten. After an error the spool holds nothing of use.
///
/// # Errors
/// See [`Error`]; [`Error::class`] tells whether another attempt may succeed.
pub fn encode_chunk(
    task: &EncodeTask,
    packets: &mut dyn PacketSource,
    equipment: &Equipment<'_>,
) -> Result<EncodedChunk, Error> {
    check(task)?;
    let shape = shape(task);
    thread::scope(|scope| {
        let mut lanes = Vec::new();
        let mut threads = Vec::new();
        for rendition in &task.renditions {
            let work = Work { task, rendition, shape, equipment };
            let (lane, thread) = spawn(scope, work)?;
            lanes.push(lane);
            threads.push(thread);
        }
        let fed = feed(task, lanes, packets, equipment);
        gather(task, fed, threads)
    })
}

fn feed<'a>(
    task: &'a EncodeTask,
    lanes: Vec<Lane<'a>>,
    packets: &mut dyn PacketSource,
    equipment: &Equipment<'_>,
) -> Result<StageCpu, Stop> {
    Feed::new(task, lanes)?.run(packets, equipment)
}

/// Waits for the renditions' threads.
fn gather(task: &EncodeTask, fed: Result<StageCpu, Stop>, threads: Vec<Running<'_>>) -> Result<EncodedChunk, Error> {
    let joined = threads.into_iter().zip(&task.renditions).map(|(thread, rendition)| {
        thread.join().unwrap_or_else(|_| Err(Error::Panicked { rendition: rendition.name.clone() }))
    });
    whole(task, fed, joined.collect())
}

/// The chunk, if all of its renditions were finished. What went wrong in the first of them says more than that feeding them
/// failed; that one was cancelled says nothing, as all are whenever something fails.
fn whole(
    task: &EncodeTask,
    fed: Result<StageCpu, Stop>,
    renditions: Vec<Result<Finished, Error>>,
) -> Result<EncodedChunk, Error> {
    let mut finished = Vec::new();
    let mut first = None;
    for rendition in renditions {
        match rendition {
            Ok(done) => finished.push(done),
            Err(Error::Cancelled) => {}
            Err(error) => first = first.or(Some(error)),
        }
    }
    let mut cpu = match (first, fed) {
        (Some(error), _) | (None, Err(Stop::Error(error))) => return Err(error),
        (None, Err(Stop::LaneClosed)) => return Err(Error::Cancelled),
        (None, Ok(_)) if finished.len() < task.renditions.len() => return Err(Error::Cancelled),
        (None, Ok(cpu)) => cpu,
    };
    cpu.encode_s = finished.iter().map(|done| done.encode_s).sum();
    cpu.measure_s += finished.iter().map(|done| done.measure_s).sum::<f64>();
    let renditions = finished.into_iter().map(|done| done.rendition).collect();
    Ok(EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions, cpu })
}

/// What the rest relies on.
fn check(task: &EncodeTask) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::Task { chunk: task.chunk, what: what.to_owned() });
    let starts = &task.segment_starts;
    if task.frames.is_empty() {
        return wrong("it has no frames");
    }
    if u32::try_from(task.frames.len()).is_err() {
        return wrong("it has too many frames");
    }
    if !task.frames.is_sorted_by(|a, b| a.pts < b.pts) {
        return wrong("its frames are not in presentation order");
    }
    if starts.first() != Some(&0) || !starts.is_sorted_by(|a, b| a < b) {
        return wrong("its segments don't start at its first frame, or not in order");
    }
    if starts.last().is_some_and(|&last| last as usize >= task.frames.len()) {
        return wrong("a segment starts after its last frame");
    }
    if task.renditions.iter().any(|rendition| rendition.method == Method::Copy) {
        return wrong("a rendition that copies packets is not encoded");
    }
    let is_apart = |positions: &[u32]| {
        !positions.is_sorted_by(|a, b| a < b)
            || positions.last().is_some_and(|&last| last as usize >= task.frames.len())
    };
    if task.renditions.iter().any(|it| matches!(&it.method, Method::Stills { positions } if is_apart(positions))) {
        return wrong("pictures are to be made of frames that it does not have, or not in order");
    }
    Ok(())
}

pub(crate) fn shape(task: &EncodeTask) -> ChunkShape {
    let count = task.frames.len() as u32;
    let ends = task.segment_starts.iter().skip(1).copied().chain([count]);
    let longest_segment = task.segment_starts.iter().zip(ends).map(|(start, end)| end - start).max();
    let (first, last) = (task.frames.first(), task.frames.last());
    let span = last.map_or(0, |frame| frame.pts) - first.map_or(0, |frame| frame.pts);
    // The last frame is taken to last as long as the others.
    let seconds = match count {
        0 | 1 => 1.0 / task.video.frame_rate.as_f64(),
        _ => task.video.time_base.seconds(span) * f64::from(count) / f64::from(count - 1),
    };
    ChunkShape {
        first: task.chunk.0 == 0,
        last: task.last,
        frames: count,
        seconds,
        longest_segment: longest_segment.unwrap_or(count),
    }
}

type Running<'scope> = ScopedJoinHandle<'scope, Result<Finished, Error>>;

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: Work<'scope>,
) -> Result<(Lane<'scope>, Running<'scope>), Error> {
    let (orders, received) = bounded(QUEUE);
    let rendition = work.rendition;
    let name = format!("encode {}", work.rendition.name);
    let thread = thread::Builder::new().name(name).spawn_scoped(scope, move || work.run(&received));
    match thread {
        Ok(thread) => Ok((Lane { orders, rendition }, thread)),
        Err(error) => Err(media::Error::new(Kind::Retryable, format!("no thread to encode with: {error}")).into()),
    }
}

/// Whether nothing else is missed without the packet, neither a picture nor parameter sets.
fn is_disposable(classifier: &Classifier, packet: &SourcePacket) -> bool {
    packet.new_extradata().is_none() && classifier.is_disposable(packet.data())
}

/// Decodes, and feeds the encoders.
struct Feed<'a> {
    task: &'a EncodeTask,
    lineup: Lineup<Picture>,
    /// Frames of the line-up before the chunk's own.
    before: usize,
    as_decoded: Vec<Sender<Order>>,
    conditioner: Conditioner,
    /// The source in every look that some rendition has.
    views: Vec<View>,
    /// Where pictures are wanted by themselves.
    stills: Vec<StillsLane<'a>>,
    /// CPU seconds spent on conditioning and scaling.
    scale_s: f64,
    /// CPU seconds spent on showing the source at full size.
    view_s: f64,
}

impl<'a> Feed<'a> {
    fn new(task: &'a EncodeTask, lanes: Vec<Lane<'a>>) -> Result<Self, Error> {
        let (context_before, context_after) = &task.context;
        let all = context_before.iter().chain(&task.frames).chain(context_after);
        let before = context_before.len();
        let lineup = Lineup::new(all.map(|frame| frame.packet).collect(), before..before + task.frames.len());
        let lineup = lineup.without(&task.hidden);
        let (stills, lanes): (Vec<_>, Vec<_>) = lanes.into_iter().partition(|it| is_stills(it.rendition));
        let is_as_decoded = |lane: &Lane<'_>| matches!(lane.rendition.method, Method::Lossless { .. } | Method::Ffv1);
        let (as_decoded, scaled): (Vec<_>, Vec<_>) = lanes.into_iter().partition(is_as_decoded);
        let (kept, mapped): (Vec<_>, Vec<_>) = scaled.into_iter().partition(|it| it.rendition.look() == Look::Kept);
        let views = [(Look::Kept, kept), (Look::Sdr, mapped)];
        let views = views.into_iter().filter(|(_, lanes)| !lanes.is_empty());
        Ok(Self {
            task,
            lineup,
            before,
            as_decoded: as_decoded.into_iter().map(|lane| lane.orders).collect(),
            conditioner: Conditioner::new(&task.video),
            views: views.map(|(look, lanes)| View::new(task, look, lanes)).collect::<Result<_, _>>()?,
            stills: stills.into_iter().map(|lane| StillsLane::new(task, lane)).collect(),
            scale_s: 0.0,
            view_s: 0.0,
        })
    }

    fn run(mut self, packets: &mut dyn PacketSource, equipment: &Equipment<'_>) -> Result<StageCpu, Stop> {
        let started = cpu::thread_seconds();
        match self.task.concealed {
            false => self.decode(packets, equipment)?,
            true => self.make_up(equipment)?,
        }
        self.lineup.end();
        self.in_order()?;
        self.condition(None)?;
        let viewing = cpu::thread_seconds();
        for view in self.views {
            view.finish()?;
        }
        self.stills.into_iter().try_for_each(StillsLane::finish)?;
        self.view_s += cpu::thread_seconds() - viewing;
        for orders in &self.as_decoded {
            orders.send(Order::Finish(Arc::default())).map_err(|_| Stop::LaneClosed)?;
        }
        let decode_s = cpu::thread_seconds() - started - self.scale_s - self.view_s;
        Ok(StageCpu { decode_s, scale_s: self.scale_s, encode_s: 0.0, measure_s: self.view_s })
    }

    /// Black pictures in place of all that would come out of the decoder.
    fn make_up(&mut self, equipment: &Equipment<'_>) -> Result<(), Stop> {
        let task = self.task;
        let (before, after) = &task.context;
        let black = Picture::black(&task.video)?;
        for frame in before.iter().chain(&task.frames).chain(after) {
            if equipment.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled.into());
            }
            self.lineup.take(frame.packet, black.share()?);
            self.in_order()?;
        }
        Ok(())
    }

    fn decode(&mut self, packets: &mut dyn PacketSource, equipment: &Equipment<'_>) -> Result<(), Stop> {
        let parameters = equipment.parameters;
        let mut decoder = VideoDecoder::for_chunk(parameters, self.task.video.time_base, equipment.limits)?;
        let classifier = Classifier::new(&self.task.video.codec, parameters.extradata());
        while let Some((index, packet)) = packets.next()? {
            if equipment.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled.into());
            }
            // Much of a pre-roll is pictures that nothing wanted depends on.
            let may_be_needless = self.task.one_frame_a_packet && !self.lineup.awaits(index);
            if may_be_needless && is_disposable(&classifier, &packet) {
                continue;
            }
            decoder.send(index, packet, &mut |picture| self.decoded(picture))?;
        }
        decoder.finish(&mut |picture| self.decoded(picture))
    }

    fn decoded(&mut self, picture: Picture) -> Result<(), Stop> {
        if let Some(packet) = picture.packet() {
            self.lineup.take(packet, picture);
        }
        self.in_order()
    }

    /// Passes on what stands next in the line-up.
    fn in_order(&mut self) -> Result<(), Stop> {
        while let Some((place, picture)) = self.lineup.pop() {
            self.pass_as_decoded(place, &picture)?;
            self.condition(Some((place, picture)))?;
        }
        match self.lineup.mismatch() {
            None => Ok(()),
            Some(mismatch) => Err(Stop::Error(Error::FrameMismatch {
                chunk: self.task.chunk,
                expected: self.task.frames.len() as u32,
                missing_count: mismatch.missing_count,
                missing: mismatch.missing,
                extra_count: mismatch.extra_count,
                extra: mismatch.extra,
            })),
        }
    }

    fn pass_as_decoded(&self, place: usize, picture: &Picture) -> Result<(), Stop> {
        let Some(position) = self.position(place) else { return Ok(()) };
        for orders in &self.as_decoded {
            let picture = picture.share()?;
            let subject = Subject { position, picture, full: None };
            orders.send(Order::Encode(subject)).map_err(|_| Stop::LaneClosed)?;
        }
        Ok(())
    }

    /// Conditions and scales a picture, or what the conditioner still holds, and passes on what is ready.
    fn condition(&mut self, picture: Option<(usize, Picture)>) -> Result<(), Stop> {
        if self.views.is_empty() && self.stills.is_empty() {
            return Ok(());
        }
        let started = cpu::thread_seconds();
        let mut ready = Vec::new();
        let mut keep = |place: i64, picture: Picture| -> Result<(), media::Error> {
            ready.push((place, picture));
            Ok(())
        };
        match picture {
            Some((place, picture)) => self.conditioner.send(place as i64, picture, &mut keep)?,
            None => self.conditioner.finish(&mut keep)?,
        }
        self.scale_s += cpu::thread_seconds() - started;
        for (place, picture) in ready {
            self.scale(place as usize, picture)?;
        }
        Ok(())
    }

    fn scale(&mut self, place: usize, picture: Picture) -> Result<(), Stop> {
        let Some(position) = self.position(place) else { return Ok(()) };
        for view in &mut self.views {
            let spent = view.show(position, &picture)?;
            self.scale_s += spent.scale_s;
            self.view_s += spent.measure_s;
        }
        let started = cpu::thread_seconds();
        for lane in &mut self.stills {
            lane.show(position, &picture)?;
        }
        self.scale_s += cpu::thread_seconds() - started;
        Ok(())
    }

    /// A place in the line-up as a position among the task's frames; `None` for a neighbour.
    fn position(&self, place: usize) -> Option<usize> {
        place.checked_sub(self.before).filter(|&position| position < self.task.frames.len())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Class;
    use crate::testing::task;

    #[test]
    fn a_packet_that_brings_parameter_sets_is_not_left_out() {
        let classifier = Classifier::new("h264", &[]);
        let mut packet = SourcePacket::of(&[0, 0, 1, 0x01, 0x9A]).unwrap();
        assert!(is_disposable(&classifier, &packet));
        packet.set_new_extradata(&[0, 0, 1, 0x68, 0xCE]).unwrap();
        assert!(!is_disposable(&classifier, &packet), "beside its pictures");
        let packet = SourcePacket::of(&[0, 0, 1, 0x68, 0xCE, 0, 0, 1, 0x01, 0x9A]).unwrap();
        assert!(!is_disposable(&classifier, &packet), "before its pictures");
    }

    #[test]
    fn what_went_wrong_in_the_first_rendition_is_told_whatever_else_did() {
        let task = task(Path::new(""), None);
        let outcome = |fed: Option<Error>, errors: [Error; 2]| {
            whole(&task, Err(fed.map_or(Stop::LaneClosed, Stop::Error)), errors.map(Err).into()).unwrap_err()
        };
        let packets = || Some(Error::Packets { message: "no packets".to_owned(), class: Class::Permanent });
        let wrong = |what: &str| Error::Samples { rendition: "large".to_owned(), what: what.to_owned() };
        let panicked = || Error::Panicked { rendition: "small".to_owned() };
        assert_eq!(outcome(packets(), [Error::Cancelled, wrong("lost")]), wrong("lost"));
        assert_eq!(outcome(None, [wrong("lost"), panicked()]), wrong("lost"));
        assert_eq!(outcome(packets(), [Error::Cancelled, Error::Cancelled]), packets().unwrap());
        assert_eq!(outcome(None, [Error::Cancelled, Error::Cancelled]), Error::Cancelled);
    }
}
