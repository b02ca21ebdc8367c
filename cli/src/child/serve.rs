//! The child's side: walls up, then one request after the other until the parent is gone. It keeps the source open
//! between requests, and everything that comes of them goes back through the socket.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vtp_encoder_node::cache::SourceHash;
use vtp_encoder_node::{self as node, Copier, Equipment, Extractors, PacketSource, Spool, SpoolWriter};
use vtp_engine::archive;
use vtp_engine::chunk::{EncodeTask, Sample};
use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::ladder::Rendition;
use vtp_engine::media::audio::{AudioRequest, AudioTask};
use vtp_engine::media::demux::{CodecParameters, ReadAt, SourceFile, SourcePacket};
use vtp_engine::media::{self, Kind, cpu};
use vtp_engine::pcm::Moment;
use vtp_engine::sandbox;
use vtp_engine::units::PacketIndex;
use vtp_splitter::{ChunkReader, Source};

use super::messages::{Failure, Given, Reply, Request};
use super::served::Asked;
use super::wire;

/// How often a child that has nothing to tell says that it works.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Bytes of an archive that are read, or sent, at a time.
const BLOCK: usize = 1 << 18;
/// Answers of which there are many are sent together, at most once in so long: one waits for the next that comes later than that,
/// or for the last answer.
const PASS_EVERY: Duration = Duration::from_millis(20);

/// Serves the parent at the other end of the standard input until that is closed.
pub(crate) fn serve() -> ExitCode {
    let outcome = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).and_then(|stream| {
        media::log_errors();
        rustix::thread::set_name(c"vtp child")?;
        // Whoever started it may be gone before anything is read.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        let missing = sandbox::confine()?;
        Session::new(stream)?.serve(missing)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vtp child: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The way back to the parent, shared by the threads that encode.
struct Parent {
    line: Mutex<Line>,
}

struct Line {
    stream: BufWriter<UnixStream>,
    /// When something was sent last.
    last: Instant,
}

impl Line {
    fn send(&mut self) -> io::Result<()> {
        self.last = Instant::now();
        self.stream.flush()
    }
}

impl Parent {
    fn new(stream: UnixStream) -> Self {
        Self { line: Mutex::new(Line { stream: BufWriter::with_capacity(1 << 16, stream), last: Instant::now() }) }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a last answer.
    fn tell(&self, reply: &Reply) -> io::Result<()> {
        let mut line = self.line();
        line.stream.write_all(&wire::encode(reply)?)?;
        line.send()
    }

    /// Tells one of many answers, which may wait a moment for the next.
    fn pass(&self, reply: &Reply) -> io::Result<()> {
        let mut line = self.line();
        line.stream.write_all(&wire::encode(reply)?)?;
        if line.last.elapsed() >= PASS_EVERY { line.send() } else { Ok(()) }
    }

    /// Says that it works, unless something was said lately. Where nobody listens the next answer will fail.
    fn alive(&self) {
        if self.line().last.elapsed() < ALIVE_EVERY {
            return;
        }
        if let Err(error) = self.tell(&Reply::Alive) {
            tracing::debug!(%error, "nobody listens");
        }
    }
}

/// What the child works on.
enum Kept {
    Source(Box<KeptSource>),
    Chunk(Box<KeptChunk>),
}

/// A whole source.
struct KeptSource {
    file: SourceFile,
    source: Source,
    index: Arc<Index>,
    reader: Option<ChunkReader>,
    sound: Option<AudioTask>,
}

/// The packets of a chunk.
struct KeptChunk {
    file: SourceFile,
    parameters: CodecParameters,
}

impl Kept {
    fn of(file: SourceFile, source: Source) -> Self {
        let index = Arc::new(source.index.clone());
        Self::Source(Box::new(KeptSource { file, source, index, reader: None, sound: None }))
    }
}

impl KeptChunk {
    fn read(file: SourceFile) -> Result<Self, Failure> {
        let archive = archive::Reader::new(FromStart::of(&file)).map_err(|error| unread(&error))?;
        let parameters = postcard::from_bytes(&archive.head().parameters).map_err(|error| unread(&error))?;
        Ok(Self { file, parameters })
    }

    /// Its packets, from the first on, which have to be these.
    fn packets(&self, packets: &Range<u32>) -> Result<Archived<'_>, node::Error> {
        let reader = archive::Reader::new(FromStart::of(&self.file)).map_err(|error| unread(&error))?;
        match reader.head().packets == *packets {
            true => Ok(Archived(reader)),
            false => Err(unread(&"they are those of another chunk")),
        }
    }
}

/// That an archive is of no use.
fn unread(error: &dyn Display) -> node::Error {
    node::Error::Packets { message: error.to_string(), class: node::Class::Retryable }
}

/// The packets of an archive.
struct Archived<'a>(archive::Reader<BufReader<FromStart<'a>>>);

impl PacketSource for Archived<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, node::Error> {
        let Some((place, record)) = self.0.next_packet().map_err(|error| unread(&error))? else { return Ok(None) };
        Ok(Some((place, SourcePacket::from_record(&record)?)))
    }
}

