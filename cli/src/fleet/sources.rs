//! The sources that a splitter has looked into, and the packets that it hands out of them. It keeps nothing that it can't make
//! again: whoever asks for packets that it doesn't know is answered after the stitcher whose job it is has said which they are.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;
use tracing::{Span, field};
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::bus::{Talk as _, Whom};
use vtp_fleet::messages::{self, Found, JobNumber, Lookup, TraceContext};
use vtp_fleet::transfer::{self, FileObject, Kind, ObjectId, Origin};
use vtp_splitter::Source;

use super::orders::{self, IndexOrder, PacketsOrder, Stamp};
use crate::child::{self, Adoption, Pool};
use crate::encode::failure::EncodeFailure;
use crate::place::Place;
use crate::stores::Stores;
use crate::telemetry::span;

/// Bytes of sources that are kept open, besides those that somebody asked for lately.
const MOST: u64 = 1 << 30;
/// Bytes that a source takes besides its index.
const AROUND: u64 = 1 << 20;
/// Whoever works on a source asks for some of it more often than this. To look into it anew each time would take longer.
const LATELY: Duration = Duration::from_secs(120);
/// Sources whose idle children are kept, the last used ones.
const WARM: usize = 4;

/// A source that was looked into, and children that have it.
pub(super) struct Opened {
    pub(super) source: Source,
    pub(super) stamp: Stamp,
    adoption: Adoption,
    children: Pool,
}

/// Sources and packets of a splitter. Clones share them.
#[derive(Clone)]
pub(super) struct Sources(Arc<Shared>);

struct Shared {
    talk: NatsBus,
    /// Where packets lie.
    folder: PathBuf,
    /// Most bytes of packets that are kept.
    most: u64,
    known: Mutex<Known<Opened>>,
    packed: Mutex<Packed>,
    packing: Semaphore,
    looking: Semaphore,
    stores: Stores,
}

/// A source, once somebody has looked into it.
type Cell<T> = Arc<OnceCell<Arc<T>>>;

/// Sources that are kept open, or being looked into.
struct Known<T> {
    /// The one that was used last is the last.
    entries: VecDeque<Entry<T>>,
}

struct Entry<T> {
    order: IndexOrder,
    cell: Cell<T>,
    used: Instant,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
    }
}

impl<T> Known<T> {
    /// The place of a source, which is the last then. Where the others are too many `bytes`, those go that nobody asked for lately,
    /// the oldest first; and those of which nothing came go.
    fn cell(&mut self, order: &IndexOrder, now: Instant, bytes: impl Fn(&T) -> u64) -> Cell<T> {
        let before = self.entries.iter().position(|it| it.order == *order).and_then(|place| self.entries.remove(place));
        let cell = before.map(|it| it.cell).unwrap_or_default();
        self.entries.retain(|it| it.cell.get().is_some() || Arc::strong_count(&it.cell) > 1);
        self.entries.push_back(Entry { order: order.clone(), cell: Arc::clone(&cell), used: now });
        let size = |it: &Entry<T>| it.cell.get().map_or(0, |source| bytes(source));
        let mut all: u64 = self.entries.iter().map(size).sum();
        while let Some(oldest) = self.entries.pop_front_if(|it| all > MOST && it.used + LATELY <= now) {
            all -= size(&oldest);
        }
        cell
    }

    fn forget(&mut self, order: &IndexOrder) {
        self.entries.retain(|it| it.order != *order);
    }

    /// Those that were not used last and that nobody else has.
    fn cold(&self) -> Vec<Arc<T>> {
        let cold = self.entries.iter().rev().skip(WARM).filter_map(|it| it.cell.get());
        cold.filter(|source| Arc::strong_count(source) == 1).cloned().collect()
    }
}

