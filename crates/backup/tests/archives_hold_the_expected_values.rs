//! Every shard of the fixtures as an archive, read by an independent tar reader, and put into an empty engine.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use icecore_backup::{Deletes, Selection, ShardArchive};
use icecore_database::{Database, Format, Mode, Options, Paths, ShardId};
use icecore_testkit::fixtures;
use icecore_tsm::Listing;

const FIXTURES: [(&str, &[&str]); 2] = [
    ("kitchen-sink", &["725e5d10302da261", "83fa952f192155e3", "348f4c27f9903b80", "e82f1075dd10d838"]),
    ("layers", &["a5de34553b154f33"]),
];

fn open(dir: &Path, mode: Mode) -> Database {
    Database::open(Paths::in_dir(dir), Options::new(mode)).unwrap()
}

fn archive(database: &Database, id: ShardId, selection: &Selection) -> Vec<u8> {
    let archive = ShardArchive::new(database, id, selection).unwrap();
    let bytes: Vec<u8> = archive.flat_map(|chunk| chunk.unwrap()).collect();
    let mut prepared = ShardArchive::new(database, id, selection).unwrap();
    let far = std::time::Instant::now() + std::time::Duration::from_secs(60);
    assert!(prepared.prepare(far).unwrap());
    assert_eq!(prepared.size(), Some(bytes.len() as u64), "the size is known before");
    assert!(prepared.flat_map(|chunk| chunk.unwrap()).eq(bytes.iter().copied()), "same files, same bytes");
    let copied = ShardArchive::new(database, id, selection).unwrap().copied();
    assert_eq!(copied.tag(), ShardArchive::new(database, id, selection).unwrap().tag());
    assert!(copied.flat_map(|chunk| chunk.unwrap()).eq(bytes.iter().copied()), "copied or not");
    let len = bytes.len();
    let places = [1, 511, 512, 513, len / 3, len / 2, len.saturating_sub(1025), len - 1024, len - 1, len];
    for at in places {
        for is_prepared in [false, true] {
            let mut rest = ShardArchive::new(database, id, selection).unwrap();
            if is_prepared {
                rest.prepare(far).unwrap();
            }
            let rest = rest.without_first(at as u64).flat_map(|chunk| chunk.unwrap());
            assert!(rest.eq(bytes.iter().skip(at).copied()), "from {at} of {} on", bytes.len());
        }
    }
    bytes
}

/// Name to content, with the end of the archive checked.
fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    assert!(archive.ends_with(&[0; 1024]) && archive.len().is_multiple_of(512));
    let mut reader = tar::Archive::new(archive);
    let mut files = BTreeMap::new();
    for entry in reader.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(files.insert(name, content).is_none());
    }
    files
}

/// The list at the end names exactly the files of a full archive, with their lengths and digests.
fn assert_listed(files: &BTreeMap<String, Vec<u8>>) {
    let Some((path, text)) = files.last_key_value() else { return };
    assert!(path.ends_with("/icecore.files"), "{path}");
    let listing = Listing::parse(text).unwrap();
    let listed: Vec<_> =
        listing.files().iter().map(|file| (file.name.to_string(), file.size, file.digest)).collect();
    let sent: Vec<_> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".tsm"))
        .map(|(path, content)| {
            (path.rsplit('/').next().unwrap().to_owned(), content.len() as u64, blake3::hash(content))
        })
        .collect();
    assert_eq!(listed, sent);
}

fn export(dir: &Path, bucket: &str) -> Vec<u8> {
    let mut out = Vec::new();
    open(dir, Mode::ReadOnly).export(bucket, Format::Tsv, &mut out).unwrap();
    out
}

#[test]
fn restored_archives_hold_exactly_the_expected_values() {
    for (fixture, buckets) in FIXTURES {
        for mode in [Mode::ReadOnly, Mode::ReadWrite] {
            let from = fixtures::unpack(fixture);
            let to = tempfile::tempdir().unwrap();
            std::fs::copy(from.path().join("influxd.bolt"), to.path().join("influxd.bolt")).unwrap();
            let database = open(from.path(), mode);
            for shard in database.shards() {
                let files = entries(&archive(&database, ShardId(shard.id), &Selection::default()));
                assert_listed(&files);
                for (path, content) in files {
                    assert!(!path.ends_with(".tombstone"), "deletes are applied, not sent");
                    let path = to.path().join("engine/data").join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, content).unwrap();
                }
            }
            for bucket in buckets {
                let expected = fixtures::read(&format!("{fixture}/expected/{bucket}.tsv.gz"));
                assert!(export(to.path(), bucket) == expected, "{fixture} {bucket} {mode:?}");
            }
        }
    }
}

