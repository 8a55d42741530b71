//! Where the peers are. Those that a package registry has must be there in CI; those that none packages may be missing.
//!
//! | peer | found through | without it |
//! |---|---|---|
//! | influxd 1.x | `INFLUXD1_BIN`, `influxd` on `PATH` or in `/usr/sbin` | failure in CI, else a line says what was skipped |
//! | Python client | `peers/python/.venv` | the same |
//! | Node client | `peers/node/node_modules`, `node` on `PATH` | the same |
//! | bbolt | `go` on `PATH` | the same |
//! | curl, Python, Node, Go, GNU tar by themselves | `curl`, `python3`, `node`, `go`, `tar` on `PATH` | the same |
//! | influxd 2.9 | `INFLUXD_BIN` | a line says what was skipped |
//! | influx CLI | `INFLUX_BIN` | the same |
//!
//! CI is where the variable `CI` is set.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::process::run;

/// influxd 1.x. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn influxd1() -> Option<PathBuf> {
    let named = std::env::var_os("INFLUXD1_BIN").map(PathBuf::from);
    let candidates = named.into_iter().chain(on_path("influxd")).chain([PathBuf::from("/usr/sbin/influxd")]);
    let found = candidates.into_iter().find(|path| is_influxd1(path));
    found.or_else(|| packaged_is_missing("influxd 1.x (Debian package influxdb)"))
}

fn is_influxd1(path: &Path) -> bool {
    let output = Command::new(path).arg("version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("InfluxDB v1."))
}

/// Python with the client installed. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn python() -> Option<PathBuf> {
    let python = own("python/.venv/bin/python");
    if python.exists() { Some(python) } else { packaged_is_missing("the Python client (peers/python)") }
}

/// Node, with the client beside its program. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn node() -> Option<PathBuf> {
    let client = own("node/node_modules/@influxdata/influxdb-client-apis").exists();
    let node = on_path("node").next().filter(|_| client);
    node.or_else(|| packaged_is_missing("the Node client (peers/node)"))
}

/// Our program around bbolt, built once for each test binary. `None` was told.
///
/// # Panics
/// In CI, when there is no Go; when it does not build.
pub fn bbolt() -> Option<&'static Path> {
    static BBOLT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BBOLT.get_or_init(build_bbolt).as_deref()
}

fn build_bbolt() -> Option<PathBuf> {
    built("bbolt", "bbolt (a Go module)")
}

/// Our program around Go's own client, built once for each test binary. `None` was told.
///
/// # Panics
/// In CI, when there is no Go; when it does not build.
pub fn go() -> Option<&'static Path> {
    static GO: OnceLock<Option<PathBuf>> = OnceLock::new();
    GO.get_or_init(|| built("go", "Go")).as_deref()
}

/// Our program around Go's own reader of a tar, built once for each test binary. `None` was told.
///
/// # Panics
/// In CI, when there is no Go; when it does not build.
pub fn untar() -> Option<&'static Path> {
    static UNTAR: OnceLock<Option<PathBuf>> = OnceLock::new();
    UNTAR.get_or_init(|| built("untar", "Go")).as_deref()
}

/// Builds a program in Go.
fn built(name: &str, peer: &str) -> Option<PathBuf> {
    let Some(go) = on_path("go").next() else { return packaged_is_missing(peer) };
    let to = std::env::current_exe().unwrap().with_file_name(format!("{name}-peer"));
    run(Command::new(go).args(["build", "-o"]).arg(&to).arg(".").current_dir(own(name)));
    Some(to)
}

/// curl. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn curl() -> Option<PathBuf> {
    on_path("curl").next().or_else(|| packaged_is_missing("curl"))
}

/// GNU tar. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn tar() -> Option<PathBuf> {
    on_path("tar").next().or_else(|| packaged_is_missing("GNU tar"))
}

/// Python without any client. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn python3() -> Option<PathBuf> {
    on_path("python3").next().or_else(|| packaged_is_missing("Python 3"))
}

/// Node without any client. `None` was told.
///
/// # Panics
/// In CI, when it is missing.
pub fn node_alone() -> Option<PathBuf> {
    on_path("node").next().or_else(|| packaged_is_missing("Node"))
}

/// influxd 2.9. `None` was told.
pub fn influxd2() -> Option<PathBuf> {
    unpackaged("INFLUXD_BIN")
}

/// The influx CLI. `None` was told.
pub fn influx() -> Option<PathBuf> {
    unpackaged("INFLUX_BIN")
}

/// influxd 2.9 and the influx CLI. `None` was told.
pub fn influxd2_and_cli() -> Option<(PathBuf, PathBuf)> {
    let influxd = influxd2()?;
    Some((influxd, influx()?))
}

fn unpackaged(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    found.or_else(|| {
        tell(&format!("skipped without {variable}"));
        None
    })
}

fn packaged_is_missing<T>(peer: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{peer} is missing, and CI must have it");
    tell(&format!("skipped without {peer}; .ci/run installs it"));
    None
}

/// Tells once that a test, which will pass, did not test something. Past the capture of the test runner: nobody reads the
/// output of tests that pass.
pub fn tell(what: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let thread = std::thread::current();
    // The runner may have begun a line that is not ended yet.
    let line = format!("\n{}: {what}\n", thread.name().unwrap_or("a test"));
    if TOLD.lock().unwrap().insert(line.clone()) {
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// A program of ours around a peer.
pub fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

fn on_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<_> =
        std::env::split_paths(&path).map(|dir| dir.join(program)).filter(|file| file.is_file()).collect();
    found.into_iter()
}
