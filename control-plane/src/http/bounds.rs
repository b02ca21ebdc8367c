//! How much is taken at once, and how long it may take.

use std::time::Duration;

/// The longest body of one that names ten thousand videos, each by a URL that is signed, say.
pub(super) const LONGEST_BATCH: usize = 16 << 20;
/// The longest time for an answer that is no stream.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
