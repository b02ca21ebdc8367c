//! VMAF by libvmaf (Netflix, BSD-2-Clause-Patent): how alike two pictures look to people, 0 to 100.
//!
//! A score is predicted from features of a pair (VIF, ADM) and one of the reference alone (motion), which needs the
//! reference's neighbours too. So the two are kept apart: motion is [`super::motion`]'s, and libvmaf is given only the
//! pairs that are to be scored. Everything happens on the calling thread, and no picture is kept.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use libvmaf_sys as vmaf;

use super::{Error, Kind, Picture};
use crate::units::Size;

/// A model of how people judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// `vmaf_v0.6.1`: 1080 lines, seen from three times their height.
    Hd,
    /// `vmaf_4k_v0.6.1`: 2160 lines, seen from one and a half times their height.
    Uhd,
}

impl Model {
    /// The model for pictures of this size shown as they are.
    pub fn for_display(size: Size) -> Self {
        if size.height.min(size.width) > 1080 { Self::Uhd } else { Self::Hd }
    }

    /// Its name, as libvmaf has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hd => "vmaf_v0.6.1",
            Self::Uhd => "vmaf_4k_v0.6.1",
        }
    }

    fn version(self) -> &'static CStr {
        match self {
            Self::Hd => c"vmaf_v0.6.1",
            Self::Uhd => c"vmaf_4k_v0.6.1",
        }
    }
}

/// The smallest picture that is measured, in samples either way: libvmaf halves it four times, and compares
/// neighbourhoods in what is left.
pub const LEAST: u32 = 32;

/// What VIF and ADM say of a pair of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    vif: [f64; 4],
    adm: f64,
}

/// Extracts features of pairs of pictures of one size. Its working memory, some 50 bytes a sample, stays with it: reuse
/// it.
pub struct Extractor {
    context: Context,
    pairs: u32,
}

/// Pairs after which an extractor begins anew: libvmaf keeps what it extracted.
const MOST_PAIRS: u32 = 1 << 14;

impl Extractor {
    /// An extractor that has seen no pair yet; the first decides on the size.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn new() -> Result<Self, Error> {
        let context = Context::new()?;
        context.extract(c"vif")?;
        context.extract(c"adm")?;
        Ok(Self { context, pairs: 0 })
    }

    /// The features of a pair. All have 8 bits a sample and one size.
    ///
    /// # Errors
    /// [`Kind::Internal`] for pictures of another kind; lack of memory.
    pub fn extract(&mut self, reference: &Picture, distorted: &Picture) -> Result<Features, Error> {
        let (ours, theirs) = (reference.size(), distorted.size());
        if ours != theirs {
            return Err(Error::new(
                Kind::Internal,
                format!("a picture of {theirs} can't be compared with one of {ours}"),
            ));
        }
        if self.pairs == MOST_PAIRS {
            *self = Self::new()?;
        }
        let at = self.pairs;
        self.pairs += 1;
        self.context.read(Luma::of(reference)?, Luma::of(distorted)?, at)?;
        let mut vif = [0.0; 4];
        for (value, name) in vif.iter_mut().zip(VIF) {
            *value = self.context.feature(name, at)?;
        }
        Ok(Features { vif, adm: self.context.feature(ADM, at)? })
    }
}

const VIF: [&CStr; 4] = [
    c"VMAF_integer_feature_vif_scale0_score",
    c"VMAF_integer_feature_vif_scale1_score",
    c"VMAF_integer_feature_vif_scale2_score",
    c"VMAF_integer_feature_vif_scale3_score",
];
const ADM: &CStr = c"VMAF_integer_feature_adm2_score";
const MOTION: &CStr = c"VMAF_integer_feature_motion2_score";

/// What `model` predicts from the features of pairs and the motion of their references, in their order.
///
/// # Errors
/// [`Kind::Internal`] where libvmaf lacks the model; lack of memory.
pub fn scores(model: Model, pairs: &[(Features, f64)]) -> Result<Vec<f64>, Error> {
    let (context, model) = (Context::new()?, OwnedModel::load(model)?);
    let score = |(at, (features, motion)): (u32, &(Features, f64))| {
        for (name, value) in VIF.into_iter().zip(features.vif) {
            context.import(name, value, at)?;
        }
        context.import(ADM, features.adm, at)?;
        context.import(MOTION, *motion, at)?;
        context.predict(&model, at)
    };
    (0..).zip(pairs).map(score).collect()
}

/// libvmaf's context, owned.
struct Context(NonNull<vmaf::VmafContext>);

// SAFETY: the context is used by one thread at a time (it is not `Sync`), and without a thread pool it is bound to none.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is owned and closed once.
        unsafe { vmaf::vmaf_close(self.0.as_ptr()) };
    }
}

