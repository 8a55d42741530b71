//! Every value of a bucket through Flux, from a real influxd 2.9.
//!
//! The answer is annotated CSV: blocks of tables with equal columns, each block with its types, which columns are of the
//! key, and names. A line break in a string comes as `\r\n`; so a string that has `\r\n` is not read as it is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::http::Client;
use crate::influxql;
use crate::values::{Value, Values};

/// Columns of a key that are no tags.
const OWN: [&str; 6] = ["result", "table", "_start", "_stop", "_measurement", "_field"];

/// Every value of a bucket, named as the server names it, but for one at the last nanosecond, which no range of Flux has.
///
/// # Panics
/// When the server refuses, or answers what cannot be.
pub fn values(client: &Client, org_id: &str, bucket: &str) -> Values {
    let range = "start: 1677-09-21T00:12:43.145224194Z, stop: 2262-04-11T23:47:16.854775806Z";
    let request = serde_json::json!({
        "query": format!("from(bucket: {bucket:?}) |> range({range})"),
        "dialect": {"annotations": ["datatype", "group"]},
    });
    let headers = [("Content-Type", "application/json"), ("Accept", "application/csv")];
    let target = format!("/api/v2/query?orgID={org_id}");
    let answer = client.send("POST", &target, &headers, request.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    parse(&String::from_utf8(answer.body).unwrap())
}

/// Types, which are of the key, and names.
#[derive(Default)]
struct Block {
    kinds: Vec<String>,
    groups: Vec<String>,
    names: Vec<String>,
}

fn parse(text: &str) -> Values {
    let mut values = Values::default();
    let mut block = Block::default();
    for row in rows(text) {
        match row[0].as_str() {
            "" if row.len() == 1 => block = Block::default(),
            "#datatype" => block = Block { kinds: row, ..Block::default() },
            "#group" => block.groups = row,
            _ if block.names.is_empty() => block.names = row,
            _ => block.take(&row, &mut values),
        }
    }
    values
}

impl Block {
    fn take(&self, row: &[String], values: &mut Values) {
        assert_eq!(row.len(), self.names.len(), "{row:?}");
        assert_ne!(self.names[1], "error", "{row:?}");
        let cell = |name: &str| {
            let at = self.names.iter().position(|found| found == name);
            at.unwrap_or_else(|| panic!("no {name} in {:?}", self.names))
        };
        let tags: BTreeMap<String, String> = (1..row.len())
            .filter(|at| self.groups[*at] == "true" && !OWN.contains(&self.names[*at].as_str()))
            .map(|at| (self.names[at].clone(), row[at].clone()))
            .collect();
        let key = influxql::series_key(&row[cell("_measurement")], &tags);
        let time: Timestamp = row[cell("_time")].parse().unwrap();
        let time_ns = i64::try_from(time.as_nanosecond()).unwrap();
        let at = cell("_value");
        values.insert(&key, &row[cell("_field")], time_ns, value(&self.kinds[at], &row[at]));
    }
}

fn value(kind: &str, text: &str) -> Value {
    match kind {
        "double" => Value::float(text),
        "long" => Value::Integer(text.parse().unwrap()),
        "unsignedLong" => Value::Unsigned(text.parse().unwrap()),
        "boolean" => Value::Boolean(text.parse().unwrap()),
        "string" => Value::String(text.to_owned()),
        other => panic!("a value of the type {other:?}"),
    }
}

/// The rows of a CSV; an empty line is a row of one empty cell.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(!quoted && row.is_empty() && cell.is_empty(), "the answer is cut off");
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_with_their_types() {
        let text = "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,string,string,string,string\r\n\
                    #group,false,false,true,true,false,false,true,true,true\r\n\
                    ,result,table,_start,_stop,_time,_value,_field,_measurement,a b\r\n\
                    ,_result,0,x,y,1970-01-01T00:00:00.000000005Z,\"two\r\n\"\"lines\"\"\",s,m,\"x,y\"\r\n\
                    \r\n\
                    #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,unsignedLong,string,string\r\n\
                    #group,false,false,true,true,false,false,true,true\r\n\
                    ,result,table,_start,_stop,_time,_value,_field,_measurement\r\n\
                    ,_result,1,x,y,1677-09-21T00:12:43.145224194Z,18446744073709551615,u,m\r\n\r\n";
        let expected = "m,a\\\\ b=x\\\\,y\ts\ts\t\"two\\n\\\"lines\\\"\"\t5\nm\tu\tu\t18446744073709551615\t-9223372036854775806\n";
        parse(text).assert_equal(&Values::from_tsv(expected), "annotated CSV");
    }
}
