#![expect(clippy::indexing_slicing, reason = "a property panics where it does not hold")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use icecore_backup::{Deletes, Selection, ShardArchive};
use icecore_disk::Disk;
use icecore_tsm::{Column, Engine, Listing, TimeRange, Trust, Values};

use super::{self as shard, Content, KINDS};
use crate::props::choices::Choices;
use crate::props::encoded::{self, Broken, How};
use crate::{MemDisk, Random, tsm};

const PREFIX: &str = "0123456789abcdef/autogen/7/";
const FILES_MAX: u8 = 3;
const POINTS: u16 = 12;
const FIRST_NS: i64 = 1_704_067_200_000_000_000;
const STEP_NS: i64 = 100_000_000_000;
/// Times of modification are so many apart, so that they are rounded up and down.
const MODIFIED_STEP_NS: i64 = 300_000_000;
/// Checks of this are done before.
const LONG: Duration = Duration::from_secs(60);

/// A shard of up to three files, with deletes, times and a selection as the bytes choose them, leaves as an archive in
/// which another reader of tar finds the files that were selected and the list of all live ones, with the points that a
/// model leaves, and comments where they have to be; it is as long as it said, and the same whether it is prepared, copied, compressed,
/// or begun in the middle, and whatever the clock says.
/// A shard with a damaged block leaves as no whole archive, unless nothing of that block would.
pub fn archive(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let case = Case::new(&mut choices);
    let (is_copied, is_prepared) = (choices.flag(), choices.flag());
    let (plain, tag) = case.archive(is_copied, is_prepared).expect("a sound shard");
    case.holds(&plain);

    let hurried = Case { clock: ticking, ..case.clone() };
    let (others, other_tag) = hurried.archive(!is_copied, !is_prepared).expect("a sound shard");
    assert!(plain == others && tag == other_tag, "the same files give the same bytes and the same tag");
    let first = match choices.below(4) {
        0 => usize::from(choices.number()).min(plain.len()),
        1 => plain.len().saturating_sub(usize::from(choices.number())),
        _ => plain.len() * usize::from(choices.number()) / (1 << 16),
    };
    case.goes_on_from(first, is_prepared, &plain);
    hurried.goes_on_from(first, !is_prepared, &plain);

    let how = How::new(&mut choices).for_body(plain.len());
    let (packed, end) = encoded::run(hurried.open(is_copied), how);
    assert_eq!(end, Ok(()), "a sound shard");
    let (unpacked, is_whole) = encoded::readable(&packed, how.coding);
    assert!(is_whole && unpacked == plain, "reads back");

    if let Some(damaged) = case.damaged(&mut choices) {
        // Nobody looks at a block of which deletes leave nothing: then all is as it was.
        let sent = damaged.archive(is_copied, is_prepared);
        assert!(sent.is_err() || sent.is_ok_and(|(bytes, _)| bytes == plain), "damage does not leave");
        let (packed, end) = encoded::run(damaged.open(is_copied), how);
        let (unpacked, is_whole) = encoded::readable(&packed, how.coding);
        assert_eq!(is_whole, end.is_ok(), "what breaks off is not whole");
        assert!(!is_whole || unpacked == plain, "nor does it leave packed");
    }
}

/// A file and what was deleted from it.
#[derive(Clone)]
struct Made {
    name: String,
    bytes: Vec<u8>,
    modified_ns: i64,
    /// The tombstone and its time.
    tombstone: Option<(Vec<u8>, i64)>,
    /// Some delete hits the times of its key.
    is_hit: bool,
    /// What is left.
    content: Content,
}

impl Made {
    fn new(at: u8, choices: &mut Choices<'_>) -> Self {
        let is_large = choices.below(64) == 1;
        let source = &SOURCES[usize::from(at) * 2 + usize::from(is_large)];
        let modified_ns = time(choices);
        let deletes: Vec<_> =
            (0..choices.below(4)).flat_map(|_| delete(source.content.keys(), choices)).collect();
        let tombstone = (!deletes.is_empty()).then(|| (tsm::tombstone_v4(&[&deletes[..]]), time(choices)));
        let hits = |(key, range): &(Vec<u8>, TimeRange)| {
            let times = &source.content[key].times;
            times.first().is_some_and(|first| *first <= range.max())
                && times.last().is_some_and(|last| range.min() <= *last)
        };
        let is_hit = deletes.iter().any(hits);
        let mut content = Content::new();
        for (key, column) in &source.content {
            let deleted = |time: i64| deletes.iter().any(|(of, range)| of == key && range.contains(time));
            let mut left = Column::new(column.kind());
            let kept = (0..column.len()).filter(|at| !deleted(column.times[*at]));
            kept.for_each(|at| left.extend_from(column, at..at + 1));
            if !left.is_empty() {
                content.insert(key.clone(), left);
            }
        }
        let name = format!("{:09}-000000001", at + 1);
        Self { name, bytes: source.bytes.clone(), modified_ns, tombstone, is_hit, content }
    }

