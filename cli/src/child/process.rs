//! A process that lives no longer than whoever has it: also one that nobody took is ended, and waited for.

use std::io;
use std::process::{Child, ChildStderr, ExitStatus};

/// A process that is killed when it is dropped, and leaves no zombie.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    pub(super) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its standard error, if that is piped and nobody has it.
    pub(super) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.0.stderr.take()
    }

    /// How it ended, if it has.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Kills it, if it lives, and waits until it is gone.
    pub(super) fn end(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::debug!(%error, pid = self.0.id(), "child not killed");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
