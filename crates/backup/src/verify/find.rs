//! First step of a verification: what there is below the paths that were given.
//!
//! Kinds are told by names, as influxd, the CLI and Icecore give them; the kind of a file that was named itself is told
//! by its first bytes when its name does not.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use icecore_disk::RealDisk;
use icecore_tsm::fields::IDX_NAME;
use icecore_tsm::manifest::NAME as SHARD_MANIFEST;
use icecore_tsm::verify as tsm;
use icecore_tsm::{Digest, FileName};

use super::VerifyError;
use super::manifest::{self, Listed};
use super::report::FileKind;
use super::shard;

/// Directories below directories are followed so far.
const DEPTH_MAX: usize = 32;

/// Bytes that tell what a file is: those of a tar are the last.
const HEAD_LEN: u64 = 512;

/// What a file is, and what its surroundings say of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) kind: FileKind,
    pub(super) is_gzip: bool,
    /// Of a log segment: whether it is the last with content.
    pub(super) may_be_torn: bool,
    /// What contradicts its name, its place or its surroundings, in words.
    pub(super) faults: Vec<String>,
    /// What is odd about its place.
    pub(super) oddity: Option<&'static str>,
    /// What it has to be by `icecore.manifest`; of sums, the file that they are of.
    pub(super) listed: Option<Digest>,
    /// What contradicts `icecore.manifest`, and where.
    pub(super) faults_at: Vec<(&'static str, u64)>,
    /// What is odd beside `icecore.manifest`.
    pub(super) notes: Vec<String>,
    /// The directory in an archive that the manifest of a backup wants.
    pub(super) prefix: Option<String>,
    /// The length that the manifest of a backup states.
    pub(super) size: Option<u64>,
}

impl Target {
    pub(super) fn new(path: PathBuf, kind: FileKind, is_gzip: bool) -> Self {
        Self {
            path,
            kind,
            is_gzip,
            may_be_torn: true,
            faults: Vec::new(),
            oddity: None,
            listed: None,
            faults_at: Vec::new(),
            notes: Vec::new(),
            prefix: None,
            size: None,
        }
    }
}

/// All that was found, TSM files first.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    pub(super) not_verified: BTreeMap<&'static str, u64>,
    seen: HashSet<(u64, u64)>,
    trusts: shard::Trusts,
}

/// Looks at every path.
pub(super) fn find(paths: &[PathBuf]) -> Result<Found, VerifyError> {
    let mut found = Found::default();
    for path in paths {
        let before = found.targets.len();
        let meta = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => VerifyError::NoSuchPath(path.clone()),
            _ => VerifyError::Io { path: path.clone(), source },
        })?;
        match meta.is_dir() {
            true => found.directory(path, 0)?,
            false => found.file(path)?,
        }
        if found.targets.len() == before {
            return Err(VerifyError::Nothing(path.clone()));
        }
    }
    found.targets.sort_by_key(|target| target.kind != FileKind::Tsm); // stable
    Ok(found)
}

impl Found {
    /// A file that was named itself.
    fn file(&mut self, path: &Path) -> Result<(), VerifyError> {
        let io = |source| VerifyError::Io { path: path.to_owned(), source };
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let kind = match by_name(&name) {
            Some(kind) => Some(kind),
            None => by_content(path).map_err(io)?,
        };
        let (kind, is_gzip) = kind.ok_or_else(|| VerifyError::Unknown(path.to_owned()))?;
        let mut target = Target::new(path.to_owned(), kind, is_gzip);
        if kind == FileKind::Log {
            target.may_be_torn = is_last_segment(path);
        }
        let at = self.targets.len();
        self.targets.push(target);
        let tombstone = path.with_extension("tombstone");
        match kind {
            FileKind::Tsm if tombstone.exists() => {
                self.targets.push(Target::new(tombstone, FileKind::Tombstone, false));
            }
            FileKind::Manifest => self.manifest(at, at),
            _ => {}
        }
        Ok(())
    }

