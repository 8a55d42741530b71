//! Every value of a database through InfluxQL, from any server that speaks it: influxd 1.x and 2.x.
//!
//! JSON has one kind of number, so types come from `SHOW FIELD KEYS`, and numbers are read from their text: a double
//! would lose integers beyond 2^53. A database in which a field has two types cannot be read like this.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::Client;
use crate::values::{Value, Values};

const CHUNK_ROWS: usize = 10_000;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    results: Vec<Statement<'a>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow, default)]
    series: Vec<Series<'a>>,
    error: Option<String>,
}

/// One table of an answer; cells are the JSON as it came.
#[derive(Deserialize)]
struct Series<'a> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    columns: Vec<String>,
    #[serde(borrow, default)]
    values: Vec<Vec<&'a RawValue>>,
}

/// Runs a statement and gives the JSON documents it answers with, one a line.
///
/// # Panics
/// When the server refuses.
#[track_caller]
pub fn query(client: &Client, database: &str, statement: &str) -> String {
    let body = format!("db={}&q={}", encode(database), encode(statement));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let target = format!("/query?epoch=ns&chunked=true&chunk_size={CHUNK_ROWS}");
    let answer = client.send("POST", &target, &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
    String::from_utf8(answer.body).unwrap()
}

/// The cells of every row that a statement answers, as text.
///
/// # Panics
/// When the server refuses or answers an error.
pub fn rows(client: &Client, database: &str, statement: &str) -> Vec<Vec<String>> {
    let text = query(client, database, statement);
    let series = tables(&text);
    series.flat_map(|series| series.values).map(|row| row.into_iter().map(text_of).collect()).collect()
}

/// Every value of the database.
///
/// # Panics
/// When the server refuses, or answers what cannot be.
pub fn values(client: &Client, database: &str) -> Values {
    let kinds = kinds(client, database);
    let text = query(client, database, "SELECT * FROM /.*/ GROUP BY *");
    let mut values = Values::default();
    for series in tables(&text) {
        let key = series_key(&series.name, &series.tags);
        assert_eq!(series.columns.first().map(String::as_str), Some("time"));
        for row in &series.values {
            let time_ns = row[0].get().parse().unwrap();
            // The columns are those of all measurements, so most cells of a row may be null.
            let cells = series.columns.iter().zip(row).skip(1).filter(|(_, cell)| cell.get() != "null");
            for (field, cell) in cells {
                let Some(kind) = kinds.get(&(series.name.clone(), field.clone())) else {
                    panic!("{} has the column {field:?}, which is no field", series.name)
                };
                values.insert(&key, field, time_ns, value(kind, cell.get()));
            }
        }
    }
    values
}

/// Type by measurement and field.
fn kinds(client: &Client, database: &str) -> BTreeMap<(String, String), String> {
    let text = query(client, database, "SHOW FIELD KEYS");
    let mut kinds = BTreeMap::new();
    for series in tables(&text) {
        for row in series.values {
            let [field, kind] = row[..] else { panic!("not a row of SHOW FIELD KEYS: {row:?}") };
            let before = kinds.insert((series.name.clone(), text_of(field)), text_of(kind));
            assert_eq!(before, None, "{} {field} has two types", series.name);
        }
    }
    kinds
}

fn tables(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter(|line| !line.is_empty()).flat_map(|line| {
        let answer: Answer<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(answer.error, None);
        answer.results.into_iter().flat_map(|statement| {
            assert_eq!(statement.error, None);
            statement.series
        })
    })
}

fn text_of(cell: &RawValue) -> String {
    serde_json::from_str(cell.get()).unwrap_or_else(|_| cell.get().to_owned())
}

fn value(kind: &str, text: &str) -> Value {
    match kind {
        "float" => Value::float(text),
        "integer" => Value::Integer(text.parse().unwrap()),
        "unsigned" => Value::Unsigned(text.parse().unwrap()),
        "boolean" => Value::Boolean(text.parse().unwrap()),
        "string" => Value::String(serde_json::from_str(text).unwrap()),
        other => panic!("a field of the type {other:?}"),
    }
}

/// `GROUP BY *` names every tag of the measurement; those that a series lacks are empty.
pub(crate) fn series_key(measurement: &str, tags: &BTreeMap<String, String>) -> String {
    let mut key = measurement.replace(',', "\\,").replace(' ', "\\ ");
    for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
        key.push_str(&format!(",{}={}", escape(name), escape(value)));
    }
    key
}

fn escape(text: &str) -> String {
    text.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ")
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_text() {
        assert_eq!(value("float", "-0"), Value::Float(1 << 63));
        assert_eq!(value("integer", "9223372036854775807"), Value::Integer(i64::MAX));
        assert_eq!(value("unsigned", "18446744073709551615"), Value::Unsigned(u64::MAX));
        assert_eq!(value("string", "\"a\\u003c\\n\""), Value::String("a<\n".to_owned()));
    }

    #[test]
    fn a_series_key_is_escaped_and_empty_tags_are_left_out() {
        let tags = [("b c", "d=,"), ("a", ""), ("back\\slash", "é")];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(series_key("m, =", &tags), "m\\,\\ =,b\\ c=d\\=\\,,back\\slash=é");
    }
}
