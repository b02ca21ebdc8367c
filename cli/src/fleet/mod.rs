//! Chunks that are encoded somewhere else. [`nearby`] is a fleet without a network: it does all that one does, on this machine.

pub mod nearby;