    /// Reads the manifest at `at` of the targets, and adds what it says of files to the targets from `from` on, those of
    /// its directory; a file that is not among them becomes one.
    fn manifest(&mut self, at: usize, from: usize) {
        let Some(path) = self.targets.get(at).map(|target| target.path.clone()) else { return };
        let listed = match manifest::read(&path) {
            Ok(listed) => listed,
            Err(fault) => return self.fault(at, fault),
        };
        for Listed { name, size, prefix } in listed {
            if name.contains('/') || name.is_empty() {
                self.fault(at, format!("it names a file {name:?}, which is no name"));
                continue;
            }
            let file = path.with_file_name(&name);
            let known = self.targets.iter().skip(from).position(|target| target.path == file);
            let nth = match (known, by_name(&name)) {
                (Some(nth), _) => from + nth,
                (None, _) if !file.exists() => {
                    self.fault(at, format!("{name} is missing"));
                    continue;
                }
                (None, Some((kind, is_gzip))) => {
                    self.targets.push(Target::new(file, kind, is_gzip));
                    self.targets.len() - 1
                }
                (None, None) => {
                    self.fault(at, format!("{name} is not named like a file of a backup"));
                    continue;
                }
            };
            if let Some(target) = self.targets.get_mut(nth) {
                (target.size, target.prefix) = (Some(size), prefix);
            }
        }
    }

    fn fault(&mut self, at: usize, fault: String) {
        if let Some(target) = self.targets.get_mut(at) {
            target.faults.push(fault);
        }
    }

    /// In a directory with manifests: those are read, and what none of them names is told.
    fn manifests(&mut self, from: usize) {
        let is_manifest = |target: &Target| target.kind == FileKind::Manifest;
        let all = self.targets.iter().enumerate().skip(from);
        let manifests: Vec<_> = all.filter(|(_, target)| is_manifest(target)).map(|(at, _)| at).collect();
        for at in &manifests {
            self.manifest(*at, from);
        }
        let backed_up = [FileKind::Archive, FileKind::Bolt, FileKind::Sqlite];
        for target in self.targets.iter_mut().skip(from) {
            if !manifests.is_empty() && target.size.is_none() && backed_up.contains(&target.kind) {
                target.oddity = Some("no manifest in its directory names it");
            }
        }
    }

    fn directory(&mut self, dir: &Path, depth: usize) -> Result<(), VerifyError> {
        let io = |source| VerifyError::Io { path: dir.to_owned(), source };
        let meta = match fs::metadata(dir) {
            Ok(meta) => meta,
            // A live server removes directories.
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        if depth > DEPTH_MAX || !self.seen.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        let mut entries = match fs::read_dir(dir) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = entry.path();
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => dirs.push(path),
                Ok(meta) if meta.is_file() => files.push(path),
                Ok(_) => {}
                // Gone again, or a link to nothing: what was meant is then missing elsewhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(VerifyError::Io { path, source: error }),
            }
        }
        self.files(dir, &files)?;
        dirs.iter().try_for_each(|dir| self.subdirectory(dir, depth + 1))
    }

    fn subdirectory(&mut self, dir: &Path, depth: usize) -> Result<(), VerifyError> {
        let name = dir.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let what = match &*name {
            "_series" => "series files",
            "index" => "series indexes",
            // What a backup or a restore of influxd left; it removes them when it starts.
            name if name.ends_with(".tmp") => "leftovers",
            _ => return self.directory(dir, depth),
        };
        *self.not_verified.entry(what).or_default() += 1;
        Ok(())
    }

    fn files(&mut self, dir: &Path, files: &[PathBuf]) -> Result<(), VerifyError> {
        let from = self.targets.len();
        let mut has_log = false;
        let is_ours = files.iter().any(|path| path.file_name().is_some_and(|name| name == SHARD_MANIFEST));
        for path in files {
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            match by_name(&name) {
                Some((FileKind::Log, _)) => has_log = true,
                Some((kind, is_gzip)) => {
                    let mut target = Target::new(path.clone(), kind, is_gzip);
                    if kind == FileKind::Tsm && FileName::parse(&name).is_none() {
                        target.faults.push("the name of a TSM file is not two numbers".to_owned());
                    }
                    if kind == FileKind::Tombstone && !path.with_extension("tsm").exists() {
                        target.oddity = Some("it lies beside no TSM file, so it deletes nothing");
                    }
                    self.targets.push(target);
                }
                None if name == IDX_NAME && is_ours => {
                    self.targets.push(Target::new(path.clone(), FileKind::Fields, false));
                }
                None => *self.not_verified.entry(other(&name)).or_default() += 1,
            }
        }
        self.manifests(from);
        shard::hold(dir, &mut self.targets, from, &mut self.trusts)
            .map_err(|source| VerifyError::Io { path: dir.to_owned(), source })?;
        if has_log { self.log(dir) } else { Ok(()) }
    }

    /// The segments of a log, in the order of their numbers.
    fn log(&mut self, dir: &Path) -> Result<(), VerifyError> {
        match tsm::log(&RealDisk, dir) {
            Ok(segments) => {
                for segment in segments {
                    let target = Target::new(segment.path, FileKind::Log, false);
                    self.targets.push(Target { may_be_torn: segment.may_be_torn, ..target });
                }
                Ok(())
            }
            Err(error) if error.is_damage() => {
                let path = error.path().unwrap_or(dir).to_owned();
                let mut target = Target::new(path, FileKind::Log, false);
                target.faults.push("the name of a log segment has no number".to_owned());
                self.targets.push(target);
                Ok(())
            }
            Err(error) => Err(VerifyError::Engine(error)),
        }
    }
}

