//! Every TSM file of the fixtures, decoded and written by our writer, holds the same values for a real influxd: 1.6.7 in
//! the place of the original in its archive, 2.9 in the place of the original in its directory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use icecore_tests::archive::Files;
use icecore_tests::fixture::{self, FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::manifest::{Bucket, Shard};
use icecore_tests::{influxd1, peers, tsm};
use icecore_tsm::WriterOptions;

/// Blocks of another length than influxd's 1,000 points.
///
/// Not much shorter where files of a shard overlap: influxd sorts the blocks of a key by time, and those that overlap by
/// file, which is no order as soon as a block overlaps two that lie apart. Of points with one time it can then answer the
/// older (docs/formats/cache-and-compaction.md); with blocks of 7 points it does, from files each of which is right.
fn options() -> WriterOptions {
    WriterOptions { block_points_max: 700, ..WriterOptions::default() }
}

/// Other names of a shard's folder (tombstones) stay as they are.
fn anew(files: &Files, options: &WriterOptions) -> Files {
    let mut written = Files::new();
    for (name, content) in files {
        let new = match name.ends_with(".tsm") {
            true => tsm::written_anew(name, content, options),
            false => [(name.clone(), content.clone())].into(),
        };
        for (name, content) in new {
            assert_eq!(written.insert(name, content), None);
        }
    }
    written
}

/// What Icecore sends, written anew and split into small files, is what the fixture holds.
fn check_archives(fixture: &Fixture) {
    let Some(influxd) = peers::influxd1() else { return };
    let dir = fixture.unpack();
    let server = Server::start_with(dir.path(), &["--read-only"]);
    let archives = fixture::archives(&server.client().with_token(fixture.token));
    server.stop();
    let small = WriterOptions { file_size_max: 20_000, ..options() };
    let written: Vec<_> =
        archives.iter().map(|(shard, files)| (shard.clone(), anew(files, &small))).collect();
    let count = |archives: &[(Shard, Files)]| archives.iter().map(|(_, files)| files.len()).sum::<usize>();
    println!("{}: {} files became {}", fixture.name, count(&archives), count(&written));
    let found = influxd1::values_of(&influxd, &written);
    let shards: Vec<_> = archives.into_iter().map(|(shard, _)| shard).collect();
    fixture.assert_shards_hold(&shards, &found, |bucket_id| fixture.expected(bucket_id));
}

/// Each file of the directory, alone in a shard: the original and the new one, asked side by side.
fn check_originals(fixture: &Fixture) {
    let Some(influxd) = peers::influxd1() else { return };
    let dir = fixture.unpack();
    let server = Server::start_with(dir.path(), &["--read-only"]);
    let buckets = fixture::manifest(&server.client().with_token(fixture.token));
    server.stop();
    let short = WriterOptions { block_points_max: 7, ..options() };
    let mut folders = Vec::new();
    let mut copies = 0;
    for shard in buckets.iter().flat_map(Bucket::shards) {
        let folder = dir.path().join(format!("engine/data/{}/autogen/{}", shard.bucket_id, shard.id));
        for path in tsm::paths(&folder) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let content = std::fs::read(&path).unwrap();
            let written = tsm::written_anew(name, &content, &short);
            copies += usize::from(written[name] == content);
            for files in [[(name.to_owned(), content)].into(), written] {
                folders.push((Shard { id: folders.len() as u64, ..shard.clone() }, files));
            }
        }
    }
    let files_count = folders.len() / 2;
    assert_eq!(files_count, tsm::paths(&dir.path().join("engine/data")).len());
    let found = influxd1::values_of(&influxd, &folders);
    let mut values_count = 0;
    for pair in folders.chunks(2) {
        let (original, written) = (&found[&pair[0].0.id], &found[&pair[1].0.id]);
        written.assert_equal(original, &format!("{} {:?}", fixture.name, pair[0].1.keys()));
        assert!(!original.is_empty());
        values_count += original.len();
    }
    println!("{}: {files_count} files ({copies} of the same bytes), {values_count} values", fixture.name);
    assert!(copies < files_count);
}

/// In place of the originals, with the tombstones and the log that lie beside them.
fn check_directory(fixture: &Fixture) {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = fixture.unpack();
    let export =
        || fixture.buckets.iter().map(|bucket_id| influxd2::exported(&influxd, dir.path(), bucket_id));
    let before: Vec<_> = export().collect();
    let paths = tsm::paths(&dir.path().join("engine/data"));
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let written = tsm::written_anew(name, &std::fs::read(path).unwrap(), &options());
        std::fs::write(path, &written[name]).unwrap();
    }
    let text = influxd2::verified(&influxd, dir.path());
    println!("{}: {} files, {}", fixture.name, paths.len(), text.trim());
    assert!(text.contains("Broken Blocks: 0 / "), "{text}");
    // Of a log this prints what was written and then deleted, too; so the original is asked the same.
    for (before, after) in before.iter().zip(export()) {
        after.assert_equal(before, fixture.name);
    }

    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(fixture.token);
    for bucket_id in fixture.buckets {
        influxd2::answered(&client, bucket_id).assert_equal(&fixture.expected(bucket_id), bucket_id);
    }
    server.stop();
}

#[test]
fn influxd_1_reads_the_archives_of_kitchen_sink() {
    check_archives(&KITCHEN_SINK);
}

#[test]
fn influxd_1_reads_the_archives_of_layers() {
    check_archives(&LAYERS);
}

#[test]
fn influxd_1_reads_the_archives_of_fleet() {
    check_archives(&FLEET);
}

#[test]
fn influxd_1_reads_each_file_like_its_original() {
    check_originals(&KITCHEN_SINK);
    check_originals(&LAYERS);
    check_originals(&FLEET);
}

#[test]
fn influxd_2_serves_kitchen_sink_from_files_written_anew() {
    check_directory(&KITCHEN_SINK);
}

#[test]
fn influxd_2_serves_layers_from_files_written_anew() {
    check_directory(&LAYERS);
}

#[test]
fn influxd_2_serves_fleet_from_files_written_anew() {
    check_directory(&FLEET);
}

/// The control: what verify-tsm says of a block that is not what it was.
#[test]
fn influxd_2_tells_a_damaged_block() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = LAYERS.unpack();
    let path = &tsm::paths(&dir.path().join("engine/data"))[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let text = influxd2::verified(&influxd, dir.path());
    assert!(text.contains("Broken Blocks: 1 / "), "{text}");
}
