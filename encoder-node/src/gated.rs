//! Encodes a chunk until every rendition of it is as good as asked, or as good as it gets. What is tried next is decided
//! by [`quality::decide`]; only renditions that need it are encoded again.

use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition};
use vtp_engine::ladder::Rendition;
use vtp_engine::quality::{self, Decision, Outcome, Target, Tried};

use crate::chunk::shape;

/// Carries out `task` by calling `encode` for it, and again for those of its renditions that are to be better or
/// smaller. Without a check in the task, or where nothing was measured, the first time is all.
///
/// # Errors
/// Whatever `encode` answers.
pub fn encode_until_good<E>(
    task: &EncodeTask,
    mut encode: impl FnMut(&EncodeTask) -> Result<EncodedChunk, E>,
) -> Result<EncodedChunk, E> {
    let first = encode(task)?;
    let Some(check) = task.check else { return Ok(first) };
    let seconds = shape(task).seconds;
    let EncodedChunk { chunk, attempt, renditions, mut cpu } = first;
    let mut candidates: Vec<Candidates> = task
        .renditions
        .iter()
        .zip(renditions)
        .map(|(rendition, encoded)| Candidates::new(rendition, encoded, seconds))
        .collect();
    loop {
        let again: Vec<Rendition> = candidates.iter().filter_map(|it| it.next(&check.target)).collect();
        if again.is_empty() {
            break;
        }
        let more = encode(&EncodeTask { renditions: again, ..task.clone() })?;
        cpu += more.cpu;
        for encoded in more.renditions {
            if let Some(of) = candidates.iter_mut().find(|it| it.rendition.name == encoded.rendition) {
                of.add(encoded);
            }
        }
    }
    let renditions = candidates.into_iter().map(|it| it.deliver(&check.target)).collect();
    Ok(EncodedChunk { chunk, attempt, renditions, cpu })
}

/// One rendition in all the ways it was encoded so far.
struct Candidates<'a> {
    rendition: &'a Rendition,
    seconds: f64,
    encoded: Vec<EncodedRendition>,
    /// As many as `encoded`, or none if it is not measured.
    tried: Vec<Tried>,
}

impl<'a> Candidates<'a> {
    fn new(rendition: &'a Rendition, encoded: EncodedRendition, seconds: f64) -> Self {
        let mut candidates = Self { rendition, seconds, encoded: Vec::new(), tried: Vec::new() };
        candidates.add(encoded);
        candidates
    }

    fn add(&mut self, encoded: EncodedRendition) {
        self.tried.extend(self.tried(&encoded));
        self.encoded.push(encoded);
    }

    fn tried(&self, encoded: &EncodedRendition) -> Option<Tried> {
        encoded.tried(self.rendition.bounds()?, self.seconds)
    }

    /// The rendition as it is to be encoded next, if it is.
    fn next(&self, target: &Target) -> Option<Rendition> {
        if self.tried.len() < self.encoded.len() {
            return None;
        }
        let Decision::Again { crf, search } = quality::decide(target, &self.tried) else { return None };
        Some(self.rendition.at_factor(crf).searched(search))
    }

    /// The one to deliver; the others are deleted.
    fn deliver(mut self, target: &Target) -> EncodedRendition {
        let (place, outcome) = match self.tried.as_slice() {
            [] => (0, None),
            tried => match quality::decide(target, tried) {
                Decision::Deliver(place, outcome) => (place, Some(outcome)),
                Decision::Again { .. } => (tried.len() - 1, Some(Outcome::Missed)),
            },
        };
        let encodings = u32::try_from(self.encoded.len()).unwrap_or(u32::MAX);
        let chosen = self.encoded.swap_remove(place);
        for other in self.encoded.iter().filter(|other| other.spool != chosen.spool) {
            if let Err(error) = std::fs::remove_file(&other.spool) {
                tracing::debug!(%error, path = %other.spool.display(), "spool file left behind");
            }
        }
        EncodedRendition { encodings, outcome, ..chosen }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::path::{Path, PathBuf};

    use vtp_engine::quality::{Check, Sampling};

    use super::*;
    use crate::testing::{encoded_chunk, task};

    /// An encoder whose `large` scores two points less for each step of the rate factor, and whose `small` is perfect.
    fn fake(task: &EncodeTask) -> EncodedChunk {
        encoded_chunk(task, |name, crf| if name == "large" { 136.0 - 2.0 * crf } else { 99.0 })
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_misses_is_encoded_again_and_only_the_chosen_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let check = Check { sampling: Sampling::DEFAULT, target: Target::default() };
        let asked = RefCell::new(Vec::new());
        let chunk = encode_until_good(&task(folder.path(), Some(check)), |task| {
            asked.borrow_mut().push(task.renditions.iter().map(|it| it.name.clone()).collect::<Vec<_>>().join(" "));
            Ok::<_, Infallible>(fake(task))
        })
        .unwrap();
        assert_eq!(asked.into_inner(), ["large small", "large"]);
        let [large, small] = chunk.renditions.as_slice() else { panic!("two renditions") };
        assert_eq!((large.encodings, large.outcome, small.encodings), (2, Some(Outcome::Met), 1));
        assert!(large.crf.is_some_and(|crf| crf < 21.6), "{:?}", large.crf);
        assert_eq!(chunk.cpu.encode_s, 2.0);
        let kept: Vec<PathBuf> = chunk.renditions.iter().map(|it| it.spool.clone()).collect();
        assert_eq!(names(folder.path()).len(), 2);
        assert!(kept.iter().all(|path| path.exists()));
    }

    #[test]
    fn without_a_check_once_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = encode_until_good(&task(folder.path(), None), |task| Ok::<_, Infallible>(fake(task))).unwrap();
        assert!(chunk.renditions.iter().all(|it| it.encodings == 1 && it.outcome.is_none()));
    }

    #[test]
    fn what_the_encoder_answers_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(encode_until_good(&task(folder.path(), None), |_| Err("no")), Err("no"));
    }
}
