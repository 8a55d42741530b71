//! SQLite files by what they hold, whatever their pages look like.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

/// The schema's entries (type, name, table, statement), and the rows by table.
#[derive(Debug, PartialEq)]
pub struct Contents {
    /// In the order of type and name.
    pub schema: Vec<Vec<Value>>,
    /// In the order of the row id.
    pub rows: BTreeMap<String, Vec<Vec<Value>>>,
}

/// What a file holds, checked by SQLite's own check.
///
/// # Panics
/// When it is not a sound SQLite file.
pub fn contents(bytes: &[u8]) -> Contents {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sql");
    std::fs::write(&file, bytes).unwrap();
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert_eq!(rows(&connection, "PRAGMA integrity_check"), [[Value::Text("ok".to_owned())]]);
    let schema = rows(&connection, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
    let tables = schema.iter().filter_map(|entry| match &entry[..2] {
        [Value::Text(kind), Value::Text(name)] if kind == "table" => Some(name.clone()),
        _ => None,
    });
    let rows = tables
        .map(|name| {
            let found = rows(&connection, &format!("SELECT * FROM \"{name}\" ORDER BY rowid"));
            (name, found)
        })
        .collect();
    Contents { schema, rows }
}

fn rows(connection: &Connection, statement: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(statement).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|at| row.get(at)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}
