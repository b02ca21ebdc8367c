//! Keeps the bus ready while the driver runs. Its streams and consumers may be lost, with a server's disk or by somebody's hand;
//! then they are made anew, and what was in them is published and reported again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::bus::Bus;
use crate::messages::Pool;

/// How often it is looked whether all is there, though nothing was seen to be wrong: that nobody can pull a task is not.
const LOOK: Duration = Duration::from_secs(60);
/// How long it waits until it looks again, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after the bus until it is dropped.
#[derive(Debug)]
pub(super) struct Upkeep {
    wanted: Arc<Notify>,
    running: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn begin(bus: impl Bus, pools: Vec<Pool>) -> Self {
        let wanted = Arc::new(Notify::new());
        let running = tokio::spawn(keep_up(bus, pools, Arc::clone(&wanted)));
        Self { wanted, running }
    }

    /// What is notified when something seems to be wrong.
    pub(super) fn wanted(&self) -> &Arc<Notify> {
        &self.wanted
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn keep_up(bus: impl Bus, pools: Vec<Pool>, wanted: Arc<Notify>) {
    loop {
        tokio::select! {
            () = wanted.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        match bus.prepare(&pools).await {
            Ok(()) => {}
            Err(error) if error.is_retryable() => {
                tracing::debug!(%error, "the bus is not ready, and is looked after again");
                wanted.notify_one();
            }
            Err(error) => tracing::error!(%error, "the bus can't be made ready"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
