//! WebVTT segments (W3C WebVTT; RFC 8216bis 3.1.4). Pure; takes any bytes.

use super::playlist::short;

/// Problems that are told.
const MOST_PROBLEMS: usize = 100;
/// Largest file that is read, in bytes.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebVtt {
    /// Whether X-TIMESTAMP-MAP stands in its header, and can be read.
    pub mapped: bool,
    /// How many cues it has.
    pub cues: usize,
    /// Start of the last cue in seconds.
    pub last: Option<f64>,
    /// What is wrong, with the line, the first hundred.
    pub problems: Vec<String>,
}

/// Reads a segment.
pub(super) fn read(bytes: &[u8]) -> WebVtt {
    let mut found = WebVtt::default();
    if std::str::from_utf8(bytes).is_err() {
        found.problems.push("it is not UTF-8".to_owned());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let mut header = true;
    for (number, line) in (1..).zip(text.lines()) {
        if number == 1 && !is_signature(line) {
            found.problems.push("line 1: it does not start with WEBVTT".to_owned());
        }
        header &= !line.is_empty();
        if header {
            if let Some(map) = line.strip_prefix("X-TIMESTAMP-MAP=") {
                found.mapped = is_map(map);
                if !found.mapped {
                    found.problems.push(format!("line {number}: X-TIMESTAMP-MAP `{}` can't be read", short(map)));
                }
            }
        } else if let Some((start, rest)) = line.split_once("-->") {
            cue(&mut found, number, start, rest);
        }
        found.problems.truncate(MOST_PROBLEMS);
    }
    found
}

fn is_signature(line: &str) -> bool {
    line.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn is_map(map: &str) -> bool {
    let part = |name: &str| map.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix(':'));
    part("LOCAL").and_then(time).is_some() && part("MPEGTS").is_some_and(|ticks| ticks.parse::<u64>().is_ok())
}

fn cue(found: &mut WebVtt, number: usize, start: &str, rest: &str) {
    let end = rest.split_whitespace().next().unwrap_or_default();
    let (Some(start), Some(end)) = (time(start.trim()), time(end)) else {
        found.problems.push(format!("line {number}: the times of a cue can't be read"));
        return;
    };
    if end <= start {
        found.problems.push(format!("line {number}: a cue ends at {end:.3} s, not after its start at {start:.3} s"));
    }
    if let Some(before) = found.last.filter(|before| *before > start) {
        found.problems.push(format!("line {number}: a cue at {start:.3} s stands behind one at {before:.3} s"));
    }
    found.cues += 1;
    found.last = Some(start);
}

/// `hh:mm:ss.ttt` or `mm:ss.ttt` in seconds.
fn time(text: &str) -> Option<f64> {
    let (clock, millis) = text.split_once('.')?;
    let number = |digits: &str, least: usize| {
        let plain = digits.len() >= least && digits.len() < 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<f64>().ok().filter(|_| plain)
    };
    let fields: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match fields[..] {
        [minutes, seconds] => (0.0, minutes, seconds),
        [hours, minutes, seconds] => (number(hours, 2)?, minutes, seconds),
        _ => return None,
    };
    let (minutes, seconds) = (number(minutes, 2)?, number(seconds, 2)?);
    let millis = number(millis, 3).filter(|_| millis.len() == 3 && minutes < 60.0 && seconds < 60.0)?;
    Some(hours * 3600.0 + minutes * 60.0 + seconds + millis / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_segment_has_its_map_and_its_cues() {
        let found = read(
            b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n1\n00:01.000 --> 00:02.500 line:0\nHi\n",
        );
        assert_eq!(found, WebVtt { mapped: true, cues: 1, last: Some(1.0), problems: vec![] });
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let found = read(b"WEBVT\n\n00:02.000 --> 00:01.000\na\n\n00:01.000 --> 1:2\n\n00:00.500 --> 00:01.000\n");
        let lines: Vec<&str> = found.problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(lines, ["line 1", "line 3", "line 6", "line 8"], "{:?}", found.problems);
        assert!(!found.mapped);
    }
}
