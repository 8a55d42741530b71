//! `influxd.sqlite`: annotations, notebooks, remotes and replications.
//!
//! Icecore makes the file, copies it and checks it; it does not use what is inside (`docs/formats/sqlite.md`).
//!
//! Invariant: [`copy`] and [`check`] open their file to read only. They leave nothing beside it and work on a read-only
//! mount: in the journal mode of influxd (`delete`) a reader needs no file of its own. What a reader cannot do without
//! writing, rolling back a transaction that a killed writer left, is refused by name and done by [`recover`].

mod schema;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::error::{Error, Result};

/// What SQLite expects of a whole database.
const SOUND: &str = "ok";
/// All pages in one step, so that no other writer comes in between.
const ALL_PAGES: std::ffi::c_int = -1;

/// Makes a new database with the tables of influxd 2.9, mode 0600, at a path where there is none.
///
/// # Errors
/// There is a file at `path`; what SQLite or the system says. Nothing is left behind then, but maybe a file with the
/// added extension `.new`, which the next call replaces.
///
/// # Durability
/// On return the file and its name are durable. It appears whole or not at all.
pub fn create(path: &Path) -> Result<()> {
    if fs::exists(path).map_err(|source| io_error(path, source))? {
        return Err(io_error(path, io::ErrorKind::AlreadyExists.into()));
    }
    let new = with_suffix(path, ".new");
    remove_if_there(&new)?;
    create_private(&new)?;
    schema::write(&mut Connection::open(&new).map_err(sqlite_error(&new, "open"))?)
        .map_err(sqlite_error(&new, "make the tables"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(&new).and_then(|file| file.sync_all()).map_err(|source| io_error(&new, source))?;
    fs::rename(&new, path).map_err(|source| io_error(path, source))?;
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(|source| io_error(directory, source))
}

/// Copies the database `from` to the new file `to` (mode 0600): one consistent state, also while others write. Like any
/// copy that SQLite makes, it is equal in content and may differ in bytes that carry none.
///
/// # Errors
/// [`Error::HotJournal`] when `from` must be recovered first; `from` is in WAL mode, is missing, or is no database;
/// `to` exists. On failure `to` is removed.
///
/// # Durability
/// None: a copy is made to be sent.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = open_to_read(from)?;
    create_private(to)?;
    let copied = copy_into(&source, from, to);
    if copied.is_err() {
        remove_if_there(to)?;
    }
    copied
}

fn copy_into(source: &Connection, from: &Path, to: &Path) -> Result<()> {
    let mut target = Connection::open(to).map_err(sqlite_error(to, "open"))?;
    target.pragma_update(None, "synchronous", "OFF").map_err(sqlite_error(to, "configure"))?;
    let backup = Backup::new(source, &mut target).map_err(sqlite_error(from, "copy"))?;
    match backup.step(ALL_PAGES).map_err(sqlite_error(from, "copy"))? {
        StepResult::Done => Ok(()),
        _ => {
            Err(Error::Sqlite { path: from.to_owned(), what: "copy: another process is writing".to_owned() })
        }
    }
}

/// Whether SQLite finds the file whole, and its migrations are those of influxd 2.9 or the first of them: an older file
/// is brought up to date by influxd itself. An empty file is a database, too.
///
/// # Errors
/// As [`copy`]; also the first thing that SQLite's integrity check finds, and the first migration that does not fit.
pub fn check(path: &Path) -> Result<()> {
    let connection = open_to_read(path)?;
    let found: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .map_err(sqlite_error(path, "check"))?;
    if found != SOUND {
        return Err(Error::Sqlite { path: path.to_owned(), what: format!("damaged: {found}") });
    }
    let migrations = schema::migrations(&connection).map_err(sqlite_error(path, "read its migrations"))?;
    schema::check(&migrations).map_err(|what| Error::Sqlite { path: path.to_owned(), what })
}

/// Rolls back a transaction that a killed writer left in the file's journal. Does nothing to a sound file.
///
/// Call it when the data directory is held to write, before [`check`] and [`copy`].
///
/// # Errors
/// What SQLite says, also when another process is in the middle of a transaction.
pub fn recover(path: &Path) -> Result<()> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(sqlite_error(path, "open"))?;
    read_something(&connection).map_err(sqlite_error(path, "recover"))
}

/// Opens a file so that SQLite will write nothing, neither to it nor beside it.
fn open_to_read(path: &Path) -> Result<Connection> {
    if is_in_wal_mode(path)? {
        let what = "is in WAL mode, where even a reader writes; set journal_mode to delete first".to_owned();
        return Err(Error::Sqlite { path: path.to_owned(), what });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite_error(path, "open"))?;
    read_something(&connection).map_err(sqlite_error(path, "read"))?;
    Ok(connection)
}

/// Makes SQLite look at the file: opening alone does not.
fn read_something(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_query_value(None, "schema_version", |_| Ok(()))
}

/// Bytes 18 and 19 of the header are 2 in WAL mode and 1 otherwise. A shorter file has no mode yet.
fn is_in_wal_mode(path: &Path) -> Result<bool> {
    const HEADER_TO_VERSION: usize = 19;
    let mut header = Vec::with_capacity(HEADER_TO_VERSION);
    File::open(path)
        .and_then(|file| {
            io::Read::read_to_end(&mut io::Read::take(file, HEADER_TO_VERSION as u64), &mut header)
        })
        .map_err(|source| io_error(path, source))?;
    Ok(header.get(HEADER_TO_VERSION - 1) == Some(&2))
}

/// Creates an empty file that only its owner reads; to SQLite that is an empty database.
fn create_private(path: &Path) -> Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map(drop).map_err(|source| io_error(path, source))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn sqlite_error(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| match error.sqlite_error() {
        Some(ffi::Error { code: ErrorCode::ReadOnly, extended_code: ffi::SQLITE_READONLY_ROLLBACK }) => {
            Error::HotJournal { path }
        }
        _ => Error::Sqlite { path, what: format!("{doing}: {error}") },
    }
}
