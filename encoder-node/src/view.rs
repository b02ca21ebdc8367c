//! The source in one look: its pictures are mapped to it, scaled for each rendition that has it, and handed to the
//! renditions' encoders.

use std::sync::Arc;

use crossbeam_channel::Sender;

use vtp_engine::chunk::{EncodeTask, StageCpu};
use vtp_engine::ladder::{Look, Method, full_size};
use vtp_engine::media::scale::{Scaler, Shape, output_color};
use vtp_engine::media::tone::ToneMapper;
use vtp_engine::media::{Picture, cpu};

use crate::Error;
use crate::lane::{Lane, Order, Stop, Subject};
use crate::viewer::Viewer;

/// A look of the source, and who is shown it.
pub(crate) struct View {
    /// Maps the source to the look, where that is not its own.
    mapper: Option<ToneMapper>,
    scaler: Scaler,
    encoders: Vec<Sender<Order>>,
    /// Where renditions are held against the source at full size.
    viewer: Option<Viewer>,
    /// Which of the pictures has the full size as it is measured, if one has.
    full: Option<usize>,
}

impl View {
    /// The view of a task's source for the renditions of these lanes, which all have this look.
    ///
    /// # Errors
    /// Lack of memory.
    pub(crate) fn new(task: &EncodeTask, look: Look, lanes: Vec<Lane<'_>>) -> Result<Self, Error> {
        let shape = |lane: &Lane<'_>| Shape {
            size: lane.rendition.size,
            depth: match lane.rendition.method {
                Method::Capped { depth, .. } => depth,
                Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => 8,
            },
        };
        let shapes: Vec<Shape> = lanes.iter().map(shape).collect();
        let full = Shape::measured(full_size(&task.video));
        Ok(Self {
            mapper: (look == Look::Sdr).then(|| ToneMapper::new(&task.video)),
            scaler: Scaler::new(&shapes, output_color(&task.video, look)),
            encoders: lanes.into_iter().map(|lane| lane.orders).collect(),
            viewer: Viewer::for_task(task, look)?,
            full: shapes.iter().position(|&shape| shape == full),
        })
    }

    /// Shows the encoders the conditioned picture at `position` of the chunk. Tells what it cost.
    pub(crate) fn show(&mut self, position: usize, picture: &Picture) -> Result<StageCpu, Stop> {
        let started = cpu::thread_seconds();
        let mapped = self.mapper.as_mut().map(|mapper| mapper.map(picture)).transpose()?;
        let picture = mapped.as_ref().unwrap_or(picture);
        let pictures = self.scaler.scale(picture)?;
        let scaled = cpu::thread_seconds();
        let full = match &mut self.viewer {
            Some(viewer) => viewer.see(position as u32, picture, self.full.and_then(|at| pictures.get(at)))?,
            None => None,
        };
        let measure_s = cpu::thread_seconds() - scaled;
        for (orders, picture) in self.encoders.iter().zip(pictures) {
            let full = full.as_ref().map(Picture::share).transpose()?;
            let subject = Subject { position, picture, full };
            orders.send(Order::Encode(subject)).map_err(|_| Stop::LaneClosed)?;
        }
        Ok(StageCpu { scale_s: scaled - started, measure_s, ..StageCpu::default() })
    }

    /// All pictures were shown.
    pub(crate) fn finish(self) -> Result<(), Stop> {
        let full_motion = Arc::new(self.viewer.map(Viewer::finish).unwrap_or_default());
        for orders in &self.encoders {
            orders.send(Order::Finish(Arc::clone(&full_motion))).map_err(|_| Stop::LaneClosed)?;
        }
        Ok(())
    }
}
