//! bbolt itself, as it is today and as influxd 2.9 links it, checks and reads what we write, and we what it writes.
//!
//! The peer is the Go program in `tests/peers/bbolt`. Without `go` these tests say so and pass, except in CI.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use common::history::{Manner, Seed, assert_is, seeds, step};
use common::{Content, Entry, assert_found_one_by_one, build, content, copied, fill, open, varied};
use icecore_disk::{Disk, LockMode, RealDisk};
use icecore_kvstore::{Builder, ErrorKind, Store, TxId, View};
use icecore_testkit::disk::{Hooked, without_sync};
use icecore_testkit::{Random, fixtures};
use serde_json::Value;

struct Peer(PathBuf);

/// Both versions of the peer, built once; none where there is no Go.
fn peers() -> &'static [Peer] {
    static PEERS: OnceLock<Vec<Peer>> = OnceLock::new();
    PEERS.get_or_init(|| {
        if Command::new("go").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI needs go for the bbolt peer");
            eprintln!("skipped: no go to build the bbolt peer with");
            return Vec::new();
        }
        ["go.mod", "influxd.mod"].map(Peer::build).into()
    })
}

impl Peer {
    fn build(modfile: &str) -> Self {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bbolt-peer-{modfile}"));
        let mut go = Command::new("go");
        go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/bbolt"));
        go.arg("build").arg(format!("-modfile={modfile}")).arg("-o").arg(&program).arg(".");
        assert_success(&go.output().expect("go runs"), modfile);
        Self(program)
    }

    fn run(&self, command: &str, file: &Path, numbers: &[u32]) -> Output {
        let mut peer = Command::new(&self.0);
        peer.arg(command).arg(file).args(numbers.iter().map(u32::to_string));
        peer.output().expect("peer runs")
    }

    fn assert_check_passes(&self, file: &Path) {
        assert_success(&self.run("check", file, &[]), &file.display().to_string());
    }

    fn dump(&self, file: &Path) -> Content {
        let output = self.run("dump", file, &[]);
        assert_success(&output, &file.display().to_string());
        dumped(output.stdout)
    }
}

/// What a dump says.
fn dumped(lines: Vec<u8>) -> Content {
    let mut all = Content::new();
    for line in String::from_utf8(lines).expect("text").lines() {
        let line = serde_json::from_str::<Value>(line).expect("a line of JSON");
        let path = line["bucket"].as_array().expect("a path").iter().map(bytes).collect::<Vec<_>>();
        let entry = line.get("key").map(|key| (bytes(key), Entry::Value(bytes(&line["value"]))));
        place(&mut all, &path, line["sequence"].as_u64().unwrap_or(0), entry);
    }
    all
}

fn assert_success(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("a string").as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit");
    hex.chunks(2).map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).expect("a byte")).collect()
}

/// Adds a bucket, or a pair to a bucket that was added before.
fn place(all: &mut Content, path: &[Vec<u8>], sequence: u64, pair: Option<(Vec<u8>, Entry)>) {
    let (name, rest) = path.split_first().expect("a name");
    if rest.is_empty() && pair.is_none() {
        all.insert(name.clone(), Entry::Bucket(sequence, Content::new()));
        return;
    }
    let Some(Entry::Bucket(_, inside)) = all.get_mut(name) else { panic!("a bucket before its pairs") };
    if rest.is_empty() {
        inside.extend(pair);
    } else {
        place(inside, rest, sequence, pair);
    }
}

/// Our view of a file is clean and equal to the peer's.
fn assert_agrees(peer: &Peer, file: &Path) -> Content {
    let store = open(file);
    let view = store.view();
    let report = view.verify().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.notes, []);
    let ours = content(&view).expect("reads");
    assert_found_one_by_one(&view, &ours);
    assert_eq!(ours, peer.dump(file), "both hold a shared lock");
    ours
}

#[test]
fn bbolt_and_we_agree_about_influxds_files_and_our_copies_of_them() {
    let dir = tempfile::tempdir().unwrap();
    for peer in peers() {
        for name in ["kitchen-sink", "layers", "fleet"] {
            let data = fixtures::unpack(name);
            let file = data.path().join("influxd.bolt");
            let ours = assert_agrees(peer, &file);
            let copy = dir.path().join("copy.bolt");
            std::fs::write(&copy, copied(&open(&file).view()).unwrap()).unwrap();
            peer.assert_check_passes(&copy);
            assert_eq!(assert_agrees(peer, &copy), ours);
            let rebuilt = dir.path().join("rebuilt.bolt");
            std::fs::write(&rebuilt, build(4096, &ours)).unwrap();
            peer.assert_check_passes(&rebuilt);
            assert_eq!(assert_agrees(peer, &rebuilt), ours);
        }
    }
}

