//! `icecore export` reads a directory and leaves it as it is, also where nothing can be written; and what it prints is
//! the truth of the fixtures, byte for byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use icecore_testkit::fixtures;
use icecore_tests::fixture::{FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::{self, Server};
use icecore_tests::values::Values;
use icecore_tests::{line_protocol, peers, tree};

#[track_caller]
fn assert_exports(fixture: &Fixture, dir: &Path) {
    for bucket_id in fixture.buckets {
        let expected = fixtures::read(&format!("{}/expected/{bucket_id}.tsv.gz", fixture.name));
        let found = icecore::export(dir, bucket_id, "tsv");
        assert!(found.as_bytes() == expected, "{bucket_id}: not byte for byte what is expected");
    }
}

#[test]
fn an_export_equals_the_expected_file_and_changes_nothing() {
    for fixture in [KITCHEN_SINK, LAYERS] {
        let dir = fixture.unpack();
        let before = tree::of(dir.path());
        assert_exports(&fixture, dir.path());
        tree::assert_unchanged(dir.path(), &before);
    }
}

#[test]
fn an_export_equals_the_expected_file_after_the_log_was_taken_over_and_once_more() {
    for fixture in [KITCHEN_SINK, LAYERS] {
        let dir = fixture.unpack();
        for _ in 0..2 {
            Server::start(dir.path()).stop();
            assert_exports(&fixture, dir.path());
        }
    }
}

#[test]
fn fleet_is_exported_as_it_was_written() {
    let dir = FLEET.unpack();
    let before = tree::of(dir.path());
    let found = Values::from_tsv(&icecore::export(dir.path(), FLEET.buckets[0], "tsv"));
    found.assert_equal(&FLEET.expected(FLEET.buckets[0]), "fleet");
    tree::assert_unchanged(dir.path(), &before);
}

#[test]
fn line_protocol_holds_the_same_values() {
    for fixture in [KITCHEN_SINK, LAYERS, FLEET] {
        let dir = fixture.unpack();
        for bucket_id in fixture.buckets {
            let found = line_protocol::parse(&icecore::export(dir.path(), bucket_id, "lp"));
            found.assert_equal(&fixture.expected(bucket_id), bucket_id);
        }
    }
}

#[test]
fn serving_read_only_changes_nothing() {
    let dir = KITCHEN_SINK.unpack();
    let before = tree::of(dir.path());
    let server = Server::start_with(dir.path(), &["--read-only"]);
    let client = server.client().with_token(KITCHEN_SINK.token);
    for target in ["kv", "metadata", "shards/1", "shards/13"] {
        client.body_of(&format!("/api/v2/backup/{target}"));
    }
    server.stop();
    tree::assert_unchanged(dir.path(), &before);
}

#[test]
fn a_directory_on_a_read_only_mount_is_exported_and_served() {
    let Some(mount) = ReadOnlyMount::of(&KITCHEN_SINK) else { return };
    let refused = std::fs::write(mount.data().join("engine/x"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let before = tree::of(mount.data());
    assert_exports(&KITCHEN_SINK, mount.data());
    let server = Server::start_with(mount.data(), &["--read-only"]);
    server.client().with_token(KITCHEN_SINK.token).body_of("/api/v2/backup/shards/1");
    server.stop();
    tree::assert_unchanged(mount.data(), &before);
}

/// Without mounts: a directory whose files may not be written. The superuser may write all the same.
#[test]
fn a_directory_without_permission_to_write_is_exported() {
    let dir = LAYERS.unpack();
    let writable = |yes: bool| {
        for name in tree::of(dir.path()).into_keys().chain([String::new()]) {
            let path = dir.path().join(name);
            let mut permissions = path.metadata().unwrap().permissions();
            let mode = permissions.mode();
            permissions.set_mode(if yes { mode | 0o200 } else { mode & !0o222 });
            std::fs::set_permissions(path, permissions).unwrap();
        }
    };
    writable(false);
    let before = tree::of(dir.path());
    assert_exports(&LAYERS, dir.path());
    tree::assert_unchanged(dir.path(), &before);
    writable(true);
}

/// A fixture below a file system that was mounted again read-only; unmounted when dropped.
struct ReadOnlyMount {
    at: tempfile::TempDir,
    data: PathBuf,
}

impl ReadOnlyMount {
    /// `None`, and told, where mounting is not allowed.
    fn of(fixture: &Fixture) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mount = |arguments: &[&str]| {
            Command::new("mount")
                .args(arguments)
                .arg(at.path())
                .output()
                .is_ok_and(|output| output.status.success())
        };
        if !mount(&["-t", "tmpfs", "tmpfs"]) {
            peers::tell("skipped where tmpfs cannot be mounted");
            return None;
        }
        let data = at.path().join("data");
        let mount_of_fixture = Self { at, data };
        let from = fixture.unpack();
        let copied =
            Command::new("cp").arg("-a").arg(from.path()).arg(mount_of_fixture.data()).status().unwrap();
        assert!(copied.success());
        let remounted =
            Command::new("mount").args(["-o", "remount,ro"]).arg(mount_of_fixture.at.path()).status();
        assert!(remounted.unwrap().success());
        Some(mount_of_fixture)
    }

    fn data(&self) -> &Path {
        &self.data
    }
}

impl Drop for ReadOnlyMount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.at.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
