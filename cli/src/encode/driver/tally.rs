//! Frames that a run has encoded, for those who watch it. What an attempt has encoded counts as it comes, and no more once the
//! attempt has come to nothing: it is encoded again then.

use std::sync::atomic::{AtomicU64, Ordering};

use vtp_encoder_node::Observer;

/// Frames encoded, summed over renditions.
#[derive(Debug, Default)]
pub(super) struct Encoded(AtomicU64);

impl Encoded {
    pub(super) fn frames(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The frames of one attempt at a chunk. Dropping it takes them back, [`Tally::keep`] lets them count.
pub(super) struct Tally<'a> {
    all: &'a Encoded,
    /// Whether a rendition of this name counts: pictures by themselves are no progress.
    counts: &'a (dyn Fn(&str) -> bool + Sync),
    own: AtomicU64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(all: &'a Encoded, counts: &'a (dyn Fn(&str) -> bool + Sync)) -> Self {
        Self { all, counts, own: AtomicU64::new(0) }
    }

    /// Takes back what was told so far, for it is made again.
    pub(super) fn begin_again(&self) {
        self.all.0.fetch_sub(self.own.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn keep(self) {
        self.own.store(0, Ordering::Relaxed);
    }
}

impl Observer for Tally<'_> {
    fn frames_encoded(&self, rendition: &str, frames: u32) {
        if (self.counts)(rendition) {
            self.all.0.fetch_add(frames.into(), Ordering::Relaxed);
            self.own.fetch_add(frames.into(), Ordering::Relaxed);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.begin_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_as_they_come_and_no_more_once_their_attempt_has_come_to_nothing() {
        let (all, counts) = (Encoded::default(), |name: &str| name != "poster");
        let kept = Tally::new(&all, &counts);
        kept.frames_encoded("hd", 3);
        kept.frames_encoded("poster", 1);
        assert_eq!(all.frames(), 3);
        kept.begin_again();
        assert_eq!(all.frames(), 0);
        kept.frames_encoded("hd", 5);
        kept.keep();
        let failed = Tally::new(&all, &counts);
        failed.frames_encoded("hd", 7);
        assert_eq!(all.frames(), 12);
        drop(failed);
        assert_eq!(all.frames(), 5);
    }
}
