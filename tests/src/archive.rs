//! The archive of a shard, read by the `tar` crate: a reader that shares nothing with the writer in `icecore-backup`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Content by the last component of the name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of an archive, all of which must be of one shard.
///
/// # Panics
/// When it is not a whole tar, a name comes twice, or an entry is not a file of `<bucket>/<policy>/<shard>/`.
pub fn files(archive: &[u8], bucket_id: &str, shard_id: u64) -> Files {
    assert!(archive.ends_with(&[0; 1024]) && archive.len().is_multiple_of(512), "two zero blocks end a tar");
    let folder = format!("{bucket_id}/autogen/{shard_id}");
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        assert!(entry.header().entry_type().is_file());
        let path = entry.path().unwrap().into_owned();
        assert_eq!(path.parent(), Some(Path::new(&folder)));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(files.insert(name, content), None, "{} comes twice", path.display());
    }
    files
}