    /// When the file or its tombstone was last changed.
    fn changed_ns(&self) -> i64 {
        self.tombstone.iter().map(|(_, modified_ns)| *modified_ns).fold(self.modified_ns, i64::max)
    }
}

fn time(choices: &mut Choices<'_>) -> i64 {
    FIRST_NS + i64::from(choices.below(8)) * MODIFIED_STEP_NS
}

/// A range of one key, or of all.
fn delete<'a>(
    keys: impl Iterator<Item = &'a Vec<u8>>,
    choices: &mut Choices<'_>,
) -> Vec<(Vec<u8>, TimeRange)> {
    let (which, one, other) = (choices.below(8), choices.below(14), choices.below(14));
    let point = |at: u8| FIRST_NS + i64::from(at) * STEP_NS;
    let range =
        TimeRange::new(point(one.min(other)), point(one.max(other))).expect("from the first to the last");
    let is_meant = |at: usize| which >= 5 || at == usize::from(which);
    keys.enumerate().filter(|(at, _)| is_meant(*at)).map(|(_, key)| (key.clone(), range)).collect()
}

/// What a file holds before anything is deleted.
struct Source {
    bytes: Vec<u8>,
    content: Content,
}

/// For each file a small one, with every type for a host of its own, and one with long texts beside them, which leaves in several
/// chunks.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let of = |host: u8, is_large: bool| {
        let times = |count: u16| (0..i64::from(count)).map(|at| FIRST_NS + at * STEP_NS).collect();
        let key = |field: &str| format!("m,h={host}#!~#{field}").into_bytes();
        let small = KINDS.iter().map(|(field, kind)| (key(field), tsm::column(*kind, times(POINTS), 1)));
        let large = is_large.then(|| (key("z"), texts(times(600))));
        let content: Content = small.chain(large).collect();
        let block_points = if is_large { 100 } else { 4 };
        let bytes = tsm::file(content.iter().map(|(key, column)| (key, column.clone())), block_points);
        Source { bytes, content }
    };
    (0..FILES_MAX).flat_map(|host| [of(host, false), of(host, true)]).collect()
});

/// 500 bytes each, which do not compress well.
fn texts(times: Vec<i64>) -> Column {
    let mut random = Random::new(1);
    let text = |_: &i64| random.bytes(250).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values = Values::String(times.iter().map(text).collect());
    Column { times, values }
}

/// A shard, and what is asked of it.
#[derive(Clone)]
struct Case {
    files: Vec<Made>,
    selection: Selection,
    /// Bytes of files for a block of a comment; `None`: as it is, which is more than these files have.
    unit: Option<u64>,
    clock: fn() -> Instant,
}

/// Goes on by a second whenever somebody looks at it.
fn ticking() -> Instant {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    *FIRST + Duration::from_secs(LOOKS.fetch_add(1, Ordering::Relaxed))
}

impl Case {
    fn new(choices: &mut Choices<'_>) -> Self {
        let unit = choices.of(&[None, Some(512), Some(4096)]);
        let files = (0..choices.below(FILES_MAX + 1)).map(|at| Made::new(at, choices)).collect();
        let since = choices.flag().then(|| time(choices));
        let deletes = if choices.flag() { Deletes::Keep } else { Deletes::Apply };
        let selection = Selection { since, always_list: choices.flag(), deletes };
        Self { files, selection, unit, clock: Instant::now }
    }

    fn keeps(&self) -> bool {
        self.selection.deletes == Deletes::Keep
    }

    fn selected(&self) -> impl Iterator<Item = &Made> {
        let since = self.selection.since;
        self.files.iter().filter(move |file| since.is_none_or(|since| file.changed_ns() > since))
    }

    /// Whether anything of a file is left to be sent.
    fn is_live(&self, file: &Made) -> bool {
        self.keeps() || !file.content.is_empty()
    }

    fn is_listed(&self) -> bool {
        self.selection.always_list || self.selected().next().is_some()
    }

