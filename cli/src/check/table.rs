//! What a check came to, as people read it. Pure but for [`View::of_terminal`].

use std::fmt::Write as _;

use console::{Style, Term, measure_text_width};
use vtp_stitcher::check::{Failure, Level, Report, Summary, Verdict, rules};

/// Failures of a rule that are shown unless all are asked for.
const SHOWN: usize = 3;
/// Lines are no longer than this, however wide the terminal is.
const WIDEST: usize = 120;
/// And no narrower.
const NARROWEST: usize = 60;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Characters a line.
    pub(super) width: usize,
    /// Whether in colours.
    pub(super) colours: bool,
    /// Only what does not hold.
    pub(super) failed: bool,
    /// Every failure that is told.
    pub(super) all: bool,
}

impl View {
    /// As wide as the terminal is, and in colours where it has any and `NO_COLOR` is not set.
    pub(super) fn of_terminal(failed: bool, all: bool) -> Self {
        let width = Term::stdout().size_checked().map_or(100, |(_, columns)| columns.into());
        let width = width.clamp(NARROWEST, WIDEST);
        let colours = console::colors_enabled() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { width, colours, failed, all }
    }

    fn paint(self, style: Style, text: &str) -> String {
        style.force_styling(self.colours).apply_to(text).to_string()
    }
}

/// The table: areas with their rules, the failures of each below it, and a line that sums it up.
pub(super) fn render(report: &Report, view: View) -> String {
    let mut out = String::new();
    let names: Vec<&str> = [&report.playlist, &report.mpd].into_iter().flatten().map(String::as_str).collect();
    let _ = writeln!(out, "{}", view.paint(Style::new().bold(), &names.join(", ")));
    let ids = report.rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut area = None;
    for rule in &report.rules {
        if view.failed && !rule.verdict.is_fail() {
            continue;
        }
        if area != Some(rule.area) {
            area = Some(rule.area);
            let _ = writeln!(out, "\n{}", view.paint(Style::new().bold().underlined(), rule.area.title()));
        }
        let (mark, style) = match (&rule.verdict, rule.level) {
            (Verdict::Pass, _) => ("✓", Style::new().green()),
            (Verdict::Fail { .. }, Level::Must) => ("✗", Style::new().red().bold()),
            (Verdict::Fail { .. }, Level::Should) => ("!", Style::new().yellow().bold()),
            (Verdict::NotChecked(_), _) => ("?", Style::new().dim()),
            (Verdict::NotApplicable(_), _) => ("–", Style::new().dim()),
        };
        let level = match rule.level {
            Level::Must => "MUST  ",
            Level::Should => "SHOULD",
        };
        let head = format!("{mark} {:ids$}  {level}  ", rule.id);
        let indent = measure_text_width(&head);
        // Where it comes from stays in one line.
        let source = rule.source.replace(' ', "\u{A0}");
        let words = match rule.verdict.reason() {
            Some(reason) => format!("{} [{source}]: {reason}", rule.text),
            None => format!("{} [{source}]", rule.text),
        };
        let quiet = rule.verdict.reason().is_some();
        for (place, line) in wrapped(&words, view.width.saturating_sub(indent)).iter().enumerate() {
            let line = if quiet { view.paint(Style::new().dim(), line) } else { line.clone() };
            let head = if place == 0 { view.paint(style.clone(), &head) } else { " ".repeat(indent) };
            let _ = writeln!(out, "{head}{line}");
        }
        if let Verdict::Fail { failures, more } = &rule.verdict {
            self::failures(&mut out, failures, *more, view);
        }
    }
    let _ = writeln!(out, "\n{}", sum(report, view));
    out
}

