//! A directory as it is, to see whether a program changed it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// Mode, owner, time of modification and bytes of everything below a directory, by its name in there. A folder has no
/// bytes.
pub type Tree = BTreeMap<String, (u32, u32, SystemTime, Vec<u8>)>;

/// All below `dir`.
///
/// # Panics
/// When something cannot be read.
pub fn of(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            tree.insert(name, (meta.mode(), meta.uid(), meta.modified().unwrap(), content));
            if meta.is_dir() {
                pending.push(path);
            }
        }
    }
    tree
}

/// Compares two states of a directory.
///
/// # Panics
/// When they differ; names what does.
#[track_caller]
pub fn assert_unchanged(dir: &Path, before: &Tree) {
    let after = of(dir);
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed: Vec<_> = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(changed.is_empty(), "{} was changed: {changed:?}", dir.display());
}
