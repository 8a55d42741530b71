//! What the fuzzers look for, on stable and in seconds: the kept files, and those files damaged at random.

use icecore_testkit::{corpus, props, replay};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// One change of a file: these bytes instead of as many at that place, or cut off there when there are none.
fn damage(bytes: &mut Vec<u8>, at: &Index, new: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    if new.is_empty() {
        bytes.truncate(at);
    }
    bytes.iter_mut().skip(at).zip(new).for_each(|(old, new)| *old = *new);
}

/// Tries `property` on the files of a corpus with one to four changes each.
fn survives_damage(target: &str, cases: u32, property: fn(&[u8])) {
    let files = corpus::files(target);
    let changes = vec((any::<Index>(), vec(any::<u8>(), 0..9)), 1..5);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(file in any::<Index>(), changes in changes)| {
        let (_, mut bytes) = file.get(&files).clone();
        changes.iter().for_each(|(at, new)| damage(&mut bytes, at, new));
        property(&bytes);
    });
}

#[test]
fn a_tsm_file_says_the_same_whichever_way_it_is_asked_or_is_damaged() {
    replay("tsm_file", props::tsm_file);
    survives_damage("tsm_file", 500, props::tsm_file);
}

#[test]
fn a_tombstone_is_applied_alike_by_reads_and_backups_or_is_damaged() {
    replay("tombstone", props::tombstone);
    survives_damage("tombstone", 200, props::tombstone);
}

#[test]
fn a_log_gives_the_same_points_in_memory_and_in_files_or_is_damaged() {
    replay("wal", props::wal);
    survives_damage("wal", 200, props::wal);
}

#[test]
fn a_bolt_file_is_copied_whole_or_is_damaged() {
    replay("bolt", props::bolt);
    survives_damage("bolt", 200, props::bolt);
}
