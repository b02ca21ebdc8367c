//! A ledger in memory, for tests: it survives drivers, not the process.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Epoch, Error, Ledger, Record, State};

/// A ledger in memory. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger(Arc<Mutex<State>>);

impl MemoryLedger {
    /// What is known.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ledger for MemoryLedger {
    async fn claim(&mut self) -> Result<(Epoch, State), Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = state.epoch().0 + 1;
        state.fold(&Record::Claimed { epoch });
        Ok((Epoch(epoch), state.clone()))
    }

    async fn append(&mut self, epoch: Epoch, records: Vec<Record>) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).accept(epoch, &records)
    }
}
