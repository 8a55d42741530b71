//! The command as a process, and where the files of the fixtures lie.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests fail as tests do; each test file uses a part"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a run ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `icecore` with these arguments in a directory: paths are printed as they were given.
pub(crate) fn icecore(dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
    let output = command.args(arguments).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `icecore` with bytes on its standard input.
pub(crate) fn icecore_reads(dir: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    })
}

/// Of `kitchen-sink`: a shard with values of all five types, a log and deletes.
pub(crate) const LOG: &str = "engine/wal/725e5d10302da261/autogen/1/_00004.wal";
pub(crate) const TSM: &str = "engine/data/725e5d10302da261/autogen/1/000000003-000000002.tsm";
pub(crate) const TOMBSTONE: &str = "engine/data/725e5d10302da261/autogen/1/000000003-000000002.tombstone";
