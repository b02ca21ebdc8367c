//! The parent's side: one child, what it is asked for, and how it ends. A child that says nothing for too long, ends, or
//! says what it was not asked for is dead from then on; what it said last to its standard error goes into the report.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use vtp_encoder_node::cache::SourceHash;
use vtp_encoder_node::{Observer, Spool, SpoolWriter};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition, Sample};
use vtp_engine::index::Index;
use vtp_engine::limits::Limits;
use vtp_splitter::Source;

use super::adoption::Adoption;
use super::death::{Cause, Death, LastWords};
use super::error::Error;
use super::input::Input;
use super::messages::{Reply, Request};
use super::process::Process;
use super::served::Serving;
use super::wire::{self, Came, Inbox};
use crate::cpu::CpuTime;
use crate::stop::Stop;

/// How often somebody who waits for a child looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// CPU seconds for anything, before what its size adds.
const LEAST_CPU_S: u64 = 600;
/// More than any work takes, and few enough for the kernel to count in nanoseconds.
const MOST_CPU_S: u64 = 1 << 30;
/// CPU seconds for a mebibyte of a source to be looked into, which may take decoding it once.
const INDEX_S_PER_MIB: u64 = 30;
/// So many times as long as it may take of CPU time may anything take on the clock: it may have to wait for its turn at the CPU, and
/// for a slow disk.
const PATIENCE: u64 = 10;
/// Bytes of an answer that says little.
const SHORT: usize = 1 << 20;
/// Bytes of what a codec makes of a sample of a picture, at most: lossless ones make less of those with the most bits.
const BYTES_A_SAMPLE: u64 = 16;
/// Bytes of what goes with a packet, such as parameter sets.
const BESIDE_A_PACKET: usize = 1 << 16;
/// Bytes that are told of a frame of a rendition at the end: its scores.
const BYTES_A_FRAME: u64 = 256;

/// What a child may take for what it is asked for, and answer.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// Bytes of memory.
    memory: u64,
    /// CPU seconds besides those that anything may take.
    cpu_s: u64,
    /// Bytes of each answer.
    answer: usize,
}

/// A child that lives until it is dropped.
pub(crate) struct Child {
    process: Process,
    stream: UnixStream,
    inbox: Inbox,
    words: LastWords,
    limits: Limits,
    /// The source that it keeps.
    adopted: Option<u64>,
    /// How its source is served to it, if that is no file.
    serving: Option<Arc<Serving>>,
    work: Work,
}

/// What a child does, as far as that bounds it.
#[derive(Clone, Copy, Debug)]
struct Work {
    /// Since when, and for how long it may.
    begun: Instant,
    most: Duration,
    /// Bytes of each answer.
    answer: usize,
}

impl Work {
    fn new(cpu_s: u64, answer: usize) -> Self {
        let most = Duration::from_secs(cpu_s.saturating_add(LEAST_CPU_S).min(MOST_CPU_S) * PATIENCE);
        Self { begun: Instant::now(), most, answer }
    }

    fn is_overdue(&self) -> bool {
        self.begun.elapsed() > self.most
    }
}

impl Child {
    /// The child behind `process`, whose standard error is piped, and `stream`. It waits until its walls stand, and tells
    /// which do not.
    ///
    /// # Errors
    /// It ends before that.
    pub(super) fn new(mut process: Process, stream: UnixStream, limits: Limits) -> Result<(Self, Vec<String>), Error> {
        let words = LastWords::of(process.take_stderr()).map_err(Error::Start)?;
        let (inbox, work) = (Inbox::default(), Work::new(0, SHORT));
        let mut child = Self { process, stream, inbox, words, limits, adopted: None, serving: None, work };
        let never = AtomicBool::new(false);
        match child.reply(&never)? {
            Reply::Ready { missing } => Ok((child, missing)),
            _ => Err(child.condemn("it was not ready")),
        }
    }

    /// Whether its process is gone.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Looks into the source `input`.
    pub(crate) fn index(&mut self, input: &Input, cancel: &AtomicBool) -> Result<Source, Error> {
        self.adopted = None;
        self.allow(Allowance { cpu_s: index_cpu_s(input), answer: wire::LONGEST, ..self.usual() })?;
        self.send(&Request::Index { given: input.given().clone() })?;
        self.give(input)?;
        self.source(cancel)
    }

