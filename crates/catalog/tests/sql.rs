//! `influxd.sqlite`: made, copied and checked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use icecore_catalog::{Error, sql};
use icecore_testkit::fixtures;
use rusqlite::Connection;
use tempfile::TempDir;

/// Name, kind and definition of all objects, in order; white space counts as one space.
fn schema(path: &Path) -> Vec<(String, String, String)> {
    let connection = Connection::open(path).unwrap();
    let mut objects = connection.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_master").unwrap();
    let objects =
        objects.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))).unwrap();
    objects.map(|object| object.map(|(kind, name, sql)| (kind, name, normalized(&sql))).unwrap()).collect()
}

fn normalized(sql: &str) -> String {
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    sql.replace("( ", "(").replace(" )", ")").replace(" (", "(")
}

fn rows(path: &Path, table: &str) -> Vec<(i64, String)> {
    let connection = Connection::open(path).unwrap();
    let mut rows = connection.prepare(&format!("SELECT rowid, name FROM {table}")).unwrap();
    rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Everything in a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A directory with a database whose writer was killed in the middle of a transaction.
fn killed_writer() -> TempDir {
    let (alive, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = alive.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    let mut writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "cache_size", 1).unwrap();
    let transaction = writer.transaction().unwrap();
    transaction.execute("DELETE FROM migrations", ()).unwrap();
    for id in 0..200 {
        let spec = "s".repeat(2000);
        transaction
            .execute("INSERT INTO notebooks (id, org_id, name, spec) VALUES (?1, 'o', 'n', ?2)", (id, spec))
            .unwrap();
    }
    for (name, bytes) in files(alive.path()) {
        fs::write(killed.path().join(name), bytes).unwrap();
    }
    assert!(killed.path().join("influxd.sqlite-journal").exists());
    killed
}

#[test]
fn a_new_database_has_the_tables_and_migrations_of_influxd() {
    let (fixture, dir) = (fixtures::unpack("fleet"), TempDir::new().unwrap());
    let (theirs, ours) = (fixture.path().join("influxd.sqlite"), dir.path().join("influxd.sqlite"));
    sql::create(&ours).unwrap();
    assert_eq!(schema(&ours), schema(&theirs));
    assert_eq!(rows(&ours, "migrations"), rows(&theirs, "migrations"));
    assert_eq!(rows(&ours, "sqlite_sequence"), rows(&theirs, "sqlite_sequence"));
    sql::check(&ours).unwrap();
    assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(dir.path()).len(), 1, "nothing beside it");
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    fs::write(&path, b"").unwrap();
    assert!(matches!(sql::create(&path), Err(Error::Io { .. })));
    let source = dir.path().join("source");
    sql::create(&source).unwrap();
    assert!(matches!(sql::copy(&source, &path), Err(Error::Io { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn what_a_killed_create_left_is_replaced() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("influxd.sqlite.new"), b"half").unwrap();
    sql::create(&dir.path().join("influxd.sqlite")).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn a_copy_has_schema_and_rows_and_leaves_the_source_alone() {
    for name in ["kitchen-sink", "layers", "fleet"] {
        let (fixture, dir) = (fixtures::unpack(name), TempDir::new().unwrap());
        let (from, to) = (fixture.path().join("influxd.sqlite"), dir.path().join("copy"));
        let before = fs::read(&from).unwrap();
        sql::check(&from).unwrap();
        sql::copy(&from, &to).unwrap();
        assert_eq!(fs::read(&from).unwrap(), before, "{name}");
        assert_eq!(fs::read_dir(fixture.path()).unwrap().count(), 3, "{name}: bolt, sqlite, engine");
        assert_eq!(files(dir.path()).len(), 1, "{name}: only the copy");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(schema(&to), schema(&from));
        assert_eq!(rows(&to, "migrations"), rows(&from, "migrations"));
        sql::check(&to).unwrap();
    }
}

#[test]
fn a_copy_is_made_while_another_process_has_the_database_open() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    let mut writer = Connection::open(&path).unwrap();
    let transaction = writer.transaction().unwrap();
    let notebook = "INSERT INTO notebooks (id, org_id, name, spec) VALUES ('i', 'o', 'n', 's')";
    transaction.execute(notebook, ()).unwrap();
    sql::copy(&path, &dir.path().join("before")).unwrap();
    transaction.commit().unwrap();
    sql::copy(&path, &dir.path().join("after")).unwrap();
    assert_eq!(rows(&dir.path().join("before"), "notebooks").len(), 0);
    assert_eq!(rows(&dir.path().join("after"), "notebooks").len(), 1);
}

#[test]
fn an_interrupted_transaction_is_refused_without_a_trace_and_can_be_recovered() {
    let dir = killed_writer();
    let path = dir.path().join("influxd.sqlite");
    let before = files(dir.path());
    let copy = TempDir::new().unwrap();
    let copied = sql::copy(&path, &copy.path().join("copy"));
    assert!(matches!(copied, Err(Error::HotJournal { path: ref named }) if *named == path), "{copied:?}");
    assert!(matches!(sql::check(&path), Err(Error::HotJournal { .. })));
    assert!(files(dir.path()) == before, "nothing was written");
    assert_eq!(files(copy.path()).len(), 0, "no half a copy");

    sql::recover(&path).unwrap();
    sql::check(&path).unwrap();
    sql::copy(&path, &copy.path().join("copy")).unwrap();
    assert_eq!(rows(&copy.path().join("copy"), "migrations").len(), 8);
    assert_eq!(rows(&copy.path().join("copy"), "notebooks").len(), 0);
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn recovery_of_a_sound_file_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    let before = fs::read(&path).unwrap();
    sql::recover(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(sql::recover(&dir.path().join("none")).is_err());
    assert!(!dir.path().join("none").exists());
}

#[test]
fn wal_mode_is_refused_because_its_readers_write() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    let before = files(dir.path());
    let error = sql::copy(&path, &dir.path().join("copy")).unwrap_err().to_string();
    assert!(error.contains("WAL mode"), "{error}");
    assert_eq!(files(dir.path()), before);
}

#[test]
fn damage_is_named_with_its_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    let sound = fs::read(&path).unwrap();

    let garbage = vec![b'x'; 8192];
    let mut damaged_page = sound.clone();
    damaged_page[4096..4112].fill(0xff);
    let cut = &sound[..sound.len() - 4096];
    for (what, bytes) in [("garbage", garbage.as_slice()), ("a page", &damaged_page), ("cut", cut)] {
        fs::write(&path, bytes).unwrap();
        let error = sql::check(&path).unwrap_err().to_string();
        assert!(error.starts_with(path.to_str().unwrap()), "{what}: {error}");
    }
    assert!(
        sql::check(&dir.path().join("none")).is_err() && sql::copy(&dir.path().join("none"), &path).is_err()
    );
}

#[test]
fn migrations_of_another_server_are_refused_and_those_of_an_older_one_are_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("influxd.sqlite");
    sql::create(&path).unwrap();
    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    change("DELETE FROM migrations WHERE id > 5");
    sql::check(&path).unwrap();
    change("UPDATE migrations SET name = 'other' WHERE id = 3");
    assert!(sql::check(&path).unwrap_err().to_string().contains("migration 3 is \"other\""));
    change("DELETE FROM migrations");
    sql::check(&path).unwrap();
    fs::write(&path, b"").unwrap();
    sql::check(&path).unwrap();

    fs::remove_file(&path).unwrap();
    sql::create(&path).unwrap();
    change("INSERT INTO migrations (name) VALUES ('0009_later')");
    assert!(sql::check(&path).unwrap_err().to_string().contains("a newer server wrote this file"));
}
