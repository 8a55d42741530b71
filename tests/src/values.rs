//! Values of a bucket in the one form in which answers of different programs are compared.
//!
//! Invariant: a series, field and time has one value; a program that answers it twice is wrong and stops the test.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeBounds};

/// How many differences a failed comparison prints.
const DIFFERENCES_MAX: usize = 5;

/// One value, with its type.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// The bits of a double: −0 is not 0.
    Float(u64),
    /// Signed.
    Integer(i64),
    /// Unsigned.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(String),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(bits) => write!(f, "f {:?} ({bits:016x})", f64::from_bits(*bits)),
            Self::Integer(value) => write!(f, "i {value}"),
            Self::Unsigned(value) => write!(f, "u {value}"),
            Self::Boolean(value) => write!(f, "b {value}"),
            Self::String(value) => write!(f, "s {value:?}"),
        }
    }
}

impl Value {
    /// A float from its shortest decimal text.
    ///
    /// # Panics
    /// When the text is not a number.
    pub fn float(text: &str) -> Self {
        Self::Float(text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?} is no float")).to_bits())
    }
}

/// Series key as in line protocol (escaped), and field as stored (not escaped).
pub type Column = (String, String);

/// Values by column and nanosecond.
#[derive(Clone, Default)]
pub struct Values {
    columns: BTreeMap<Column, BTreeMap<i64, Value>>,
}

impl Values {
    /// Adds a value.
    ///
    /// # Panics
    /// When there is one already.
    pub fn insert(&mut self, series: &str, field: &str, time_ns: i64, value: Value) {
        let before = self.put(series, field, time_ns, value);
        assert!(before.is_none(), "{series} {field} {time_ns} came twice");
    }

    /// Adds a value in the place of the one that is there, if any.
    pub fn replace(&mut self, series: &str, field: &str, time_ns: i64, value: Value) {
        self.put(series, field, time_ns, value);
    }

    fn put(&mut self, series: &str, field: &str, time_ns: i64, value: Value) -> Option<Value> {
        let column = self.columns.entry((series.to_owned(), field.to_owned())).or_default();
        column.insert(time_ns, value)
    }

    /// Adds all of another program's answer, which must not overlap.
    ///
    /// # Panics
    /// When it does.
    pub fn extend(&mut self, other: Self) {
        for ((series, field), points) in other.columns {
            for (time_ns, value) in points {
                self.insert(&series, &field, time_ns, value);
            }
        }
    }

