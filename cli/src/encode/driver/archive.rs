//! The archive of a run, if one is asked for: what goes into it, what can't, and what its user should know.

use vtp_engine::ladder::{Rendition, ffv1};
use vtp_engine::media::audio::AudioOutcome;
use vtp_splitter::Source;
use vtp_stitcher::{ArchiveSpec, AudioTrack};

use super::pass::Pass;
use crate::encode::failure::EncodeFailure;
use crate::encode::request::EncodeRequest;

/// Channels that FLAC has at most (RFC 9639 9.1.3).
const MOST_CHANNELS: u16 = 8;

/// The rendition that brings the archive's frames, if there is to be one.
///
/// # Errors
/// [`EncodeFailure::Usage`] if it can't hold what the source has.
pub(super) fn rendition(request: &EncodeRequest, source: &Source) -> Result<Option<Rendition>, EncodeFailure> {
    if !request.archive {
        return Ok(None);
    }
    let rendition = ffv1::rendition(&source.info.video);
    let rendition = rendition.map_err(|unheld| EncodeFailure::Usage(unheld.to_string()))?;
    match source.info.audio.iter().position(|track| track.channels > MOST_CHANNELS) {
        None => Ok(Some(rendition)),
        Some(place) => Err(EncodeFailure::Usage(format!(
            "audio track {} has {} channels, and FLAC holds no more than {MOST_CHANNELS}; leave ffv1 out of --files, or \
             split the track first",
            place + 1,
            source.info.audio[place].channels
        ))),
    }
}

/// What goes into it, with these tracks of sound.
pub(super) fn spec(pass: &Pass<'_>, rendition: &Rendition, sound: Vec<AudioTrack>) -> ArchiveSpec {
    let video = pass.source.info.video.clone();
    ArchiveSpec { rendition: rendition.clone(), video, sound, spool: pass.dirs.work.clone() }
}

/// What is not in it as it is in the source, by what became of its tracks of sound.
pub(super) fn warnings(pass: &Pass<'_>, sound: &[AudioOutcome]) -> Vec<String> {
    let mut warnings = Vec::new();
    if pass.archive.is_some() && !pass.source.info.video.rotation.is_identity() {
        let turned = "archive.mkv keeps the pictures as they are and says how they are to be turned, which some players \
                      pass over";
        warnings.push(turned.to_owned());
    }
    for (outcome, track) in sound.iter().zip(1..) {
        if outcome.kept.as_ref().is_some_and(|kept| kept.is_rounded) {
            let why = "its samples have more than the 24 bits to which they are rounded in archive.mkv";
            warnings.push(format!("audio track {track}: {why}"));
        }
    }
    warnings
}
