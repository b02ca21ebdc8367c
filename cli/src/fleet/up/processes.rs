//! Processes that are kept alive: started, started again when they end, told to leave at the end. They end with this one, however
//! it ends.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::this_program;

/// The hidden command that a process is started by.
pub(crate) const UNDER: &str = "under";

/// One that has lived for so long and ends is started again at once.
const SETTLED: Duration = Duration::from_secs(10);
/// How long is waited before one is started again that ended soon, at first and at most.
const REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// What it is called.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its words.
    pub(crate) words: Vec<OsString>,
    /// What is added to the environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The folder that it runs in.
    pub(crate) folder: PathBuf,
    /// What it says to standard error is written behind this.
    pub(crate) log: PathBuf,
}

/// A process that is kept alive.
#[derive(Debug)]
pub(crate) struct Kept {
    recipe: Recipe,
    child: Option<Child>,
    started: Instant,
    rest: Duration,
    again: Option<Instant>,
    /// How often it has been started.
    pub(crate) starts: u32,
}

impl Kept {
    /// Starts it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(recipe: Recipe) -> io::Result<Self> {
        let child = Some(spawn(&recipe)?);
        Ok(Self { recipe, child, started: Instant::now(), rest: REST, again: None, starts: 1 })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Where what it says is written.
    pub(crate) fn log(&self) -> &Path {
        &self.recipe.log
    }

    /// Its number, while it lives.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends it a signal, if it lives.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Ok(()),
        }
    }

    /// Starts it again if it has ended and has rested. Tells how it ended, once.
    ///
    /// # Errors
    /// The system's; it is tried again after a rest.
    pub(crate) fn look(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(child) = &mut self.child {
            let Some(status) = child.try_wait()? else { return Ok(None) };
            self.child = None;
            // One that was killed from outside is not to blame.
            self.rest_before_next(status.signal().is_some() || self.started.elapsed() > SETTLED);
            return Ok(Some(status));
        }
        if self.again.is_some_and(|again| again <= Instant::now()) {
            let child = spawn(&self.recipe).inspect_err(|_| self.rest_before_next(false))?;
            (self.child, self.started, self.again) = (Some(child), Instant::now(), None);
            self.starts += 1;
        }
        Ok(None)
    }

    fn rest_before_next(&mut self, is_fine: bool) {
        self.rest = if is_fine { REST } else { (self.rest * 2).min(LONGEST_REST) };
        self.again = Some(Instant::now() + self.rest);
    }

    /// Waits for its end, for so long; then it is killed.
    pub(crate) fn end(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        let Some(mut child) = self.child.take() else { return };
        while Instant::now() < end {
            // One that can't be waited for is gone.
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(child.kill());
        drop(child.wait());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

fn spawn(recipe: &Recipe) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(&recipe.log)?;
    Command::new(this_program()?)
        .arg0("vtp")
        .arg(UNDER)
        .arg(std::process::id().to_string())
        .arg(&recipe.program)
        .args(&recipe.words)
        .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&recipe.folder)
        // What a user types is for this process alone, which tells the others.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::options().write(true).open("/dev/null")?)
        .stderr(log)
        .spawn()
}

/// Becomes `words`, a program and its words, and ends with the process `parent`, which has started this one.
///
/// # Errors
/// A sentence; otherwise it does not return.
pub(crate) fn become_child(parent: u32, words: &[OsString]) -> Result<(), String> {
    let [program, words @ ..] = words else { return Err("there is no program".to_owned()) };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let is_there =
        rustix::process::getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
    if !is_there {
        return Err("the process that started this one has ended".to_owned());
    }
    let error = Command::new(program).args(words).exec();
    Err(format!("{}: {error}", Path::new(program).display()))
}
