//! What was rewritten for one backup is there for the next, bounded, and never believed unseen.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Verdict};
use icecore_testkit::fixtures;
use icecore_tsm::{Deletes, Engine, Member, Snapshot, Spool, SpoolOptions, Trust};

use super::shard::{OneFile, bytes, flip, member, spooled};

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn spool(root: &Path) -> Arc<Spool> {
    Arc::new(Spool::open(&real(), root, SpoolOptions::default()))
}

fn member_in(snapshot: &Snapshot, spool: &Arc<Spool>, shard: u64) -> Member {
    let mut member = member(snapshot);
    member.spooled(spool, shard);
    member
}

fn copies(member: &mut Member) -> Vec<u8> {
    member.chunks().unwrap().copied().flat_map(|chunk| chunk.unwrap()).collect()
}

#[test]
fn every_fixture_has_the_same_bytes_out_of_the_spool() {
    let mut rewritten = 0;
    for fixture in ["layers", "kitchen-sink"] {
        let (dir, root) = (fixtures::unpack(fixture), tempfile::tempdir().unwrap());
        let spool = spool(root.path());
        let open = |disk: &Arc<dyn Disk>| {
            Engine::open_read_only(disk, &dir.path().join("engine"), &Trust::Directory.into()).unwrap()
        };
        let (engine, anew, kept) = (open(&real()), open(&real()), Arc::clone(&spool));
        for open in engine.shards() {
            let snapshot = open.shard.snapshot().unwrap();
            let plain: Vec<_> = snapshot.members(Deletes::Apply).iter_mut().map(bytes).collect();
            // Opened anew, so that nothing is known of its files.
            let snapshot = anew.shard(open.id).unwrap().shard.snapshot().unwrap();
            for (nth, plain) in plain.iter().enumerate() {
                let again = || {
                    let mut member = snapshot.members(Deletes::Apply).remove(nth);
                    member.spooled(&kept, open.id);
                    member
                };
                let before = kept.len();
                assert!(bytes(&mut again()) == *plain, "{fixture}, the first time");
                rewritten += kept.len() - before;
                for mut member in [again(), again()] {
                    assert_eq!(member.size(), Some(plain.len() as u64));
                    assert_eq!(member.digest().unwrap(), blake3::hash(plain));
                    assert!(copies(&mut member) == *plain, "{fixture}, copied");
                    assert!(bytes(&mut member) == *plain, "{fixture}, mapped");
                }
            }
        }
        let files = spooled(root.path());
        assert_eq!(files.iter().map(|(_, size)| size).sum::<u64>(), spool.size());
        drop((engine, anew, kept, spool));
        assert_eq!(spooled(root.path()), [], "a spool that is dropped leaves nothing");
    }
    assert_eq!(rewritten, REWRITTEN, "files of the fixtures that have deletes and points");
}

/// By the tombstones of the fixtures.
const REWRITTEN: usize = 8;

/// A disk that notes whether a file outside the spool is read.
fn watched(reads: &Arc<AtomicUsize>) -> Arc<dyn Disk> {
    let reads = Arc::clone(reads);
    Arc::new(Hooked::new(RealDisk, move |call: &Call<'_>| {
        let is_source =
            call.path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("000000001"));
        reads.fetch_add(usize::from(is_source && call.action == Action::Read), Ordering::SeqCst);
        Verdict::Go
    }))
}

#[test]
fn a_second_request_reads_the_spool_alone() {
    let (shard, reads) = (OneFile::new(), Arc::default());
    let root = tempfile::tempdir().unwrap();
    let disk = watched(&reads);
    let spool = spool(root.path());
    let expected = bytes(&mut member_in(&shard.open(&*disk).snapshot().unwrap(), &spool, 1));
    let first_reads = reads.swap(0, Ordering::SeqCst);
    assert!(first_reads > 0);
    // The shard is opened anew: all that is known is in the spool.
    let mut second = member_in(&shard.open(&*disk).snapshot().unwrap(), &spool, 1);
    assert_eq!(second.size(), Some(expected.len() as u64));
    assert!(second.prepare(Some(Instant::now())).unwrap());
    assert_eq!(second.digest().unwrap(), blake3::hash(&expected));
    assert!(bytes(&mut second) == expected);
    assert_eq!(reads.load(Ordering::SeqCst), 0);
}

#[test]
fn what_decides_the_bytes_decides_the_name() {
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let spool = spool(root.path());
    let first = bytes(&mut member_in(&shard.snapshot(), &spool, 1));
    shard.delete(1050..2222);
    let mut other = member_in(&shard.snapshot(), &spool, 1);
    assert_eq!(other.size(), None, "other deletes are not in the spool");
    let other = bytes(&mut other);
    assert!(other.len() < first.len());
    assert_eq!(member_in(&shard.snapshot(), &spool, 2).size(), None, "another shard");
    assert_eq!(spool.len(), 2);
    // With the tombstones beside them files leave as they are.
    let mut kept = shard.snapshot().members(Deletes::Keep).remove(0);
    kept.spooled(&spool, 1);
    assert!(bytes(&mut kept) == fs::read(shard.tsm()).unwrap());
    assert_eq!(spool.len(), 2);
}