    /// Looks again into the source that it keeps, by decoding it.
    pub(crate) fn census(&mut self, adoption: &Adoption, doubt: &str, cancel: &AtomicBool) -> Result<Source, Error> {
        self.adopt(adoption, cancel)?;
        self.adopted = None;
        self.allow(Allowance { cpu_s: index_cpu_s(&adoption.input), answer: wire::LONGEST, ..self.usual() })?;
        self.send(&Request::Census { doubt: doubt.to_owned() })?;
        self.source(cancel)
    }

    /// Has it keep the source of `adoption`, unless it does.
    pub(crate) fn adopt(&mut self, adoption: &Adoption, cancel: &dyn Stop) -> Result<(), Error> {
        if self.adopted == Some(adoption.id) {
            return Ok(());
        }
        self.allow(self.usual())?;
        self.send_bytes(&adoption.request)?;
        self.give(&adoption.input)?;
        match self.reply(cancel)? {
            Reply::Adopted => {
                self.adopted = Some(adoption.id);
                Ok(())
            }
            reply => Err(self.said_unasked(&reply)),
        }
    }

    /// The hash of these packets of the source that it keeps.
    pub(crate) fn hash(&mut self, packets: Range<u32>, cancel: &AtomicBool) -> Result<SourceHash, Error> {
        self.allow(self.usual())?;
        self.send(&Request::Hash { packets })?;
        match self.reply(cancel)? {
            Reply::Hash(bytes) => Ok(SourceHash::from_bytes(bytes)),
            reply => Err(self.said_unasked(&reply)),
        }
    }

    /// Writes these packets of `index`, which is that of the source that it keeps, to the file `archive`, as
    /// [`vtp_engine::archive`] has them.
    pub(crate) fn pack(
        &mut self,
        index: &Index,
        packets: Range<u32>,
        archive: &Path,
        cancel: &AtomicBool,
    ) -> Result<(), Error> {
        let unwritten = |error| Error::Spool { path: archive.to_owned(), error };
        let mut out = File::create(archive).map_err(unwritten)?;
        let mut left = packed_bytes(index, &packets).saturating_add(self.limits.metadata as usize);
        self.allow(Allowance { answer: left, ..self.usual() })?;
        self.send(&Request::Pack { packets })?;
        loop {
            match self.reply(cancel)? {
                Reply::Piece { bytes } => {
                    let Some(rest) = left.checked_sub(bytes.len()) else {
                        return Err(self.condemn("it packed more than there is"));
                    };
                    left = rest;
                    self.or_dead(io::Write::write_all(&mut out, &bytes).map_err(unwritten))?;
                }
                Reply::Packed => return Ok(()),
                reply => return Err(self.said_unasked(&reply)),
            }
        }
    }

