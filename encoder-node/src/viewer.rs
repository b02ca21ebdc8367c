//! The source as it is shown, in one look: the pictures that renditions of other sizes are held against, scaled once and shared, and
//! how much they move.

use std::collections::{BTreeMap, BTreeSet};

use vtp_engine::chunk::EncodeTask;
use vtp_engine::ladder::{Look, Method, Rendition, full_size};
use vtp_engine::media::motion::Motion;
use vtp_engine::media::scale::{Scaler, Shape, output_color};
use vtp_engine::media::{Error, Picture, vmaf};

/// Shows the source at the size it is shown at.
pub(crate) struct Viewer {
    /// Makes the pictures, where no rendition has that size.
    scaler: Scaler,
    /// The positions that renditions of other sizes are looked at.
    viewed: BTreeSet<u32>,
    /// The positions whose motion somebody asks for: a rendition of full size does wherever it is measured.
    moving: BTreeSet<u32>,
    motion: Motion,
}

impl Viewer {
    /// What the renditions of `task` with this look are to be held against, if any is measured.
    pub(crate) fn for_task(task: &EncodeTask, look: Look) -> Result<Option<Self>, Error> {
        let (Some(check), size) = (task.check, full_size(&task.video)) else { return Ok(None) };
        let is_measured = |it: &&Rendition| {
            it.look() == look
                && matches!(it.method, Method::Capped { .. })
                && it.size.width.min(it.size.height) >= vmaf::LEAST
        };
        let mut sizes = task.renditions.iter().filter(is_measured).map(|it| it.size).peekable();
        if sizes.peek().is_none() {
            return Ok(None);
        }
        let frames = u32::try_from(task.frames.len()).unwrap_or(u32::MAX);
        let (has_full, has_other) =
            sizes.fold((false, false), |(full, other), it| (full || it == size, other || it != size));
        let viewed: BTreeSet<u32> =
            if has_other { check.sampling.viewed(frames).into_iter().collect() } else { BTreeSet::new() };
        let moving = if has_full { check.sampling.measured(frames).into_iter().collect() } else { viewed.clone() };
        let scaler = Scaler::new(&[Shape::measured(size)], output_color(&task.video, look));
        Ok(Some(Self { scaler, viewed, moving, motion: Motion::new() }))
    }

    /// Takes the conditioned picture at `position` of the chunk, and the same at full size where a rendition has that
    /// size. Gives it back at full size if it is to be looked at.
    pub(crate) fn see(
        &mut self,
        position: u32,
        picture: &Picture,
        full: Option<&Picture>,
    ) -> Result<Option<Picture>, Error> {
        if !is_near(position, &self.moving) {
            return Ok(None);
        }
        let full = match full {
            Some(full) => Some(full.share()?),
            None => self.scaler.scale(picture)?.into_iter().next(),
        };
        if let Some(full) = &full {
            self.motion.push(position, full)?;
        }
        Ok(full.filter(|_| self.viewed.contains(&position)))
    }

    /// How much the pictures that were looked at move, by position.
    pub(crate) fn finish(self) -> BTreeMap<u32, f64> {
        self.motion.finish()
    }
}

/// Whether the frame at `position` or one beside it is among `measured`: motion is a matter of neighbours.
pub(crate) fn is_near(position: u32, measured: &BTreeSet<u32>) -> bool {
    measured.range(position.saturating_sub(1)..=position.saturating_add(1)).next().is_some()
}
