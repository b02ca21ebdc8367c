//! Times as subtitle files write them.

/// No subtitle file is meant to last longer, in hours.
const MOST_HOURS: i64 = 1_000_000;

/// Microseconds of `[-][hours:]minutes:seconds[.fraction]`, with a comma or a full stop before the fraction. `None` for
/// anything else.
pub(super) fn microseconds(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once([',', '.']).unwrap_or((text, ""));
    let mut parts = whole.split(':').rev();
    let (seconds, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let hours = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() || hours > MOST_HOURS {
        return None;
    }
    let digits = fraction.len().min(6);
    let parsed = if fraction.is_empty() { 0 } else { number(fraction.get(..digits)?)? };
    let all_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = all_digits.then(|| parsed * 10_i64.pow(6 - digits as u32))?;
    let us = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    Some(if negative { -us } else { us })
}

/// Up to nine digits.
fn number(text: &str) -> Option<i64> {
    let plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// The times of `start --> end rest`, and the rest.
pub(super) fn timing(line: &str) -> Option<(i64, i64, &str)> {
    let (start, rest) = line.split_once("-->")?;
    let rest = rest.trim();
    let (end, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    Some((microseconds(start.trim())?, microseconds(end)?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_files_have() {
        for (text, us) in [
            ("00:00:01,500", 1_500_000),
            ("0:00:01.50", 1_500_000),
            ("00:01.500", 1_500_000),
            ("1:02:03.004", 3_723_004_000),
            ("-00:00:00,040", -40_000),
            ("100:00:00.0000005", 360_000_000_000),
            ("00:00:07", 7_000_000),
        ] {
            assert_eq!(microseconds(text), Some(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "1", "a:b", "0:0:0:0", "00:00:01,5x", "1 :2", "9999999:00:00", "00:-1", "+0:01", "00:00:1:"] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_of_timing_may_go_on_with_settings() {
        assert_eq!(timing("00:01.000 --> 00:02.000 align:left"), Some((1_000_000, 2_000_000, "align:left")));
        assert_eq!(timing("00:00:01,000-->00:00:02,000"), Some((1_000_000, 2_000_000, "")));
        assert_eq!(timing("from --> to"), None);
    }
}
