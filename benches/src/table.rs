//! Tables in Markdown.

/// A table with a head and rows of as many cells.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    columns: usize,
}

impl Table {
    /// A table with this head.
    pub fn new(head: &[&str]) -> Self {
        let rule = vec!["---".to_owned(); head.len()];
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect(), rule], columns: head.len() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns);
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect());
    }

    /// In Markdown.
    pub fn text(&self) -> String {
        self.rows.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
    }
}
