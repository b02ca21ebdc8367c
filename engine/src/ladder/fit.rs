//! Which renditions a source gets. Refuses to upscale and to exceed what H.264 can hold.

use crate::source::{DynamicRange, SourceInfo, VideoInfo};
use crate::units::{BitRate, Size};

use super::geometry::{display_size, even_up, in_sixteen_bits, sample_aspect, size_at};
use super::rate::cap_for;
use super::{LadderRequest, Look, Method, Preset, Rendition, Search, VideoCodec};

/// x264's presets, which are the speeds, fastest first. x265 has the same ones; those of other encoders go by the nearest.
pub const SPEEDS: [&str; 10] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"];

/// Speed of capped renditions where none is asked for: x264's own.
const DEFAULT_SPEED: &str = "medium";

/// Speed of lossless renditions where none is asked for. What a slower search finds is mostly lost on a
/// residual that is kept whole: it saves a few per cent of the bytes for several times the CPU.
const DEFAULT_LOSSLESS_SPEED: &str = "veryfast";

/// The VBV holds this many seconds at the capped rate.
const BUFFER_S: u64 = 2;

/// The least width and height of a scaled rung: a macroblock.
const LEAST_SIDE: u32 = 16;

/// The least width and height that an encoder takes: SVT-AV1 refuses smaller ones, and in x265's lookahead memory is overwritten
/// below its largest block (3.5, 34 to 48 samples).
fn least_side(codec: VideoCodec) -> u32 {
    match codec {
        VideoCodec::H264 | VideoCodec::Vp9 => 1,
        VideoCodec::Hevc | VideoCodec::Av1 => 64,
    }
}

/// The greatest width and height that common H.264 decoders accept.
const GREATEST_SIDE: u32 = 16_384;

/// Macroblocks in a frame at level 6.2 (Rec. ITU-T H.264, table A-1, MaxFS).
const MOST_MACROBLOCKS: u64 = 139_264;

/// What the user may set for all renditions of a ladder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LadderOptions {
    /// The codecs, the one that everybody plays first; H.264 if there are none. Every rung is made with each.
    pub codecs: Vec<VideoCodec>,
    /// The constant rate factors.
    pub crf: FactorRequest,
    /// Bits a sample, 8 or 10; if `None`, 10 where the source has more than 8 and the codec has a profile for it that is
    /// common, else 8. In 8 bits a high dynamic range becomes the standard one.
    pub depth: Option<u8>,
    /// One of [`SPEEDS`]; if `None`, `medium` for capped renditions and `veryfast` for lossless ones.
    pub speed: Option<String>,
}

/// Which constant rate factors are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FactorRequest {
    /// Each codec's own.
    #[default]
    Default,
    /// This one; there must be one codec only, as each has a scale of its own.
    One(f32),
    /// One for each of these codecs, and for others their own.
    Each(Vec<(VideoCodec, f32)>),
}

impl FactorRequest {
    fn of(&self, codec: VideoCodec) -> f32 {
        match self {
            Self::Default => None,
            Self::One(crf) => Some(*crf),
            Self::Each(list) => list.iter().find(|(of, _)| *of == codec).map(|(_, crf)| *crf),
        }
        .unwrap_or_else(|| codec.default_crf())
    }
}

/// The renditions of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// At least one, best first: archive, copy, then by falling height. Their names differ.
    pub renditions: Vec<Rendition>,
    /// What a user should know, in sentences.
    pub warnings: Vec<String>,
}

