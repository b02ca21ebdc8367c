//! Subtitles that are given beside a source: what the command line says of a file, and what is in it. Reads no source.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use vtp_engine::limits::Limits;
use vtp_engine::subtitles::file::{self, Parsed};
use vtp_stitcher::language::Language;

use crate::exit::Failure;
use crate::exit::advice;

/// Which subtitles go into the output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Subtitles")]
pub struct SubtitleArguments {
    /// Add subtitles from a SubRip, WebVTT or ASS file, whose times count from the start of the output. SPEC are a language
    /// and some of forced, default, sdh, parted by commas, as in de,forced=signs.srt; without it the file's name tells, as
    /// film.de.srt does. Can be given several times
    #[arg(long = "subtitle", value_name = "[SPEC=]FILE")]
    pub files: Vec<SubtitleFile>,

    /// Leave out the subtitles of the source
    #[arg(long)]
    pub no_subtitles: bool,
}

/// A file of subtitles, and what is to be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtitleFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its language (BCP 47), if it is known.
    pub language: Option<String>,
    /// Whether it is shown when the user has no preference.
    pub default: bool,
    /// Whether it has to be shown to everybody.
    pub forced: bool,
    /// Whether it also tells what there is to hear.
    pub hearing_impaired: bool,
}

impl FromStr for SubtitleFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = Self::bare(Path::new(text));
        // An equals sign may also belong to the file's name.
        if let Some((words, path)) = text.split_once('=')
            && !words.contains(['/', '\\'])
            && !Path::new(text).exists()
        {
            spec = Self::bare(Path::new(path));
            for word in words.split(',').map(str::trim) {
                if !spec.take(word) {
                    return Err(format!(
                        "{word:?} is neither a language nor forced, default or sdh; write as in de,forced=signs.srt"
                    ));
                }
            }
        } else if let Some(name) = spec.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) {
            // What tells stands at the end of a name, never at its beginning.
            let words = name.split('.').skip(1).collect::<Vec<_>>();
            for word in words.into_iter().rev() {
                if !spec.take(word) {
                    break;
                }
            }
        }
        if spec.path.as_os_str().is_empty() {
            Err("a file is missing behind the equals sign".to_owned())
        } else {
            Ok(spec)
        }
    }
}

impl SubtitleFile {
    fn bare(path: &Path) -> Self {
        Self { path: path.to_owned(), language: None, default: false, forced: false, hearing_impaired: false }
    }

    /// Takes a word that tells something, if it does.
    fn take(&mut self, word: &str) -> bool {
        match word.to_ascii_lowercase().as_str() {
            "forced" => self.forced = true,
            "default" => self.default = true,
            "sdh" | "cc" => self.hearing_impaired = true,
            _ if self.language.is_none() && is_language(word) => self.language = Some(word.to_owned()),
            _ => return false,
        }
        true
    }

    /// What is in it.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it can't be read, or is no file of subtitles.
    pub(crate) fn read(&self, limits: &Limits) -> Result<Parsed, Failure> {
        crate::probe::require_subtitles(&self.path)?;
        let refuse = |why: String| Failure::Usage(format!("{} can't be used as subtitles: {why}", self.path.display()));
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(&self.path);
        opened
            .and_then(|file| file.take(limits.subtitles.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|error| refuse(format!("{error}{}", advice(&error))))?;
        file::parse(&bytes, limits).map_err(|error| refuse(error.to_string()))
    }

    /// Refuses a file that would be deleted with what is in `out`.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(crate) fn require_outside(&self, out: &Path) -> Result<(), Failure> {
        match (self.path.canonicalize(), out.canonicalize()) {
            (Ok(path), Ok(out)) if path.starts_with(&out) => Err(Failure::Usage(format!(
                "{} lies in the folder that is written, {}; choose another --out",
                path.display(),
                out.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether `word` is a language as a user would write it: a code of two or three letters, with a region perhaps.
fn is_language(word: &str) -> bool {
    let base = word.split(['-', '_']).next().unwrap_or_default();
    (2..=3).contains(&base.len()) && (Language::of(Some(word)).is_known() || word == "und")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (String, Option<String>, [bool; 3]) {
        let SubtitleFile { path, language, default, forced, hearing_impaired } = text.parse().unwrap();
        (path.display().to_string(), language, [default, forced, hearing_impaired])
    }

    #[test]
    fn a_file_is_told_of_before_the_equals_sign_or_in_its_name() {
        let de = || Some("de".to_owned());
        assert_eq!(told("film.srt"), ("film.srt".to_owned(), None, [false; 3]));
        assert_eq!(told("de=film.srt"), ("film.srt".to_owned(), de(), [false; 3]));
        assert_eq!(told("de,forced,default=a:b.vtt"), ("a:b.vtt".to_owned(), de(), [true, true, false]));
        assert_eq!(told("sdh=x/y=z.vtt"), ("x/y=z.vtt".to_owned(), None, [false, false, true]));
        assert_eq!(told("film.de.srt"), ("film.de.srt".to_owned(), de(), [false; 3]));
        assert_eq!(told("the.film.pt-BR.Forced.ass").1, Some("pt-BR".to_owned()));
        assert!(told("the.film.pt-BR.Forced.ass").2[1]);
        assert_eq!(told("de.srt").1, None, "a whole name is no language");
        assert_eq!(told("dir/a=b.srt"), ("dir/a=b.srt".to_owned(), None, [false; 3]));
    }

    #[test]
    fn words_that_tell_nothing_are_refused() {
        for text in ["german=film.srt", "de,forcd=film.srt", "=film.srt", "de="] {
            assert!(text.parse::<SubtitleFile>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_holds_no_cue_is_a_usage_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.srt");
        std::fs::write(&path, "hello").unwrap();
        let failure = SubtitleFile::bare(&path).read(&Limits::DEFAULT).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.message().is_some_and(|message| message.contains("x.srt") && message.contains("SubRip")));
        let missing = SubtitleFile::bare(&folder.path().join("no.srt")).read(&Limits::DEFAULT).unwrap_err();
        assert_eq!(missing.code(), 2);
        assert!(SubtitleFile::bare(&path).require_outside(folder.path()).is_err());
    }
}
