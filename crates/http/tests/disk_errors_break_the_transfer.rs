//! A disk that fails while a backup is sent, at whichever read: the client gets an error, or a transfer that is broken and reset,
//! in every encoding and whatever was checked before; never a whole answer with other bytes. The disk is asked again by the next
//! request, since what it refused is no damage.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Reply, send};
use icecore_disk::{Disk, RealDisk};
use icecore_http::Options;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Verdict};
use icecore_testkit::fixtures;

const NEVER: u64 = u64::MAX;
/// A shard of some files; how often a read is tried is the distance between the reads that fail.
const SHARDS: [(&str, &str, &str, usize); 3] = [
    ("layers", fixtures::LAYERS_OPERATOR_TOKEN, "/api/v2/backup/shards/1", 1),
    ("kitchen-sink", fixtures::OPERATOR_TOKEN, "/api/v2/backup/shards/2", 1),
    ("fleet", fixtures::OPERATOR_TOKEN, "/api/v2/backup/shards/1", 9),
];

/// Which reads of TSM files fail with EIO, counted from when it is told.
#[derive(Debug)]
struct Failing {
    from: AtomicU64,
    to: AtomicU64,
    made: AtomicU64,
    failed: AtomicU64,
}

impl Failing {
    fn begin(&self, from: u64, to: u64) {
        self.made.store(0, Ordering::SeqCst);
        self.failed.store(0, Ordering::SeqCst);
        self.to.store(to, Ordering::SeqCst);
        self.from.store(from, Ordering::SeqCst);
    }

    fn verdict(&self, call: &Call<'_>) -> Verdict {
        if call.action != Action::Read || call.path.extension().is_none_or(|extension| extension != "tsm") {
            return Verdict::Go;
        }
        let nth = self.made.fetch_add(1, Ordering::SeqCst);
        if (self.from.load(Ordering::SeqCst)..self.to.load(Ordering::SeqCst)).contains(&nth) {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Verdict::Fail(Failure::Io);
        }
        Verdict::Go
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Refused,
    Broken,
}

/// # Panics
/// When it looks whole and has other bytes, or is broken and the connection was closed as if it were not.
fn end(reply: &Reply, whole: &[u8]) -> End {
    if reply.status != 200 {
        assert_eq!(reply.status, 500);
        assert!(reply.text().contains(".tsm"), "names the file: {}", reply.text());
        return End::Refused;
    }
    match reply.body() {
        Ok(body) => {
            let unpacked = match reply.header("Content-Encoding") {
                None => body,
                Some("gzip") => {
                    let mut unpacked = Vec::new();
                    std::io::copy(&mut flate2::bufread::GzDecoder::new(&body[..]), &mut unpacked).unwrap();
                    unpacked
                }
                Some(_) => zstd::decode_all(&body[..]).unwrap(),
            };
            assert!(unpacked == whole, "other bytes");
            End::Whole
        }
        Err(why) => {
            assert!(reply.end.is_err(), "reset, not closed: {why}");
            End::Broken
        }
    }
}

async fn fails_at_each_read(
    dir: &Path,
    shard: (&str, &str, &str, usize),
    encoding: &str,
    check_max: Duration,
) {
    let (name, token, path, step) = shard;
    let authorization = format!("Token {token}");
    let headers =
        [("Authorization", &*authorization), ("Accept-Encoding", encoding), ("Gzip-Compression-Level", "")];
    let mut ends = Vec::new();
    for is_for_good in [false, true] {
        for from in (0..).step_by(step) {
            let failing = Arc::new(Failing {
                from: AtomicU64::new(NEVER),
                to: AtomicU64::new(NEVER),
                made: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            });
            let hook = {
                let failing = Arc::clone(&failing);
                move |call: &Call<'_>| failing.verdict(call)
            };
            let disk: Arc<dyn Disk> = Arc::new(Hooked::new(RealDisk, hook));
            let options = Options { check_max, ..Options::default() };
            let server = server::start_on(&disk, dir, options).await;
            failing.begin(from, if is_for_good { NEVER } else { from + 1 });
            let reply = send(server, "GET", path, &headers).await;
            let has_failed = failing.failed.load(Ordering::SeqCst) > 0;
            failing.begin(NEVER, NEVER);
            let whole = send(server, "GET", path, &headers[..1]).await;
            assert_eq!(whole.status, 200, "the disk works again: {}", String::from_utf8_lossy(&whole.rest));
            let ended = end(&reply, &whole.body().expect("the disk works again"));
            // A check that looks ahead in vain reads the block alone: a disk that has failed once may do then.
            let may_be_whole = !has_failed || !is_for_good && ended == End::Whole;
            assert_eq!(ended == End::Whole, may_be_whole, "{name} as {encoding}, read {from}: {ended:?}");
            if !has_failed {
                break;
            }
            ends.push(ended);
        }
    }
    let count = |wanted| ends.iter().filter(|end| **end == wanted).count();
    println!(
        "{name} as {encoding}, checked for {check_max:?} before: {} refused, {} broken",
        count(End::Refused),
        count(End::Broken)
    );
    assert!(ends.len() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_at_any_read_is_seen_in_every_encoding() {
    for shard in SHARDS {
        let dir = fixtures::unpack(shard.0);
        for encoding in ["identity", "gzip", "zstd"] {
            for check_max in [Duration::ZERO, Options::default().check_max] {
                fails_at_each_read(dir.path(), shard, encoding, check_max).await;
            }
        }
    }
}