#[test]
fn since_is_exclusive_and_the_list_is_always_whole() {
    let dir = fixtures::unpack("layers");
    let database = open(dir.path(), Mode::ReadOnly);
    let shard = ShardId(1);
    let cut = ShardArchive::new(&database, shard, &Selection::default()).unwrap().cut_ns();
    let since = |since, always_list| {
        archive(&database, shard, &Selection { since: Some(since), always_list, ..Selection::default() })
    };
    assert_eq!(since(cut, false), [0; 1024]);
    assert_eq!(since(i64::MAX, false), [0; 1024]);
    let newest = entries(&since(cut - 1, false));
    let names: Vec<_> = newest.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        names,
        ["000000006-000000001.tsm", "icecore.files"],
        "what only the log had is the newest file"
    );
    let all = entries(&since(i64::MIN, false));
    let only_list = entries(&since(cut, true));
    assert_eq!(only_list.last_key_value(), all.last_key_value());
    assert_eq!((only_list.len(), all.len()), (1, 7));
}

#[test]
fn an_untouched_file_leaves_as_it_is() {
    let dir = fixtures::unpack("fleet");
    let database = open(dir.path(), Mode::ReadOnly);
    let files = entries(&archive(&database, ShardId(1), &Selection::default()));
    assert_listed(&files);
    for (path, content) in files.iter().filter(|(path, _)| path.ends_with(".tsm")) {
        assert!(std::fs::read(dir.path().join("engine/data").join(path)).unwrap() == *content, "{path}");
    }
}

#[test]
fn a_file_that_is_checked_while_it_is_sent_breaks_off_at_the_damage() {
    let dir = fixtures::unpack("fleet");
    let path = dir.path().join("engine/data/1b87b4f3c6ec1165/autogen/1/000000001-000000001.tsm");
    let healthy = std::fs::read(&path).unwrap();
    let place = healthy.len() * 9 / 10; // behind the first chunks, before the index
    let mut bytes = healthy.clone();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let database = open(dir.path(), Mode::ReadOnly);
    let mut archive = ShardArchive::new(&database, ShardId(1), &Selection::default()).unwrap();
    assert!(!archive.prepare(std::time::Instant::now()).unwrap(), "no time, nothing is checked");
    let size = archive.size().expect("the length of a file without deletes is known before it is checked");
    let mut sent = Vec::new();
    let error = archive.find_map(|chunk| chunk.map(|chunk| sent.extend_from_slice(&chunk)).err()).unwrap();
    assert!(error.is_damage() && (sent.len() as u64) < size, "{error}");
    assert!(sent.len() > 512 + healthy.len() / 2, "what is sound was sent");
    assert!(sent.len() <= 512 + place && sent[512..] == healthy[..sent.len() - 512], "and nothing else");
    assert!(archive.next().is_none());
    assert!(ShardArchive::new(&database, ShardId(1), &Selection::default()).is_err(), "it is known now");
}

#[test]
fn a_damaged_block_fails_the_first_backup_and_every_later_one_and_the_rest_is_served() {
    let dir = fixtures::unpack("kitchen-sink");
    let path = dir.path().join("engine/data/725e5d10302da261/autogen/2/000000001-000000002.tsm");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5 + 4 + 100] ^= 1; // in the first block
    std::fs::write(&path, bytes).unwrap();
    let database = open(dir.path(), Mode::ReadOnly);
    assert!(
        database.shards().iter().all(|shard| shard.shard.damage().is_empty()),
        "blocks are not read at the start"
    );
    let mut first = ShardArchive::new(&database, ShardId(2), &Selection::default()).unwrap();
    let far = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let error = first.prepare(far).unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert_eq!(text, format!("shard 2: {}: damaged: a block's checksum is wrong at byte 5", path.display()));
    assert!(ShardArchive::new(&database, ShardId(2), &Selection::default()).is_err(), "it is known now");
    assert!(!entries(&archive(&database, ShardId(1), &Selection::default())).is_empty());
}