impl Context {
    fn new() -> Result<Self, Error> {
        let config = vmaf::VmafConfiguration {
            log_level: vmaf::VmafLogLevel::VMAF_LOG_LEVEL_NONE,
            n_threads: 0,
            n_subsample: 1,
            cpumask: 0,
        };
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` receives the context; the configuration is copied.
        check("preparing VMAF", unsafe { vmaf::vmaf_init(&mut raw, config) })?;
        NonNull::new(raw).map(Self).ok_or_else(no_memory)
    }

    /// Has a feature extracted from every pair.
    fn extract(&self, feature: &CStr) -> Result<(), Error> {
        // SAFETY: the context is valid; no dictionary of options is given.
        let code = unsafe { vmaf::vmaf_use_feature(self.0.as_ptr(), feature.as_ptr(), ptr::null_mut()) };
        check("preparing VMAF", code)
    }

    fn read(&self, mut reference: Luma, mut distorted: Luma, at: u32) -> Result<(), Error> {
        // SAFETY: the context and both pictures are valid; the callee takes the pictures' references.
        let code = unsafe { vmaf::vmaf_read_pictures(self.0.as_ptr(), &mut reference.0, &mut distorted.0, at) };
        // After an error, which ends the chunk, they are left to leak: it is not told whether they were given back.
        std::mem::forget((reference, distorted));
        check("measuring VMAF", code)
    }

    fn feature(&self, name: &CStr, at: u32) -> Result<f64, Error> {
        let mut score = 0.0;
        // SAFETY: the context is valid; `score` receives the answer.
        let code = unsafe { vmaf::vmaf_feature_score_at_index(self.0.as_ptr(), name.as_ptr(), &mut score, at) };
        check("reading a feature of VMAF", code).map(|()| score)
    }

    fn import(&self, name: &CStr, value: f64, at: u32) -> Result<(), Error> {
        // SAFETY: the context is valid; the name is copied.
        let code = unsafe { vmaf::vmaf_import_feature_score(self.0.as_ptr(), name.as_ptr(), value, at) };
        check("giving VMAF a feature", code)
    }

    fn predict(&self, model: &OwnedModel, at: u32) -> Result<f64, Error> {
        let mut score = 0.0;
        // SAFETY: the context and the model are valid; `score` receives the answer.
        let code = unsafe { vmaf::vmaf_score_at_index(self.0.as_ptr(), model.0.as_ptr(), &mut score, at) };
        check("predicting VMAF", code).map(|()| score)
    }
}

/// A built-in model, owned.
struct OwnedModel(NonNull<vmaf::VmafModel>);

// SAFETY: the model is used by one thread at a time and bound to none.
unsafe impl Send for OwnedModel {}

impl Drop for OwnedModel {
    fn drop(&mut self) {
        // SAFETY: the model is owned and destroyed once.
        unsafe { vmaf::vmaf_model_destroy(self.0.as_ptr()) };
    }
}

impl OwnedModel {
    fn load(model: Model) -> Result<Self, Error> {
        let mut config = vmaf::VmafModelConfig { name: ptr::null(), flags: 0 };
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` receives the model; the configuration and the version are only read.
        let code = unsafe { vmaf::vmaf_model_load(&mut raw, &mut config, model.version().as_ptr()) };
        if code != 0 {
            let what = format!("libvmaf was built without its model {}: install xxd and build it again", model.name());
            return Err(Error::new(Kind::Internal, what));
        }
        NonNull::new(raw).map(Self).ok_or_else(no_memory)
    }
}

/// The luma of a picture, copied into memory of libvmaf's. (No feature looks at chroma.)
struct Luma(vmaf::VmafPicture);

impl Drop for Luma {
    fn drop(&mut self) {
        // SAFETY: the picture holds one reference, which ends here.
        unsafe { vmaf::vmaf_picture_unref(&mut self.0) };
    }
}

impl Luma {
    fn empty(size: Size) -> Result<Self, Error> {
        // SAFETY: a picture of zeros is what the callee expects, and fills.
        let mut raw: vmaf::VmafPicture = unsafe { std::mem::zeroed() };
        let format = vmaf::VmafPixelFormat::VMAF_PIX_FMT_YUV400P;
        // SAFETY: as above.
        check("measuring VMAF", unsafe { vmaf::vmaf_picture_alloc(&mut raw, format, 8, size.width, size.height) })?;
        Ok(Self(raw))
    }

    fn of(picture: &Picture) -> Result<Self, Error> {
        let (size, (format, _)) = (picture.size(), picture.pixel_format());
        if !matches!(format.as_str(), "yuv420p" | "yuv422p" | "yuv444p" | "gray") || size.width.min(size.height) < LEAST
        {
            return Err(Error::new(Kind::Internal, format!("VMAF can't measure pictures of {size} in {format}")));
        }
        let luma = Self::empty(size)?;
        let (width, frame) = (size.width as usize, picture.frame());
        let (from, stride) = (frame.data(0), frame.stride(0));
        let into = usize::try_from(luma.0.stride[0]).map_err(|_| no_memory())?;
        for (row, line) in from.chunks(stride).take(size.height as usize).enumerate() {
            let line = line.get(..width).ok_or_else(|| Error::new(Kind::Internal, "a picture with short rows"))?;
            // SAFETY: the target has as many rows of `into` bytes as the picture is high, each at least `width` long.
            unsafe {
                let target = luma.0.data[0].cast::<u8>().add(row * into);
                ptr::copy_nonoverlapping(line.as_ptr(), target, width);
            }
        }
        Ok(luma)
    }
}

