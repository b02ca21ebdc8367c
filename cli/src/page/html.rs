//! HTML from words that nobody vouches for: text is escaped here, and tables escape each of their cells.

use std::fmt::Write as _;

/// Words as HTML shows them, in content and in quoted attributes alike.
pub(super) fn escape(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Whatever would turn the direction of what follows, or show as nothing.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push(char::REPLACEMENT_CHARACTER),
            letter if letter.is_control() && letter != '\n' => out.push(char::REPLACEMENT_CHARACTER),
            letter => out.push(letter),
        }
    }
    out
}

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Heading over this column and its neighbours of the same group; empty for none.
    pub(super) group: &'static str,
    /// Its own heading.
    pub(super) name: &'static str,
    /// Whether it holds numbers, which stand at the right.
    pub(super) is_number: bool,
}

impl Column {
    /// A column of words.
    pub(super) const fn words(name: &'static str) -> Self {
        Self { group: "", name, is_number: false }
    }

    /// A column of numbers.
    pub(super) const fn numbers(name: &'static str) -> Self {
        Self { group: "", name, is_number: true }
    }

    fn class(self) -> &'static str {
        if self.is_number { " class=n" } else { "" }
    }
}

/// A table; every cell is escaped.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    body: String,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, body: String::new() }
    }

    /// Adds a row, one cell a column; one that `stands_out` tells of something amiss.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>, stands_out: bool) {
        self.body.push_str(if stands_out { "<tr class=bad>" } else { "<tr>" });
        for (cell, column) in cells.into_iter().zip(&self.columns) {
            // Writing to a string cannot fail.
            let _ = write!(self.body, "<td{}>{}", column.class(), escape(&cell));
        }
        self.body.push('\n');
    }

    /// Its markup.
    pub(super) fn render(&self) -> String {
        let mut head = String::new();
        if self.columns.iter().any(|column| !column.group.is_empty()) {
            head.push_str("<tr class=groups>");
            for group in self.columns.chunk_by(|a, b| a.group == b.group) {
                let (name, count) = (escape(group[0].group), group.len());
                let class = if name.is_empty() { "" } else { " class=group" };
                let _ = write!(head, "<th colspan={count}{class}>{name}");
            }
        }
        head.push_str("<tr>");
        for column in &self.columns {
            let _ = write!(head, "<th{}>{}", column.class(), escape(column.name));
        }
        format!("<div class=wide><table><thead>{head}</thead><tbody>\n{}</tbody></table></div>\n", self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape(r#"</p><script>'a' & "b""#), "&lt;/p&gt;&lt;script&gt;&#39;a&#39; &amp; &quot;b&quot;");
        assert_eq!(escape("a\u{0}b\u{202e}c\nd"), "a\u{fffd}b\u{fffd}c\nd");
    }

    #[test]
    fn neighbouring_columns_share_the_heading_of_their_group() {
        let group = |name| Column { group: "fidelity", ..Column::numbers(name) };
        let mut table = Table::new(vec![Column::words("name"), group("mean"), group("p1")]);
        table.row(["<hd>".to_owned(), "1".to_owned(), "2".to_owned()], true);
        let markup = table.render();
        assert!(markup.contains("<th colspan=1><th colspan=2 class=group>fidelity<tr><th>name"), "{markup}");
        assert!(markup.contains("<tr class=bad><td>&lt;hd&gt;<td class=n>1<td class=n>2\n"), "{markup}");
    }
}
