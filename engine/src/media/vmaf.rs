//! VMAF by libvmaf (Netflix, BSD-2-Clause-Patent): how alike two pictures look to people, 0 to 100.
//!
//! A score is predicted from features of a pair (VIF, ADM) and one of the reference alone (motion), which needs the
//! reference's neighbours too. So the two are kept apart: motion is told every reference picture in order, pairs only
//! those that are to be scored. Everything happens on the calling thread, and no picture is kept.

use std::collections::HashMap;
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

/// The motion feature of reference pictures: of each that comes between its own neighbours.
pub struct Motion {
    context: Context,
    pictures: u32,
}

impl Motion {
    /// Of no picture yet.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn new() -> Result<Self, Error> {
        let context = Context::new()?;
        context.extract(c"motion", &[(c"debug", c"true")])?;
        Ok(Self { context, pictures: 0 })
    }

    /// Takes the next picture in presentation order. Pictures have 8 bits a sample and one size.
    ///
    /// # Errors
    /// [`Kind::Internal`] for a picture of another kind; lack of memory.
    pub fn push(&mut self, picture: &Picture) -> Result<(), Error> {
        let (reference, unused) = (Luma::of(picture)?, Luma::empty(picture.size())?);
        self.context.read(reference, unused, self.pictures)?;
        self.pictures += 1;
        Ok(())
    }

    /// How much each picture moves: the lesser of its differences to the picture before and the picture after it. The
    /// first and the last have only one of these.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn finish(self) -> Result<Vec<f64>, Error> {
        if self.pictures == 0 {
            return Ok(Vec::new());
        }
        self.context.flush()?;
        let mut motion: Vec<f64> = (0..self.pictures)
            .map(|at| self.context.feature(c"VMAF_integer_feature_motion2_score", at))
            .collect::<Result<_, _>>()?;
        // libvmaf takes a first picture for one that stands still.
        if self.pictures > 1 {
            motion[0] = self.context.feature(c"VMAF_integer_feature_motion_score", 1)?;
        }
        Ok(motion)
    }
}

/// Scores pairs of pictures.
pub struct Scorer {
    context: Context,
    model: OwnedModel,
    pairs: Vec<u32>,
}

