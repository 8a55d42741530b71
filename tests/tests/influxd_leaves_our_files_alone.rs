//! What Icecore keeps beside the files of a shard does not concern a real influxd 2.9.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use icecore_disk::{Disk, RealDisk};
use icecore_tests::fixture::KITCHEN_SINK;
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::{peers, tsm};
use icecore_tsm::manifest::{LiveFile, Manifest, Sealed};
use icecore_tsm::sums::Sums;
use icecore_tsm::{FileName, adopt};

#[test]
fn influxd_serves_a_directory_with_our_files_and_leaves_them_as_they_are() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = KITCHEN_SINK.unpack();
    let mut ours: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for path in tsm::paths(&dir.path().join("engine/data")) {
        let shard = path.parent().unwrap();
        let text = path.file_name().unwrap().to_str().unwrap();
        let name = FileName::parse(text).unwrap();
        let sums = Sums::of_file(&*RealDisk.open(&path).unwrap()).unwrap();
        sums.write(&RealDisk, shard, name).unwrap();
        let stat = RealDisk.stat(&path).unwrap();
        let file = Sealed { len: stat.size, modified_ns: stat.modified_ns, digest: sums.root() };
        let live = [(name, LiveFile { file, tombstone: None })].into();
        Manifest { number: 1, live, ..Manifest::default() }.replace(&RealDisk, shard).unwrap();
        // A whole file that would be read under its name, and the deletes of all that is here.
        let stray = adopt::aside(&text.replace("000000001.tsm", "000000009.tsm")).next().unwrap();
        fs::copy(&path, shard.join(stray)).unwrap();
        let stray = adopt::aside(&name.tombstone()).next().unwrap();
        fs::write(shard.join(stray), b"not even a tombstone").unwrap();
        fs::write(shard.join("icecore.manifest.tmp"), b"a part").unwrap();
        for entry in fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path()) {
            let text = entry.file_name().unwrap().to_str().unwrap();
            if ["icecore.manifest", ".tsmsum", ".stray"].iter().any(|end| text.ends_with(end)) {
                ours.insert(entry.clone(), fs::read(&entry).unwrap());
            }
        }
    }
    assert_eq!(ours.len(), 4 * 13);
    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    for bucket_id in KITCHEN_SINK.buckets {
        influxd2::answered(&client, bucket_id).assert_equal(&KITCHEN_SINK.expected(bucket_id), bucket_id);
    }
    server.stop();
    for (path, bytes) in ours {
        assert!(fs::read(&path).unwrap() == bytes, "{}", path.display());
        assert!(!path.with_file_name("icecore.manifest.tmp").exists(), "influxd removes leftovers");
    }
}
