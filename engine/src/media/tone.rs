//! Maps pictures of a high dynamic range to the standard one: BT.709 in ten bits, limited range, by FFmpeg's filters (zimg
//! for the curves and primaries, Hable's curve for the tones). One picture in, one picture out.

use ffmpeg_next::ffi;

use super::condition::graph::Graph;
use super::{Error, Kind, Picture};
use crate::source::{Color, HdrMetadata, VideoInfo};

/// Luminance of white in the standard range, in cd/m².
const WHITE: f64 = 100.0;

/// The brightest that a source gets which does not say, in cd/m²: the display that hybrid log-gamma is defined for, and that
/// most films are mastered on. (The perceptual quantizer could express ten times as much; for that, all else would have to
/// be darker. FFmpeg's filters take the same.)
const USUALLY_BRIGHTEST: f64 = 1_000.0;

/// ITU-T H.273 code points of BT.2020, which BT.2100 takes over: primaries, and the matrix of non-constant luminance.
const PRIMARIES_BT2020: u8 = 9;
const MATRIX_BT2020: u8 = 9;
const UNSPECIFIED: u8 = 2;

/// Maps the pictures of one stream.
pub struct ToneMapper {
    filters: String,
    color: Color,
    graph: Option<(String, Graph)>,
}

impl ToneMapper {
    /// A mapper for the conditioned pictures of `video`, whose dynamic range is high.
    pub fn new(video: &VideoInfo) -> Self {
        let peak = brightest(&video.hdr) / WHITE;
        // What BT.2100 has one value for need not be said; players take it for granted, too.
        let or = |point: u8, usual: u8| if matches!(point, 0 | UNSPECIFIED) { usual } else { point };
        let color = Color {
            primaries: or(video.color.primaries, PRIMARIES_BT2020),
            matrix: or(video.color.matrix, MATRIX_BT2020),
            full_range: Some(video.color.full_range.unwrap_or(false)),
            ..video.color
        };
        let filters = format!(
            "zscale=transfer=linear:npl={WHITE},format=gbrpf32le,zscale=primaries=bt709,\
             tonemap=tonemap=hable:desat=0:peak={peak},zscale=transfer=bt709:matrix=bt709:range=limited,\
             format=yuv420p10le"
        );
        Self { filters, color, graph: None }
    }

    /// `picture` in the standard range.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for pictures that can't be filtered, or where FFmpeg lacks `zscale`; lack of memory.
    pub fn map(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let mut picture = picture.share()?;
        self.tell_colours(&mut picture);
        let shape = format!("{} {}", picture.size(), picture.pixel_format().0);
        if self.graph.as_ref().is_none_or(|(of, _)| *of != shape) {
            self.graph = Some((shape, Graph::open(&picture, &self.filters)?));
        }
        let Some((_, graph)) = &mut self.graph else {
            return Err(Error::new(Kind::Internal, "no graph to map tones with"));
        };
        graph.push(0, picture)?;
        match graph.pull()? {
            Some((_, mapped)) => Ok(mapped),
            None => Err(Error::new(Kind::Internal, "the tone mapper kept a picture")),
        }
    }

    /// Gives the picture the stream's colours: zimg takes what is not said for unknown, and refuses.
    fn tell_colours(&self, picture: &mut Picture) {
        let color = self.color;
        // SAFETY: the frame is valid, and the fields are enumerations of C, which are written as numbers of H.273.
        unsafe {
            let raw = picture.frame_mut().as_mut_ptr();
            std::ptr::addr_of_mut!((*raw).color_primaries).cast::<i32>().write(color.primaries.into());
            std::ptr::addr_of_mut!((*raw).color_trc).cast::<i32>().write(color.transfer.into());
            std::ptr::addr_of_mut!((*raw).colorspace).cast::<i32>().write(color.matrix.into());
            (*raw).color_range = super::scale::range(color.full_range);
            if (*raw).chroma_location == ffi::AVChromaLocation::AVCHROMA_LOC_UNSPECIFIED {
                (*raw).chroma_location = ffi::AVChromaLocation::AVCHROMA_LOC_LEFT;
            }
        }
    }
}

