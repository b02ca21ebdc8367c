//! SubRip files: numbered cues, each with a line of timing and lines of text. As lenient as players are: numbers don't
//! count, and a cue ends where the next one's timing begins.

use super::clock::timing;
use super::{Cue, Cues, markup};
use crate::limits::{Exceeded, Limit, Limits};

/// The cues of a file.
///
/// # Errors
/// [`Exceeded`] if there are too many, or one is too long.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Cue>, Exceeded> {
    let mut cues = Cues::new(*limits);
    let mut lines: Vec<&str> = Vec::new();
    let mut open: Option<(i64, i64)> = None;
    for line in text.lines() {
        match timing(line) {
            Some((start, end, _)) => {
                // The line before it is its number.
                if lines.last().is_some_and(|line| is_number(line)) {
                    lines.pop();
                }
                close(&mut cues, open.replace((start, end)), &mut lines)?;
            }
            None => lines.push(line),
        }
    }
    close(&mut cues, open, &mut lines)?;
    Ok(cues.into_vec())
}

fn close(cues: &mut Cues, times: Option<(i64, i64)>, lines: &mut Vec<&str>) -> Result<(), Exceeded> {
    let text = std::mem::take(lines).join("\n");
    let Some((start, end)) = times else { return Ok(()) };
    cues.limits().check(Limit::Cue, text.len() as u64)?;
    cues.push(start, end, markup::srt(&text))
}

fn is_number(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cues(text: &str) -> Vec<(i64, i64, String)> {
        let cues = parse(text, &Limits::DEFAULT).unwrap();
        cues.into_iter().map(|cue| (cue.start_us / 1000, cue.end_us / 1000, cue.text)).collect()
    }

    #[test]
    fn a_usual_file_is_read() {
        let text = "1\n00:00:01,000 --> 00:00:02,500\nHello\n<i>world</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n";
        assert_eq!(cues(text), [(1000, 2500, "Hello\n<i>world</i>".to_owned()), (3000, 4000, "Bye".to_owned())]);
    }

    #[test]
    fn missing_numbers_blank_lines_in_texts_coordinates_and_numbers_as_text_do_no_harm() {
        let text = "00:00:01,000 --> 00:00:02,000 X1:0 X2:9\n12\n\n13 monkeys\n\n\n\n\
                    00:00:03.5 --> 00:00:04,000\n\n7\n00:00:05,000 --> 00:00:06,000\n1984\n";
        let expected = [(1000, 2000, "12\n13 monkeys".to_owned()), (5000, 6000, "1984".to_owned())];
        assert_eq!(cues(text), expected);
    }

    #[test]
    fn times_that_run_backwards_are_kept_for_whoever_judges_them() {
        assert_eq!(cues("00:00:02,000 --> 00:00:01,000\nx"), [(2000, 1000, "x".to_owned())]);
    }

    #[test]
    fn limits_count_cues_and_the_bytes_of_each() {
        let text = "00:01,0 --> 00:02,0\nabc\n\n00:03,0 --> 00:04,0\nabc\n";
        let with = |change: &str| parse(text, &Limits::DEFAULT.with(&change.parse().unwrap()));
        assert!(with("cues=1").unwrap_err().to_string().contains("--limit cues=2"));
        assert!(with("cue=2").is_err());
        assert!(with("subtitles=100").is_err());
        assert_eq!(with("subtitles=1000").unwrap().len(), 2);
    }
}
