//! What the fuzzers look for in archives and in the encoder, on stable and in seconds: the kept files, and bytes at random.

use icecore_testkit::{props, replay};
use proptest::collection::vec;
use proptest::prelude::*;

/// Tries `property` on the files of the corpus of `target`, and on `cases` times up to 300 bytes.
fn holds(target: &str, cases: u32, property: fn(&[u8])) {
    replay(target, property);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in vec(any::<u8>(), 0..300))| property(&bytes));
}

#[test]
fn an_archive_has_what_was_selected_and_nothing_else_whichever_way_it_is_asked_for() {
    holds("archive", 300, props::archive);
}

#[test]
fn a_compressed_body_reads_back_is_that_of_its_bytes_and_has_no_end_when_its_source_fails() {
    holds("encoded", 200, props::encoded);
}
