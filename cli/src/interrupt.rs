//! ^C, SIGTERM and SIGHUP: the first asks the work to stop and clean up, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::exit::{Failure, INTERRUPTED};

/// Listens for interrupts from now on. The flag becomes true at the first one.
///
/// # Errors
/// [`Failure::Internal`] if the handler cannot be installed; once in a process it can.
pub fn listen() -> Result<Arc<AtomicBool>, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
    })
    .context("cannot listen for interrupts")
    .map_err(Failure::Internal)?;
    Ok(cancelled)
}
