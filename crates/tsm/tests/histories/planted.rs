//! Defects that are planted into the disk: a sync that is said to have been made, and was not. Losing power has to find each.
//!
//! Those that need another engine are in the ledger of `docs/testing.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use icecore_testkit::disk::{Action, Call};

use crate::power_loss::{Defect, lose_power_in};

/// The first history that notices a defect.
fn found_by(defect: Defect) -> Option<u64> {
    (1..60).find(|seed| catch_unwind(AssertUnwindSafe(|| lose_power_in(*seed, Some(defect)))).is_err())
}

fn is_sync_of(call: &Call<'_>, end: &str) -> bool {
    call.action == Action::Sync && call.path.to_string_lossy().ends_with(end)
}

#[test]
fn a_log_that_is_not_synced_is_noticed() {
    assert!(found_by(|call| is_sync_of(call, ".iwal")).is_some());
}

#[test]
fn a_directory_of_a_log_that_is_not_synced_is_noticed() {
    assert!(found_by(|call| call.action == Action::SyncDir && call.path.starts_with("/wal")).is_some());
}

#[test]
fn a_directory_of_files_that_is_not_synced_is_noticed() {
    assert!(found_by(|call| call.action == Action::SyncDir && call.path.starts_with("/data")).is_some());
}

#[test]
fn a_file_that_is_not_synced_is_noticed() {
    assert!(found_by(|call| is_sync_of(call, ".tsm.tmp")).is_some());
}

#[test]
fn a_manifest_that_is_not_synced_is_noticed() {
    assert!(found_by(|call| is_sync_of(call, "icecore.manifest.tmp")).is_some());
}

#[test]
fn without_a_defect_the_same_histories_find_nothing() {
    assert_eq!((1..4).map(|seed| lose_power_in(seed, None)).filter(|points| *points == 0).count(), 0);
}