/// A file from its start, whose own position others share.
struct FromStart<'a> {
    file: &'a dyn ReadAt,
    at: u64,
}

impl<'a> FromStart<'a> {
    fn of(file: &'a SourceFile) -> BufReader<Self> {
        BufReader::with_capacity(BLOCK, Self { file: file.bytes(), at: 0 })
    }
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// An archive goes to the parent piece by piece.
struct Pieces<'a>(&'a Parent);

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.pass(&Reply::Piece { bytes: bytes.to_vec() })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Session {
    requests: UnixStream,
    parent: Parent,
    kept: Option<Kept>,
    extractors: Extractors,
}

impl Session {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let requests = stream.try_clone()?;
        Ok(Self {
            requests,
            parent: Parent::new(stream),
            kept: None,
            extractors: Extractors::for_workers(NonZeroUsize::MIN),
        })
    }

    fn serve(mut self, missing: Vec<String>) -> io::Result<()> {
        self.parent.tell(&Reply::Ready { missing })?;
        while let Some(request) = wire::receive(&self.requests)? {
            let reply = self.answer(request)?.unwrap_or_else(Reply::Failed);
            self.parent.tell(&reply)?;
        }
        Ok(())
    }

    /// The last answer to a request.
    ///
    /// # Errors
    /// The parent is gone, or does not send the descriptor that it has promised.
    fn answer(&mut self, request: Request) -> io::Result<Result<Reply, Failure>> {
        Ok(match request {
            Request::Index { given } => {
                let file = self.file(&given)?;
                self.index(file)
            }
            Request::Adopt { given, source } => {
                self.kept = Some(Kept::of(self.file(&given)?, *source));
                Ok(Reply::Adopted)
            }
            Request::AdoptChunk { given } => {
                let file = self.file(&given)?;
                KeptChunk::read(file).map(|chunk| {
                    self.kept = Some(Kept::Chunk(Box::new(chunk)));
                    Reply::Adopted
                })
            }
            Request::Pack { packets } => self.pack(packets),
            Request::Census { doubt } => self.census(&doubt),
            Request::Hash { packets } => self.hash(packets),
            Request::Encode { task, packets } => self.encode(&task, packets),
            Request::Copy { rendition, frames, packets } => self.copy(&rendition, &frames, packets),
            Request::OpenSound { requests, origin } => self.open_sound(&requests, origin),
            Request::RunSound => self.run_sound(),
        })
    }

    fn file(&self, Given { name, limits, served }: &Given) -> io::Result<SourceFile> {
        let descriptor = wire::receive_descriptor(&self.requests)?;
        let file = match served {
            None => SourceFile::of(File::from(descriptor), name)?,
            Some(size) => SourceFile::of(Asked::new(UnixStream::from(descriptor), *size), name)?,
        };
        Ok(file.limited(*limits))
    }

    fn index(&mut self, file: SourceFile) -> Result<Reply, Failure> {
        let source = Source::read(&file, &mut || self.parent.alive())?;
        self.kept = Some(Kept::of(file, source.clone()));
        Ok(Reply::Source(Box::new(source)))
    }

    fn census(&mut self, doubt: &str) -> Result<Reply, Failure> {
        let Some(Kept::Source(kept)) = self.kept.take() else { return Err(nothing_kept()) };
        let KeptSource { file, source, .. } = *kept;
        let source = source.with_census(&file, doubt, &mut || self.parent.alive())?;
        self.kept = Some(Kept::of(file, source.clone()));
        Ok(Reply::Source(Box::new(source)))
    }

    /// The source that is kept.
    fn source(&mut self) -> Result<&mut KeptSource, Failure> {
        match &mut self.kept {
            Some(Kept::Source(kept)) => Ok(kept),
            Some(Kept::Chunk(_)) | None => Err(nothing_kept()),
        }
    }

    fn pack(&mut self, packets: Range<u32>) -> Result<Reply, Failure> {
        let Some(Kept::Source(kept)) = &mut self.kept else { return Err(nothing_kept()) };
        let unpacked = |error: io::Error| node::Error::from(gone(&error));
        let parameters = postcard::to_allocvec(kept.source.video_parameters()?);
        let parameters = parameters.map_err(|error| unpacked(io::Error::other(error)))?;
        let head = archive::Head { parameters, packets: packets.clone() };
        let pieces = BufWriter::with_capacity(BLOCK, Pieces(&self.parent));
        let mut archive = archive::Writer::new(pieces, &head).map_err(unpacked)?;
        Packets::of(kept, &self.parent, packets)?.give(|packets| {
            while let Some((place, packet)) = packets.next()? {
                archive.packet(place, &packet.record()).map_err(unpacked)?;
            }
            Ok(())
        })?;
        archive.finish().map_err(unpacked)?;
        Ok(Reply::Packed)
    }

    fn hash(&mut self, packets: Range<u32>) -> Result<Reply, Failure> {
        let hash = match self.kept.as_mut().ok_or_else(nothing_kept)? {
            Kept::Source(kept) => Packets::of(kept, &self.parent, packets)?.give(|packets| SourceHash::of(packets))?,
            Kept::Chunk(kept) => SourceHash::of(&mut kept.packets(&packets)?)?,
        };
        Ok(Reply::Hash(hash.to_bytes()))
    }

    fn encode(&mut self, task: &EncodeTask, packets: Range<u32>) -> Result<Reply, Failure> {
        let kept = self.kept.as_mut().ok_or_else(nothing_kept)?;
        let (parameters, limits) = match kept {
            Kept::Source(kept) => (kept.source.video_parameters()?.clone(), *kept.file.limits()),
            Kept::Chunk(kept) => (kept.parameters.clone(), *kept.file.limits()),
        };
        // To cancel it the parent kills it.
        let never = AtomicBool::new(false);
        let spool = ToParent(&self.parent);
        let equipment =
            Equipment { spool: &spool, limits: &limits, ..Equipment::new(&parameters, &self.extractors, &never) };
        // This process does nothing else meanwhile.
        let started = cpu::process_seconds();
        let mut chunk = match kept {
            Kept::Source(kept) => Packets::of(kept, &self.parent, packets)?
                .give(|packets| node::encode_chunk(task, packets, &equipment))?,
            Kept::Chunk(kept) => {
                let mut packets = Watched { packets: kept.packets(&packets)?, parent: &self.parent };
                node::encode_chunk(task, &mut packets, &equipment)?
            }
        };
        chunk.cpu = chunk.cpu.of_all(cpu::process_seconds() - started);
        Ok(Reply::Encoded(Box::new(chunk.without_samples())))
    }

    fn copy(&mut self, rendition: &str, frames: &[FrameEntry], packets: Range<u32>) -> Result<Reply, Failure> {
        let Some(Kept::Source(kept)) = &mut self.kept else { return Err(nothing_kept()) };
        let (source, index) = (&kept.source, Arc::clone(&kept.index));
        let copier = Copier::new(&source.info.video, &index, source.video_parameters()?).map_err(node::Error::Copy)?;
        let writer = Box::new(SampleWriter { parent: &self.parent, place: 0 });
        let copied = Packets::of(kept, &self.parent, packets)?
            .give(|packets| copier.copy_chunk(rendition, frames, &index, packets, writer))?;
        Ok(Reply::Copied(Box::new(copied.without_samples())))
    }

    fn open_sound(&mut self, requests: &[AudioRequest], origin: Moment) -> Result<Reply, Failure> {
        let kept = self.source()?;
        let task = AudioTask::open(&kept.source.container(&kept.file), requests, origin)?;
        let configs = task.configs();
        kept.sound = Some(task);
        Ok(Reply::SoundConfigs(configs))
    }

    fn run_sound(&mut self) -> Result<Reply, Failure> {
        let task = self.source()?.sound.take().ok_or_else(nothing_kept)?;
        let mut last = Instant::now();
        let mut progress = |seconds: f64| {
            if last.elapsed() >= ALIVE_EVERY / 5 {
                last = Instant::now();
                if let Err(error) = self.parent.pass(&Reply::SoundReached { seconds }) {
                    tracing::debug!(%error, "nobody listens");
                }
            }
        };
        let never = AtomicBool::new(false);
        let outcomes = task.run::<media::Error>(&never, &mut progress, &mut |track, unit| {
            let track = u16::try_from(track).map_err(|_| media::Error::new(Kind::Unsupported, "too many tracks"))?;
            self.parent.pass(&Reply::Unit { track, bytes: unit.to_vec() }).map_err(|error| gone(&error))
        })?;
        Ok(Reply::SoundDone(outcomes.unwrap_or_default()))
    }
}

