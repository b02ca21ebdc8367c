//! Children that are warm: started once, lent to whoever has work, and taken back. All are started by one thread, which
//! lives as long as the pool: the kernel ends a child with the thread that started it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use vtp_engine::limits::Limits;
use vtp_splitter::Source;

use super::SUBCOMMAND;
use super::adoption::Adoption;
use super::error::Error;
use super::handle::Child;
use super::input::Input;
use super::patience::Patience;
use super::process::Process;
use crate::place::Place;
use crate::stores::Stores;

/// The walls that do not stand around the children that `program` makes, in sentences.
///
/// # Errors
/// None can be started, in a sentence.
pub(crate) fn walls(program: PathBuf) -> Result<Vec<String>, String> {
    let pool = Pool::new(program, Limits::DEFAULT).map_err(|error| error.to_string())?;
    pool.lent(|_| Ok(())).map_err(|error| error.to_string())?;
    Ok(pool.missing())
}

type Started = io::Result<(Process, UnixStream)>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The children of a run.
pub struct Pool {
    limits: Limits,
    idle: Mutex<Vec<Child>>,
    missing: Mutex<Vec<String>>,
    sources: AtomicU64,
    /// Orders for processes. Each brings the way back for its answer, so that a process goes to whoever ordered it.
    orders: Sender<Sender<Started>>,
    /// Processes that were ordered for whoever comes first.
    ahead: Mutex<VecDeque<Receiver<Started>>>,
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
        let (orders, ordered) = unbounded::<Sender<Started>>();
        let start = move || {
            for answer in ordered {
                // One that nobody waits for any longer ends with what could not be sent.
                drop(answer.send(spawn(&program)));
            }
        };
        std::thread::Builder::new().name("starts children".to_owned()).spawn(start)?;
        let (idle, missing, sources) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        let (ahead, stores) = (Mutex::default(), Stores::default());
        Ok(Self { limits, idle, missing, sources, orders, ahead, stores })
    }

    /// The same, with the connections of others.
    #[must_use]
    pub(crate) fn sharing(mut self, stores: Stores) -> Self {
        self.stores = stores;
        self
    }

    /// Begins to start so many children, for those who will need them soon.
    pub fn start_ahead(&self, count: usize) {
        for _ in 0..count {
            // A thread that is gone is told to who wants the child.
            if let Ok(started) = self.order() {
                locked(&self.ahead).push_back(started);
            }
        }
    }

    /// The walls that this kernel does not give, in sentences, as far as children were started.
    pub(crate) fn missing(&self) -> Vec<String> {
        locked(&self.missing).clone()
    }

    /// An idle child, or a new one.
    fn hire(&self) -> Result<Child, Error> {
        loop {
            let idle = locked(&self.idle).pop();
            let Some(mut child) = idle else { return self.start() };
            // What befalls a child while nobody has it is nobody's failure.
            if !child.has_ended() {
                return Ok(child);
            }
        }
    }

    /// Takes a child back that has done what it was asked for.
    pub(crate) fn dismiss(&self, child: Child) {
        locked(&self.idle).push(child);
    }

    /// Ends the children that nobody has, and leaves alone those that somebody waits for.
    pub(crate) fn close(&self) {
        let (ahead, idle) = (std::mem::take(&mut *locked(&self.ahead)), std::mem::take(&mut *locked(&self.idle)));
        // Each that is started or will be is ended as it is dropped. One that could not be started is missed by nobody.
        ahead.into_iter().for_each(|started| drop(started.recv()));
        drop(idle);
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

    /// Gives `work` a child that has the source of `adoption`, as [`Pool::lent`] does.
    pub(crate) fn lent_with<T>(
        &self,
        adoption: &Adoption,
        cancel: &AtomicBool,
        mut work: impl FnMut(&mut Child) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.lent(|child| {
            child.adopt(adoption, cancel)?;
            work(child)
        })
    }

    /// Gives `work` a child, which is kept for later unless it is dead or of no use, and another where somebody else kills it.
    pub(crate) fn lent<T>(&self, mut work: impl FnMut(&mut Child) -> Result<T, Error>) -> Result<T, Error> {
        self.retried(|mut child| {
            let done = work(&mut child);
            // One that could only say why not is as good as before.
            if matches!(done, Ok(_) | Err(Error::Failed(_))) {
                self.dismiss(child);
            }
            done
        })
    }

    /// Gives `work` a child to keep, and another where somebody else kills it.
    pub(crate) fn retried<T>(&self, mut work: impl FnMut(Child) -> Result<T, Error>) -> Result<T, Error> {
        let mut patience = Patience::default();
        loop {
            match self.hire().and_then(&mut work) {
                Err(Error::Died(death)) if patience.outlasts_kill(&death) => tracing::warn!(%death, "tried again"),
                result => return result,
            }
        }
    }

    /// Makes `source`, which is what `input` is, ready to be told to children.
    pub(crate) fn adoption(&self, input: &Input, source: &Source) -> Result<Adoption, Error> {
        let id = self.sources.fetch_add(1, Ordering::Relaxed);
        Adoption::new(id, input.clone(), source).map_err(Error::Untold)
    }

    /// Makes the archive of a chunk's packets at `path` ready to be told to children.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) fn adoption_of_chunk(&self, path: &Path) -> Result<Adoption, Error> {
        let id = self.sources.fetch_add(1, Ordering::Relaxed);
        let input = self.open(&Place::Path(path.to_owned()))?;
        Adoption::of_chunk(id, input).map_err(Error::Untold)
    }

    fn start(&self) -> Result<Child, Error> {
        let ahead = locked(&self.ahead).pop_front();
        let started = match ahead {
            Some(started) => started,
            None => self.order()?,
        };
        let (process, stream) = started.recv().map_err(|_| gone())?.map_err(Error::Start)?;
        let (child, missing) = Child::new(process, stream, self.limits)?;
        *locked(&self.missing) = missing;
        Ok(child)
    }

    /// Has a process started, and tells where it is to be had.
    fn order(&self) -> Result<Receiver<Started>, Error> {
        let (answer, started) = bounded(1);
        self.orders.send(answer).map_err(|_| gone())?;
        Ok(started)
    }
}