    /// Encodes `task` from these packets of the source that it keeps. The samples are written to `spool`.
    pub(crate) fn encode(
        &mut self,
        task: &EncodeTask,
        packets: Range<u32>,
        spool: &dyn Spool,
        observer: &dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<EncodedChunk, Error> {
        let samples: u64 = task.renditions.iter().map(|it| it.size.samples()).sum();
        // Hundreds of times as long as it takes at x264's medium.
        let cpu_s = u64::from(packets.end - packets.start) * (samples + task.video.size.samples()) / 50_000;
        let memory = self.limits.memory_for(task.video.size.samples(), samples);
        self.allow(Allowance { memory, cpu_s, answer: self.encoded_bytes(task, samples) })?;
        self.send(&Request::Encode { task: Box::new(EncodeTask { spool: PathBuf::new(), ..task.clone() }), packets })?;
        let takers = task.renditions.iter().map(|rendition| {
            let writer = spool.begin(task, rendition).map_err(|error| unwritten(task, error))?;
            Ok(Taker { name: &rendition.name, writer, samples: Vec::new(), most: task.frames.len() })
        });
        let mut takers: Vec<Taker<'_>> = self.or_dead(takers.collect())?;
        let chunk = self.samples(task, &mut takers, observer, cancel, |reply| match reply {
            Reply::Encoded(chunk) => Ok(*chunk),
            other => Err(other),
        })?;
        let names = chunk.renditions.iter().map(|it| it.rendition.as_str());
        if chunk.chunk != task.chunk || !names.eq(takers.iter().map(|it| it.name)) {
            return Err(self.condemn("it encoded something else"));
        }
        let filled = takers.into_iter().zip(chunk.renditions).map(|(taker, rendition)| taker.fill(rendition));
        let renditions = self.or_dead(filled.collect::<io::Result<_>>().map_err(|error| unwritten(task, error)))?;
        Ok(EncodedChunk { renditions, attempt: task.attempt, ..chunk })
    }

    /// Copies the packets of `task`'s frames, which are among these, for the rendition called `name`.
    pub(crate) fn copy(
        &mut self,
        name: &str,
        task: &EncodeTask,
        packets: Range<u32>,
        writer: Box<dyn SpoolWriter + '_>,
        cancel: &AtomicBool,
    ) -> Result<EncodedRendition, Error> {
        self.allow(Allowance { answer: self.encoded_bytes(task, task.video.size.samples()), ..self.usual() })?;
        self.send(&Request::Copy { rendition: name.to_owned(), frames: task.frames.clone(), packets })?;
        let mut takers = [Taker { name, writer, samples: Vec::new(), most: task.frames.len() }];
        let copied = self.samples(task, &mut takers, &(), cancel, |reply| match reply {
            Reply::Copied(rendition) => Ok(*rendition),
            other => Err(other),
        })?;
        let [taker] = takers;
        let filled = taker.fill(copied).map_err(|error| unwritten(task, error));
        self.or_dead(filled)
    }

    /// Takes samples of `task` until the last answer, which `last` knows.
    fn samples<T>(
        &mut self,
        task: &EncodeTask,
        takers: &mut [Taker<'_>],
        observer: &dyn Observer,
        cancel: &AtomicBool,
        last: impl Fn(Reply) -> Result<T, Reply>,
    ) -> Result<T, Error> {
        loop {
            let reply = self.reply(cancel)?;
            let Reply::Sample { place, sample, bytes } = reply else {
                return match last(reply) {
                    Ok(answer) => Ok(answer),
                    Err(other) => Err(self.said_unasked(&other)),
                };
            };
            let Some(taker) = takers.get_mut(usize::from(place)).filter(|it| it.expects(sample, &bytes)) else {
                return Err(self.condemn("it sent a sample that nobody asked for"));
            };
            observer.frames_encoded(taker.name, 1);
            if let Err(error) = taker.take(sample, &bytes) {
                self.kill();
                return Err(unwritten(task, error));
            }
        }
    }

    fn source(&mut self, cancel: &AtomicBool) -> Result<Source, Error> {
        match self.reply(cancel)? {
            Reply::Source(source) if !source.index.frames.is_empty() => Ok(*source),
            reply => Err(self.said_unasked(&reply)),
        }
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), Error> {
        match wire::encode(request) {
            Ok(bytes) => self.send_bytes(&bytes),
            Err(error) => Err(Error::Untold(error)),
        }
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let silence = self.silence();
        // One that hangs does not read either.
        let sent = self.stream.set_write_timeout(Some(silence));
        let sent = sent.and_then(|()| io::Write::write_all(&mut &self.stream, bytes));
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.kill();
                self.death(Cause::Silence(silence))
            }
            _ => self.bury(),
        })
    }

    /// How long it may give no sign of life.
    fn silence(&self) -> Duration {
        Duration::from_secs(self.limits.silence.max(1))
    }

    fn give(&mut self, input: &Input) -> Result<(), Error> {
        self.serving = input.give(&self.stream).map_err(|_| self.bury())?;
        Ok(())
    }

    /// The next answer. Signs of life are none.
    pub(super) fn reply(&mut self, cancel: &dyn Stop) -> Result<Reply, Error> {
        let silence = self.silence();
        let mut heard = Instant::now();
        loop {
            if cancel.is_raised() {
                self.kill();
                return Err(Error::Cancelled);
            }
            if self.work.is_overdue() {
                self.kill();
                return Err(self.death(Cause::Endless(self.work.most)));
            }
            let came = self.inbox.next(&self.stream, LOOK, self.work.answer);
            if let Some(error) = self.serving.as_ref().and_then(|serving| serving.trouble()) {
                self.kill();
                return Err(Error::Unread(error));
            }
            match came {
                Ok(Came::Message(Reply::Alive)) => heard = Instant::now(),
                Ok(Came::Nothing) if self.serving.as_ref().is_some_and(|it| it.is_waiting()) => {
                    heard = Instant::now();
                    self.work.most += LOOK;
                }
                Ok(Came::Message(Reply::Failed(failure))) => return Err(failure.into()),
                Ok(Came::Message(reply)) => return Ok(reply),
                Ok(Came::Nothing) if heard.elapsed() > silence => {
                    self.kill();
                    return Err(self.death(Cause::Silence(silence)));
                }
                Ok(Came::Nothing) => {}
                Ok(Came::End) => return Err(self.bury()),
                Err(error) => return Err(self.condemn(&error.to_string())),
            }
        }
    }

    /// Lets it make sound: so many seconds, of all tracks together.
    pub(super) fn allow_sound(&mut self, seconds: u64) -> Result<(), Error> {
        self.allow(Allowance { cpu_s: seconds, ..self.usual() })
    }

    /// The most seconds that any source may have.
    pub(super) fn longest_s(&self) -> u64 {
        self.limits.duration
    }

    /// What is allowed for what takes little and has a short answer.
    fn usual(&self) -> Allowance {
        Allowance { memory: self.limits.memory_for(self.limits.pixels, 0), cpu_s: 0, answer: SHORT }
    }

    /// Bytes of an answer about `task`, whose largest picture has no more than so many samples: one of those, or what is told at the
    /// end.
    fn encoded_bytes(&self, task: &EncodeTask, samples: u64) -> usize {
        let told = task.frames.len() as u64 * task.renditions.len() as u64 * BYTES_A_FRAME;
        let told = told.saturating_add(self.limits.metadata);
        let longest = samples.saturating_mul(BYTES_A_SAMPLE).max(told).saturating_add(SHORT as u64);
        usize::try_from(longest).map_or(wire::LONGEST, |longest| longest.min(wire::LONGEST))
    }

    /// Bounds what it may take and answer from here on.
    fn allow(&mut self, Allowance { memory, cpu_s, answer }: Allowance) -> Result<(), Error> {
        self.work = Work::new(cpu_s, answer);
        let pid = i32::try_from(self.process.id()).map_err(|error| Error::Unbounded(io::Error::other(error)))?;
        let used = CpuTime::of(&pid.to_string()).map_or(0, |time| time.own_s as u64);
        let cpu_s = used.saturating_add(LEAST_CPU_S).saturating_add(cpu_s).min(MOST_CPU_S);
        let set = |resource: rlimit::Resource, soft| {
            let (mut old, mut hard) = (0, 0);
            rlimit::prlimit(pid, resource, None, Some((&mut old, &mut hard)))?;
            rlimit::prlimit(pid, resource, Some((soft, hard)), None)
        };
        let bounded = set(rlimit::Resource::DATA, memory).and_then(|()| set(rlimit::Resource::CPU, cpu_s));
        // One that is gone can't be bounded.
        bounded.map_err(|error| match self.process.try_wait() {
            Ok(Some(_)) => self.bury(),
            _ => Error::Unbounded(error),
        })
    }

    fn or_dead<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        // What it still sends is not wanted.
        result.inspect_err(|_| self.kill())
    }

    pub(super) fn said_unasked(&mut self, reply: &Reply) -> Error {
        let reply = format!("{reply:?}");
        self.condemn(&format!("it said {}", reply.chars().take(60).collect::<String>()))
    }

    pub(super) fn condemn(&mut self, why: &str) -> Error {
        self.kill();
        self.death(Cause::Nonsense(why.to_owned()))
    }

    fn bury(&mut self) -> Error {
        // Its end of the socket is closed a moment before it is gone.
        let status = self.wait_a_little();
        let cause = match status.map(|status| (status.signal(), status.code())) {
            Some((Some(signal), _)) => Cause::Signal(signal),
            Some((None, code)) => Cause::Exit(code),
            None => Cause::Exit(None),
        };
        self.kill();
        self.death(cause)
    }

    fn wait_a_little(&mut self) -> Option<ExitStatus> {
        for _ in 0..500 {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn death(&mut self, cause: Cause) -> Error {
        Error::Died(Death { cause, said: self.words.said() })
    }

    fn kill(&mut self) {
        self.process.end();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.process.id()).finish_non_exhaustive()
    }
}

