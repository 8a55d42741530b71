//! `icecore check` and `icecore inspect bolt` on files of a real influxd: what they show adds up, damage has its exit code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::icecore;
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::{Builder, Store};
use icecore_testkit::fixtures;
use serde_json::Value;

const FILE: &str = "influxd.bolt";
const DAMAGED: i32 = 4;

fn json(dir: &Path, arguments: &[&str]) -> Value {
    let ran = icecore(dir, arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_shown_of_each_fixture_adds_up() {
    // Transaction, pages and free pages were parsed out of the files by hand.
    for (name, transaction, pages, free) in
        [("kitchen-sink", 152, 16, 4), ("layers", 185, 149, 14), ("fleet", 121, 13, 3)]
    {
        let dir = fixtures::unpack(name);
        let shown = json(dir.path(), &["inspect", "bolt", "--json", FILE]);
        let summary = &shown["summary"];
        let stated = ["transaction", "pages", "free"].map(|field| number(summary, field));
        assert_eq!(stated, [transaction, pages, free], "{name}");
        let runs = summary["free_runs"].as_array().unwrap().iter();
        assert_eq!(runs.map(|run| run[1].as_u64().unwrap()).sum::<u64>(), free, "{name}");
        let nodes = number(&summary["branches"], "pages") + number(&summary["leaves"], "pages");
        assert_eq!(nodes + free + 2 + 1, pages, "{name}: nodes, free pages, metas and a list of one page");

        let parts = shown["parts"].as_array().unwrap();
        let of = |kind: &str| parts.iter().filter(|part| part["kind"] == kind).collect::<Vec<_>>();
        let sum = |parts: &[&Value], field| parts.iter().filter_map(|part| part[field].as_u64()).sum::<u64>();
        let (buckets, leaves) = (of("bucket"), of("leaf"));
        assert_eq!(buckets.len() as u64, number(summary, "buckets") + 1, "{name}: and the one around all");
        assert_eq!(sum(&leaves, "pairs") + sum(&buckets, "inline_pairs"), number(summary, "pairs"), "{name}");
        assert_eq!(sum(&leaves, "pages"), number(&summary["leaves"], "pages"), "{name}");
        let names = sum(&leaves, "elements") - sum(&leaves, "pairs");
        assert_eq!(names, number(summary, "buckets"), "{name}: each has a name in a leaf");
        assert!(of("damage").is_empty());
    }
}

#[test]
fn the_tree_is_drawn_to_be_read() {
    let dir = fixtures::unpack("fleet");
    let ran = icecore(dir.path(), &["inspect", "bolt", FILE]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("bolt", ran.stdout);
}

#[test]
fn leaves_side_by_side_are_folded_unless_all_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(1024).unwrap();
    builder.open_bucket(b"many").unwrap();
    (0..200_u32).for_each(|key| builder.put(&key.to_be_bytes(), &[1; 100]).unwrap());
    builder.close_bucket().unwrap();
    drop(Store::create(Arc::new(RealDisk), &dir.path().join(FILE), builder).unwrap());
    let text =
        |arguments: &[&str]| icecore(dir.path(), &[&["inspect", "bolt", FILE], arguments].concat()).stdout;
    let (few, all) = (text(&[]), text(&["--all"]));
    assert_eq!(all.matches(" leaf ").count(), 26, "25 of eight pairs and the one with the name\n{all}");
    assert_eq!(few.matches(" leaf ").count(), 5, "{few}");
    assert!(few.contains("… 21 more leaves, 95 % full, 168 pairs"), "{few}");
}

#[test]
fn a_sound_file_is_told_with_its_counts_also_while_another_process_holds_it() {
    let dir = fixtures::unpack("layers");
    let ran = icecore(dir.path(), &["check", FILE]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(
        ran.stdout.starts_with("transaction 185, 149 pages, 610.3 kB: 135 used, 14 free\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("\nsound\n"), "{}", ran.stdout);
    let store = Store::open(Arc::new(RealDisk), &dir.path().join(FILE), LockMode::Exclusive).unwrap();
    assert_eq!(icecore(dir.path(), &["check", FILE]).stdout, ran.stdout);
    let refused = icecore(dir.path(), &["check", "--keep-digests", FILE]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    drop(store);
}

#[test]
fn damage_is_named_with_exit_code_4_and_wrong_usage_is_2() {
    let dir = fixtures::unpack("layers");
    let path = dir.path().join(FILE);
    let shown = json(dir.path(), &["inspect", "bolt", "--json", FILE]);
    let leaf = shown["parts"].as_array().unwrap().iter().rfind(|part| part["kind"] == "leaf").unwrap();
    let page = number(leaf, "page");
    flip(&path, usize::try_from(page).unwrap() * 4096);
    let what = format!("damaged: page {page}, byte {}: the page carries another page's number", page * 4096);
    let ran = icecore(dir.path(), &["check", FILE]);
    assert_eq!(ran.code, DAMAGED, "{}", ran.stderr);
    assert!(ran.stdout.lines().any(|line| line == what), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("DAMAGED\n") && ran.stderr.contains(&what), "{}", ran.stderr);
    let ran = icecore(dir.path(), &["check", "--json", FILE]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &report["verdict"]), (DAMAGED, &Value::from("damaged")));
    assert_eq!(report["damage"][0]["page"], page);
    let ran = icecore(dir.path(), &["inspect", "bolt", FILE]);
    assert_eq!(ran.code, DAMAGED);
    assert_eq!(ran.stdout.matches("DAMAGED").count(), 1, "in its place in the tree\n{}", ran.stdout);

    fs::write(&path, b"no Bolt file").unwrap();
    assert_eq!(icecore(dir.path(), &["check", FILE]).code, DAMAGED);
    for arguments in [&["check", "no-such-file"][..], &["check", "."], &["check"], &["check", FILE, "--deep"]]
    {
        assert_eq!(icecore(dir.path(), arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn with_digests_a_flip_inside_a_value_is_damage() {
    let dir = fixtures::unpack("kitchen-sink");
    let path = dir.path().join(FILE);
    let ran = icecore(dir.path(), &["check", "--keep-digests", FILE]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(json(dir.path(), &["check", "--json", FILE])["digests"], 16);
    let value = b"\"name\":\"";
    let at = fs::read(&path).unwrap().windows(value.len()).rposition(|window| window == value).unwrap();
    flip(&path, at + value.len());
    let ran = icecore(dir.path(), &["check", FILE]);
    assert_eq!(ran.code, DAMAGED, "{}", ran.stdout);
    let what = format!("page {}, byte {}: the page is not what was written", at / 4096, at / 4096 * 4096);
    assert!(ran.stdout.contains(&what), "{}", ran.stdout);
    fs::remove_file(dir.path().join("influxd.bolt.sums")).unwrap();
    assert_eq!(icecore(dir.path(), &["check", FILE]).code, 0, "the format itself does not see it");
}