fn gone() -> Error {
    Error::Start(io::Error::other("the thread that starts children is gone"))
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
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
    Ok((Process::new(process), ours))
}

/// This very program, also where its file was replaced or deleted since it was started: children speak its language alone.
///
/// # Errors
/// It is not told.
pub fn this_program() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::child::messages::Reply;
    use crate::child::wire;

    /// What stands in for `vtp child`.
    struct Stub {
        folder: tempfile::TempDir,
        name: &'static str,
    }

    impl Stub {
        /// Its name tells its processes from those of other tests, and is as long as the kernel tells.
        fn new(name: &'static str, then: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            // The shell's own words: what it starts outlives it.
            let script = format!("#!/bin/sh\n{then}\n");
            // Written elsewhere: what this process has open for writing, others that it starts may have open, too.
            let write = format!("cat > {name} && chmod +x {name}");
            let mut writer = Command::new("sh");
            writer.args(["-c", &write]).current_dir(&folder).stdin(Stdio::piped());
            let mut writer = writer.spawn().unwrap();
            io::Write::write_all(&mut writer.stdin.take().unwrap(), script.as_bytes()).unwrap();
            assert!(writer.wait().unwrap().success());
            Self { folder, name }
        }

        fn pool(&self) -> Pool {
            Pool::new(self.folder.path().join(self.name), Limits { silence: 5, ..Limits::DEFAULT }).unwrap()
        }

        /// Processes of it that are there, dead or alive.
        fn left(&self) -> usize {
            let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok());
            let stats = pids.filter_map(|pid| fs::read_to_string(pid.path().join("stat")).ok());
            stats.filter(|stat| stat.contains(&format!("({})", self.name))).count()
        }
    }

    /// Says that it is ready, and reads until nobody is there.
    fn waits() -> String {
        let ready = wire::encode(&Reply::Ready { missing: Vec::new() }).unwrap();
        let ready: String = ready.iter().map(|byte| format!("\\\\{byte:03o}")).collect();
        format!("printf {ready} >&0; {READS}")
    }

    const READS: &str = "while read line; do :; done";

    /// Fails where `work` takes for ever.
    fn ends(work: impl FnOnce() + Send + 'static) {
        let (tell, told) = bounded(1);
        let worker = std::thread::spawn(move || {
            work();
            drop(tell);
        });
        let told: Result<(), _> = told.recv_timeout(Duration::from_secs(60));
        assert!(matches!(told, Err(crossbeam_channel::RecvTimeoutError::Disconnected)), "it waits for ever");
        worker.join().unwrap();
    }

    #[test]
    fn whoever_waits_for_a_child_gets_it_while_others_close_the_pool() {
        ends(|| {
            let stub = Stub::new("vtp-closed", &waits());
            let (pool, hired) = (&stub.pool(), &AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..25 {
                            pool.dismiss(pool.hire().unwrap());
                            hired.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                while hired.load(Ordering::Relaxed) < 100 {
                    pool.close();
                    std::thread::yield_now();
                }
            });
        });
    }

    #[test]
    fn a_pool_that_was_closed_with_children_started_ahead_still_has_some() {
        ends(|| {
            let stub = Stub::new("vtp-ahead", &waits());
            let pool = stub.pool();
            pool.start_ahead(2);
            pool.close();
            assert_eq!(stub.left(), 0);
            drop(pool.hire().unwrap());
        });
    }

    #[test]
    fn children_that_nobody_came_for_are_gone_with_their_pool() {
        let stub = Stub::new("vtp-unwanted", &waits());
        let pool = stub.pool();
        pool.start_ahead(2);
        let begun = std::time::Instant::now();
        while stub.left() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "none is started");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(pool);
        assert_eq!(stub.left(), 0);
    }

    #[test]
    fn a_child_that_says_nonsense_is_waited_for() {
        let stub = Stub::new("vtp-nonsense", &format!("echo nonsense >&0; {READS}"));
        let pool = stub.pool();
        assert!(pool.hire().is_err());
        assert_eq!(stub.left(), 0);
    }
}
