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

/// Tries `property` on the files of the corpus of `target`, and on `cases` of them with one to four changes each.
fn holds(target: &str, cases: u32, property: fn(&[u8])) {
    replay(target, property);
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
fn times_are_decoded_as_a_second_reader_does_or_are_damaged() {
    holds("block_times", 3000, props::block_times);
}

#[test]
fn floats_are_decoded_as_a_second_reader_does_or_are_damaged() {
    holds("block_floats", 3000, props::block_floats);
}

#[test]
fn integers_are_decoded_as_a_second_reader_does_or_are_damaged() {
    holds("block_integers", 3000, props::block_integers);
}

#[test]
fn booleans_are_decoded_as_a_second_reader_does_or_are_damaged() {
    holds("block_booleans", 3000, props::block_booleans);
}

#[test]
fn strings_are_decoded_as_a_second_reader_does_or_are_damaged() {
    holds("block_strings", 3000, props::block_strings);
}

#[test]
fn a_tsm_file_says_the_same_whichever_way_it_is_asked_or_is_damaged() {
    holds("tsm_file", 2000, props::tsm_file);
}

#[test]
fn a_shard_has_the_points_of_its_file_and_so_has_its_backup_or_it_is_damaged() {
    holds("shard", 300, props::shard);
}

#[test]
fn a_tombstone_has_the_records_that_stand_in_it_or_is_damaged() {
    holds("tombstone", 2000, props::tombstone);
}

#[test]
fn a_tombstone_is_applied_alike_by_reads_and_backups_or_is_damaged() {
    holds("tombstone_shard", 200, props::tombstone_shard);
}

#[test]
fn a_log_entry_has_what_its_body_has_or_is_damaged() {
    holds("wal", 2000, props::wal);
}

#[test]
fn a_log_gives_the_same_points_in_memory_and_in_files_or_is_damaged() {
    holds("wal_shard", 200, props::wal_shard);
}

#[test]
fn our_log_has_what_a_plain_reader_finds_and_goes_on_or_is_damaged() {
    holds("iwal", 3000, props::iwal);
}

#[test]
fn a_series_key_that_is_canonical_is_built_again_of_its_parts() {
    holds("series_key", 3000, props::series_key);
}

#[test]
fn a_manifest_is_written_as_it_was_read_or_is_damaged() {
    holds("manifest", 3000, props::manifest);
}

#[test]
fn a_field_index_is_written_as_it_was_read_or_is_damaged() {
    holds("fields", 3000, props::fields);
}

#[test]
fn sums_are_written_as_they_were_read_or_are_damaged_and_their_root_is_the_hash() {
    holds("sums", 1000, props::sums);
}

#[test]
fn a_bolt_file_is_copied_whole_or_is_damaged() {
    holds("bolt", 200, props::bolt);
}
