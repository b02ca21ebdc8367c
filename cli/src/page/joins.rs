//! The joins of a rendition's chunks at which quality steps: a mark over each, and what is to be said of it.

use vtp_engine::quality::Cause;
use vtp_stitcher::JoinReport;

use super::html::escape;
use super::plot::number;
use crate::text;

/// What kind of step is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It comes from what is shown.
    Content,
    /// It comes from the encoding.
    Encoding,
    /// It was there, and is not any more.
    Repaired,
}

impl Kind {
    fn of(join: &JoinReport) -> Self {
        match (join.repaired, join.cause) {
            (true, _) => Self::Repaired,
            (false, Cause::Content) => Self::Content,
            (false, Cause::Encoding) => Self::Encoding,
        }
    }

    /// Its name in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Encoding => "encoding",
            Self::Repaired => "repaired",
        }
    }

    /// What its mark stands for.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Content => "quality steps with the content",
            Self::Encoding => "quality steps between chunks",
            Self::Repaired => "repaired step between chunks",
        }
    }
}

/// The kinds of steps that there are among `joins`.
pub(super) fn kinds(joins: &[JoinReport]) -> impl Iterator<Item = Kind> {
    let all = [Kind::Content, Kind::Encoding, Kind::Repaired];
    all.into_iter().filter(|kind| joins.iter().any(|join| Kind::of(join) == *kind))
}

/// The mark over a join, at `left` hundredths of the plot's width.
pub(super) fn markup(join: &JoinReport, left: f64) -> String {
    let (class, told) = (Kind::of(join).class(), escape(&told(join)));
    format!("<i class=\"step {class}\" style=\"left:{}%\" title=\"{told}\"></i>\n", number(left))
}

fn told(join: &JoinReport) -> String {
    let before = join.chunk.saturating_sub(1);
    let why = match Kind::of(join) {
        Kind::Content => "comes with the content",
        Kind::Encoding => "comes from the encoding",
        Kind::Repaired => "was repaired",
    };
    format!(
        "join of chunks {before} and {} at {}\nthe step of {:+.1} points in fidelity {why}",
        join.chunk,
        text::moment(join.at_s),
        join.step
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_step_is_marked_over_its_join_and_told_with_its_cause() {
        let report = report();
        let join = &report.renditions[0].joins[0];
        let expected = "<i class=\"step repaired\" style=\"left:50%\" title=\"join of chunks 0 and 1 at 0:00.08\n\
                        the step of +7.5 points in fidelity was repaired\"></i>\n";
        assert_eq!(markup(join, 50.0), expected);
        let left = JoinReport { repaired: false, ..join.clone() };
        assert!(markup(&left, 50.0).contains("class=\"step encoding\""));
        let content = JoinReport { cause: Cause::Content, ..left };
        assert!(markup(&content, 50.0).contains("comes with the content"));
    }

    #[test]
    fn kinds_that_there_are_not_have_no_key() {
        let report = report();
        assert_eq!(kinds(&report.renditions[0].joins).collect::<Vec<_>>(), [Kind::Repaired]);
        assert_eq!(kinds(&[]).count(), 0);
    }
}