/// Why no ladder can be made. None of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The list of presets is empty.
    #[error("no rung was asked for: give auto, or some of mobile, standard, hd, 4k, archive and copy")]
    Empty,
    /// A rung by name is higher than the source.
    #[error("{asked} is higher than the source, which is shown at {source_size}, and nothing is upscaled: {possible}")]
    Upscale {
        /// The rung's name.
        asked: Preset,
        /// The source on a screen.
        source_size: Size,
        /// What can be asked for instead, as a clause.
        possible: String,
    },
    /// The picture is beyond H.264's highest level.
    #[error(
        "{name} would be {size}, and H.264 goes no further than 16384x16384 and 139264 macroblocks a picture (level 6.2)"
    )]
    TooLarge {
        /// The rendition's name.
        name: String,
        /// Its size.
        size: Size,
    },
    /// The picture is smaller than the encoder takes.
    #[error("{name} would be {size}, and {} takes no picture below {least}x{least}: leave {codec} out", .codec.encoder_name())]
    TooSmall {
        /// The codec.
        codec: VideoCodec,
        /// The least width and height.
        least: u32,
        /// The rendition's name.
        name: String,
        /// Its size.
        size: Size,
    },
    /// H.264 crops subsampled pictures by whole chroma samples, so an odd size cannot be kept as it is.
    #[error("archive keeps the frames as they are, and H.264 cannot hold {size} in {pixel_format}: leave archive out")]
    OddArchive {
        /// Size of the source's pictures.
        size: Size,
        /// Their pixel format.
        pixel_format: String,
    },
    /// The constant rate factor is out of range.
    #[error("a constant rate factor of {crf} is none of {codec}'s: {} (best) to {} (smallest), in steps of {}",
        .codec.factors().least, .codec.factors().most, 1.0 / .codec.factors().to_one)]
    Crf {
        /// The codec.
        codec: VideoCodec,
        /// What was asked for.
        crf: f32,
    },
    /// One factor for codecs that have scales of their own.
    #[error("each codec has its own scale of rate factors: give one for each, such as h264=23,hevc=28")]
    AmbiguousCrf,
    /// The codec has no common profile for that many bits a sample.
    #[error("{codec} in {depth} bits is played by hardly anything: leave {codec} out, or ask for 8 bits")]
    Depth {
        /// The codec.
        codec: VideoCodec,
        /// Bits a sample.
        depth: u8,
    },
    /// No preset of x264 has this name.
    #[error(
        "unknown speed {0:?}: the speeds are ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow and placebo"
    )]
    Speed(String),
}

impl Error {
    /// Whether other options would help; otherwise it is the source that cannot be used.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }
}

/// The renditions that `request` means for this source.
///
/// A rung's height is that of the upright picture in square pixels. Presets asked for twice are made once.
/// A rung less than 16 pixels wide or high is left out, with a warning, where a larger one exists.
pub fn ladder(request: &LadderRequest, source: &SourceInfo, options: &LadderOptions) -> Result<Ladder, Error> {
    check(options)?;
    let fit = Fit { video: &source.video, display: display_size(&source.video), options };
    let mut warnings = Vec::new();
    let (kept, scaled) = match request {
        LadderRequest::Auto | LadderRequest::Smart => (Vec::new(), fit.auto(&mut warnings)?),
        LadderRequest::Presets(presets) => (fit.kept(presets)?, fit.named(presets)?),
    };
    let mut renditions = kept;
    renditions.extend(leave_out_slivers(scaled, &mut warnings));
    if renditions.is_empty() { Err(Error::Empty) } else { Ok(Ladder { renditions, warnings }) }
}

fn check(options: &LadderOptions) -> Result<(), Error> {
    let codecs = codecs(options);
    for &codec in codecs {
        let (factors, crf) = (codec.factors(), options.crf.of(codec));
        let is_one = (factors.at_most(crf.into()) - f64::from(crf)).abs() < 1e-3;
        // x264's and x265's are numbers of any kind; tenths are what the gate works in.
        if !(factors.least..=factors.most).contains(&crf.into()) || factors.to_one <= 1.0 && !is_one {
            return Err(Error::Crf { codec, crf });
        }
        if let Some(depth) = options.depth.filter(|&depth| depth > 8 && !codec.holds_ten_bits()) {
            return Err(Error::Depth { codec, depth });
        }
    }
    if matches!(options.crf, FactorRequest::One(_)) && codecs.len() > 1 {
        return Err(Error::AmbiguousCrf);
    }
    match &options.speed {
        Some(speed) if !SPEEDS.contains(&speed.as_str()) => Err(Error::Speed(speed.clone())),
        _ => Ok(()),
    }
}

/// The codecs of a ladder.
fn codecs(options: &LadderOptions) -> &[VideoCodec] {
    if options.codecs.is_empty() { &[VideoCodec::H264] } else { &options.codecs }
}

