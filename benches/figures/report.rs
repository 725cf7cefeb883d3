//! What is printed, and kept in `docs/benchmarks.md`.

use std::fs;

/// Markdown, printed as it comes.
#[derive(Default)]
pub struct Report(String);

/// What a figure has to be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Report {
    pub fn text(&mut self, text: &str) {
        println!("{text}");
        self.0.push_str(text.trim_end());
        self.0.push_str("\n\n");
    }

    /// A table; the first row is its head.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let widths: Vec<usize> = (0..rows[0].len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            format!("| {} |", cells.join(" | "))
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let mut lines = vec![line(&rows[0]), line(&rule)];
        lines.extend(rows[1..].iter().map(|row| line(row)));
        self.text(&lines.join("\n"));
    }

    /// A part that can't be measured here.
    pub fn left_out(&mut self, what: &str, why: &str) {
        self.text(&format!("Left out: {what}, since {why}."));
    }

    pub fn write(&self, path: &str) {
        fs::write(path, format!("{}\n", self.0.trim_end())).unwrap();
        println!("written to docs/benchmarks.md");
    }
}

impl Goal {
    /// The goal, and whether the figure meets it.
    pub fn judge(self, figure: f64) -> String {
        let (goal, met) = match self {
            Self::AtMost(limit) => (format!("≤ {limit}"), figure <= limit),
            Self::AtLeast(limit) => (format!("≥ {limit}"), figure >= limit),
            Self::Below(limit) => (format!("< {limit}"), figure < limit),
        };
        format!("{goal}: {}", if met { "met" } else { "**missed**" })
    }
}

/// Cells of a row.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