#[test]
fn a_damaged_file_of_the_spool_is_noticed_and_made_again_and_no_damage_of_the_shard() {
    static DAMAGED: AtomicUsize = AtomicUsize::new(0);
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let options = SpoolOptions {
        on_failure: |error| {
            assert!(error.path().unwrap().parent().unwrap().ends_with("icecore.spool"), "{error}");
            DAMAGED.fetch_add(1, Ordering::SeqCst);
        },
        ..SpoolOptions::default()
    };
    let spool = Arc::new(Spool::open(&real(), root.path(), options));
    let opened = shard.open(&RealDisk);
    let fresh = || member_in(&opened.snapshot().unwrap(), &spool, 1);
    let expected = bytes(&mut fresh());
    let size = expected.len() as u64;
    type Spoil = Box<dyn Fn(&Path)>;
    let flips = [0, 65_535, 65_536, size / 2, 1 << 20, size - 1];
    let mut spoils: Vec<Spoil> =
        flips.map(|at| -> Spoil { Box::new(move |path| flip(path, at)) }).into_iter().collect();
    spoils.push(Box::new(|path| fs::remove_file(path).unwrap()));
    spoils.push(Box::new(|path| fs::write(path, b"short").unwrap()));
    spoils.push(Box::new(move |path| fs::write(path, vec![7; usize::try_from(size).unwrap()]).unwrap()));
    for (nth, spoil) in spoils.iter().enumerate() {
        for read in [bytes, copies] {
            let path = spooled(root.path())[0].0.clone();
            spoil(&path);
            DAMAGED.store(0, Ordering::SeqCst);
            assert!(read(&mut fresh()) == expected, "spoiled in way {nth}");
            assert_eq!(DAMAGED.load(Ordering::SeqCst), 1, "told, spoiled in way {nth}");
            assert_eq!(spooled(root.path()), [(path.clone(), size)]);
            assert!(fs::read(path).unwrap() == expected, "made again after way {nth}");
        }
    }
    assert!(opened.damage().is_empty());
}

#[test]
fn one_of_two_at_once_writes() {
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let (spool, snapshot) = (spool(root.path()), shard.snapshot());
    let mut first = member_in(&snapshot, &spool, 1).chunks().unwrap();
    let mut arrived = first.next().unwrap().unwrap().to_vec();
    assert_eq!(spooled(root.path()).len(), 1);
    let expected = bytes(&mut member_in(&snapshot, &spool, 1));
    let names = spooled(root.path());
    assert!(names.len() == 1 && names[0].0.extension().unwrap() == "tmp", "{names:?}");
    arrived.extend(first.flat_map(|chunk| chunk.unwrap()));
    assert!(arrived == expected);
    assert_eq!((spool.len(), spool.size()), (1, expected.len() as u64));
}

#[test]
fn a_download_that_is_left_leaves_no_name() {
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let (spool, snapshot) = (spool(root.path()), shard.snapshot());
    for taken in 0.. {
        let mut chunks = member_in(&snapshot, &spool, 1).chunks().unwrap();
        let is_whole = chunks.by_ref().take(taken).count() < taken;
        drop(chunks);
        if is_whole {
            assert_eq!(spool.len(), 1);
            return;
        }
        assert_eq!((spooled(root.path()), spool.size()), (vec![], 0), "after {taken} chunks");
    }
}

#[test]
fn the_one_unused_for_the_longest_time_makes_room_and_none_in_use_does() {
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let snapshot = shard.snapshot();
    let size = bytes(&mut member(&snapshot)).len() as u64;
    let options = SpoolOptions { size_max: size * 5 / 2, ..SpoolOptions::default() };
    let spool = Arc::new(Spool::open(&real(), root.path(), options));
    let send = |id| bytes(&mut member_in(&snapshot, &spool, id)).len() as u64;
    let on_disk = || spooled(root.path()).iter().map(|(_, size)| size).sum::<u64>();
    let path = |id| {
        let before = spooled(root.path());
        send(id);
        spooled(root.path()).into_iter().find(|file| !before.contains(file)).map(|(path, _)| path)
    };
    let (first, second) = (path(1).unwrap(), path(2).unwrap());
    send(1); // used later than the second
    let third = path(3).unwrap();
    assert!(first.exists() && !second.exists() && third.exists());
    assert_eq!((spool.size(), on_disk()), (size * 2, size * 2));
    // In use, all of them: nobody gives way.
    let held = [member_in(&snapshot, &spool, 1), member_in(&snapshot, &spool, 3)];
    assert_eq!(path(4), None);
    assert!(first.exists() && third.exists());
    let [mut one, three] = held;
    drop(three);
    assert!(path(4).is_some() && !third.exists() && first.exists());
    // One that is being sent is read to its end, whatever becomes of its name.
    let expected = bytes(&mut member(&snapshot));
    let mut chunks = one.chunks().unwrap();
    let mut arrived = chunks.next().unwrap().unwrap().to_vec();
    fs::remove_file(&first).unwrap();
    arrived.extend(chunks.flat_map(|chunk| chunk.unwrap()));
    assert!(arrived == expected);
    // What is larger than all there is is never kept.
    let small = Arc::new(Spool::open(
        &real(),
        tempfile::tempdir().unwrap().path(),
        SpoolOptions { size_max: size - 1, ..SpoolOptions::default() },
    ));
    assert!(bytes(&mut member_in(&snapshot, &small, 1)) == expected);
    assert_eq!((small.len(), small.size()), (0, 0));
}