struct Fit<'a> {
    video: &'a VideoInfo,
    display: Size,
    options: &'a LadderOptions,
}

impl Fit<'_> {
    /// The source's height as a rung: even, so at most one line more than the source has.
    fn own_height(&self) -> u32 {
        even_up(self.display.height)
    }

    /// The presets at or below the source, lowest first.
    fn rungs_within(&self) -> impl Iterator<Item = (Preset, u32)> {
        let own = self.own_height();
        Preset::ALL.into_iter().filter_map(|p| Some((p, p.height()?))).filter(move |(_, height)| *height <= own)
    }

    fn auto(&self, warnings: &mut Vec<String>) -> Result<Vec<Rendition>, Error> {
        let presets = self.rungs_within().map(|(preset, height)| (preset.name().to_owned(), height, preset.max_rate()));
        let is_preset = self.rungs_within().any(|(_, height)| height == self.own_height());
        let own = (!is_preset).then(|| self.own_rung());
        let (mut fitting, mut refused) = (Vec::new(), Vec::new());
        let rungs = presets.chain(own).flat_map(|(name, height, cap)| {
            codecs(self.options).iter().rev().map(move |&codec| self.scaled(&name, height, cap, codec))
        });
        for rung in rungs {
            match rung {
                Ok(rung) => fitting.push(rung),
                Err(error) => refused.push(error),
            }
        }
        if fitting.is_empty() && !refused.is_empty() {
            return Err(refused.remove(0));
        }
        warnings.extend(refused.into_iter().map(|error| format!("A rung is left out: {error}.")));
        fitting.reverse();
        Ok(fitting)
    }

    fn own_rung(&self) -> (String, u32, Option<BitRate>) {
        let height = self.own_height();
        // A narrow picture has few pixels for its height; it is still better than the rungs below it.
        let below = self.rungs_within().filter_map(|(preset, _)| preset.max_rate()).max();
        let cap = cap_for(size_at(self.display, height));
        (format!("{height}p"), height, Some(below.map_or(cap, |below| cap.max(below))))
    }

    /// The presets among those asked for that scale, highest first.
    fn named(&self, presets: &[Preset]) -> Result<Vec<Rendition>, Error> {
        let asked = Preset::ALL.into_iter().rev().filter(|preset| presets.contains(preset));
        let asked = asked.filter_map(|preset| Some((preset, preset.height()?)));
        let each = asked.flat_map(|(p, height)| codecs(self.options).iter().map(move |&c| self.one(p, height, c)));
        each.collect()
    }

    fn one(&self, asked: Preset, height: u32, codec: VideoCodec) -> Result<Rendition, Error> {
        if height > self.own_height() {
            return Err(Error::Upscale { asked, source_size: self.display, possible: self.possible() });
        }
        self.scaled(asked.name(), height, asked.max_rate(), codec)
    }

    fn possible(&self) -> String {
        let names: Vec<_> = self.rungs_within().map(|(preset, _)| preset.name()).collect();
        match names.as_slice() {
            [] => "no rung by name is low enough, auto keeps the source's own height".to_owned(),
            names => {
                format!("{} are possible, auto picks what fits", [names, &["archive", "copy"]].concat().join(", "))
            }
        }
    }

    fn scaled(&self, rung: &str, height: u32, cap: Option<BitRate>, codec: VideoCodec) -> Result<Rendition, Error> {
        let size = size_at(self.display, height);
        let is_first = codecs(self.options).first() == Some(&codec);
        let name = if is_first { rung.to_owned() } else { format!("{rung}-{codec}") };
        check_limits(&name, size)?;
        let least = least_side(codec);
        if size.width.min(size.height) < least {
            return Err(Error::TooSmall { codec, least, name, size });
        }
        let cap = cap.unwrap_or_else(|| cap_for(size));
        let max_rate = BitRate((cap.0 as f64 * codec.share_of_cap()) as u64);
        let speed = self.speed(DEFAULT_SPEED);
        let is_hdr = self.video.color.dynamic_range() != DynamicRange::Standard;
        let depth = self.depth(codec, is_hdr);
        let method = Method::Capped {
            codec,
            depth,
            look: if is_hdr && depth == 8 { Look::Sdr } else { Look::Kept },
            crf: self.options.crf.of(codec),
            max_rate,
            buffer_bits: max_rate.0.saturating_mul(BUFFER_S),
            search: Search::of_speed(&speed),
            speed,
        };
        Ok(Rendition { name, size, sample_aspect: sample_aspect(self.video, size), method })
    }

    /// Eight bits show steps in a high dynamic range. A source of ten keeps them where hardware that plays the codec plays
    /// them, too: all that plays AV1, and nearly all that plays H.265.
    fn depth(&self, codec: VideoCodec, is_hdr: bool) -> u8 {
        let is_common = matches!(codec, VideoCodec::Hevc | VideoCodec::Av1);
        let deep = is_hdr && codec.holds_ten_bits() || is_common && is_deep(&self.video.pixel_format);
        self.options.depth.unwrap_or(if deep { 10 } else { 8 })
    }

    fn speed(&self, default: &str) -> String {
        self.options.speed.clone().unwrap_or_else(|| default.to_owned())
    }

    /// The presets among those asked for that keep the source's pictures, lossless first.
    fn kept(&self, presets: &[Preset]) -> Result<Vec<Rendition>, Error> {
        let mut kept = Vec::new();
        if presets.contains(&Preset::Archive) {
            self.check_archive()?;
            kept.push(self.as_it_is(Preset::Archive, Method::Lossless { speed: self.speed(DEFAULT_LOSSLESS_SPEED) }));
        }
        if presets.contains(&Preset::Copy) {
            kept.push(self.as_it_is(Preset::Copy, Method::Copy));
        }
        Ok(kept)
    }

    fn as_it_is(&self, preset: Preset, method: Method) -> Rendition {
        let sample_aspect = in_sixteen_bits(self.video.sample_aspect);
        Rendition { name: preset.name().to_owned(), size: self.video.size, sample_aspect, method }
    }

    fn check_archive(&self) -> Result<(), Error> {
        let (size, format) = (self.video.size, &self.video.pixel_format);
        check_limits(Preset::Archive.name(), size)?;
        let is_any = |names: [&str; 4]| names.iter().any(|name| format.contains(name));
        let halves_rows = is_any(["420", "nv12", "nv21", "p010"]);
        let halves_columns = halves_rows || is_any(["422", "nv16", "nv20", "p210"]);
        if halves_columns && size.width % 2 == 1 || halves_rows && size.height % 2 == 1 {
            return Err(Error::OddArchive { size, pixel_format: format.clone() });
        }
        Ok(())
    }
}

