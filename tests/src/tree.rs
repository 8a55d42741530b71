//! A directory as it is, to see whether a program changed it, and once more.

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

/// Copies all below `from` into `to`, which is made where it is not there, with the times of modification of the files: by them it
/// is told who wrote them.
///
/// # Panics
/// When something cannot be read, or there is no room.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
            let time = std::fs::metadata(&path).unwrap().modified().unwrap();
            std::fs::File::options().write(true).open(&to).unwrap().set_modified(time).unwrap();
        }
    }
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
