//! Numbers and tables as people read them. Pure; knows nothing of terminals.

/// `1.2 MB`, in powers of 1000 as disks and rates are sold.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

/// `1.2 Mb/s` of a rate in bits per second.
pub fn bit_rate(bits_per_second: u64) -> String {
    format!("{}/s", scaled(bits_per_second as f64, "b"))
}

fn scaled(mut value: f64, unit: &str) -> String {
    let mut prefixes = ["", "k", "M", "G", "T"].iter();
    let mut prefix = prefixes.next();
    while value >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        value /= 1000.0;
        prefix = Some(next);
    }
    let prefix = prefix.copied().unwrap_or_default();
    let decimals = usize::from(!prefix.is_empty() && value < 99.95);
    format!("{value:.decimals$} {prefix}{unit}")
}

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A position on a clock: `0:07`, `12:03`, `1:02:03`.
pub fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).floor() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A position on a clock to the hundredth: `0:07.90`, `1:02:03.45`.
pub fn moment(seconds: f64) -> String {
    let hundredths = (seconds.max(0.0) * 100.0).round();
    format!("{}.{:02}", clock(hundredths / 100.0), hundredths as u64 % 100)
}

/// A length of time: `0.4 s`, `52.2 s`, `3 min 20 s`, `1 h 02 min`.
pub fn span(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// `1 chunk`, `2 chunks`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table of plain text: columns as wide as their widest cell, two spaces between them.
#[derive(Clone, Debug)]
pub struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let (names, align) = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).unzip();
        Self { align, rows: vec![names] }
    }

    /// Adds a row; cells beyond the columns are dropped, missing ones are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().take(self.align.len()).collect();
        cells.resize(self.align.len(), String::new());
        self.rows.push(cells);
    }

    /// The table's lines, each behind `indent` and ended by a line feed.
    pub fn render(&self, indent: &str) -> String {
        let widths: Vec<usize> = (0..self.align.len())
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = (row.iter().zip(&self.align).zip(&widths))
                .map(|((cell, align), &width)| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            text.push_str(indent);
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A rate with up to three decimals: `25`, `23.976`.
pub fn rate(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Rounded to one decimal, without a negative zero.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_keep_two_or_three_digits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(99_949), "99.9 kB");
        assert_eq!(bytes(999_499), "999 kB");
        assert_eq!(bytes(999_500), "1.0 MB");
        assert_eq!(bit_rate(2_504_000), "2.5 Mb/s");
    }

    #[test]
    fn a_rate_has_the_decimals_that_it_needs() {
        assert_eq!([25.0, 60_000.0 / 1001.0, 100.0, 12.5].map(rate), ["25", "59.94", "100", "12.5"]);
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(plural(1, "chunk"), "1 chunk");
        assert_eq!(plural(0, "chunk"), "0 chunks");
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        assert_eq!((clock(7.9), clock(723.0), clock(3723.0)), ("0:07".into(), "12:03".into(), "1:02:03".into()));
        assert_eq!((moment(7.897), moment(59.999)), ("0:07.90".into(), "1:00.00".into()));
        assert_eq!((span(0.44), span(59.96), span(3725.0)), ("0.4 s".into(), "1 min 00 s".into(), "1 h 02 min".into()));
    }

    #[test]
    fn a_table_lines_up_its_columns_and_has_no_trailing_blanks() {
        let mut table = Table::new(&[("name", Align::Left), ("bytes", Align::Right)]);
        table.row(["hd".to_owned(), "12".to_owned()]);
        table.row(["standard".to_owned()]);
        assert_eq!(table.render(" "), " name      bytes\n hd           12\n standard\n");
    }
}
