//! What manifests say of the sheets: WebVTT with media fragments (`sprite-001.jpg#xywh=0,0,284,160`), as JW Player,
//! Video.js, Vidstack and Shaka Player read it; the DASH-IF form (Interoperability Points 6.2.6), which dash.js and Shaka
//! Player find by themselves; and the image media playlist that Roku, Disney and Warner have proposed for HLS. Pure.

use std::fmt::Write as _;

use dash_mpd_core::{AdaptationSet, EssentialProperty, Representation, SegmentTemplate};
use m3u8_rs::ExtTag;
use vtp_engine::stills::THUMBNAILS;
use vtp_engine::units::Size;

use crate::listing::PLAYLIST;
use crate::rates;

/// The WebVTT file, beside the sheets.
pub const VTT: &str = "thumbnails.vtt";

const TILES: &str = "http://dashif.org/guidelines/thumbnail_tile";
/// At most so many columns and rows.
const MOST: u32 = 5;

/// The file of a sheet counted from 0.
pub(super) fn sheet_name(place: u32) -> String {
    format!("sprite-{:03}.jpg", u64::from(place) + 1)
}

/// How tiles are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tiles beside each other.
    pub columns: u32,
    /// Rows of tiles.
    pub rows: u32,
}

impl Grid {
    /// The grid for so many pictures.
    pub fn of(count: u32) -> Self {
        let columns = count.clamp(1, MOST);
        Self { columns, rows: count.div_ceil(columns).clamp(1, MOST) }
    }

    /// Tiles of a sheet.
    pub fn tiles(self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// Size of a sheet of tiles of this size.
    pub fn sheet(self, tile: Size) -> Size {
        Size { width: self.columns * tile.width, height: self.rows * tile.height }
    }

    /// Columns and rows before a tile counted from 0.
    pub fn offset(self, tile: Size, at: usize) -> (u32, u32) {
        let at = (at % self.tiles()) as u32;
        (at % self.columns * tile.width, at / self.columns * tile.height)
    }
}

/// The sheets as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetListing {
    /// From one thumbnail to the next, in milliseconds.
    pub interval_ms: u32,
    /// Size of one.
    pub tile: Size,
    /// How they are laid out.
    pub grid: Grid,
    /// How many there are.
    pub count: u32,
    /// When the last one is over, in seconds.
    pub end_s: f64,
    /// How many of the sheets show them; what follows repeats the last picture.
    pub listed: usize,
    /// Size of each sheet's file.
    pub bytes: Vec<u64>,
}

impl SheetListing {
    /// Files and sizes of the sheets.
    pub fn files(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.bytes.len() as u32).map(sheet_name)
    }

    fn interval_s(&self) -> f64 {
        f64::from(self.interval_ms) / 1000.0
    }

    /// Seconds that a full sheet covers.
    fn sheet_s(&self) -> f64 {
        self.interval_s() * self.grid.tiles() as f64
    }

    /// Bits a second while the largest sheet is shown.
    fn bandwidth(&self) -> u64 {
        let most = self.bytes.iter().max().copied().unwrap_or(0);
        rates::whole(8.0 * most as f64 / self.sheet_s().min(self.end_s).max(0.001))
    }

    /// The WebVTT file.
    pub fn vtt(&self) -> String {
        let mut text = "WEBVTT\n".to_owned();
        let end_ms = (self.end_s * 1000.0).ceil().max(1.0) as u64;
        for place in 0..self.count {
            let start = u64::from(place) * u64::from(self.interval_ms);
            let end = (start + u64::from(self.interval_ms)).min(end_ms).max(start + 1);
            let sheet = sheet_name(place / self.grid.tiles() as u32);
            let ((x, y), Size { width, height }) = (self.grid.offset(self.tile, place as usize), self.tile);
            // Writing to a String does not fail.
            let _ = write!(text, "\n{} --> {}\n{sheet}#xywh={x},{y},{width},{height}\n", clock(start), clock(end));
        }
        text
    }

    /// The image media playlist; `dated` where the others tell their places by dates, as [`crate::hls::date`] has them.
    pub fn playlist(&self, dated: bool) -> String {
        let seconds = |place: usize| (self.end_s - place as f64 * self.sheet_s()).min(self.sheet_s()).max(0.001);
        let target = ((0..self.listed).map(seconds).fold(0.0, f64::max) + 0.5).floor().max(1.0);
        let (tile, grid) = (self.tile, self.grid);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-IMAGES-ONLY\n"
        );
        if dated {
            text += "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n";
        }
        for (place, name) in self.files().take(self.listed).enumerate() {
            let _ = write!(
                text,
                "#EXTINF:{:.6},\n#EXT-X-TILES:RESOLUTION={}x{},LAYOUT={}x{},DURATION={:.3}\n{name}\n",
                seconds(place),
                tile.width,
                tile.height,
                grid.columns,
                grid.rows,
                self.interval_s(),
            );
        }
        text + "#EXT-X-ENDLIST\n"
    }

    /// What the multivariant playlist says of it.
    pub fn stream(&self) -> ExtTag {
        let (tile, bandwidth) = (self.tile, self.bandwidth());
        let rest = format!(
            "BANDWIDTH={bandwidth},RESOLUTION={}x{},CODECS=\"jpeg\",URI=\"{THUMBNAILS}/{PLAYLIST}\"",
            tile.width, tile.height
        );
        ExtTag { tag: "X-IMAGE-STREAM-INF".to_owned(), rest: Some(rest) }
    }

    /// What the MPD says of it.
    pub fn set(&self, id: usize) -> AdaptationSet {
        let sheet = self.grid.sheet(self.tile);
        let tiles = EssentialProperty {
            schemeIdUri: TILES.to_owned(),
            value: Some(format!("{}x{}", self.grid.columns, self.grid.rows)),
            ..EssentialProperty::default()
        };
        AdaptationSet {
            id: Some(id.to_string()),
            contentType: Some("image".to_owned()),
            mimeType: Some("image/jpeg".to_owned()),
            SegmentTemplate: Some(SegmentTemplate {
                media: Some("$RepresentationID$/sprite-$Number%03d$.jpg".to_owned()),
                startNumber: Some(1),
                timescale: Some(1000),
                duration: Some(f64::from(self.interval_ms) * self.grid.tiles() as f64),
                ..SegmentTemplate::default()
            }),
            representations: vec![Representation {
                id: Some(THUMBNAILS.to_owned()),
                bandwidth: Some(self.bandwidth()),
                width: Some(sheet.width.into()),
                height: Some(sheet.height.into()),
                essential_property: vec![tiles],
                ..Representation::default()
            }],
            ..AdaptationSet::default()
        }
    }
}