fn index_cpu_s(input: &Input) -> u64 {
    (input.size() >> 20).saturating_mul(INDEX_S_PER_MIB)
}

/// Bytes that these packets come to in an archive at most, but for the source's headers.
fn packed_bytes(index: &Index, packets: &Range<u32>) -> usize {
    let packets = index.packets.get(packets.start as usize..packets.end as usize).unwrap_or_default();
    packets.iter().map(|packet| 2 * packet.size as usize + BESIDE_A_PACKET).sum::<usize>() + SHORT
}

fn unwritten(task: &EncodeTask, error: io::Error) -> Error {
    Error::Spool { path: task.spool.clone(), error }
}

/// Takes the samples of one rendition.
struct Taker<'a> {
    name: &'a str,
    writer: Box<dyn SpoolWriter + 'a>,
    samples: Vec<Sample>,
    most: usize,
}

impl Taker<'_> {
    fn expects(&self, sample: Sample, bytes: &[u8]) -> bool {
        self.samples.len() < self.most && sample.size as usize == bytes.len()
    }

    fn take(&mut self, sample: Sample, bytes: &[u8]) -> io::Result<()> {
        self.writer.write(sample, bytes)?;
        self.samples.push(sample);
        Ok(())
    }

    fn fill(self, rendition: EncodedRendition) -> io::Result<EncodedRendition> {
        Ok(EncodedRendition { samples: self.samples, spool: self.writer.finish()?, ..rendition })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A child that only waits, and the other end of its socket.
    fn child() -> (Child, UnixStream) {
        let (stream, other) = UnixStream::pair().unwrap();
        let mut process = Process::new(Command::new("sleep").arg("60").stderr(Stdio::piped()).spawn().unwrap());
        let words = LastWords::of(process.take_stderr()).unwrap();
        let (inbox, work) = (Inbox::default(), Work::new(0, SHORT));
        let limits = Limits { silence: 1, ..Limits::DEFAULT };
        (Child { process, stream, inbox, words, limits, adopted: None, serving: None, work }, other)
    }

    fn cause<T: fmt::Debug>(result: Result<T, Error>) -> Cause {
        let Err(Error::Died(death)) = result else { panic!("{result:?}") };
        death.cause
    }

    #[test]
    fn a_child_that_reads_nothing_hangs_and_is_killed() {
        let (mut child, _unread) = child();
        let cause = cause(child.send_bytes(&vec![0; 16 << 20]));
        assert_eq!(cause, Cause::Silence(Duration::from_secs(1)));
        assert!(child.has_ended());
    }

    #[test]
    fn a_child_that_says_for_ever_that_it_works_is_killed_in_the_end() {
        let (mut child, mut other) = child();
        let beats = std::thread::spawn(move || {
            let alive = wire::encode(&Reply::Alive).unwrap();
            while io::Write::write_all(&mut other, &alive).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        child.work.most = Duration::from_millis(50);
        assert_eq!(cause(child.reply(&AtomicBool::new(false))), Cause::Endless(Duration::from_millis(50)));
        assert!(child.has_ended());
        drop(child);
        beats.join().unwrap();
    }

    #[test]
    fn a_child_that_answers_at_greater_length_than_it_was_asked_is_killed() {
        let (mut child, other) = child();
        let ready = Reply::Ready { missing: vec!["-".repeat(SHORT)] };
        let says = std::thread::spawn(move || drop(io::Write::write_all(&mut &other, &wire::encode(&ready).unwrap())));
        assert!(matches!(cause(child.hash(0..1, &AtomicBool::new(false))), Cause::Nonsense(_)));
        assert!(child.has_ended());
        drop(child);
        says.join().unwrap();
    }

    #[test]
    fn a_child_that_packs_more_than_there_is_is_killed() {
        let (mut child, other) = child();
        let piece = wire::encode(&Reply::Piece { bytes: vec![0; 600_000] }).unwrap();
        let says = std::thread::spawn(move || while io::Write::write_all(&mut &other, &piece).is_ok() {});
        let (index, archive) = (Index::of(Vec::new(), Vec::new(), 1), tempfile::NamedTempFile::new().unwrap());
        child.limits.metadata = 0;
        let packed = child.pack(&index, 0..0, archive.path(), &AtomicBool::new(false));
        assert!(matches!(cause(packed), Cause::Nonsense(_)));
        assert_eq!(archive.path().metadata().unwrap().len(), 600_000);
        drop(child);
        says.join().unwrap();
    }
}
