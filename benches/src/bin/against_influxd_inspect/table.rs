//! A table of results, as Markdown.

use std::fmt;

use crate::process::{Run, median, median_cpu};

/// A header and rows of equal length.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// The results of one contestant.
pub(crate) struct Row(Vec<String>);

impl Row {
    /// Name, seconds of the runs, seconds on all cores, and what follows from them.
    pub(crate) fn new<const N: usize>(name: String, runs: &[Run], rest: [String; N]) -> Self {
        let seconds = || runs.iter().map(|run| run.seconds);
        let (fastest, slowest) = (seconds().fold(f64::INFINITY, f64::min), seconds().fold(0.0, f64::max));
        let spread = format!("{:.3} ({fastest:.3}, {slowest:.3})", median(runs));
        Self([name, spread, format!("{:.2}", median_cpu(runs))].into_iter().chain(rest).collect())
    }
}

/// How many times as fast as the peer.
pub(crate) fn ratio(peer: Option<f64>, seconds: f64) -> String {
    peer.map_or_else(String::new, |peer| format!("{:.2}", peer / seconds))
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row.0);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widest =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
        let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        for (nth, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if nth == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{:-<1$}", "", width + 2))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}