/// A WebVTT timestamp.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 27 thumbnails of two seconds each, the last one of half a second, on two sheets.
    fn listing() -> SheetListing {
        SheetListing {
            interval_ms: 2000,
            tile: Size { width: 284, height: 160 },
            grid: Grid::of(27),
            count: 27,
            end_s: 52.5,
            listed: 2,
            bytes: vec![50_000, 10_000],
        }
    }

    #[test]
    fn a_grid_is_no_larger_than_it_must_be() {
        let of = |count| (Grid::of(count).columns, Grid::of(count).rows);
        assert_eq!([1, 3, 5, 6, 21, 26].map(of), [(1, 1), (3, 1), (5, 1), (5, 2), (5, 5), (5, 5)]);
    }

    #[test]
    fn webvtt_names_sheet_and_place_of_every_moment() {
        let text = listing().vtt();
        let cues: Vec<&str> = text.split("\n\n").collect();
        assert_eq!((cues[0], cues.len()), ("WEBVTT", 28));
        assert_eq!(cues[1], "00:00:00.000 --> 00:00:02.000\nsprite-001.jpg#xywh=0,0,284,160");
        assert_eq!(cues[8], "00:00:14.000 --> 00:00:16.000\nsprite-001.jpg#xywh=568,160,284,160");
        assert_eq!(cues[27], "00:00:52.000 --> 00:00:52.500\nsprite-002.jpg#xywh=284,0,284,160\n");
        assert_eq!(clock(3_725_004), "01:02:05.004");
    }

    #[test]
    fn the_image_playlist_tells_the_tiles_of_each_sheet() {
        let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:50\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-IMAGES-ONLY\n\
            #EXTINF:50.000000,\n#EXT-X-TILES:RESOLUTION=284x160,LAYOUT=5x5,DURATION=2.000\nsprite-001.jpg\n\
            #EXTINF:2.500000,\n#EXT-X-TILES:RESOLUTION=284x160,LAYOUT=5x5,DURATION=2.000\nsprite-002.jpg\n#EXT-X-ENDLIST\n";
        assert_eq!(listing().playlist(false), expected);
        let line = listing().stream().to_string();
        assert_eq!(
            line,
            "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=8000,RESOLUTION=284x160,CODECS=\"jpeg\",URI=\"thumbnails/index.m3u8\""
        );
    }

    #[test]
    fn the_image_set_is_that_of_the_dash_industry_forum() {
        let set = listing().set(7);
        let (template, one) = (set.SegmentTemplate.unwrap(), &set.representations[0]);
        assert_eq!((set.contentType.as_deref(), set.mimeType.as_deref()), (Some("image"), Some("image/jpeg")));
        assert_eq!(
            (template.duration, template.timescale, template.startNumber),
            (Some(50_000.0), Some(1000), Some(1))
        );
        assert_eq!((one.width, one.height), (Some(1420), Some(800)), "of a sheet");
        assert_eq!(one.essential_property[0].value.as_deref(), Some("5x5"));
    }
}