/// Whether no later segment of its log has content; true where that cannot be told.
fn is_last_segment(path: &Path) -> bool {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let segments = tsm::log(&RealDisk, dir).unwrap_or_default();
    segments
        .iter()
        .find(|segment| segment.path.file_name() == path.file_name())
        .is_none_or(|it| it.may_be_torn)
}

/// What a name says: the kind, and whether gzip is around it.
pub(super) fn by_name(name: &str) -> Option<(FileKind, bool)> {
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".tgz") {
        return Some((FileKind::Archive, true));
    }
    let (stem, is_gzip) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let (_, extension) = stem.rsplit_once('.')?;
    let kind = match extension {
        "tar" => FileKind::Archive,
        "bolt" => FileKind::Bolt,
        "sqlite" => FileKind::Sqlite,
        _ if is_gzip => return None,
        _ if stem == SHARD_MANIFEST => FileKind::ShardManifest,
        "tsmsum" => FileKind::Sums,
        "tsm" => FileKind::Tsm,
        "tombstone" => FileKind::Tombstone,
        "wal" if stem.starts_with('_') => FileKind::Log,
        "iwal" => FileKind::OwnLog,
        "manifest" => FileKind::Manifest,
        _ => return None,
    };
    Some((kind, is_gzip))
}

fn by_content(path: &Path) -> io::Result<Option<(FileKind, bool)>> {
    const BOLT_MAGIC_AT: usize = 16;
    const TAR_MAGIC_AT: usize = 257;
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_LEN).read_to_end(&mut head)?;
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    Ok(match () {
        () if has(0, &[0x16, 0xd1, 0x16, 0xd1]) => Some((FileKind::Tsm, false)),
        () if has(0, &[0, 0, 0x15]) => Some((FileKind::Tombstone, false)),
        () if has(0, b"SQLite format 3\0") => Some((FileKind::Sqlite, false)),
        () if has(BOLT_MAGIC_AT, &[0xed, 0xda, 0x0c, 0xed]) => Some((FileKind::Bolt, false)),
        () if has(TAR_MAGIC_AT, b"ustar") => Some((FileKind::Archive, false)),
        () if has(0, &[0x1f, 0x8b]) => Some((FileKind::Archive, true)),
        () => None,
    })
}

/// What a file is that is not looked into.
fn other(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("fields.idx") => "field indexes",
        _ if name.contains(".stray") => "files set aside by Icecore (.stray)",
        _ if name.ends_with(".bad") => "files set aside by influxd (.bad)",
        _ if name.ends_with(".tmp") => "leftovers",
        _ => "other files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_names() {
        for (name, kind) in [
            ("000000001-000000001.tsm", Some((FileKind::Tsm, false))),
            ("000000001-000000001.tsm.tmp", None),
            ("000000001-000000001.tombstone", Some((FileKind::Tombstone, false))),
            ("_00001.wal", Some((FileKind::Log, false))),
            ("_00001.wal.torn", None),
            ("00000001.iwal", Some((FileKind::OwnLog, false))),
            ("00000001.iwal.torn", None),
            ("influxd.bolt", Some((FileKind::Bolt, false))),
            ("20261122T171531Z.1.tar.gz", Some((FileKind::Archive, true))),
            ("shard.tar", Some((FileKind::Archive, false))),
            ("shard.TGZ", Some((FileKind::Archive, true))),
            ("20261122T171531Z.sqlite.gz", Some((FileKind::Sqlite, true))),
            ("20261122T171531Z.manifest", Some((FileKind::Manifest, false))),
            ("icecore.manifest", Some((FileKind::ShardManifest, false))),
            ("icecore.manifest.tmp", None),
            ("000000001-000000001.tsmsum", Some((FileKind::Sums, false))),
            ("000000001-000000001.tsm.stray", None),
            ("fields.idx", None),
            ("x.tsm.gz", None),
        ] {
            assert_eq!(by_name(name), kind, "{name}");
        }
    }
}