#[test]
fn an_hour_after_its_last_use_a_file_is_removed() {
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let (spool, snapshot) = (spool(root.path()), shard.snapshot());
    let hour = Duration::from_secs(3600);
    bytes(&mut member_in(&snapshot, &spool, 1));
    let start = Instant::now();
    spool.free_unused(start + hour - Duration::from_secs(60));
    assert_eq!(spool.len(), 1);
    let held = member_in(&snapshot, &spool, 1);
    spool.free_unused(start + hour * 2);
    assert_eq!(spool.len(), 1, "in use");
    drop(held);
    spool.free_unused(start + hour * 3 - Duration::from_secs(1));
    assert_eq!(spool.len(), 1, "its age began when the use ended");
    spool.free_unused(start + hour * 3);
    assert_eq!((spooled(root.path()), spool.size()), (vec![], 0));
}

#[test]
fn what_could_not_be_removed_counts_until_it_is() {
    static IS_STUCK: AtomicUsize = AtomicUsize::new(0);
    let (shard, root) = (OneFile::new(), tempfile::tempdir().unwrap());
    let hook = |call: &Call<'_>| match call.action {
        Action::Remove if IS_STUCK.load(Ordering::SeqCst) == 1 => Verdict::Fail(Failure::Io),
        _ => Verdict::Go,
    };
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(RealDisk, hook));
    let spool = Arc::new(Spool::open(&disk, root.path(), SpoolOptions::default()));
    let size = bytes(&mut member_in(&shard.snapshot(), &spool, 1)).len() as u64;
    IS_STUCK.store(1, Ordering::SeqCst);
    let later = Instant::now() + Duration::from_secs(3600);
    spool.free_unused(later);
    assert_eq!((spool.len(), spool.size(), spooled(root.path()).len()), (0, size, 1));
    IS_STUCK.store(0, Ordering::SeqCst);
    spool.free_unused(later);
    assert_eq!((spool.size(), spooled(root.path()).len()), (0, 0));
}

#[test]
fn a_spool_is_emptied_when_it_is_opened_and_nothing_else_is_touched() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = root.path().join("icecore.spool");
    fs::create_dir(&dir).unwrap();
    let key = blake3::hash(b"a key").to_hex();
    let target = elsewhere.path().join(format!("{key}.tsm"));
    fs::write(&target, b"of somebody else").unwrap();
    let ours = [format!("{key}.tsm"), format!("{key}.0.tmp"), format!("{key}.17.tmp")];
    ours.iter().for_each(|name| fs::write(dir.join(name), b"left").unwrap());
    let link = format!("{}.tsm", blake3::hash(b"a link").to_hex());
    symlink(&target, dir.join(link)).unwrap();
    let others =
        ["notes.txt", "000000001-000000001.tsm", "x.tmp", &format!("{key}.tmp"), &format!("{key}..tmp")];
    others.iter().for_each(|name| fs::write(dir.join(name), b"stays").unwrap());
    let inner = dir.join(format!("{}.tsm", blake3::hash(b"a directory").to_hex()));
    fs::create_dir(&inner).unwrap();
    fs::write(root.path().join(format!("{key}.tsm")), b"beside it").unwrap();
    drop(spool(root.path()));
    let left: Vec<_> = spooled(root.path()).into_iter().map(|(path, _)| path).collect();
    let mut expected: Vec<_> = others.iter().map(|name| dir.join(name)).chain([inner]).collect();
    expected.sort();
    assert_eq!(left, expected);
    assert!(target.exists() && root.path().join(format!("{key}.tsm")).exists());
}

#[test]
fn a_link_in_the_place_of_the_spool_is_not_followed() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let (shard, root, elsewhere) =
        (OneFile::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = elsewhere.path().join(format!("{}.tsm", blake3::hash(b"a key").to_hex()));
    fs::write(&theirs, b"of somebody else").unwrap();
    symlink(elsewhere.path(), root.path().join("icecore.spool")).unwrap();
    let on_failure = |_: &icecore_tsm::Error| {
        TOLD.fetch_add(1, Ordering::SeqCst);
    };
    let spool =
        Arc::new(Spool::open(&real(), root.path(), SpoolOptions { on_failure, ..SpoolOptions::default() }));
    assert_eq!(TOLD.load(Ordering::SeqCst), 1);
    let expected = bytes(&mut member(&shard.snapshot()));
    assert!(bytes(&mut member_in(&shard.snapshot(), &spool, 1)) == expected);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    assert!(theirs.exists() && spool.is_empty());
}
