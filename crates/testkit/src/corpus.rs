//! The files that a property is tried on by every `cargo test`: `fuzz/corpus/<target>/` in the repository.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// The corpus of a fuzz target: name and bytes of each file, by name.
///
/// # Panics
/// When it is empty or not readable.
pub fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus can be listed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no file in {}", dir.display());
    let read = |path: &PathBuf| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    paths.iter().map(|path| (path.clone(), read(path))).collect()
}

/// Tries `property` on every file in the corpus of `target`.
///
/// # Panics
/// Naming the first file that breaks it.
pub fn replay(target: &str, property: fn(&[u8])) {
    for (path, bytes) in files(target) {
        let outcome = catch_unwind(|| property(&bytes));
        assert!(outcome.is_ok(), "{} breaks the property `{target}`", path.display());
    }
}