#[test]
fn kept_tombstones_leave_as_they_are_before_their_files() {
    let from = fixtures::unpack("layers");
    let database = open(from.path(), Mode::ReadOnly);
    let selection = Selection { deletes: Deletes::Keep, ..Selection::default() };
    let bytes = archive(&database, ShardId(1), &selection);
    let names: Vec<_> = tar::Archive::new(&bytes[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names[..2], ["000000001-000000001.tombstone", "000000001-000000001.tsm"]);
    assert_eq!(names.len(), 5 * 2 + 2);
    let files = entries(&bytes);
    assert_listed(&files);
    for (path, content) in &files {
        let original = std::fs::read(from.path().join("engine/data").join(path));
        let made = path.contains("000000006-") || path.ends_with(Listing::NAME);
        assert!(made || original.unwrap() == *content, "{path}");
    }
}

#[test]
fn a_tag_is_that_of_the_bytes() {
    let dir = fixtures::unpack("layers");
    let database = open(dir.path(), Mode::ReadOnly);
    let cut = ShardArchive::new(&database, ShardId(1), &Selection::default()).unwrap().cut_ns();
    let selections = [
        Selection::default(),
        Selection { deletes: Deletes::Keep, ..Selection::default() },
        Selection { since: Some(cut - 1), ..Selection::default() },
        Selection { since: Some(cut), ..Selection::default() },
        Selection { since: Some(cut), always_list: true, ..Selection::default() },
        Selection { since: Some(i64::MIN), always_list: true, ..Selection::default() },
    ];
    let mut tags: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for selection in selections {
        let archive = ShardArchive::new(&database, ShardId(1), &selection).unwrap();
        let tag = archive.tag();
        let bytes: Vec<u8> = archive.flat_map(|chunk| chunk.unwrap()).collect();
        assert!(tags.entry(tag).or_insert_with(|| bytes.clone()) == &bytes, "{selection:?}");
    }
    assert_eq!(tags.len(), 5, "the last selection is the first one");
    // A file that gets another time, and nothing else, is another file: its header differs.
    let file = walk(dir.path()).into_iter().find(|path| path.ends_with("000000001-000000001.tsm")).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
    let changed = open(dir.path(), Mode::ReadOnly);
    let tag = ShardArchive::new(&changed, ShardId(1), &Selection::default()).unwrap().tag();
    assert!(!tags.contains_key(&tag));
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn stopped() -> Instant {
    static MOMENT: LazyLock<Instant> = LazyLock::new(Instant::now);
    *MOMENT
}

/// Goes on by a second whenever somebody looks at it.
fn ticking() -> Instant {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    stopped() + Duration::from_secs(LOOKS.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn while_a_file_is_planned_some_bytes_leave_each_second_and_the_whole_stays_the_same() {
    let dir = fixtures::unpack("layers");
    // Comments are as long as they can be, and a step has one block. Nothing is known of the files.
    let opened = |now| {
        let database = open(dir.path(), Mode::ReadOnly);
        let archive = ShardArchive::new(&database, ShardId(1), &Selection::default());
        archive.unwrap().with_manner(1, 1, now)
    };
    let lens = |archive: ShardArchive| archive.map(|chunk| chunk.unwrap().len()).collect::<Vec<_>>();
    let pauses = |lens: &[usize]| lens.iter().filter(|len| **len == 0).count();
    let (slow, fast) = (lens(opened(ticking)), lens(opened(stopped)));
    assert_eq!(
        slow[..6],
        [512, 64, 0, 64, 0, 64],
        "a header, and then bytes that need not wait for the next"
    );
    assert_eq!(fast[..3], [512, 64, 0]);
    // Of the first file: the others are planned while one before them is sent.
    assert!(pauses(&fast) == 1 && pauses(&slow) > 5, "{fast:?}\n{slow:?}");
    let mut prepared = opened(ticking);
    assert!(prepared.prepare(Instant::now() + Duration::from_secs(60)).unwrap());
    let size = prepared.size().unwrap();
    let prepared = lens(prepared);
    assert_eq!((pauses(&prepared), prepared.iter().sum::<usize>() as u64), (0, size));
    let bytes = |archive: ShardArchive| archive.flat_map(|chunk| chunk.unwrap()).collect::<Vec<u8>>();
    assert!(bytes(opened(ticking)) == bytes(opened(stopped)));
}

#[test]
fn while_digests_are_made_for_the_list_some_bytes_leave_each_second() {
    let dir = fixtures::unpack("layers");
    let lens = |deletes, now| {
        // Nothing is known of the files.
        let database = open(dir.path(), Mode::ReadOnly);
        let selection = Selection { since: Some(i64::MAX), always_list: true, deletes };
        let archive = ShardArchive::new(&database, ShardId(1), &selection).unwrap().with_manner(1000, 1, now);
        archive.map(|chunk| chunk.unwrap().len()).collect::<Vec<_>>()
    };
    for deletes in [Deletes::Apply, Deletes::Keep] {
        let (slow, fast) = (lens(deletes, ticking), lens(deletes, stopped));
        assert_eq!((slow[..6].to_vec(), fast[..3].to_vec()), (vec![512, 64, 0, 64, 0, 64], vec![512, 64, 0]));
        assert_eq!(slow.iter().sum::<usize>(), fast.iter().sum::<usize>());
        assert_eq!(fast.iter().filter(|len| **len == 0).count(), 1, "{deletes:?}");
    }
}

#[test]
fn a_list_beside_tombstones_has_the_digests_of_files_as_they_are() {
    let dir = fixtures::unpack("layers");
    let database = open(dir.path(), Mode::ReadOnly);
    archive(&database, ShardId(1), &Selection::default()); // what deletes leave of each is known now
    let kept = Selection { deletes: Deletes::Keep, ..Selection::default() };
    assert_listed(&entries(&archive(&database, ShardId(1), &kept)));
}