/// Whether samples of a pixel format, by FFmpeg's name, have more than eight bits: they take two bytes, whose order the
/// name tells. (So do whole pixels in three formats of few colours.)
fn is_deep(pixel_format: &str) -> bool {
    let bits = pixel_format.strip_prefix("rgb").or_else(|| pixel_format.strip_prefix("bgr"));
    let of_few_colours = bits.is_some_and(|bits| ["444", "555", "565"].iter().any(|few| bits.starts_with(few)));
    (pixel_format.ends_with("le") || pixel_format.ends_with("be")) && !of_few_colours
}

fn check_limits(name: &str, size: Size) -> Result<(), Error> {
    let blocks = u64::from(size.width.div_ceil(16)) * u64::from(size.height.div_ceil(16));
    if size.width > GREATEST_SIDE || size.height > GREATEST_SIDE || blocks > MOST_MACROBLOCKS {
        return Err(Error::TooLarge { name: name.to_owned(), size });
    }
    Ok(())
}

/// Leaves out, of rungs from the highest to the lowest, those that are too narrow or low; never the highest.
fn leave_out_slivers(rungs: Vec<Rendition>, warnings: &mut Vec<String>) -> Vec<Rendition> {
    let mut kept: Vec<Rendition> = Vec::new();
    for rung in rungs {
        if !kept.is_empty() && rung.size.width.min(rung.size.height) < LEAST_SIDE {
            warnings.push(format!("{} is left out: it would be only {}.", rung.name, rung.size));
        } else {
            kept.push(rung);
        }
    }
    kept
}