fn check(verb: &str, code: c_int) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error::code(verb, code)) }
}

fn no_memory() -> Error {
    Error::new(Kind::Retryable, "no memory for VMAF")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::media::motion::Motion;
    use crate::media::testing::{decode_file, generate};

    /// How much pictures move by libvmaf's own account.
    pub(crate) fn motion_of_libvmaf(pictures: &[Picture]) -> Vec<f64> {
        let run = |pictures: &[Picture]| -> Vec<f64> {
            let context = Context::new().unwrap();
            context.extract(c"motion").unwrap();
            for (at, picture) in (0..).zip(pictures) {
                context.read(Luma::of(picture).unwrap(), Luma::of(picture).unwrap(), at).unwrap();
            }
            // SAFETY: the context is valid; null pictures mean the end.
            let code = unsafe { vmaf::vmaf_read_pictures(context.0.as_ptr(), ptr::null_mut(), ptr::null_mut(), 0) };
            check("measuring VMAF", code).unwrap();
            (0..).zip(pictures).map(|(at, _)| context.feature(MOTION, at).unwrap()).collect()
        };
        let mut motion = run(pictures);
        // It takes a first picture for one that stands still.
        if pictures.len() > 1 {
            motion[0] = run(&pictures[..2])[1];
        }
        motion
    }

    /// Scores of `distorted` against `reference`, every picture of them.
    pub(crate) fn all_scores(reference: &[Picture], distorted: &[Picture]) -> Vec<f64> {
        let (mut motion, mut extractor) = (Motion::new(), Extractor::new().unwrap());
        let features = (0..).zip(reference.iter().zip(distorted)).map(|(at, (reference, distorted))| {
            motion.push(at, reference).unwrap();
            extractor.extract(reference, distorted).unwrap()
        });
        let features: Vec<Features> = features.collect();
        let pairs: Vec<_> = features.into_iter().zip(motion.finish().into_values()).collect();
        scores(Model::Hd, &pairs).unwrap()
    }

    fn clip(folder: &std::path::Path, name: &str, filter: &str) -> Option<Vec<Picture>> {
        let source = format!("testsrc2=size=320x180:rate=25:duration=0.4{filter}");
        let arguments = ["-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-c:v", "ffv1"];
        generate(folder, name, &arguments).map(|path| decode_file(&path))
    }

    #[test]
    fn equal_pictures_score_high_blurred_ones_less_and_others_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let Some(sharp) = clip(folder.path(), "sharp.mkv", "") else { return };
        let Some(blurred) = clip(folder.path(), "blurred.mkv", ",gblur=sigma=1.5") else { return };
        let Some(other) = clip(folder.path(), "other.mkv", ",negate,hflip") else { return };
        let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
        assert!(mean(all_scores(&sharp, &sharp)) > 97.0);
        let blurred = mean(all_scores(&sharp, &blurred));
        assert!((20.0..80.0).contains(&blurred), "{blurred}");
        assert!(mean(all_scores(&sharp, &other)) < 10.0);
    }

    #[test]
    fn a_pair_scores_the_same_alone_and_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let Some(sharp) = clip(folder.path(), "sharp.mkv", "") else { return };
        let Some(blurred) = clip(folder.path(), "blurred.mkv", ",gblur=sigma=0.8") else { return };
        let all = all_scores(&sharp, &blurred);
        let mut motion = Motion::new();
        (5..).zip(&sharp[5..8]).for_each(|(at, picture)| motion.push(at, picture).unwrap());
        let features = Extractor::new().unwrap().extract(&sharp[6], &blurred[6]).unwrap();
        let motion = motion.finish()[&6];
        assert_eq!(scores(Model::Hd, &[(features, motion)]).unwrap(), [all[6]]);
    }

    #[test]
    fn an_extractor_says_the_same_again_whatever_it_has_seen() {
        let folder = tempfile::tempdir().unwrap();
        let Some(sharp) = clip(folder.path(), "sharp.mkv", "") else { return };
        let Some(blurred) = clip(folder.path(), "blurred.mkv", ",gblur=sigma=0.8") else { return };
        let mut extractor = Extractor::new().unwrap();
        let first = extractor.extract(&sharp[0], &blurred[0]).unwrap();
        assert_ne!(extractor.extract(&sharp[1], &blurred[0]).unwrap(), first);
        extractor.pairs = MOST_PAIRS;
        assert_eq!(extractor.extract(&sharp[0], &blurred[0]).unwrap(), first);
    }

    #[test]
    fn pictures_that_do_not_match_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let Some(large) = clip(folder.path(), "large.mkv", "") else { return };
        let Some(small) = clip(folder.path(), "small.mkv", ",scale=160:90") else { return };
        assert!(Extractor::new().unwrap().extract(&large[0], &small[0]).is_err());
        assert!(scores(Model::Hd, &[]).unwrap().is_empty());
    }
}
