//! Pictures beside the video: thumbnails to scrub by, in sheets of tiles, and a poster. What they show was planned
//! ([`vtp_engine::stills`]) and comes with the chunks; here it is put together, with one sheet and one poster in memory.
//!
//! [`sheets`] are the tiles, [`poster`] chooses, [`manifests`] is what WebVTT, HLS and DASH say of the sheets.

pub mod manifests;
mod poster;
mod sheets;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use serde::{Deserialize, Serialize};
use vtp_engine::chunk::{EncodedChunk, EncodedRendition};
use vtp_engine::index::Index;
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::plan::ChunkPlan;
use vtp_engine::stills::{POSTER, Stills, THUMBNAILS, rgb_bytes};
use vtp_engine::units::Size;

use crate::Error;
use crate::files::{at, discard};
use crate::layout::Durability;

pub use manifests::{SheetListing, VTT};

use poster::Candidates;
use sheets::Sheets;

/// The poster's file.
pub const POSTER_FILE: &str = "poster.jpg";

/// What was published of pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pictures {
    /// The poster, if there is one.
    pub poster: Option<PosterReport>,
    /// The thumbnails, if there are some.
    pub thumbnails: Option<ThumbnailsReport>,
}

/// The poster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PosterReport {
    /// Its file.
    pub file: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Size of its file.
    pub bytes: u64,
    /// When the video shows it, in seconds.
    pub at_s: f64,
}

/// The thumbnails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThumbnailsReport {
    /// The WebVTT file that names them.
    pub file: String,
    /// From one to the next, in seconds.
    pub interval_s: f64,
    /// How many there are.
    pub count: u32,
    /// Columns of one.
    pub width: u32,
    /// Rows of one.
    pub height: u32,
    /// Sheets that they are on.
    pub sheets: u32,
    /// Size of all sheets.
    pub bytes: u64,
}

/// Takes the pictures that chunks bring, in order. The default one wants none.
#[derive(Debug, Default)]
pub(crate) struct Gallery {
    stills: Stills,
    sheets: Option<Sheets>,
    candidates: Option<Candidates>,
}

/// The pictures of all chunks.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// The poster as JPEG, and when it is shown, in ticks of the index.
    pub(crate) poster: Option<(Vec<u8>, Size, i64)>,
    pub(crate) sheets: Option<SheetListing>,
}

impl Gallery {
    pub(crate) fn create(dir: &Path, stills: &Stills, durability: Durability) -> Result<Self, Error> {
        let sheets = stills.thumbnails.clone().map(|it| Sheets::create(dir, it, durability)).transpose()?;
        let candidates = stills.poster.as_ref().map(|poster| Candidates::new(poster.size));
        Ok(Self { stills: stills.clone(), sheets, candidates })
    }

    /// What the chunk of this plan has to bring.
    pub(crate) fn due(&self, plan: &ChunkPlan) -> Vec<Rendition> {
        self.stills.of_chunk(plan.frames.clone())
    }

    /// Takes the pictures of the next chunk, and deletes their spool files.
    pub(crate) fn append(&mut self, plan: &ChunkPlan, chunk: &EncodedChunk, index: &Index) -> Result<(), Error> {
        for due in self.due(plan) {
            let Some(brought) = chunk.renditions.iter().find(|it| it.rendition == due.name) else { continue };
            let frames = frames(plan, &due, brought, index)?;
            let mut spool = File::open(&brought.spool).map_err(at(&brought.spool))?;
            let mut rgb = vec![0; rgb_bytes(due.size)];
            for frame in frames {
                spool.read_exact(&mut rgb).map_err(at(&brought.spool))?;
                match (due.name.as_str(), &mut self.sheets, &mut self.candidates) {
                    (THUMBNAILS, Some(sheets), _) => sheets.take(frame, &rgb)?,
                    (POSTER, _, Some(candidates)) => candidates.take(index.frames[frame as usize].pts, &rgb),
                    _ => {}
                }
            }
            discard(&brought.spool);
        }
        Ok(())
    }

    /// Writes what is left. The presentation ends at `end_s`, the video at `video_end_s`.
    pub(crate) fn finish(self, video_end_s: f64, end_s: f64) -> Result<Finished, Error> {
        let sheets = self.sheets.map(|sheets| sheets.finish(video_end_s, end_s)).transpose()?;
        let poster = self.candidates.and_then(Candidates::finish);
        let poster = poster.map(|(rgb, size, pts)| Ok::<_, Error>((jpeg(&rgb, size, 85)?, size, pts))).transpose()?;
        Ok(Finished { poster, sheets })
    }
}

impl Finished {
    /// What the report says of them; `seconds` turns ticks of the index into seconds of the output.
    pub(crate) fn report(&self, seconds: impl Fn(i64) -> f64) -> Pictures {
        let poster = self.poster.as_ref().map(|(jpeg, size, pts)| PosterReport {
            file: POSTER_FILE.to_owned(),
            width: size.width,
            height: size.height,
            bytes: jpeg.len() as u64,
            at_s: seconds(*pts),
        });
        let thumbnails = self.sheets.as_ref().map(|sheets| ThumbnailsReport {
            file: format!("{THUMBNAILS}/{VTT}"),
            interval_s: f64::from(sheets.interval_ms) / 1000.0,
            count: sheets.count,
            width: sheets.tile.width,
            height: sheets.tile.height,
            sheets: sheets.bytes.len() as u32,
            bytes: sheets.bytes.iter().sum(),
        });
        Pictures { poster, thumbnails }
    }
}

/// The frames that `brought` shows, if it is what is due.
fn frames(plan: &ChunkPlan, due: &Rendition, brought: &EncodedRendition, index: &Index) -> Result<Vec<u32>, Error> {
    let Method::Stills { positions } = &due.method else { return Ok(Vec::new()) };
    let frames: Vec<u32> = positions.iter().map(|position| plan.frames.start + position).collect();
    let bytes = u32::try_from(rgb_bytes(due.size)).ok();
    let found = brought.samples.iter().map(|sample| (sample.pts, Some(sample.size)));
    if found.eq(frames.iter().map(|&frame| (index.frames[frame as usize].pts, bytes))) {
        return Ok(frames);
    }
    Err(Error::Pictures { chunk: plan.index, name: due.name.clone() })
}

/// A picture of red, green and blue as baseline JPEG.
fn jpeg(rgb: &[u8], size: Size, quality: u8) -> Result<Vec<u8>, Error> {
    let side = |length: u32| u16::try_from(length).map_err(|_| Error::Jpeg(format!("a picture of {size}")));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(true);
    let encoded = encoder.encode(rgb, side(size.width)?, side(size.height)?, ColorType::Rgb);
    encoded.map_err(|error| Error::Jpeg(error.to_string()))?;
    Ok(bytes)
}
