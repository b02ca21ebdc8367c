//! A ladder that is made: judged, written down, and shown.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::summary;
use crate::curves::Curves;
use crate::exit::Failure;
use crate::report::Report;
use crate::{Outcome, page, print, records};

/// A ladder that is published, and where: in a folder, or, where it looks like one, in a store.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) report: Report,
    pub(crate) folder: PathBuf,
}

/// Every chunk whose quality was checked is as good as asked, or the run has failed.
pub(super) fn strictly(report: &Report) -> Outcome {
    let chunks =
        report.renditions.iter().flat_map(|rendition| rendition.chunks.iter().map(move |chunk| (rendition, chunk)));
    let mut missed = chunks.filter(|(_, chunk)| chunk.met_target == Some(false));
    let Some((rendition, chunk)) = missed.next() else { return Ok(()) };
    let others = match missed.count() {
        0 => String::new(),
        more => format!(", and {} more", crate::text::plural(more as u64, "chunk")),
    };
    let fidelity =
        chunk.fidelity.map_or(String::new(), |it| format!(" (mean {:.1}, first percentile {:.1})", it.mean, it.p1));
    Err(Failure::Quality(format!(
        "chunk {} of {} at {:.1} s is not as good as asked{fidelity}{others}; nothing was kept: ask for less with \
         --quality and --floor, or leave out --strict-quality to get what is reachable",
        chunk.index, rendition.name, chunk.start_s
    )))
}

/// Writes `report.json`, `quality.json`, and the page that is drawn from both.
pub(super) fn write_report(report: &Report, curves: &Curves, folder: &Path) -> Outcome {
    let write = |name: &str, text: &str| {
        records::write(folder, name, text).with_context(|| format!("cannot write {}", folder.join(name).display()))
    };
    let all = || {
        write(records::REPORT, &(serde_json::to_string_pretty(report).context("cannot write the report")? + "\n"))?;
        write(records::QUALITY, &(serde_json::to_string(curves).context("cannot write the curves")? + "\n"))?;
        write(records::PAGE, &page::render(report, Some(curves)))
    };
    all().map_err(Failure::Internal)
}

/// Prints what was made.
pub(super) fn show(report: &Report, folder: &Path, json: bool) -> Outcome {
    let text = if json {
        serde_json::to_string_pretty(report).context("cannot print the report").map_err(Failure::Internal)? + "\n"
    } else {
        summary::render(report, folder)
    };
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness_names_the_first_chunk_that_misses_and_counts_the_others() {
        let mut report = crate::report::tests::report();
        assert!(strictly(&report).is_ok());
        for chunk in &mut report.renditions[0].chunks {
            chunk.met_target = Some(false);
        }
        let failure = strictly(&report).unwrap_err();
        assert_eq!(failure.code(), 4);
        let message = failure.message().unwrap();
        assert!(
            message.starts_with("error: chunk 0 of standard at 0.0 s is not as good as asked (mean 94.5, "),
            "{message}"
        );
        assert!(message.contains("and 1 chunk more"), "{message}");
    }

    #[test]
    fn curves_are_written_beside_the_report_where_there_are_some() {
        let report = crate::report::tests::report();
        let curves = Curves { version: crate::curves::VERSION, renditions: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(records::curves(folder.path()).unwrap(), None);
        write_report(&report, &curves, folder.path()).unwrap();
        assert_eq!(records::curves(folder.path()).unwrap(), Some(curves));
        assert_eq!(records::report(folder.path()).unwrap(), report);
        assert!(folder.path().join(records::PAGE).exists());
    }
}
