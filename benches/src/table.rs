//! A table of results, as Markdown.

use std::fmt;

/// A header and rows of equal length.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its header alone.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self::with_header(header.map(str::to_owned).to_vec())
    }

    /// The same, with a header that is not known before.
    pub fn with_header(header: Vec<String>) -> Self {
        Self { rows: vec![header] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
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

/// The number that as many are below as above.
pub fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.get(middle.wrapping_sub(usize::from(numbers.len().is_multiple_of(2)))..=middle) {
        Some([low, high]) => f64::midpoint(*low, *high),
        Some([middle]) => *middle,
        _ => f64::NAN,
    }
}

/// Median, and in parentheses the smallest and the largest, each as `show` has it.
pub fn spread(numbers: &[f64], show: impl Fn(f64) -> String) -> String {
    let all = || numbers.iter().copied();
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    format!("{} ({}, {})", show(median(all())), show(least), show(most))
}