/// How bright the source gets, in cd/m²: by its content, its mastering display, or as is usual.
fn brightest(hdr: &HdrMetadata) -> f64 {
    let content = hdr.light.map(|light| f64::from(light.most)).filter(|most| *most > 0.0);
    let display = hdr.mastering.map(|display| f64::from(display.most) / 10_000.0).filter(|most| *most > 0.0);
    content.or(display).unwrap_or(USUALLY_BRIGHTEST).max(WHITE)
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;
    use crate::media::scale::{Scaler, Shape};
    use crate::media::testing::{decode_file, generate, picture, size, video};
    use crate::media::vmaf::tests::all_scores;
    use crate::source::{ContentLight, MasteringDisplay};

    fn hdr(transfer: u8) -> VideoInfo {
        let mut video = video(size(64, 64), "yuv420p10le");
        video.color = Color { primaries: 9, transfer, matrix: 9, full_range: Some(false), chroma_location: 3 };
        video
    }

    /// A grey picture whose luma is `level` of 1023.
    fn grey(level: u16) -> Picture {
        let (luma, chroma) = (level.to_le_bytes(), 512_u16.to_le_bytes());
        picture(size(64, 64), Pixel::YUV420P10LE, &move |plane, _, column| match plane {
            0 => luma[column % 2],
            _ => chroma[column % 2],
        })
    }

    fn luma_of(picture: &Picture) -> u16 {
        let row = picture.frame().data(0);
        u16::from_le_bytes([row[0], row[1]])
    }

    #[test]
    fn brighter_stays_brighter_and_black_stays_black() {
        for transfer in [16, 18] {
            let mut mapper = ToneMapper::new(&hdr(transfer));
            let mapped: Vec<u16> = [64, 300, 500, 700].map(|level| luma_of(&mapper.map(&grey(level)).unwrap())).into();
            assert!((60..70).contains(&mapped[0]), "{mapped:?}");
            assert!(mapped.windows(2).all(|pair| pair[0] < pair[1]), "{mapped:?}");
            assert!(mapped[3] <= 960, "{mapped:?}");
        }
    }

    #[test]
    fn the_result_says_that_it_is_bt709_whatever_the_source_leaves_unsaid() {
        let mut video = hdr(16);
        video.color = Color { transfer: 16, ..Color::UNSPECIFIED };
        let mapped = ToneMapper::new(&video).map(&grey(500)).unwrap();
        let color = mapped.color();
        assert_eq!((color.primaries, color.transfer, color.matrix, color.full_range), (1, 1, 1, Some(false)));
        assert_eq!(mapped.pixel_format().0, "yuv420p10le");
    }

    /// Both are the same filters, ours one picture at a time and from values that are told, FFmpeg's from frames.
    #[test]
    fn what_is_mapped_looks_as_ffmpegs_own_command_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let source = "testsrc2=size=320x180:rate=25:duration=0.4,format=gbrp10le,scale=out_color_matrix=bt2020,format=yuv420p10le";
        for (transfer, name) in [(16, "smpte2084"), (18, "arib-std-b67")] {
            let tags =
                ["-color_primaries", "bt2020", "-color_trc", name, "-colorspace", "bt2020nc", "-color_range", "tv"];
            let make = [&["-f", "lavfi", "-i", source][..], &tags, &["-c:v", "ffv1"]].concat();
            let Some(clip) = generate(folder.path(), "hdr.mkv", &make) else { return };
            let filters = "zscale=transfer=linear:npl=100,format=gbrpf32le,zscale=primaries=bt709,tonemap=hable:desat=0,\
                           zscale=transfer=bt709:matrix=bt709:range=limited,format=yuv420p10le";
            let map = ["-i", clip.to_str().unwrap(), "-vf", filters, "-c:v", "ffv1"];
            let theirs = decode_file(&generate(folder.path(), "sdr.mkv", &map).unwrap());
            let mut mapper = ToneMapper::new(&VideoInfo { size: size(320, 180), ..hdr(transfer) });
            let mut scaler = Scaler::new(&[Shape::measured(size(320, 180))], Color::BT709);
            let mut measured = |picture: &Picture| scaler.scale(picture).unwrap().remove(0);
            let reference: Vec<Picture> = theirs.iter().map(&mut measured).collect();
            let mut mapped = |picture: &Picture| measured(&mapper.map(picture).unwrap());
            let ours: Vec<Picture> = decode_file(&clip).iter().map(&mut mapped).collect();
            let scores = all_scores(&reference, &ours);
            assert!(scores.len() == 10 && scores.iter().all(|score| *score >= 95.0), "{name}: {scores:?}");
        }
    }

    #[test]
    fn how_bright_a_source_gets_is_told_by_its_content_before_its_display() {
        let display = MasteringDisplay { primaries: [[0; 2]; 3], white: [0; 2], most: 40_000_000, least: 50 };
        let light = |most| Some(ContentLight { most, most_mean: 0 });
        let told = |light, mastering| brightest(&HdrMetadata { mastering, light });
        assert_eq!(told(light(1200), Some(display)), 1200.0);
        assert_eq!(told(light(0), Some(display)), 4000.0);
        assert_eq!(told(None, None), 1000.0);
    }
}