    /// The archive of a process that has sent nothing before.
    fn opened(&self) -> ShardArchive {
        let disk = MemDisk::default();
        let data = Path::new("/engine/data").join(PREFIX);
        disk.create_dir(&data).expect("a disk in memory");
        let put = |name: &str, bytes: &[u8], modified_ns: i64| {
            disk.put(&data.join(name), bytes.to_vec());
            disk.set_modified(&data.join(name), modified_ns).expect("a file that was just put");
        };
        for file in &self.files {
            put(&format!("{}.tsm", file.name), &file.bytes, file.modified_ns);
            if let Some((bytes, modified_ns)) = &file.tombstone {
                put(&format!("{}.tombstone", file.name), bytes, *modified_ns);
            }
        }
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let engine = Engine::open_read_only(&disk, Path::new("/engine"), &Trust::Manifest.into());
        let shard = engine.expect("a directory by the book").shard(7).expect("the shard that was put");
        let archive =
            ShardArchive::of(&shard, &shard.shard.snapshot().expect("indexes are sound"), &self.selection);
        match self.unit {
            Some(unit) => archive.with_manner(unit, 1, self.clock),
            None => archive,
        }
    }

    fn open(&self, is_copied: bool) -> impl Iterator<Item = Result<Bytes, Broken>> {
        let archive = self.opened();
        let archive = if is_copied { archive.copied() } else { archive };
        archive.map(|chunk| chunk.map_err(|error| Broken(error.to_string())))
    }

    /// The bytes of the archive, and their tag.
    fn archive(&self, is_copied: bool, is_prepared: bool) -> Result<(Vec<u8>, String), Broken> {
        let mut archive = self.opened();
        archive = if is_copied { archive.copied() } else { archive };
        let broken = |error: icecore_backup::Error| Broken(error.to_string());
        if is_prepared {
            assert!(archive.prepare(Instant::now() + LONG).map_err(broken)?, "there is time");
        }
        let (size, tag) = (archive.size(), archive.tag());
        assert!(size.is_some() || !is_prepared, "the size of what is prepared is known");
        let (mut bytes, mut is_pause) = (Vec::new(), true);
        for chunk in archive {
            let chunk = chunk.map_err(broken)?;
            assert!(!chunk.is_empty() || self.unit.is_some() && !is_pause, "there is something to hand on");
            is_pause = chunk.is_empty();
            bytes.extend_from_slice(&chunk);
        }
        assert!(size.is_none_or(|size| size == bytes.len() as u64), "as long as it said");
        Ok((bytes, tag))
    }

    fn goes_on_from(&self, first: usize, is_prepared: bool, plain: &[u8]) {
        let mut archive = self.opened();
        if is_prepared {
            archive.prepare(Instant::now() + LONG).expect("a sound shard");
        }
        let rest: Vec<u8> =
            archive.without_first(first as u64).flat_map(|chunk| chunk.expect("a sound shard")).collect();
        assert!(rest == plain[first..], "from byte {first} on");
    }