#[test]
fn bbolt_accepts_what_we_build_and_goes_on_writing_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let many = (0..20_000_u32)
        .map(|n| (n.to_be_bytes().to_vec(), Entry::Value(vec![1; (n % 90) as usize])))
        .collect();
    let long = (0..30).map(|n| ([vec![n], vec![b'k'; 32767]].concat(), Entry::Value(vec![n; 3]))).collect();
    let large = Content::from([
        (b"long keys".to_vec(), Entry::Bucket(0, long)),
        (b"many".to_vec(), Entry::Bucket(5, many)),
        (
            b"one long value".to_vec(),
            Entry::Bucket(0, [(b"v".to_vec(), Entry::Value(vec![7; 3 << 20]))].into()),
        ),
    ]);
    for peer in peers() {
        for (page_size, wanted) in [
            (1024, &varied()),
            (4096, &varied()),
            (65536, &varied()),
            (4096, &Content::new()),
            (4096, &large),
        ] {
            let file = dir.path().join("built.bolt");
            std::fs::write(&file, build(page_size, wanted)).unwrap();
            peer.assert_check_passes(&file);
            assert_eq!(&assert_agrees(peer, &file), wanted);
            for seed in 0..3 {
                assert_success(&peer.run("write", &file, &[seed, page_size]), "write to a file of ours");
                peer.assert_check_passes(&file);
                assert_agrees(peer, &file);
            }
        }
    }
}

#[test]
fn we_read_what_bbolt_writes_and_it_reads_our_copy_and_our_replacement() {
    let dir = tempfile::tempdir().unwrap();
    for (version, peer) in peers().iter().enumerate() {
        for seed in 0..24 {
            let file = dir.path().join(format!("{version}-{seed}.bolt"));
            let page_size = 1024 << (seed % 4);
            assert_success(&peer.run("write", &file, &[seed, page_size]), "write");
            let theirs = assert_agrees(peer, &file);
            let copy = dir.path().join("copy.bolt");
            std::fs::write(&copy, copied(&open(&file).view()).unwrap()).unwrap();
            peer.assert_check_passes(&copy);
            assert_eq!(assert_agrees(peer, &copy), theirs);

            let store = Store::open(Arc::new(RealDisk), &file, LockMode::Exclusive).unwrap();
            let txid = store.replace(fill(store.builder(), &theirs).unwrap()).unwrap();
            if seed == 0 {
                let output = peer.run("check", &file, &[]); // gives up after a second
                assert!(!output.status.success(), "bbolt stays out while we hold the file");
            }
            drop(store);
            peer.assert_check_passes(&file);
            assert_success(&peer.run("write", &file, &[seed + 1, page_size]), "write once more");
            assert_agrees(peer, &file);
            assert!(open(&file).txid() > TxId::new(txid.get()), "bbolt counts on from our transaction");
        }
    }
}

/// One process of the peer checks and dumps the files of many histories.
#[test]
fn bbolt_finds_our_transactions_sound_and_reads_what_they_wrote() {
    const TOGETHER: usize = 200;
    if peers().is_empty() {
        return;
    }
    let seeds = seeds(240);
    for first in seeds.clone().step_by(TOGETHER) {
        let dir = tempfile::tempdir().unwrap();
        let file = |seed: u64| dir.path().join(format!("{seed}.bolt"));
        let models: Vec<_> = (first..seeds.end)
            .take(TOGETHER)
            .map(|seed| {
                let _seed = Seed(seed);
                let mut random = Random::new(seed);
                let manner = Manner::of(&mut random);
                let builder = Builder::new(1024 << random.below(4)).unwrap();
                let store = Store::create(unsynced(), &file(seed), builder).unwrap();
                let mut model = Content::new();
                for _ in 0..1 + random.below(10) {
                    step(&store, &mut model, manner, &mut random).unwrap();
                }
                (seed, model)
            })
            .collect();
        for peer in peers() {
            assert_success(&peer.run("audit", dir.path(), &[]), "audit");
            for (seed, model) in &models {
                let dump = file(*seed).with_extension("bolt.dump");
                assert!(&dumped(std::fs::read(&dump).unwrap()) == model, "seed {seed} reads otherwise");
                std::fs::remove_file(&dump).unwrap();
            }
        }
    }
}