fn nothing_kept() -> Failure {
    media::Error::new(Kind::Internal, "the child has no source to work on").into()
}

fn gone(error: &io::Error) -> media::Error {
    media::Error::new(Kind::Retryable, format!("the parent is gone: {error}"))
}

/// Samples go to the parent, each with the place of its rendition in the task.
struct ToParent<'a>(&'a Parent);

impl Spool for ToParent<'_> {
    fn begin(&self, task: &EncodeTask, rendition: &Rendition) -> io::Result<Box<dyn SpoolWriter + '_>> {
        let place = task.renditions.iter().position(|it| it.name == rendition.name);
        let place = place.and_then(|place| u16::try_from(place).ok());
        let place = place.ok_or_else(|| io::Error::other("a rendition that is not the task's"))?;
        Ok(Box::new(SampleWriter { parent: self.0, place }))
    }
}

struct SampleWriter<'a> {
    parent: &'a Parent,
    place: u16,
}

impl SpoolWriter for SampleWriter<'_> {
    fn write(&mut self, sample: Sample, bytes: &[u8]) -> io::Result<()> {
        self.parent.pass(&Reply::Sample { place: self.place, sample, bytes: bytes.to_vec() })
    }

    fn finish(self: Box<Self>) -> io::Result<PathBuf> {
        Ok(PathBuf::new())
    }
}