fn failures(out: &mut String, failures: &[Failure], left_out: usize, view: View) {
    let shown = if view.all { failures.len() } else { failures.len().min(SHOWN) };
    for failure in &failures[..shown] {
        for (place, line) in wrapped(&format!("{}: {}", failure.place, failure.what), view.width - 4).iter().enumerate()
        {
            let line = match line.strip_prefix(&failure.place).filter(|_| place == 0) {
                Some(rest) => view.paint(Style::new().cyan(), &failure.place) + rest,
                None => line.clone(),
            };
            let _ = writeln!(out, "{}{line}", if place == 0 { "    " } else { "      " });
        }
    }
    // Those that are left out are known by their number alone.
    let hidden = failures.len() - shown;
    let more = hidden + left_out;
    if more > 0 {
        let hint = match (hidden, left_out) {
            (0, _) => String::new(),
            (_, 0) => " (--all shows them)".to_owned(),
            (hidden, _) => format!(" (--all shows {hidden} of them)"),
        };
        let _ = writeln!(out, "    {}", view.paint(Style::new().dim(), &format!("and {more} more{hint}")));
    }
}

fn sum(report: &Report, view: View) -> String {
    let sum = report.summary;
    let are = |count: usize| if count == 1 { "rule is" } else { "rules are" };
    let (red, yellow) = (Style::new().red().bold(), Style::new().yellow().bold());
    let broken = match (sum.must_failed, sum.should_failed) {
        (0, 0) => view.paint(Style::new().green().bold(), "no rule is broken"),
        (0, should) => view.paint(yellow, &format!("{should} SHOULD {} broken", are(should))),
        (must, 0) => view.paint(red, &format!("{must} MUST {} broken", are(must))),
        (must, should) => {
            let must = view.paint(red, &format!("{must} MUST"));
            format!("{must} and {} {} broken", view.paint(yellow, &format!("{should} SHOULD")), are(2))
        }
    };
    let Summary { passed, not_applicable, not_checked, .. } = sum;
    format!(
        "{broken}\n{passed} hold, {not_applicable} have nothing to apply to, {not_checked} can't be told from files"
    )
}

/// Lines of at most `width` characters, broken at blanks (at those that don't break, not); a word that is longer stays
/// whole.
fn wrapped(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && measure_text_width(line) + 1 + measure_text_width(word) > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|line| line.replace('\u{A0}', " ")).collect()
}

/// The table of all rules, in Markdown.
pub(super) fn markdown() -> String {
    let mut out = String::new();
    let mut area = None;
    for rule in rules() {
        if area != Some(rule.area) {
            area = Some(rule.area);
            let _ =
                writeln!(out, "\n### {}\n\n| rule | level | it asks | from |\n|---|---|---|---|", rule.area.title());
        }
        let level = if rule.level == Level::Must { "MUST" } else { "SHOULD" };
        let _ = writeln!(out, "| `{}` | {level} | {} | {} |", rule.id, rule.text, rule.source);
    }
    out.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use vtp_stitcher::check::{check, stream::Stream};

    use super::*;

    const PLAIN: View = View { width: 80, colours: false, failed: false, all: false };

    #[test]
    fn lines_are_broken_at_blanks_and_long_words_stay_whole() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaaa b", 5), ["aaaaaaaa", "b"]);
    }

    #[test]
    fn every_rule_has_its_line_and_no_line_is_too_long() {
        let text = render(&check(&Stream::default()), PLAIN);
        for rule in rules() {
            assert!(text.contains(&format!(" {} ", rule.id)), "{}", rule.id);
        }
        let longest = text.lines().map(measure_text_width).max();
        assert!(longest.is_some_and(|longest| longest <= 80), "{text}");
    }

    #[test]
    fn the_first_failures_are_shown_and_the_others_counted() {
        let failures_of_five: Vec<Failure> =
            (0..5).map(|n| Failure { place: format!("p{n}"), what: "x".to_owned() }).collect();
        let shown = |all, left_out| {
            let mut out = String::new();
            failures(&mut out, &failures_of_five, left_out, View { all, ..PLAIN });
            out
        };
        assert_eq!(shown(false, 0), "    p0: x\n    p1: x\n    p2: x\n    and 2 more (--all shows them)\n");
        assert!(shown(false, 2).ends_with("p2: x\n    and 4 more (--all shows 2 of them)\n"));
        assert!(shown(true, 2).ends_with("p4: x\n    and 2 more\n"));
        assert!(shown(true, 0).ends_with("p4: x\n"));
    }

    #[test]
    fn the_rules_in_the_documentation_are_these() {
        let documentation = include_str!("../../../docs/check.md");
        assert!(documentation.contains(&markdown()), "docs/check.md is not what `vtp check --rules` prints");
    }
}
