//! libvmaf's working memory, which is large (some 100 MB for 1080 lines), lent to whoever measures. There is little of
//! it: who finds none waits, and measuring is a small part of the work.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, PoisonError};

use vtp_engine::media::vmaf::{Extractor, Features};
use vtp_engine::media::{Error, Picture};
use vtp_engine::units::Size;

/// Workers that share the extractor of a size: each needs it about a tenth of its time.
const SHARERS: usize = 4;

/// Extractors of every size that is measured, shared by the workers of a process.
pub struct Extractors {
    /// The most there are of one size.
    most: usize,
    shelves: Mutex<HashMap<Size, Shelf>>,
    returned: Condvar,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Extractor>,
    lent: usize,
}

impl Extractors {
    /// For so many chunks at a time. None is made before it is needed.
    pub fn for_workers(workers: NonZeroUsize) -> Self {
        Self { most: workers.get().div_ceil(SHARERS), shelves: Mutex::default(), returned: Condvar::new() }
    }

    /// The features of a pair, as [`Extractor::extract`] has them. Waits for an extractor.
    pub(crate) fn extract(&self, reference: &Picture, distorted: &Picture) -> Result<Features, Error> {
        let size = reference.size();
        let mut loan = Loan { shelves: self, size, extractor: self.borrow(size) };
        let mut extractor = match loan.extractor.take() {
            Some(extractor) => extractor,
            None => Extractor::new()?,
        };
        let features = extractor.extract(reference, distorted)?;
        // One that failed is not used again.
        loan.extractor = Some(extractor);
        Ok(features)
    }

    /// An idle extractor, or the right to make one.
    fn borrow(&self, size: Size) -> Option<Extractor> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let shelf = shelves.entry(size).or_default();
            if shelf.lent < self.most {
                shelf.lent += 1;
                return shelf.idle.pop();
            }
            shelves = self.returned.wait(shelves).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// An extractor that goes back where it came from.
struct Loan<'a> {
    shelves: &'a Extractors,
    size: Size,
    extractor: Option<Extractor>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut shelves = self.shelves.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(self.size).or_default();
        shelf.lent -= 1;
        shelf.idle.extend(self.extractor.take());
        self.shelves.returned.notify_all();
    }
}