impl Scorer {
    /// A scorer of no pair yet.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn new(model: Model) -> Result<Self, Error> {
        let context = Context::new()?;
        context.extract(c"vif", &[])?;
        context.extract(c"adm", &[])?;
        Ok(Self { context, model: OwnedModel::load(model)?, pairs: Vec::new() })
    }

    /// Takes the pair numbered `at`. Each comes once, and all have 8 bits a sample and one size.
    ///
    /// # Errors
    /// [`Kind::Internal`] for pictures of another kind; lack of memory.
    pub fn push(&mut self, at: u32, reference: &Picture, distorted: &Picture) -> Result<(), Error> {
        let (ours, theirs) = (reference.size(), distorted.size());
        if ours != theirs {
            return Err(Error::new(
                Kind::Internal,
                format!("a picture of {theirs} can't be compared with one of {ours}"),
            ));
        }
        self.context.read(Luma::of(reference)?, Luma::of(distorted)?, at)?;
        self.pairs.push(at);
        Ok(())
    }

    /// The score of each pair with its number, in the order they came. `motion` is that of the references, by number.
    ///
    /// # Errors
    /// [`Kind::Internal`] if motion of a pair's reference is not known.
    pub fn finish(self, motion: &HashMap<u32, f64>) -> Result<Vec<(u32, f64)>, Error> {
        let score = |at: u32| {
            let unknown = || Error::new(Kind::Internal, format!("no motion is known of picture {at}"));
            let motion = motion.get(&at).ok_or_else(unknown)?;
            self.context.import(c"VMAF_integer_feature_motion2_score", *motion, at)?;
            Ok((at, self.context.predict(&self.model, at)?))
        };
        self.pairs.iter().map(|at| score(*at)).collect()
    }
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
    fn extract(&self, feature: &CStr, options: &[(&CStr, &CStr)]) -> Result<(), Error> {
        let mut dictionary = ptr::null_mut();
        for (key, value) in options {
            // SAFETY: the dictionary is null at first and then the callee's own; the strings are copied.
            let code = unsafe { vmaf::vmaf_feature_dictionary_set(&mut dictionary, key.as_ptr(), value.as_ptr()) };
            check("preparing VMAF", code)?;
        }
        // SAFETY: the context is valid; the dictionary, null or not, becomes the context's.
        let code = unsafe { vmaf::vmaf_use_feature(self.0.as_ptr(), feature.as_ptr(), dictionary) };
        check("preparing VMAF", code)
    }

    fn read(&self, mut reference: Luma, mut distorted: Luma, at: u32) -> Result<(), Error> {
        // SAFETY: the context and both pictures are valid; the callee takes the pictures' references.
        let code = unsafe { vmaf::vmaf_read_pictures(self.0.as_ptr(), &mut reference.0, &mut distorted.0, at) };
        // After an error, which ends the chunk, they are left to leak: it is not told whether they were given back.
        std::mem::forget((reference, distorted));
        check("measuring VMAF", code)
    }

    /// Ends reading.
    fn flush(&self) -> Result<(), Error> {
        // SAFETY: the context is valid; null pictures mean the end.
        let code = unsafe { vmaf::vmaf_read_pictures(self.0.as_ptr(), ptr::null_mut(), ptr::null_mut(), 0) };
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
mod tests {
    use super::*;
    use crate::media::testing::{decode_file, generate};

    fn numbered(motion: Motion) -> HashMap<u32, f64> {
        (0..).zip(motion.finish().unwrap()).collect()
    }

    /// Scores of `distorted` against `reference`, every picture of them.
    fn scores(reference: &[Picture], distorted: &[Picture]) -> Vec<f64> {
        let (mut motion, mut scorer) = (Motion::new().unwrap(), Scorer::new(Model::Hd).unwrap());
        for (at, (reference, distorted)) in reference.iter().zip(distorted).enumerate() {
            motion.push(reference).unwrap();
            scorer.push(at as u32, reference, distorted).unwrap();
        }
        scorer.finish(&numbered(motion)).unwrap().into_iter().map(|(_, score)| score).collect()
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
        assert!(mean(scores(&sharp, &sharp)) > 97.0);
        let blurred = mean(scores(&sharp, &blurred));
        assert!((20.0..80.0).contains(&blurred), "{blurred}");
        assert!(mean(scores(&sharp, &other)) < 10.0);
    }

    #[test]
    fn a_pair_scores_the_same_alone_and_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let Some(sharp) = clip(folder.path(), "sharp.mkv", "") else { return };
        let Some(blurred) = clip(folder.path(), "blurred.mkv", ",gblur=sigma=0.8") else { return };
        let all = scores(&sharp, &blurred);
        let (mut motion, mut scorer) = (Motion::new().unwrap(), Scorer::new(Model::Hd).unwrap());
        sharp[5..8].iter().for_each(|picture| motion.push(picture).unwrap());
        scorer.push(6, &sharp[6], &blurred[6]).unwrap();
        let motion = (5..).zip(motion.finish().unwrap()).collect();
        assert_eq!(scorer.finish(&motion).unwrap(), [(6, all[6])]);
    }

    #[test]
    fn pictures_that_do_not_match_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let Some(large) = clip(folder.path(), "large.mkv", "") else { return };
        let Some(small) = clip(folder.path(), "small.mkv", ",scale=160:90") else { return };
        let mut scorer = Scorer::new(Model::Hd).unwrap();
        assert!(scorer.push(0, &large[0], &small[0]).is_err());
        assert!(scorer.finish(&HashMap::new()).unwrap().is_empty());
    }

    #[test]
    fn motion_of_nothing_is_nothing_and_of_one_picture_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Motion::new().unwrap().finish().unwrap().is_empty());
        let Some(pictures) = clip(folder.path(), "one.mkv", "") else { return };
        let mut motion = Motion::new().unwrap();
        motion.push(&pictures[0]).unwrap();
        assert_eq!(motion.finish().unwrap(), [0.0]);
    }
}
