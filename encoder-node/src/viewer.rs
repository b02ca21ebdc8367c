//! The source as it is shown: the pictures that renditions of other sizes are held against, scaled once and shared.

use std::collections::{BTreeSet, HashMap};

use vtp_engine::chunk::EncodeTask;
use vtp_engine::ladder::{Method, full_size};
use vtp_engine::media::scale::{Scaler, output_color};
use vtp_engine::media::vmaf::{self, Motion};
use vtp_engine::media::{Error, Picture};
use vtp_engine::units::Size;

/// Shows the source at the size it is shown at: a few pictures of it, and how they move.
pub(crate) struct Viewer {
    scaler: Scaler,
    /// The positions that are looked at.
    viewed: BTreeSet<u32>,
    motion: Motion,
    seen: Vec<u32>,
}

impl Viewer {
    /// What the renditions of `task` are to be held against besides their own pictures, if any is: those that have the
    /// full size need nothing more.
    pub(crate) fn for_task(task: &EncodeTask) -> Result<Option<Self>, Error> {
        let (Some(check), size) = (task.check, full_size(&task.video)) else { return Ok(None) };
        let needs = |size_of: Size| size_of != size && size_of.width.min(size_of.height) >= vmaf::LEAST;
        let is_needed = task.renditions.iter().any(|it| matches!(it.method, Method::Capped { .. }) && needs(it.size));
        if !is_needed {
            return Ok(None);
        }
        Ok(Some(Self {
            scaler: Scaler::new(&[size], output_color(&task.video)),
            viewed: check.sampling.viewed(u32::try_from(task.frames.len()).unwrap_or(u32::MAX)).into_iter().collect(),
            motion: Motion::new()?,
            seen: Vec::new(),
        }))
    }

    /// Takes the conditioned picture at `position` of the chunk, and gives it back at full size if it is to be looked at.
    pub(crate) fn see(&mut self, position: u32, picture: &Picture) -> Result<Option<Picture>, Error> {
        if !is_near(position, &self.viewed) {
            return Ok(None);
        }
        let picture = self.scaler.scale(picture)?.into_iter().next();
        if let Some(picture) = &picture {
            self.motion.push(picture)?;
            self.seen.push(position);
        }
        Ok(picture.filter(|_| self.viewed.contains(&position)))
    }

    /// How much the pictures that were looked at move, by position.
    pub(crate) fn finish(self) -> Result<HashMap<u32, f64>, Error> {
        Ok(self.seen.into_iter().zip(self.motion.finish()?).collect())
    }
}

/// Whether the frame at `position` or one beside it is among `measured`: motion is a matter of neighbours.
pub(crate) fn is_near(position: u32, measured: &BTreeSet<u32>) -> bool {
    measured.range(position.saturating_sub(1)..=position.saturating_add(1)).next().is_some()
}
