//! Tables in Markdown.

/// A table with a head and rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    columns: usize,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let rule = vec!["---".to_owned(); head.len()];
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect(), rule], columns: head.len() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns);
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect());
    }

    pub(crate) fn text(&self) -> String {
        self.rows.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
    }
}