/// Packets whose reading is a sign of life.
struct Watched<'a> {
    packets: Archived<'a>,
    parent: &'a Parent,
}

impl PacketSource for Watched<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, node::Error> {
        self.parent.alive();
        self.packets.next()
    }
}

/// A chunk reader as the encoder node sees it: the reader's own error is kept beside.
struct Packets<'a> {
    reader: &'a mut ChunkReader,
    parent: &'a Parent,
    failed: Option<vtp_splitter::Error>,
}

impl<'a> Packets<'a> {
    fn of(kept: &'a mut KeptSource, parent: &'a Parent, packets: Range<u32>) -> Result<Self, vtp_splitter::Error> {
        let reader = match &mut kept.reader {
            Some(reader) => reader,
            none => none.insert(ChunkReader::new(&kept.file, &kept.source, Arc::clone(&kept.index))?),
        };
        reader.start(packets)?;
        Ok(Self { reader, parent, failed: None })
    }

    /// Gives the packets to `work`; the reader's own error counts before what came of it.
    fn give<T>(mut self, work: impl FnOnce(&mut Self) -> Result<T, node::Error>) -> Result<T, Failure> {
        let result = work(&mut self);
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(result?),
        }
    }
}

impl PacketSource for Packets<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, node::Error> {
        self.reader.next_packet(&mut || self.parent.alive()).map_err(|error| {
            let told = node::Error::Packets { message: error.to_string(), class: node::Class::Permanent };
            self.failed = Some(error);
            told
        })
    }
}
