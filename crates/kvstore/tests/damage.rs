//! Damaged files: never a panic, never a hang, and what is wrong with the structure is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use common::{Content, Entry, assert_found_one_by_one, build, content, copied, open_bytes, varied};
use icecore_kvstore::{ErrorKind, PageId, Result};
use icecore_testkit::fixtures;
use proptest::prelude::*;

const PAGE: usize = 1024;
const HEADER: usize = 16;
const ELEMENT: usize = 16;

/// What a file that passes every check shows, or what the checks said.
///
/// Whatever the bytes are, all reads end; and a clean check means that all of them succeed.
fn reads(bytes: Vec<u8>) -> Result<Content> {
    let store = open_bytes(bytes)?;
    let view = store.view();
    let shown = content(&view);
    let report = view.check();
    match view.verify() {
        Ok(_) => {
            let shown = shown.expect("clean, so it reads");
            report.notes.first().map_or(Ok(shown), |note| Err(noted(*note)))
        }
        Err(error) => {
            assert_eq!(error.page(), Some(report.problems[0].page()));
            assert!(view.copy().is_err(), "damage is not copied");
            Err(error)
        }
    }
}

/// Asks and copies whatever can be asked and copied; all of it works when the check is clean.
fn asks_and_copies(bytes: Vec<u8>) {
    let Ok(store) = open_bytes(bytes) else { return };
    let view = store.view();
    for name in [&b"many"[..], b"large", b"nested"] {
        let Ok(Some(bucket)) = view.bucket(name) else { continue };
        for key in [&b""[..], b"key 0007", b"long 2", b"\xff\xff"] {
            let (value, pairs) = (bucket.get(key), bucket.prefix(key).map(Iterator::count));
            assert!(view.verify().is_err() || (value.is_ok() && pairs.is_ok()));
        }
    }
    if view.verify().is_ok() {
        let shown = content(&view).expect("clean, so it reads");
        assert_found_one_by_one(&view, &shown);
        let copy = open_bytes(copied(&view).expect("clean, so it copies")).expect("a copy opens");
        assert_eq!(content(&copy.view()).expect("a copy reads"), shown);
    }
}

/// A note counts as named here: any error will do.
fn noted(note: icecore_kvstore::Problem) -> icecore_kvstore::Error {
    let known = [
        "a branch's key is not the first of its child",
        "bytes behind the last element",
        "a value in the form of a bucket",
    ];
    assert!(known.contains(&note.what()) || note.page() < PageId::new(2), "{note}");
    open_bytes(Vec::new()).unwrap_err()
}

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the nodes of a file without free pages begin.
fn nodes(bytes: &[u8]) -> Vec<usize> {
    let mut nodes = Vec::new();
    let mut page = 3;
    while page * PAGE < bytes.len() {
        nodes.push(page * PAGE);
        page += 1 + word(bytes, page * PAGE + 12);
    }
    nodes
}

/// Whether damage at `at` may pass unseen: keys and values have no checksum, and the length of the last element in a
/// page is not held by a next one.
fn may_pass(bytes: &[u8], at: usize) -> bool {
    let Some(&node) = nodes(bytes).iter().rfind(|&&node| node <= at) else { return false };
    let (count, at) = (half(bytes, node + 10), at - node);
    let data = HEADER + count * ELEMENT;
    let lengths = if half(bytes, node + 8) == 2 { 8..16 } else { 4..8 };
    at >= data || (count > 0 && at >= data - ELEMENT && lengths.contains(&(at - (data - ELEMENT))))
}

fn counts(content: &Content) -> (usize, usize) {
    content.values().fold((0, 0), |(buckets, pairs), entry| match entry {
        Entry::Value(_) => (buckets, pairs + 1),
        Entry::Bucket(_, inside) => {
            let below = counts(inside);
            (buckets + 1 + below.0, pairs + below.1)
        }
    })
}