    /// The archive is by the book, and has what it has to have.
    fn holds(&self, archive: &[u8]) {
        assert!(archive.ends_with(&[0; 1024]) && archive.len().is_multiple_of(512), "the end of an archive");
        let entries = entries(archive);
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, self.names(), "the entries in their order");
        assert_eq!(comments(archive), self.comments(), "comments, each before the entry of its number");
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let restored = MemDisk::default();
        restored.create_dir(Path::new(shard::DATA)).expect("a disk in memory");
        for file in self.selected().filter(|file| self.is_live(file)) {
            let name = format!("{}.tsm", file.name);
            let entry = &entries[&name];
            assert!(file.tombstone.is_some() && !self.keeps() || entry.bytes == file.bytes, "as it is");
            let time = if self.keeps() { file.modified_ns } else { file.changed_ns() };
            assert_eq!(entry.seconds, rounded(time), "{name}");
            restored.put(&Path::new(shard::DATA).join(&name), entry.bytes.clone());
            if let Some((bytes, modified_ns)) = file.tombstone.as_ref().filter(|_| self.keeps()) {
                let name = format!("{}.tombstone", file.name);
                let entry = &entries[&name];
                assert!(entry.bytes == *bytes && entry.seconds == rounded(*modified_ns), "{name}");
                restored.put(&Path::new(shard::DATA).join(&name), bytes.clone());
            }
        }
        let expected: Content = self.selected().flat_map(|file| file.content.clone()).collect();
        let snapshot = shard::open(&restored).snapshot().expect("what was sent is sound");
        shard::same(&expected, &shard::content(&snapshot).expect("what was sent is sound"));
        if let Some(list) = entries.get(Listing::NAME) {
            self.lists(&Listing::parse(&list.bytes).expect("a list by the book"), &entries);
        }
    }

    /// The names of all entries.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for file in self.selected().filter(|file| self.is_live(file)) {
            if file.tombstone.is_some() && self.keeps() {
                names.push(format!("{}.tombstone", file.name));
            }
            names.push(format!("{}.tsm", file.name));
        }
        names.extend(self.is_listed().then(|| Listing::NAME.to_owned()));
        names
    }

    /// The lengths of comments, each with the number of the entry that it stands before.
    fn comments(&self) -> Vec<(usize, u64)> {
        let (mut comments, mut nth) = (Vec::new(), 0);
        let mut put = |nth: usize, on_disk: usize| {
            let len = self.unit.map_or(0, |unit| on_disk as u64 / unit * 512);
            // There is one before an entry, whose ever it is.
            if len > 0 && comments.last().is_none_or(|(last, _)| *last != nth) {
                comments.push((nth, len));
            }
        };
        for file in self.selected() {
            put(nth, if file.is_hit && !self.keeps() { file.bytes.len() } else { 0 });
            nth +=
                usize::from(self.is_live(file)) * (1 + usize::from(file.tombstone.is_some() && self.keeps()));
        }
        let sent: Vec<_> = self.selected().map(|file| &file.name).collect();
        let listed = self.files.iter().filter(|file| !sent.contains(&&file.name));
        if self.is_listed() {
            put(nth, listed.map(|file| file.bytes.len()).sum());
        }
        comments
    }

    /// The list has all live files, sent or not, as they leave.
    fn lists(&self, listing: &Listing, entries: &BTreeMap<String, Entry>) {
        let live: Vec<_> = self
            .files
            .iter()
            .filter(|file| self.is_live(file))
            .map(|file| format!("{}.tsm", file.name))
            .collect();
        let listed: Vec<_> = listing.files().iter().map(|file| file.name.to_string()).collect();
        assert_eq!(listed, live, "all live files");
        for listed in listing.files() {
            let name = listed.name.to_string();
            let as_is = self.files.iter().find(|file| name == format!("{}.tsm", file.name));
            let as_is = as_is.filter(|file| self.keeps() || file.tombstone.is_none()).map(|file| &file.bytes);
            if let Some(bytes) = entries.get(&name).map(|entry| &entry.bytes).or(as_is) {
                assert_eq!((listed.size, listed.digest), (bytes.len() as u64, blake3::hash(bytes)), "{name}");
            }
        }
    }

    /// The same with a bit of a block the other way, where the archive has to notice.
    fn damaged(mut self, choices: &mut Choices<'_>) -> Option<Self> {
        let count = u8::try_from(self.files.len()).ok().filter(|count| *count > 0)?;
        if !self.is_listed() {
            return None;
        }
        let file = &mut self.files[usize::from(choices.below(count))];
        let index_start = file.bytes.last_chunk().map(|footer| u64::from_be_bytes(*footer))?;
        let blocks = 5..usize::try_from(index_start).ok()?;
        let place = blocks.start + usize::from(choices.number()) * blocks.len() / (1 << 16);
        file.bytes[place] ^= 1 << choices.below(8);
        Some(self)
    }
}

/// Of an archive.
struct Entry {
    bytes: Vec<u8>,
    seconds: u64,
}

/// The entries by another reader, with the last components of their names.
fn entries(archive: &[u8]) -> Vec<(String, Entry)> {
    let mut reader = tar::Archive::new(archive);
    let entries = reader.entries().expect("an archive");
    let read = entries.map(|entry| {
        let mut entry = entry.expect("an entry by the book");
        let path: PathBuf = entry.path().expect("a path").into_owned();
        let name = path.to_str().and_then(|path| path.strip_prefix(PREFIX)).expect("a path of the shard");
        let (name, seconds) = (name.to_owned(), entry.header().mtime().expect("a time"));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole entry");
        (name, Entry { bytes, seconds })
    });
    read.collect()
}

/// The lengths of comments, each with the number of the entry that it stands before.
fn comments(archive: &[u8]) -> Vec<(usize, u64)> {
    let mut reader = tar::Archive::new(archive);
    let (mut comments, mut nth) = (Vec::new(), 0);
    for entry in reader.entries().expect("an archive").raw(true) {
        let mut entry = entry.expect("an entry by the book");
        if entry.header().entry_type().is_file() {
            nth += 1;
            continue;
        }
        assert!(entry.header().entry_type().is_pax_local_extensions(), "files and comments");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("a text");
        let (len, record) = text.split_once(' ').expect("a length in front");
        assert!(
            len.parse() == Ok(text.len()) && record.starts_with("comment=") && record.ends_with('\n'),
            "{text}"
        );
        comments.push((nth, entry.size()));
    }
    comments
}

/// To the nearest second.
fn rounded(ns: i64) -> u64 {
    u64::try_from((ns + 500_000_000) / 1_000_000_000).expect("a time after 1970")
}
