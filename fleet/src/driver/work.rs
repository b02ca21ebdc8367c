//! What a token is leased, and how far an attempt has come. Pure.

use vtp_engine::coordinator::Now;

use crate::bus::Band;
use crate::messages::{AttemptId, Settings};

/// What a token was leased.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) id: AttemptId,
    pub(super) stage: Stage,
    /// Whether its node was told to put it down for the sake of one that has a slot free.
    pub(super) was_revoked: bool,
    /// When it is published again if nobody has started it.
    pub(super) again: Now,
    /// With which settings.
    pub(super) settings: Settings,
    /// Of its job, from 1, the most urgent.
    pub(super) priority: u8,
}

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It waits on the bus.
    Published,
    /// A node has had it since this report, and waits for a slot to begin.
    Held(u64),
    /// That node was told to put it down, for the sake of one that has a slot free.
    Revoked(u64),
    /// A node is at work on it, and has had it since this report.
    Begun(u64),
}

impl Work {
    /// What is published, and again then.
    pub(super) fn new(id: AttemptId, settings: Settings, priority: u8, again: Now) -> Self {
        Self { id, stage: Stage::Published, was_revoked: false, again, settings, priority }
    }

    /// Whether it waits on the bus for whoever has a slot first, and nobody holds it for his next one.
    pub(super) fn is_urgent(&self) -> bool {
        self.stage == Stage::Published && Band::of(self.priority) == Band::Urgent
    }

    /// Since which report its node has had it; `None` while nobody has.
    pub(super) fn since(&self) -> Option<u64> {
        match self.stage {
            Stage::Published => None,
            Stage::Held(since) | Stage::Revoked(since) | Stage::Begun(since) => Some(since),
        }
    }

    /// Whether a node has it.
    pub(super) fn is_had(&self) -> bool {
        self.since().is_some()
    }
}
