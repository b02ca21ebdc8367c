//! Children that are warm: started once, lent to whoever has work, and taken back. All are started by one thread, which
//! lives as long as the pool: the kernel ends a child with the thread that started it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};
use vtp_engine::limits::Limits;
use vtp_splitter::Source;

use super::SUBCOMMAND;
use super::handle::{Adoption, Child, Error};
use super::input::Input;
use crate::place::Place;
use crate::stores::Stores;

/// The walls that do not stand around the children that `program` makes, in sentences.
///
/// # Errors
/// None can be started, in a sentence.
pub(crate) fn walls(program: PathBuf) -> Result<Vec<String>, String> {
    let pool = Pool::new(program, Limits::DEFAULT).map_err(|error| error.to_string())?;
    let child = pool.hire().map_err(|error| error.to_string())?;
    drop(child);
    Ok(pool.missing())
}

/// So many children may be killed before they are ready until none is to be had.
const MOST_KILLED: u32 = 8;

type Started = io::Result<(std::process::Child, UnixStream)>;

/// The children of a run.
pub struct Pool {
    limits: Limits,
    idle: Mutex<Vec<Child>>,
    missing: Mutex<Vec<String>>,
    sources: AtomicU64,
    /// Asks for a process to be started, and where it is to be had.
    orders: Sender<()>,
    started: Receiver<Started>,
    /// Processes that were ordered for whoever comes first.
    ahead: AtomicUsize,
    stores: Stores,
}

impl Pool {
    /// What its children keep to.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A pool of children that are `program`, a `vtp`, and keep to `limits`. None is started before it is needed.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(program: PathBuf, limits: Limits) -> io::Result<Self> {
        let (orders, ordered) = unbounded();
        let (start, started) = unbounded();
        let start = move || {
            for () in ordered {
                if start.send(spawn(&program)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("starts children".to_owned()).spawn(start)?;
        let (idle, missing, sources) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Ok(Self {
            limits,
            idle,
            missing,
            sources,
            orders,
            started,
            ahead: AtomicUsize::new(0),
            stores: Stores::default(),
        })
    }

    /// The same, with the connections of others.
    #[must_use]
    pub(crate) fn sharing(self, stores: Stores) -> Self {
        Self { stores, ..self }
    }

    /// Begins to start so many children, for those who will need them soon.
    pub fn start_ahead(&self, count: usize) {
        for _ in 0..count {
            // A thread that is gone is told to who wants the child.
            if self.orders.send(()).is_ok() {
                self.ahead.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// The walls that this kernel does not give, in sentences, as far as children were started.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idle child, or a new one.
    pub(crate) fn hire(&self) -> Result<Child, Error> {
        let mut killed = 0;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // What befalls a child while nobody has it is nobody's failure.
            let mut child = match idle {
                Some(child) => child,
                None => match self.start() {
                    Err(Error::Died(death)) if !death.cause.is_own() && killed < MOST_KILLED => {
                        killed += 1;
                        continue;
                    }
                    started => started?,
                },
            };
            if !child.has_ended() {
                return Ok(child);
            }
        }
    }

    /// Takes a child back that has done what it was asked for.
    pub(crate) fn dismiss(&self, child: Child) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    }

    /// Ends the children that nobody has.
    pub(crate) fn close(&self) {
        while let Ok(started) = self.started.try_recv() {
            match started.and_then(|(mut process, _)| process.kill().and_then(|()| process.wait())) {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a child that was not needed is left"),
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The stores that sources are read from, and ladders written to.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Opens what is at `place`.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) fn open(&self, place: &Place) -> Result<Input, Error> {
        Input::open(place, self.limits, &self.stores)
    }

    /// Opens what is at `place` and has a child look into it.
    ///
    /// # Errors
    /// Those of the source; the child's end.
    pub(crate) fn index(&self, place: &Place, cancel: &AtomicBool) -> Result<(Input, Source), Error> {
        let input = self.open(place)?;
        let source = self.lent(|child| child.index(&input, cancel))?;
        Ok((input, source))
    }

    /// Has a child look into the source of `adoption` again, by decoding it.
    ///
    /// # Errors
    /// As [`Pool::index`].
    pub(crate) fn census(&self, adoption: &Adoption, doubt: &str, cancel: &AtomicBool) -> Result<Source, Error> {
        self.lent(|child| child.census(adoption, doubt, cancel))
    }

    /// Gives `work` a child, which is kept for later if it did what it was asked for.
    pub(crate) fn lent<T>(&self, work: impl Fn(&mut Child) -> Result<T, Error>) -> Result<T, Error> {
        let (done, child) = self.retried(|mut child| work(&mut child).map(|done| (done, child)))?;
        self.dismiss(child);
        Ok(done)
    }

    /// Gives `work` a child, and another where it is killed, three in all.
    pub(crate) fn retried<T>(&self, work: impl Fn(Child) -> Result<T, Error>) -> Result<T, Error> {
        let mut left = 2;
        loop {
            match self.hire().and_then(&work) {
                Err(Error::Died(death)) if left > 0 && !death.cause.is_own() => {
                    tracing::warn!(%death, "tried again");
                    left -= 1;
                }
                result => return result,
            }
        }
    }

    /// Makes `source`, which is what `input` is, ready to be told to children.
    pub(crate) fn adoption(&self, input: &Input, source: &Source) -> Result<Adoption, Error> {
        let id = self.sources.fetch_add(1, Ordering::Relaxed);
        Adoption::new(id, input.clone(), source).map_err(Error::Start)
    }

    /// Makes the archive of a chunk's packets at `path` ready to be told to children.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) fn adoption_of_chunk(&self, path: &Path) -> Result<Adoption, Error> {
        let id = self.sources.fetch_add(1, Ordering::Relaxed);
        let input = self.open(&Place::Path(path.to_owned()))?;
        Adoption::of_chunk(id, input).map_err(Error::Start)
    }

    fn start(&self) -> Result<Child, Error> {
        let gone = || Error::Start(io::Error::other("the thread that starts children is gone"));
        let take_one = |ahead: usize| ahead.checked_sub(1);
        if self.ahead.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one).is_err() {
            self.orders.send(()).map_err(|_| gone())?;
        }
        let (process, stream) = self.started.recv().map_err(|_| gone())?.map_err(Error::Start)?;
        let (child, missing) = Child::new(process, stream, self.limits)?;
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        Ok(child)
    }
}

/// What children see of the environment: where libraries are, and how much is told to developers.
const KEPT: [&str; 2] = ["LD_LIBRARY_PATH", "VTP_LOG"];

/// The program again, with one end of a socket and hardly an environment.
fn spawn(program: &Path) -> Started {
    let (ours, theirs) = UnixStream::pair()?;
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let process = Command::new(program)
        .arg0("vtp")
        .arg(SUBCOMMAND)
        .env_clear()
        .envs(kept)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok((process, ours))
}

/// This very program, also where its file was replaced or deleted since it was started: children speak its language alone.
///
/// # Errors
/// It is not told.
pub fn this_program() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
}
