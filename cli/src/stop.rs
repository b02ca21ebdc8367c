//! Whether work is still wanted.

use std::sync::atomic::{AtomicBool, Ordering};

/// What may be raised to tell those who work that nobody wants it any more.
pub(crate) trait Stop: Sync {
    /// Whether it is raised.
    fn is_raised(&self) -> bool;
}

impl Stop for AtomicBool {
    fn is_raised(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

/// Either of two flags.
pub(crate) struct Either<'a>(pub(crate) &'a AtomicBool, pub(crate) &'a AtomicBool);

impl Stop for Either<'_> {
    fn is_raised(&self) -> bool {
        self.0.is_raised() || self.1.is_raised()
    }
}
