//! How a child ends: by what, and what it said last.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What ended it.
    pub cause: Cause,
    /// Its last words.
    pub said: Vec<String>,
}

/// What ended a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal.
    Signal(i32),
    /// It ended by itself.
    Exit(Option<i32>),
    /// It was killed since it gave no sign of life for so long.
    Silence(Duration),
    /// It was killed since it worked for so long, with signs of life and without an end.
    Endless(Duration),
    /// It was killed for what it said.
    Nonsense(String),
}

impl Cause {
    /// Whether it may come from what was worked on, rather than from somebody who killed it.
    pub(crate) fn is_own(&self) -> bool {
        !matches!(self, Self::Signal(signal) if [KILL, TERM, INT].contains(signal))
    }
}

const INT: i32 = 2;
const KILL: i32 = 9;
const TERM: i32 = 15;

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Signal(signal) => {
                write!(f, "the process that worked on it was ended by signal {signal}{}", name(*signal))?
            }
            Cause::Exit(Some(code)) => write!(f, "the process that worked on it ended with exit code {code}")?,
            Cause::Exit(None) => write!(f, "the process that worked on it ended")?,
            Cause::Silence(time) => {
                write!(f, "the process that worked on it hung: it gave no sign of life for {} s", time.as_secs())?;
            }
            Cause::Endless(time) => {
                write!(f, "the process that worked on it came to no end in {} s", time.as_secs())?;
            }
            Cause::Nonsense(why) => write!(f, "the process that worked on it broke the protocol: {why}")?,
        }
        if self.said.is_empty() { Ok(()) } else { write!(f, "; it said last: {}", self.said.join(" | ")) }
    }
}

/// The signals that such processes end by (signal(7)).
fn name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (aborted, as where there is no memory)",
        7 => " (bus error)",
        8 => " (arithmetic fault)",
        KILL => " (killed, as where the system has no memory)",
        11 => " (segmentation fault)",
        24 => " (its CPU time was used up)",
        31 => " (a system call that is not allowed)",
        _ => "",
    }
}

/// Lines of a child's standard error that are kept, and the most that is kept of one.
const LAST_LINES: usize = 6;
const LONGEST_LINE: u64 = 400;

/// The last lines that a child wrote to its standard error.
pub(super) struct LastWords {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl LastWords {
    pub(super) fn of(stderr: Option<ChildStderr>) -> io::Result<Self> {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        let stderr = stderr.ok_or_else(|| io::Error::other("its standard error is not piped"))?;
        let reader = std::thread::Builder::new().name("last words".to_owned()).spawn(move || listen(stderr, &kept))?;
        Ok(Self { lines, reader: Some(reader) })
    }

    /// Once the child is dead.
    pub(super) fn said(&mut self) -> Vec<String> {
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            tracing::debug!("a child's last words are lost");
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

fn listen(stderr: ChildStderr, kept: &Mutex<VecDeque<String>>) {
    let mut stderr = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match stderr.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let line: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if line.trim().is_empty() {
            continue;
        }
        if kept.len() == LAST_LINES {
            kept.pop_front();
        }
        kept.push_back(line.trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn of_what_was_said_the_last_lines_are_kept_without_control_characters() {
        let said = "for i in 1 2 3 4 5 6 7 8; do printf '\\033[1mline %s\\n\\n' $i >&2; done";
        let mut child = Command::new("sh").args(["-c", said]).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = LastWords::of(child.stderr.take()).unwrap();
        child.wait().unwrap();
        let lines: Vec<String> = (3..9).map(|number| format!("[1mline {number}")).collect();
        assert_eq!(words.said(), lines);
    }

    #[test]
    fn a_death_is_told_with_its_signal_and_its_last_words() {
        let death = Death { cause: Cause::Signal(11), said: vec!["[h264] error".to_owned(), "mb 3".to_owned()] };
        let told = "the process that worked on it was ended by signal 11 (segmentation fault); it said last: [h264] error | mb 3";
        assert_eq!(death.to_string(), told);
    }

    #[test]
    fn whoever_was_killed_from_outside_is_not_to_blame() {
        assert!([9, 15, 2].into_iter().all(|signal| !Cause::Signal(signal).is_own()));
        assert!([11, 6, 4, 24].into_iter().all(|signal| Cause::Signal(signal).is_own()));
        assert!(Cause::Silence(Duration::ZERO).is_own() && Cause::Exit(Some(1)).is_own());
    }
}
