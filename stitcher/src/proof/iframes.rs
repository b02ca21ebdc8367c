//! The proof of an I-frame playlist, by reading it and what it names: each range is inside its file, is a fragment of one
//! key picture and nothing else, and that picture is shown when the playlist says. No segment is without one.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use m3u8_rs::MediaPlaylist;

use super::Violation;
use super::read::{self, Reason};
use crate::boxes::codec::VideoConfig;
use crate::listing::Listing;

/// By how many seconds a time of the playlist may be off: playlists are written to the microsecond, in single precision.
fn slack(seconds: f64) -> f64 {
    2e-6 + 1e-7 * seconds
}

/// Holds the playlist that stands in `file` against the segments of the rendition `listing` in `folder`.
pub(crate) fn check(file: &Path, folder: &Path, listing: &Listing, video: &VideoConfig) -> Result<(), Violation> {
    let wrong = |reason: String| Violation::KeyPictures { track: listing.folder.clone(), reason };
    let bytes = fs::read(file).map_err(|error| read::unreadable(file, Reason::Io(error)))?;
    let (_, playlist) = m3u8_rs::parse_media_playlist(&bytes).map_err(|error| wrong(error.to_string()))?;
    let MediaPlaylist { i_frames_only, end_list, segments, .. } = playlist;
    let map = segments.first().and_then(|first| first.map.as_ref()).filter(|_| i_frames_only && end_list);
    let map = map.ok_or_else(|| wrong("not a finished one with an initialization segment".to_owned()))?;
    let init = read::init(&folder.join(&map.uri))?;
    let seconds = |ticks: i64| ticks as f64 / f64::from(init.timescale);
    // When the next picture must be shown.
    let mut due: Option<f64> = None;
    let mut named = HashSet::new();
    for (segment, number) in segments.iter().zip(1..) {
        let range = segment.byte_range.as_ref().and_then(|range| Some((range.offset?, range.length)));
        let (offset, length) = range.ok_or_else(|| wrong(format!("picture {number} has no range")))?;
        let range = offset..offset.saturating_add(length);
        let picture = read::picture(&folder.join(&segment.uri), range, init, video)?;
        let shown = seconds(picture.shown);
        if !picture.is_key {
            return Err(wrong(format!("picture {number} is no key picture")));
        }
        if due.is_some_and(|due| (due - shown).abs() > slack(f64::from(segment.duration))) || segment.duration <= 0.0 {
            return Err(wrong(format!("picture {number} is shown at {shown} s, and it says another time")));
        }
        due = Some(shown + f64::from(segment.duration));
        named.insert(segment.uri.as_str());
    }
    let end = listing.interval().map(|(_, end)| end);
    match (due, end) {
        (Some(due), Some(end)) if (due - end).abs() <= slack(end) => {}
        _ => return Err(wrong(format!("it ends at {due:?} s, the segments at {end:?} s"))),
    }
    if named.len() == listing.segments.len() {
        return Ok(());
    }
    Err(wrong(format!("it names pictures in {} of {} segments", named.len(), listing.segments.len())))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vtp_engine::ladder::VideoCodec;
    use vtp_engine::source::{Color, HdrMetadata, Rotation};
    use vtp_engine::units::{Ratio, Size};

    use super::*;
    use crate::boxes::{FragmentSamples, VideoInit, fragment_head, segment_type, video_init};
    use crate::cut::TimedSample;
    use crate::listing::{INIT, Written};

    const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

    /// A picture's segment, the fragments it starts and ends with, and EXTINF.
    type Row = (u32, usize, usize, f64);

    /// Two segments of two frames, each frame a fragment, a second long; the first of each a key picture.
    struct Rendition {
        folder: tempfile::TempDir,
        listing: Listing,
        config: VideoConfig,
        /// Where the fragments of either segment start and end.
        edges: [u64; 3],
    }

    impl Rendition {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = VideoConfig::new(VideoCodec::H264, &RECORD).unwrap();
            let init = VideoInit {
                timescale: 10,
                size: Size { width: 64, height: 36 },
                sample_aspect: Ratio::ONE,
                color: Color::UNSPECIFIED,
                hdr: HdrMetadata::default(),
                rotation: Rotation::default(),
                config: config.clone(),
                delay: 0,
            };
            fs::write(folder.path().join(INIT), video_init(&init).unwrap()).unwrap();
            let mut edges = [0; 3];
            let mut written = Vec::new();
            for segment in 0..2 {
                let mut bytes = segment_type().unwrap();
                edges[0] = bytes.len() as u64;
                for (frame, kind) in [(0, 0x65), (1, 0x41)] {
                    let sample = TimedSample { size: 6, duration: 10, composition: 0, sync: frame == 0 };
                    let (sequence, start) = (2 * segment + frame + 1, u64::from(20 * segment + 10 * frame));
                    bytes.extend(
                        fragment_head(sequence, start, FragmentSamples::Video { samples: &[sample], delay: 0 })
                            .unwrap(),
                    );
                    bytes.extend([0, 0, 0, 2, kind, 1]);
                    edges[frame as usize + 1] = bytes.len() as u64;
                }
                fs::write(folder.path().join(format!("{segment}.m4s")), &bytes).unwrap();
                let start = u64::from(20 * segment);
                written.push(Written { start, ticks: 20, bytes: bytes.len() as u64, samples: 2 });
            }
            Self { folder, listing: Listing::new("hd".into(), "avc1".into(), 10, &written, 0), config, edges }
        }

        /// What becomes of a playlist of these pictures.
        fn judge(&self, pictures: &[Row]) -> Result<(), Violation> {
            let rows = pictures.iter().map(|(segment, start, end, seconds)| {
                let (start, end) = (self.edges[*start], self.edges[*end]);
                format!("#EXT-X-BYTERANGE:{}@{start}\n#EXTINF:{seconds:.6},\n{segment}.m4s\n", end - start)
            });
            let rows: String = rows.collect();
            self.judge_text(&format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n{rows}#EXT-X-ENDLIST\n"
            ))
        }

        fn judge_text(&self, text: &str) -> Result<(), Violation> {
            let file: PathBuf = self.folder.path().join("iframes.m3u8");
            fs::write(&file, text).unwrap();
            check(&file, self.folder.path(), &self.listing, &self.config)
        }
    }

    #[test]
    fn a_faithful_playlist_is_proved() {
        assert_eq!(Rendition::new().judge(&[(0, 0, 1, 2.0), (1, 0, 1, 2.0)]), Ok(()));
    }

    #[test]
    fn every_untruth_is_found() {
        let rendition = Rendition::new();
        let untruths: [(&str, &[Row]); 8] = [
            ("another picture", &[(0, 1, 2, 2.0), (1, 0, 1, 2.0)]),
            ("two pictures", &[(0, 0, 2, 2.0), (1, 0, 1, 2.0)]),
            ("not from a moof on", &[(0, 0, 1, 2.0), (1, 0, 0, 2.0)]),
            ("another time", &[(0, 0, 1, 1.9), (1, 0, 1, 2.1)]),
            ("out of order", &[(1, 0, 1, 2.0), (0, 0, 1, 2.0)]),
            ("an end too early", &[(0, 0, 1, 2.0), (1, 0, 1, 1.0)]),
            ("a segment left out", &[(0, 0, 1, 4.0)]),
            ("a file that is not there", &[(0, 0, 1, 2.0), (7, 0, 1, 2.0)]),
        ];
        for (what, pictures) in untruths {
            let found = rendition.judge(pictures);
            let refused = matches!(found, Err(Violation::KeyPictures { .. } | Violation::Unreadable { .. }));
            assert!(refused, "{what}: {found:?}");
        }
    }

    #[test]
    fn a_range_beyond_the_file_or_without_an_offset_is_refused() {
        let rendition = Rendition::new();
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n";
        for range in [format!("{}@24", 1_u64 << 60), "130".to_owned(), format!("24@{}", u64::MAX)] {
            let text = format!("{head}#EXT-X-BYTERANGE:{range}\n#EXTINF:4,\n0.m4s\n#EXT-X-ENDLIST\n");
            assert!(rendition.judge_text(&text).is_err(), "{range}");
        }
        assert!(rendition.judge_text("#EXTM3U\n#EXTINF:4,\n0.m4s\n#EXT-X-ENDLIST\n").is_err(), "not of I-frames");
    }
}
