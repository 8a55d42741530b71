//! The tables of influxd 2.9, as they are after its eight migrations.
//!
//! Invariant: objects have the names, columns, constraints and order of those that influxd made; the rows of
//! `migrations` are, by position, the names below.

use rusqlite::{Connection, OptionalExtension as _};

const MIGRATIONS: [&str; 8] = [
    "0001_create_migrations_table",
    "0002_create_notebooks_table",
    "0003_create_annotations_tables",
    "0004_create_remotes_table",
    "0005_create_replications_table",
    "0006_migrate_replications_foreign_key",
    "0007_migrate_replications_add_bucket_name",
    "0008_migrate_remotes_null_remote_org",
];

const OBJECTS: [&str; 10] = [
    "CREATE TABLE migrations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT UNIQUE NOT NULL
    )",
    "CREATE TABLE notebooks (
        id TEXT NOT NULL PRIMARY KEY,
        org_id TEXT NOT NULL,
        name TEXT NOT NULL,
        spec TEXT NOT NULL,
        created_at TIMESTAMP,
        updated_at TIMESTAMP
    )",
    "CREATE TABLE streams (
        id VARCHAR(16) PRIMARY KEY,
        org_id VARCHAR(16) NOT NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        created_at TIMESTAMP NOT NULL,
        updated_at TIMESTAMP NOT NULL,
        CONSTRAINT streams_uniq_orgid_name UNIQUE (org_id, name)
    )",
    "CREATE TABLE annotations (
        id VARCHAR(16) PRIMARY KEY,
        org_id VARCHAR(16) NOT NULL,
        stream_id VARCHAR(16) NOT NULL,
        summary TEXT NOT NULL,
        message TEXT NOT NULL,
        stickers TEXT NOT NULL,
        duration TEXT NOT NULL,
        lower TIMESTAMP NOT NULL,
        upper TIMESTAMP NOT NULL,
        FOREIGN KEY (stream_id) REFERENCES streams(id) ON DELETE CASCADE
    )",
    "CREATE INDEX idx_annotations_stream ON annotations (stream_id)",
    "CREATE INDEX idx_annotations_stickers ON annotations (stickers)",
    "CREATE TABLE remotes (
        id VARCHAR(16) NOT NULL PRIMARY KEY,
        org_id VARCHAR(16) NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        remote_url TEXT NOT NULL,
        remote_api_token TEXT NOT NULL,
        remote_org_id VARCHAR(16),
        allow_insecure_tls BOOLEAN NOT NULL,
        created_at TIMESTAMP NOT NULL,
        updated_at TIMESTAMP NOT NULL,
        CONSTRAINT remotes_uniq_orgid_name UNIQUE (org_id, name)
    )",
    "CREATE INDEX idx_remote_url_per_org ON remotes (org_id, remote_url)",
    "CREATE TABLE replications (
        id VARCHAR(16) NOT NULL PRIMARY KEY,
        org_id VARCHAR(16) NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        remote_id VARCHAR(16) NOT NULL,
        local_bucket_id VARCHAR(16) NOT NULL,
        remote_bucket_id VARCHAR(16),
        remote_bucket_name TEXT DEFAULT '',
        max_queue_size_bytes INTEGER NOT NULL,
        max_age_seconds INTEGER NOT NULL,
        latest_response_code INTEGER,
        latest_error_message TEXT,
        drop_non_retryable_data BOOLEAN NOT NULL,
        created_at TIMESTAMP NOT NULL,
        updated_at TIMESTAMP NOT NULL,
        CONSTRAINT replications_uniq_orgid_name UNIQUE (org_id, name),
        CONSTRAINT replications_one_of_id_name CHECK (remote_bucket_id IS NOT NULL OR remote_bucket_name != ''),
        FOREIGN KEY (remote_id) REFERENCES remotes (id)
    )",
    "CREATE INDEX idx_local_bucket_id_per_org ON replications (org_id, local_bucket_id)",
];

/// Makes all tables in an empty database, in one transaction.
pub(super) fn write(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for object in OBJECTS {
        transaction.execute(object, ())?;
    }
    for name in MIGRATIONS {
        transaction.execute("INSERT INTO migrations (name) VALUES (?1)", [name])?;
    }
    transaction.commit()
}

/// The migrations that a database has seen, in order; none if it has no such table.
pub(super) fn migrations(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'";
    if connection.query_row(table, (), |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut names = connection.prepare("SELECT name FROM migrations ORDER BY id")?;
    names.query_map((), |row| row.get(0))?.collect()
}

/// Whether the migrations are the first of those that influxd 2.9 knows.
pub(super) fn check(found: &[String]) -> Result<(), String> {
    if let Some((position, (found, expected))) =
        (1..).zip(found.iter().zip(MIGRATIONS)).find(|(_, (found, expected))| found != expected)
    {
        return Err(format!("migration {position} is {found:?} and should be {expected:?}"));
    }
    match found.get(MIGRATIONS.len()) {
        Some(newer) => Err(format!("migration {newer:?} is unknown: a newer server wrote this file")),
        None => Ok(()),
    }
}