#[test]
fn every_flipped_bit_of_the_structure_is_named() {
    let whole = build(1024, &varied());
    let expected = content(&open_bytes(whole.clone()).unwrap().view()).unwrap();
    let (mut named, mut passed) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if bit % 64 == 0 {
            asks_and_copies(bytes.clone());
        }
        match reads(bytes) {
            Err(_) => named += 1,
            Ok(shown) => {
                passed += 1;
                assert!(
                    bit / 8 >= 3 * PAGE || meta_slack(bit / 8),
                    "bit {bit} of the metas or the freelist passed"
                );
                assert!(
                    meta_slack(bit / 8) || may_pass(&whole, bit / 8),
                    "bit {bit} of the structure passed"
                );
                assert_eq!(counts(&shown), counts(&expected), "bit {bit} took something away");
            }
        }
    }
    assert!(named > passed / 2, "{named} named, {passed} passed");
}

/// Behind the meta, where nothing is.
fn meta_slack(at: usize) -> bool {
    at < 2 * PAGE && at % PAGE >= 80
}

#[test]
fn every_flipped_bit_of_a_header_or_the_freelist_of_a_real_file_is_named() {
    let whole = fixtures::read("kitchen-sink/http/kv.bolt");
    let (page, pages) = (4096, 16);
    let freelist = word(&whole, HEADER + 32) * page + HEADER;
    let free = (0..4).map(|n| word(&whole, freelist + n * 8)).collect::<Vec<_>>();
    let mut guarded = (freelist..freelist + 4 * 8).collect::<Vec<_>>();
    let mut next = 0;
    while next < pages {
        if free.contains(&next) {
            next += 1;
        } else {
            guarded.extend(next * page..next * page + HEADER);
            next += 1 + word(&whole, next * page + 12);
        }
    }
    for at in guarded {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(reads(bytes).is_err(), "bit {bit} of byte {at} passed");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_with_the_first_page_that_is_not_whole() {
    let whole = build(1024, &varied());
    let pages = whole.len() / PAGE;
    for len in (0..pages).map(|page| page * PAGE).chain([1, 79, 80, 1025, PAGE * 2 - 1, whole.len() - 1]) {
        let error = open_bytes(whole[..len].to_vec()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{len}: {error}");
        assert!(
            error.page().is_some() && error.offset().is_some() && error.path().is_some(),
            "{len}: {error}"
        );
        if len >= 2 * PAGE {
            assert_eq!(error.page(), Some(PageId::new((len / PAGE) as u64)), "{error}");
        }
    }
    let mut longer = whole.clone();
    longer.extend_from_slice(&[0xAB; 5000]);
    assert_eq!(reads(longer).unwrap(), varied(), "what lies behind the last page in use means nothing");
}

#[test]
fn a_page_that_leads_back_to_itself_or_above_or_aside_is_named() {
    let whole = build(1024, &varied());
    let nodes = nodes(&whole);
    let branches = nodes.iter().filter(|&&node| half(&whole, node + 8) == 1).collect::<Vec<_>>();
    assert!(!branches.is_empty());
    for &&branch in &branches {
        for element in 0..half(&whole, branch + 10) {
            let at = branch + HEADER + element * ELEMENT + 8;
            for target in 0..whole.len() / PAGE + 2 {
                let mut bytes = whole.clone();
                bytes[at..at + 8].copy_from_slice(&(target as u64).to_le_bytes());
                let error = if bytes == whole { continue } else { reads(bytes).unwrap_err() };
                assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{target}: {error}");
            }
        }
    }
}

/// A chain of branches that all lead to the same page, level upon level: every path is legal by itself.
#[test]
fn a_tree_with_more_paths_than_pages_ends() {
    let leaf = |id: usize| {
        let mut page = vec![0; PAGE];
        page[0] = u8::try_from(id).unwrap();
        page[8] = 2;
        page
    };
    let branch = |id: usize, child: usize| {
        let mut page = vec![0; PAGE];
        page[..8].copy_from_slice(&(id as u64).to_le_bytes());
        (page[8], page[10]) = (1, 2);
        for (element, key) in [(0, b'a'), (1, b'b')] {
            let at = HEADER + element * ELEMENT;
            let pos = u8::try_from((2 - element) * ELEMENT + element).unwrap();
            (page[at], page[at + 4], page[HEADER + 2 * ELEMENT + element]) = (pos, 1, key);
            page[at + 8..at + 16].copy_from_slice(&(child as u64).to_le_bytes());
        }
        page
    };
    let (first, levels) = (3, 50);
    let mut bytes = build(1024, &Content::new())[..first * PAGE].to_vec();
    for level in 0..levels {
        bytes.extend(branch(first + level, first + level + 1));
    }
    bytes.extend(leaf(first + levels));
    for id in [0, 1] {
        let high_water = (first + levels + 1) as u64;
        bytes[id * PAGE + 16 + 40..][..8].copy_from_slice(&high_water.to_le_bytes());
        sign(&mut bytes, id);
    }
    let error = reads(bytes.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt("the page is used twice"));
    let store = open_bytes(bytes).unwrap();
    let error = content(&store.view()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt("the tree leads to pages more than once"));
}

#[test]
fn a_bucket_that_contains_itself_ends() {
    let inside = Content::from([(b"b".to_vec(), Entry::Bucket(0, Content::new()))]);
    let mut bytes = build(1024, &Content::from([(b"a".to_vec(), Entry::Bucket(0, inside))]));
    let node = nodes(&bytes)[0];
    bytes[node + HEADER + 12] = 16; // the value becomes a bucket with a root page,
    bytes[node + HEADER + ELEMENT + 1] = 3; // and that is this page
    let store = open_bytes(bytes.clone()).unwrap();
    assert_eq!(content(&store.view()).unwrap_err().kind(), ErrorKind::Corrupt("buckets are nested too deep"));
    assert_eq!(reads(bytes).unwrap_err().kind(), ErrorKind::Corrupt("the page is used twice"));
}

/// Recomputes the checksum of a meta page.
fn sign(bytes: &mut [u8], id: usize) {
    let at = id * PAGE + 16;
    let sum = bytes[at..at + 56].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    bytes[at + 56..at + 64].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn fields_at_their_extremes_are_named() {
    let whole = build(1024, &varied());
    for node in nodes(&whole) {
        let is_root = half(&whole, node + 10) == 5;
        for count in [0, 1, 2, 0x7FFF, 0xFFFE, 0xFFFF_u16] {
            let mut bytes = whole.clone();
            bytes[node + 10..node + 12].copy_from_slice(&count.to_le_bytes());
            if bytes != whole {
                let error = reads(bytes).unwrap_err();
                assert!(error.is_damage(), "count {count} at {node}, root {is_root}");
            }
        }
        for overflow in [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF_u32] {
            let mut bytes = whole.clone();
            bytes[node + 12..node + 16].copy_from_slice(&overflow.to_le_bytes());
            assert!(bytes == whole || reads(bytes).is_err(), "overflow {overflow} at {node}");
        }
        for element in 0..half(&whole, node + 10) {
            for field in 0..4 {
                for value in [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF_u32] {
                    let at = node + HEADER + element * ELEMENT + field * 4;
                    let mut bytes = whole.clone();
                    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                    let same = bytes == whole;
                    let read = reads(bytes);
                    assert!(same || read.is_err() || may_pass(&whole, at), "{value} at {at}");
                }
            }
        }
    }
    for count in [1, 200, 0xFFFE, 0xFFFF_u16] {
        for first in [0, 1, 2, 3, 70_000, u64::MAX] {
            let mut bytes = whole.clone();
            bytes[2 * PAGE + 10..2 * PAGE + 12].copy_from_slice(&count.to_le_bytes());
            bytes[2 * PAGE + 16..2 * PAGE + 24].copy_from_slice(&first.to_le_bytes());
            let read = reads(bytes);
            let means_nothing = count == 0xFFFF && first == 0;
            assert!(means_nothing == read.is_ok(), "{count} free pages beginning with {first}: {read:?}");
        }
    }
}

#[test]
fn a_lost_page_a_page_both_free_and_used_and_one_listed_twice_are_named() {
    let whole = build(1024, &varied());
    let pages = whole.len() / PAGE;
    let grown = |free: &[u64]| {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&[0xEE; 2 * PAGE]);
        bytes[2 * PAGE + 10] = u8::try_from(free.len()).unwrap();
        for (index, id) in free.iter().enumerate() {
            bytes[2 * PAGE + 16 + index * 8..][..8].copy_from_slice(&id.to_le_bytes());
        }
        for id in [0, 1] {
            bytes[id * PAGE + 16 + 40..][..8].copy_from_slice(&(pages as u64 + 2).to_le_bytes());
            sign(&mut bytes, id);
        }
        bytes
    };
    let (last, next) = (pages as u64, pages as u64 + 1);
    assert_eq!(reads(grown(&[last, next])).unwrap(), varied());
    let copy = copied(&open_bytes(grown(&[last, next])).unwrap().view()).unwrap();
    assert!(copy[pages * PAGE..].iter().all(|&byte| byte == 0), "free pages leave as zeros");
    let lost = reads(grown(&[last])).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Corrupt("the page is neither used nor free"));
    assert_eq!(lost.page(), Some(PageId::new(next)));
    let used = reads(grown(&[3, last, next])).unwrap_err();
    assert_eq!(used.kind(), ErrorKind::Corrupt("a page is both free and in use"));
    let twice = reads(grown(&[last, last, next])).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Corrupt("a page is listed as free twice"));
    let unordered = reads(grown(&[next, last])).unwrap_err();
    assert_eq!(unordered.kind(), ErrorKind::Corrupt("the freelist is out of order"));
}

#[test]
fn old_bytes_behind_the_last_element_do_not_travel() {
    let mut bytes = build(1024, &varied());
    let node = nodes(&bytes)[0];
    bytes[node + PAGE - 6..node + PAGE].copy_from_slice(b"secret");
    let store = open_bytes(bytes).unwrap();
    assert_eq!(store.view().verify().unwrap().notes.len(), 1, "and they are noted");
    let copy = copied(&store.view()).unwrap();
    assert!(!copy.windows(6).any(|window| window == b"secret"));
    assert_eq!(content(&open_bytes(copy).unwrap().view()).unwrap(), varied());
}

#[test]
fn the_page_size_is_found_from_the_second_meta_alone() {
    for log in 10..=16 {
        let mut bytes = build(1 << log, &varied());
        bytes[..80].fill(0);
        let store = open_bytes(bytes.clone()).unwrap();
        assert_eq!(store.view().page_size(), 1 << log);
        assert_eq!(content(&store.view()).unwrap(), varied());
        bytes[(1 << log) + 30] ^= 1;
        let error = open_bytes(bytes).unwrap_err();
        assert_eq!(
            (error.page(), error.path().is_some()),
            (Some(PageId::new(0)), true),
            "the first one's error"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_behind_whole_metas_are_read_to_an_end(
        seeds in prop::collection::vec((3 * PAGE..20 * PAGE, any::<[u8; 4]>()), 1..20),
    ) {
        let mut bytes = build(1024, &varied());
        for (at, patch) in seeds {
            if let Some(place) = bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&patch);
            }
        }
        drop(reads(bytes.clone()));
        asks_and_copies(bytes);
    }

    #[test]
    fn any_bytes_at_all_are_an_error_or_a_store(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open_bytes(bytes).unwrap_err().is_damage());
    }
}
