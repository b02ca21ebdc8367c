//! The subtitles of a run: those of the source, and those of files beside it.

use vtp_engine::limits::{Limit, Limits};
use vtp_engine::source::SubtitleInfo;
use vtp_engine::subtitles::file::Parsed;
use vtp_engine::subtitles::{Cue, Cues, Shown, markup, shown};
use vtp_splitter::Source;
use vtp_stitcher::SubtitleTrack;

use crate::encode::failure::EncodeFailure;
use crate::encode::subtitles::{SubtitleArguments, SubtitleFile};
use crate::exit::Failure;

/// What the packager is told, and what a user should know.
#[derive(Debug, Default)]
pub(super) struct Subtitles {
    pub(super) tracks: Vec<SubtitleTrack>,
    pub(super) warnings: Vec<String>,
}

/// Reads the files that `request` names.
pub(super) fn read(request: &SubtitleArguments, limits: &Limits) -> Result<Vec<Parsed>, EncodeFailure> {
    let read = |file: &SubtitleFile| match file.read(limits) {
        Ok(parsed) => Ok(parsed),
        Err(Failure::Usage(message)) => Err(EncodeFailure::Usage(message)),
        Err(failure) => Err(EncodeFailure::Internal(anyhow::anyhow!("{failure:?}"))),
    };
    request.files.iter().map(read).collect()
}

/// All subtitles of an output of `source`, with those of `files`, which hold what `request` names.
pub(super) fn gather(request: &SubtitleArguments, source: &Source, files: &[Parsed], limits: &Limits) -> Subtitles {
    let mut all = Subtitles::default();
    if !request.no_subtitles {
        for (info, cues) in source.info.subtitles.iter().zip(&source.cues) {
            let name = format!("the subtitles in stream {}", info.stream);
            match checked(cues, limits) {
                Ok(cues) => all.add(&name, of_source(info), shown(&cues, source.origin_us())),
                Err(exceeded) => all.warnings.push(format!("{name} are left out: {exceeded}")),
            }
        }
    }
    // What a user asks for by name goes before what the source says.
    if request.files.iter().any(|file| file.default) {
        all.tracks.iter_mut().for_each(|track| track.default = false);
    }
    for (file, parsed) in request.files.iter().zip(files) {
        let name = format!("the subtitles in {}", file.path.display());
        all.warnings.extend(parsed.doubt.map(|doubt| format!("of {name}: {doubt}")));
        all.add(&name, of_file(file), shown(&parsed.cues, 0));
    }
    all
}

impl Subtitles {
    fn add(&mut self, name: &str, track: SubtitleTrack, shown: Shown) {
        self.warnings.extend(shown.left_out().iter().map(|what| format!("of {name}: {what}; they are left out")));
        match shown.cues.is_empty() {
            true => self.warnings.push(format!("{name} have no cue that could be shown; they are left out")),
            false => self.tracks.push(SubtitleTrack { cues: shown.cues, ..track }),
        }
    }
}

/// The same cues, whoever says that they are such: what a child says need not be true.
fn checked(cues: &[Cue], limits: &Limits) -> Result<Vec<Cue>, vtp_engine::limits::Exceeded> {
    let mut checked = Cues::new(*limits);
    for cue in cues {
        limits.check(Limit::Cue, cue.text.len() as u64)?;
        checked.push(cue.start_us, cue.end_us, markup::vtt(&cue.text, &cue.settings))?;
    }
    Ok(checked.into_vec())
}

fn of_source(info: &SubtitleInfo) -> SubtitleTrack {
    SubtitleTrack {
        language: info.language.clone(),
        title: info.title.clone(),
        default: info.default,
        forced: info.forced,
        hearing_impaired: info.hearing_impaired,
        cues: Vec::new(),
    }
}

fn of_file(file: &SubtitleFile) -> SubtitleTrack {
    SubtitleTrack {
        language: file.language.clone(),
        title: None,
        default: file.default,
        forced: file.forced,
        hearing_impaired: file.hearing_impaired,
        cues: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start_us: i64, text: &str) -> Cue {
        Cue { start_us, end_us: start_us + 1_000_000, settings: "x".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn cues_of_a_child_are_brought_into_order_whatever_it_says() {
        let checked = checked(&[cue(0, "a\n\n00:00.000 --> 00:01.000\n</v>b")], &Limits::DEFAULT).unwrap();
        assert_eq!(checked[0].text, "a\n00:00.000 --&gt; 00:01.000\nb");
        assert_eq!(checked[0].settings, "");
    }

    #[test]
    fn a_track_without_a_cue_to_show_is_left_out_with_a_sentence() {
        let mut all = Subtitles::default();
        let file: SubtitleFile = "x.srt".parse().unwrap();
        all.add("it", of_file(&file), shown(&[cue(-5_000_000, "x")], 0));
        assert!(all.tracks.is_empty());
        assert_eq!(all.warnings.len(), 2);
    }
}
