//! Bolt files through bbolt itself (`peers/bbolt`).

use std::path::Path;
use std::process::Command;

use crate::process::run;

/// Runs bbolt's check over `bytes` and gives every bucket, key and value, one a line, in order.
///
/// # Panics
/// When bbolt finds something wrong.
pub fn checked_contents(bbolt: &Path, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kv.bolt");
    std::fs::write(&file, bytes).unwrap();
    run(Command::new(bbolt).arg("check").arg(&file));
    String::from_utf8(run(Command::new(bbolt).arg("dump").arg(&file))).unwrap()
}