    /// Adds all of what was written later: it wins.
    pub fn overwrite(&mut self, later: Self) {
        for (column, points) in later.columns {
            self.columns.entry(column).or_default().extend(points);
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.columns.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Every value with its column and nanosecond.
    pub fn iter(&self) -> impl Iterator<Item = (&Column, i64, &Value)> {
        let columns = self.columns.iter();
        columns
            .flat_map(|(column, points)| points.iter().map(move |(time_ns, value)| (column, *time_ns, value)))
    }

    /// The values of a column by nanosecond.
    ///
    /// # Panics
    /// When there is none.
    pub fn column(&self, series: &str, field: &str) -> &BTreeMap<i64, Value> {
        &self.columns[&(series.to_owned(), field.to_owned())]
    }

    /// All series and fields, each with its first and last time.
    pub fn spans(&self) -> impl Iterator<Item = (&Column, i64, i64)> {
        self.columns.iter().filter_map(|(column, points)| {
            Some((column, *points.first_key_value()?.0, *points.last_key_value()?.0))
        })
    }

    /// Removes what lies in the ranges that `deleted` gives for a series and field.
    pub fn delete<R: RangeBounds<i64>>(&mut self, deleted: impl Fn(&str, &str) -> Vec<R>) {
        for ((series, field), points) in &mut self.columns {
            let ranges = deleted(series, field);
            points.retain(|time_ns, _| !ranges.iter().any(|range| range.contains(time_ns)));
        }
        self.columns.retain(|_, points| !points.is_empty());
    }

    /// What lies in a range of times. Wider than `i64`: the first shard group begins before its first nanosecond.
    pub fn within(&self, range: &Range<i128>) -> Self {
        let inside = |(time_ns, value): (&i64, &Value)| {
            range.contains(&i128::from(*time_ns)).then(|| (*time_ns, value.clone()))
        };
        let columns = self.columns.iter().map(|(column, points)| {
            (column.clone(), points.iter().filter_map(inside).collect::<BTreeMap<_, _>>())
        });
        Self { columns: columns.filter(|(_, points)| !points.is_empty()).collect() }
    }

    /// The layout of `expected/*.tsv` (fixtures, README.md).
    ///
    /// # Panics
    /// When a line has another layout.
    pub fn from_tsv(text: &str) -> Self {
        let mut values = Self::default();
        for line in text.lines() {
            let parts: Vec<_> = line.split('\t').collect();
            let [series, field, kind, value, time_ns] = parts[..] else {
                panic!("{line:?} has not five parts")
            };
            let value = match kind {
                "f" => Value::Float(u64::from_str_radix(value, 16).unwrap()),
                "i" => Value::Integer(value.parse().unwrap()),
                "u" => Value::Unsigned(value.parse().unwrap()),
                "b" => Value::Boolean(value.parse().unwrap()),
                "s" => Value::String(serde_json::from_str(value).unwrap()),
                other => panic!("{line:?} has the type {other:?}"),
            };
            values.insert(&unescape(series), &unescape(field), time_ns.parse().unwrap(), value);
        }
        values
    }

    /// Compares value by value.
    ///
    /// # Panics
    /// When a value is missing, too many, or another; says which, and how many.
    #[track_caller]
    pub fn assert_equal(&self, expected: &Self, what: &str) {
        let mut differences = Differences::default();
        for (column, points) in &expected.columns {
            let found = self.columns.get(column);
            for (time_ns, value) in points {
                differences.note(column, *time_ns, found.and_then(|found| found.get(time_ns)), Some(value));
            }
        }
        for (column, points) in &self.columns {
            let expected = expected.columns.get(column);
            for (time_ns, value) in points {
                if expected.is_none_or(|points| !points.contains_key(time_ns)) {
                    differences.note(column, *time_ns, Some(value), None);
                }
            }
        }
        assert!(
            differences.count == 0,
            "{what}: {} of {} values differ, the first are\n{}",
            differences.count,
            expected.len(),
            differences.first.join("\n")
        );
    }
}

#[derive(Default)]
struct Differences {
    count: usize,
    first: Vec<String>,
}

impl Differences {
    fn note(&mut self, column: &Column, time_ns: i64, found: Option<&Value>, expected: Option<&Value>) {
        if found == expected {
            return;
        }
        self.count += 1;
        if self.first.len() < DIFFERENCES_MAX {
            let (series, field) = column;
            self.first.push(format!("  {series} {field} {time_ns}: found {found:?}, expected {expected:?}"));
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            other => panic!("{text:?} has the escape {other:?}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSV: &str =
        "m\\\\ x,a=b\tf\\t\tf\t8000000000000000\t-1\nn\tg\ts\t\"\\u00e9\\n\"\t5\nn\tg\ts\t\"x\"\t6\n";

    #[test]
    fn a_tsv_file_is_read_with_its_escapes() {
        let values = Values::from_tsv(TSV);
        let (column, points) = values.columns.first_key_value().unwrap();
        assert_eq!(*column, ("m\\ x,a=b".to_owned(), "f\t".to_owned()));
        assert_eq!(points[&-1], Value::float("-0"));
        assert_eq!(values.columns[&("n".to_owned(), "g".to_owned())][&5], Value::String("é\n".to_owned()));
    }

    #[test]
    fn ranges_cut_the_values_into_disjoint_parts() {
        let values = Values::from_tsv(TSV);
        let mut again = values.within(&(i128::from(i64::MIN) - 1..5));
        assert_eq!(again.len(), 1);
        again.extend(values.within(&(5..6)));
        again.extend(values.within(&(6..i128::from(i64::MAX) + 1)));
        again.assert_equal(&values, "put together again");
    }

    #[test]
    #[should_panic(
        expected = "1 of 3 values differ, the first are\n  m\\ x,a=b f\t -1: found Some(f 0.0 (0000000000000000))"
    )]
    fn a_zero_of_the_other_sign_is_a_difference() {
        Values::from_tsv(&TSV.replace('8', "0")).assert_equal(&Values::from_tsv(TSV), "zeros");
    }

    #[test]
    #[should_panic(
        expected = "1 of 2 values differ, the first are\n  n g 6: found Some(s \"x\"), expected None"
    )]
    fn a_value_too_many_is_a_difference() {
        let (shorter, _) = TSV.trim_end().rsplit_once('\n').unwrap();
        Values::from_tsv(TSV).assert_equal(&Values::from_tsv(shorter), "too many");
    }

    #[test]
    #[should_panic(expected = "n g 5 came twice")]
    fn a_value_that_comes_twice_stops_the_test() {
        Values::from_tsv("n\tg\ti\t1\t5\nn\tg\ti\t1\t5\n");
    }
}