/// The packets that lie there, the oldest first.
#[derive(Default)]
struct Packed {
    sizes: BTreeMap<(u64, u32), u64>,
    order: VecDeque<(u64, u32)>,
    bytes: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why packets can't be handed out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Child(#[from] child::Error),
    #[error("{0}")]
    Source(String),
    #[error("the stitcher's answer: {0}")]
    Order(#[from] orders::Error),
    #[error("{0} was written anew since it was looked into")]
    Changed(Place),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("the thread that packs has ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Sources {
    /// Packets lie in `folder`, which exists, up to `most` bytes. So many are packed, and so many sources looked into, at the same
    /// time.
    pub(super) fn new(talk: NatsBus, folder: PathBuf, most: u64, slots: usize) -> Self {
        let (known, packed) = (Mutex::default(), Mutex::default());
        let (packing, looking, stores) = (Semaphore::new(slots), Semaphore::new(slots), Stores::default());
        Self(Arc::new(Shared { talk, folder, most, known, packed, packing, looking, stores }))
    }

    /// What is found in the source of `order`. Whoever asks while another looks waits for that.
    pub(super) async fn open(&self, order: &IndexOrder) -> Result<Arc<Opened>, EncodeFailure> {
        let cell = self.cell(order);
        if let Some(opened) = cell.get() {
            let (place, stores) = (order.input.clone(), self.0.stores.clone());
            let now = tokio::task::spawn_blocking(move || Stamp::now(&place, &stores)).await;
            let now = now.map_err(anyhow::Error::from).flatten().map_err(EncodeFailure::Internal)?;
            if now == opened.stamp {
                return Ok(Arc::clone(opened));
            }
            locked(&self.0.known).forget(order);
        }
        let (order, cell, shared) = (order.clone(), self.cell(order), Arc::clone(&self.0));
        let look = async move {
            let _turn = shared.looking.acquire().await;
            let stores = shared.stores.clone();
            let looked = tokio::task::spawn_blocking(move || look(&order, stores)).await;
            looked.map_err(|error| EncodeFailure::Internal(error.into()))?.map(Arc::new)
        };
        found_once(cell, look).await.map_err(|error| EncodeFailure::Internal(error.into()))?
    }

    fn cell(&self, order: &IndexOrder) -> Cell<Opened> {
        let mut known = locked(&self.0.known);
        let cell = known.cell(order, Instant::now(), Opened::bytes);
        // Whoever packs from a source, or is about to, has it too: its children are wanted.
        let cold = known.cold();
        drop(known);
        cold.iter().for_each(|opened| opened.children.close());
        cell
    }

    fn place(&self, job: u64, chunk: u32) -> PathBuf {
        self.0.folder.join(format!("{job}-{chunk}"))
    }

    /// The packets of a chunk, in a file.
    async fn packets(&self, job: u64, chunk: u32, order: PacketsOrder) -> Result<FileObject, Error> {
        let place = self.place(job, chunk);
        if !place.exists() {
            let opened = self.open(&order.source).await.map_err(|error| Error::Source(sentence(error)))?;
            if opened.stamp != order.stamp {
                return Err(Error::Changed(order.source.input.clone()));
            }
            // Now: whoever waits until a source is looked into keeps nobody else from packing.
            let _turn = self.0.packing.acquire().await;
            // It may have been packed for another meanwhile.
            if !place.exists() {
                let to = place.clone();
                let bytes = tokio::task::spawn_blocking(move || opened.pack(&order, &to)).await??;
                Span::current().record("bytes", span::number(bytes));
                self.keep(job, chunk, bytes);
            }
        }
        FileObject::open(&place).map_err(|error| Error::File { path: place, error })
    }

    /// Takes note of packets; the oldest go where there are too many. Whoever reads them still has them.
    fn keep(&self, job: u64, chunk: u32, bytes: u64) {
        let mut packed = locked(&self.0.packed);
        if packed.sizes.insert((job, chunk), bytes).is_none() {
            packed.order.push_back((job, chunk));
            packed.bytes += bytes;
        }
        while packed.bytes > self.0.most && packed.order.len() > 1 {
            let Some(oldest) = packed.order.pop_front() else { break };
            packed.bytes -= packed.sizes.remove(&oldest).unwrap_or_default();
            let place = self.place(oldest.0, oldest.1);
            if let Err(error) = std::fs::remove_file(&place) {
                tracing::warn!(%error, path = %place.display(), "left behind");
            }
        }
    }

    /// Which packets these are, as the stitcher says whose job it is, and which span of it they are for.
    async fn look_up(&self, id: ObjectId) -> Result<(PacketsOrder, TraceContext), transfer::Error> {
        let session = JobNumber(id.job.0).session().ok_or(transfer::Error::NotFound(id))?;
        let lost = |error: &dyn std::fmt::Display| transfer::Error::Lost(format!("the stitcher: {error}"));
        let question = messages::encode(&Lookup { job: id.job.0, chunk: id.chunk.0 }).map_err(|error| lost(&error))?;
        let answer = self.0.talk.ask(Whom::Session(session), question).await.map_err(|error| lost(&error))?;
        let Found { packets, trace } = messages::decode(&answer).map_err(|error| lost(&error))?;
        let packets = packets.ok_or(transfer::Error::NotFound(id))?;
        let order = orders::read(&packets).map_err(|error| transfer::Error::Forbidden(error.to_string()))?;
        Ok((order, trace))
    }
}

impl Origin for Sources {
    type Object = FileObject;

    async fn open(&self, id: ObjectId) -> Result<FileObject, transfer::Error> {
        if id.kind != Kind::Packets {
            return Err(transfer::Error::NotFound(id));
        }
        let (job, chunk) = (id.job.0, id.chunk.0);
        if let Ok(object) = FileObject::open(&self.place(job, chunk)) {
            return Ok(object);
        }
        let (order, trace) = self.look_up(id).await?;
        let span = span::below(tracing::info_span!("pack", chunk = i64::from(chunk), bytes = field::Empty), trace);
        let made = span::during(span, self.packets(job, chunk, order)).await;
        made.map_err(|error| {
            tracing::warn!(%error, %id, "packets can't be handed out");
            match error {
                Error::File { error, .. } => transfer::Error::Reading(error),
                Error::Thread(error) => transfer::Error::Reading(std::io::Error::other(error)),
                Error::Child(child::Error::Unread(error)) if error.is_retryable() => {
                    transfer::Error::Lost(error.to_string())
                }
                // Asked again, it would be the same. The stitcher makes the chunk itself then, and tells what is wrong.
                Error::Child(_) | Error::Source(_) | Error::Order(_) | Error::Changed(_) => {
                    transfer::Error::NotFound(id)
                }
            }
        })
    }
}

/// A sentence for the log.
fn sentence(failure: EncodeFailure) -> String {
    crate::exit::Failure::from(failure).sentence().unwrap_or_default()
}

/// What was found before, or what `look` finds. Whoever lets go of this takes nothing back: what is found is there for who asks next.
async fn found_once<T, E>(
    cell: Arc<OnceCell<T>>,
    look: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<Result<T, E>, JoinError>
where
    T: Clone + Send + Sync + 'static,
    E: Send + 'static,
{
    tokio::spawn(async move { cell.get_or_try_init(|| look).await.cloned() }).await
}

/// Looks into a source.
fn look(order: &IndexOrder, stores: Stores) -> Result<Opened, EncodeFailure> {
    let internal = |error: std::io::Error| EncodeFailure::Internal(error.into());
    let never = AtomicBool::new(false);
    let children = child::this_program().and_then(|program| Pool::new(program, order.limits)).map_err(internal)?;
    let children = children.sharing(stores);
    let (input, mut source) = children.index(&order.input, &never)?;
    let stamp = Stamp::of(&input).map_err(internal)?;
    let mut adoption = children.adoption(&input, &source)?;
    if let Some(doubt) = &order.doubt {
        source = children.census(&adoption, doubt, &never)?;
        adoption = children.adoption(&input, &source)?;
    }
    Ok(Opened { source, stamp, adoption, children })
}

impl Opened {
    /// About how many bytes it takes in memory.
    fn bytes(&self) -> u64 {
        let index = &self.source.index;
        let entries = size_of_val(index.packets.as_slice()) + size_of_val(index.frames.as_slice());
        let texts: usize = self.source.cues.iter().flatten().map(|cue| size_of_val(cue) + cue.text.len()).sum();
        AROUND + (entries + texts) as u64
    }

    /// Puts packets into the archive `to`, under its name once it is whole. Tells how many bytes it has.
    fn pack(&self, order: &PacketsOrder, to: &Path) -> Result<u64, Error> {
        let draft = to.with_extension(fastrand::u64(..).to_string());
        let failed = |error| Error::File { path: draft.clone(), error };
        let never = AtomicBool::new(false);
        let packed = self.children.lent_with(&self.adoption, &never, |child| {
            child.pack(&self.source.index, order.packets.clone(), &draft, &never)
        });
        if let Err(error) = packed {
            // It may not be there.
            drop(std::fs::remove_file(&draft));
            return Err(error.into());
        }
        let bytes = std::fs::metadata(&draft).map_err(failed)?.len();
        std::fs::rename(&draft, to).map_err(failed)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use vtp_engine::limits::Limits;

    use super::*;

    fn order(name: &str) -> IndexOrder {
        IndexOrder { input: Place::Path(name.into()), limits: Limits::DEFAULT, doubt: None }
    }

    #[test]
    fn sources_that_are_worked_on_stay_however_many_and_others_go_where_they_are_too_large() {
        let (mut known, begun) = (Known::<u64>::default(), Instant::now());
        let mut ask = |name: &str, size: u64, at: Duration| {
            let cell = known.cell(&order(name), begun + at, |size| *size);
            let was_there = cell.initialized();
            drop(cell.set(Arc::new(size)));
            was_there
        };
        let names: Vec<String> = (0..40).map(|place| place.to_string()).collect();
        for minute in 0..3 {
            let at = Duration::from_secs(minute * 60);
            let there = names.iter().filter(|name| ask(name, MOST / 10, at)).count();
            assert_eq!(there, if minute == 0 { 0 } else { 40 });
        }
        let later = Duration::from_secs(600);
        assert!(!ask("new", MOST / 10, later));
        assert!(ask("39", MOST / 10, later) && !ask("0", MOST / 10, later), "as many stay as are not too large");
    }

    #[test]
    fn what_nobody_looks_into_and_nothing_came_of_is_not_kept() {
        let (mut known, now) = (Known::<u64>::default(), Instant::now());
        let looking = known.cell(&order("a"), now, |size| *size);
        drop(known.cell(&order("b"), now, |size| *size));
        drop(known.cell(&order("c"), now, |size| *size));
        let names: Vec<&IndexOrder> = known.entries.iter().map(|it| &it.order).collect();
        assert_eq!(names, [&order("a"), &order("c")]);
        assert!(Arc::ptr_eq(&looking, &known.cell(&order("a"), now, |size| *size)), "it is looked into once");
    }

    #[tokio::test]
    async fn what_somebody_let_go_of_is_looked_for_once_and_found_by_who_asks_next() {
        let (cell, looks) = (Arc::new(OnceCell::new()), Arc::new(AtomicU32::new(0)));
        let look = || {
            let looks = Arc::clone(&looks);
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, ()>(looks.fetch_add(1, Ordering::Relaxed))
            }
        };
        let soon = Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, found_once(Arc::clone(&cell), look())).await.is_err());
        // Without that it would begin here, and end after this has begun it anew.
        let found = async {
            while cell.get().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap();
        assert_eq!((cell.get(), looks.load(Ordering::Relaxed)), (Some(&0), 1));
        assert_eq!(found_once(cell, look()).await.unwrap(), Ok(0));
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }
}