/// Every state of the file is one that the other wrote to, with either kind of freelist and with none.
#[test]
fn bbolt_and_we_write_to_the_same_file_by_turns() {
    for (version, peer) in peers().iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turns.bolt");
        let mut random = Random::new(version as u64);
        for round in 0..100 {
            let _seed = Seed(u64::from(round));
            assert_success(&peer.run("write", &file, &[round, 4096]), "write");
            let store = Store::open(unsynced(), &file, LockMode::Exclusive).unwrap();
            let mut model = content(&store.view()).unwrap();
            for _ in 0..1 + random.below(4) {
                let manner = Manner { key_len_max: 40, ..Manner::of(&mut random) };
                step(&store, &mut model, manner, &mut random).unwrap();
            }
            assert_is(&store.view(), &model);
            drop(store);
            peer.assert_check_passes(&file);
            if round % 10 == 9 {
                assert!(peer.dump(&file) == model, "round {round} reads otherwise");
            }
        }
    }
}

/// The real disk without syncs: no power is lost here.
fn unsynced() -> Arc<dyn Disk> {
    Arc::new(Hooked::new(RealDisk, without_sync))
}

/// So many states of a file that is written are copied before a test believes that it was written.
const STATES_MIN: usize = 4;

/// bbolt commits fifty times a second to a file of 16 MiB. Where commits take longer than copies, copying goes on until it has
/// seen some states. `ICECORE_SNAPSHOTS` asks for more than a few, and for success within ten tries: that is a matter of
/// time, so of what else the machine does.
#[test]
fn a_file_that_bbolt_is_writing_is_copied_whole_or_not_at_all() {
    let wanted: u32 = std::env::var("ICECORE_SNAPSHOTS").map_or(20, |count| count.parse().expect("a number"));
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("churned.bolt");
        let millis = 1000 + wanted * 200;
        let mut churn = Command::new(&peer.0);
        churn.arg("churn").arg(&file).args([millis, 50].map(|number| number.to_string()));
        let mut churning = churn.stdout(Stdio::piped()).spawn().expect("peer runs");
        let mut ready = String::new();
        BufReader::new(churning.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
        let (mut tried, mut copied, mut states) = (0, 0, BTreeSet::new());
        let mut is_churning = true;
        while tried < wanted || (states.len() < STATES_MIN && is_churning) {
            tried += 1;
            match View::of_file_in_use(&RealDisk, &file, 10) {
                Ok(view) => {
                    assert_sums_up(&view);
                    copied += 1;
                    states.insert(view.txid());
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{error}"),
            }
            is_churning = churning.try_wait().unwrap().is_none();
        }
        assert_success(&churning.wait_with_output().unwrap(), "churn");
        println!("{copied} of {tried} copied, {} states, still churning: {is_churning}", states.len());
        assert!(states.len() >= STATES_MIN, "bbolt committed too seldom: {} states", states.len());
        let is_measured = std::env::var_os("ICECORE_SNAPSHOTS").is_some();
        assert!(!is_measured || copied * 100 >= tried * 95, "{copied} of {tried} copied");
        assert_sums_up(&open(&file).view());
    }
}

/// The numbers in all pairs sum up to what the same transaction noted.
fn assert_sums_up(view: &View) {
    let number = |value: &[u8]| u64::from_be_bytes(value[..8].try_into().unwrap());
    let data = view.bucket(b"data").unwrap().unwrap();
    let sum = data.iter().unwrap().map(|pair| number(pair.unwrap().1)).fold(0, u64::wrapping_add);
    let noted = view.bucket(b"sum").unwrap().unwrap().get(b"sum").unwrap().unwrap();
    assert_eq!(sum, number(noted), "a mixture");
}

#[test]
fn a_freelist_of_more_than_65534_pages_is_read_and_copied() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(peer) = peers().first() {
        let file = dir.path().join("long.bolt");
        assert_success(&peer.run("lengthen", &file, &[1024]), "lengthen");
        assert_agrees(peer, &file);
        let report = open(&file).view().check();
        assert!(report.free > 65_534, "{report:?}");
        let copy = dir.path().join("copy.bolt");
        std::fs::write(&copy, copied(&open(&file).view()).unwrap()).unwrap();
        peer.assert_check_passes(&copy);
        assert_agrees(peer, &copy);
    }
}
