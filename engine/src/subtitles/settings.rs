//! WebVTT cue settings (W3C WebVTT, 3.5).

/// Those of the settings in `text` that are valid, each name once; regions are left out, as their definitions are.
pub(super) fn valid(text: &str) -> String {
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let Some((name, value)) = word.split_once(':') else { continue };
        if is_valid(name, value) && kept.iter().all(|(known, _)| *known != name) {
            kept.push((name, value));
        }
    }
    kept.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(" ")
}

fn is_valid(name: &str, value: &str) -> bool {
    let (first, alignment) = match value.split_once(',') {
        Some((first, alignment)) => (first, Some(alignment)),
        None => (value, None),
    };
    let aligned = |known: &[&str]| alignment.is_none_or(|it| known.contains(&it));
    match name {
        "vertical" => ["rl", "lr"].contains(&value),
        "line" => (is_percent(first) || is_line(first)) && aligned(&["start", "center", "end"]),
        "position" => is_percent(first) && aligned(&["line-left", "center", "line-right"]),
        "size" => is_percent(value),
        "align" => ["start", "center", "end", "left", "right"].contains(&value),
        _ => false,
    }
}

fn is_percent(text: &str) -> bool {
    let digits = text.strip_suffix('%').unwrap_or_default();
    let plain = !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.parse::<f64>().is_ok_and(|value| (0.0..=100.0).contains(&value))
}

fn is_line(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::valid;

    #[test]
    fn valid_settings_are_kept_as_they_are_and_all_else_is_left_out() {
        for text in ["line:0", "line:-1", "line:12.5%,end position:10%,line-left align:left size:50%", "vertical:rl"] {
            assert_eq!(valid(text), text);
        }
        assert_eq!(valid("region:fred line:90%"), "line:90%");
        assert_eq!(valid("line:0 line:1"), "line:0");
        for text in ["line:", "size:101%", "position:5", "align:middle", "x", "line:1e1%", "line:0\u{0}", "size:.5%"] {
            assert_eq!(valid(text), "", "{text}");
        }
    }
}
