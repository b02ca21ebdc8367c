//! Pictures that are wanted by themselves, on their way to the spool: the conditioned pictures of some frames, in the
//! standard dynamic range, in red, green and blue.

use std::sync::Arc;

use crossbeam_channel::Sender;

use vtp_engine::chunk::EncodeTask;
use vtp_engine::ladder::{Look, Method, Rendition};
use vtp_engine::media::scale::RgbScaler;
use vtp_engine::media::tone::ToneMapper;
use vtp_engine::media::{Kind, Picture};
use vtp_engine::source::DynamicRange;

use crate::lane::{Lane, Order, Stop, Subject};

/// Whether a rendition is of pictures by themselves.
pub(crate) fn is_stills(rendition: &Rendition) -> bool {
    matches!(rendition.method, Method::Stills { .. })
}

/// The way to a rendition of pictures by themselves.
pub(crate) struct StillsLane<'a> {
    orders: Sender<Order>,
    positions: &'a [u32],
    /// Maps a high dynamic range, where there is one.
    mapper: Option<ToneMapper>,
    mapped: RgbScaler,
    unmapped: RgbScaler,
}

impl<'a> StillsLane<'a> {
    pub(crate) fn new(task: &EncodeTask, lane: Lane<'a>) -> Self {
        let (video, size) = (&task.video, lane.rendition.size);
        let positions: &[u32] = match &lane.rendition.method {
            Method::Stills { positions } => positions,
            Method::Capped { .. } | Method::Lossless { .. } | Method::Ffv1 | Method::Copy => &[],
        };
        let is_hdr = video.color.dynamic_range() != DynamicRange::Standard;
        Self {
            orders: lane.orders,
            positions,
            mapper: is_hdr.then(|| ToneMapper::new(video)),
            mapped: RgbScaler::new(video, Look::Sdr, size),
            unmapped: RgbScaler::new(video, Look::Kept, size),
        }
    }

    /// Passes on the conditioned picture at `position` of the chunk, if it is wanted.
    pub(crate) fn show(&mut self, position: usize, picture: &Picture) -> Result<(), Stop> {
        if self.positions.binary_search(&(position as u32)).is_err() {
            return Ok(());
        }
        let subject = Subject { position, picture: self.picture(picture)?, full: None };
        self.orders.send(Order::Encode(subject)).map_err(|_| Stop::LaneClosed)
    }

    fn picture(&mut self, picture: &Picture) -> Result<Picture, Stop> {
        let mapped = match self.mapper.as_mut().map(|mapper| mapper.map(picture)) {
            // An FFmpeg without the filters makes pale pictures rather than none of the ladder.
            Some(Err(error)) if error.kind() == Kind::Unsupported => {
                tracing::debug!(%error, "tones are not mapped");
                self.mapper = None;
                None
            }
            mapped => mapped.transpose()?,
        };
        Ok(match mapped {
            Some(mapped) => self.mapped.scale(&mapped)?,
            None => self.unmapped.scale(picture)?,
        })
    }

    /// All pictures were shown.
    pub(crate) fn finish(self) -> Result<(), Stop> {
        self.orders.send(Order::Finish(Arc::default())).map_err(|_| Stop::LaneClosed)
    }
}
