//! The way of pictures to the threads that encode them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use vtp_engine::ladder::Rendition;
use vtp_engine::media::{self, Picture};

use crate::Error;

/// The way to one rendition's encoder.
pub(crate) struct Lane<'a> {
    pub(crate) orders: Sender<Order>,
    pub(crate) rendition: &'a Rendition,
}

/// What a rendition's thread is told.
pub(crate) enum Order {
    /// Encode this picture.
    Encode(Subject),
    /// That was the last one. How much the source moves at full size, by position.
    Finish(Arc<BTreeMap<u32, f64>>),
}

/// A picture to encode.
pub(crate) struct Subject {
    /// Which of the task's frames it is.
    pub(crate) position: usize,
    /// At the rendition's size.
    pub(crate) picture: Picture,
    /// At the size that the source is shown at, if it is to be looked at so.
    pub(crate) full: Option<Picture>,
}

/// Why feeding the encoders ended early.
pub(crate) enum Stop {
    /// Something failed here.
    Error(Error),
    /// An encoder takes no more; it knows why.
    LaneClosed,
}

impl From<media::Error> for Stop {
    fn from(error: media::Error) -> Self {
        Self::Error(error.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
