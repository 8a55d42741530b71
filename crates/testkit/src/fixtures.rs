//! Data of a real influxd 2.9.1. Found through `ICECORE_FIXTURES`, by default `../shared/fixtures` beside the
//! repository; a test without them fails, it does not skip.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tempfile::TempDir;

/// Operator token of `kitchen-sink` and `fleet`.
pub const OPERATOR_TOKEN: &str = "fixture-operator-token-0123456789";
/// Operator token of `layers`.
pub const LAYERS_OPERATOR_TOKEN: &str = "layers-operator-token-0123456789";

/// The file or folder `name` inside the fixtures.
///
/// # Panics
/// When there is none: the fixtures are missing or the name is wrong.
pub fn path(name: &str) -> PathBuf {
    let root = std::env::var_os("ICECORE_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let path = root.join(name);
    assert!(path.exists(), "no fixture at {}: set ICECORE_FIXTURES", path.display());
    path
}

/// The bytes of a fixture; what ends in `.gz` comes out decompressed.
///
/// # Panics
/// When the fixture is missing or not readable.
pub fn read(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = File::open(path(name)).expect("fixture opens");
    let read = if name.ends_with(".gz") {
        GzDecoder::new(file).read_to_end(&mut bytes)
    } else {
        file.read_to_end(&mut bytes)
    };
    read.unwrap_or_else(|error| panic!("fixture {name}: {error}"));
    bytes
}

/// A private copy of the data directory of `kitchen-sink`, `layers` or `fleet`: `influxd.bolt`, `influxd.sqlite` and
/// `engine/`, with the times of modification they had.
///
/// # Panics
/// When the fixture is missing or not readable.
pub fn unpack(name: &str) -> TempDir {
    let dir = TempDir::with_prefix("icecore-").expect("temporary directory");
    let archive = File::open(path(&format!("{name}/influxd-data.tar.gz"))).expect("fixture opens");
    tar::Archive::new(GzDecoder::new(archive)).unpack(dir.path()).expect("fixture unpacks");
    dir
}
