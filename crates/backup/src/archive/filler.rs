//! Bytes for a client while a header is not known yet.
//!
//! The header of an entry states its length. Of a file that deletes are applied to that is known when the blocks which they cut were
//! read, and of the list of files when the digests of all are known: from a slow disk that can take longer than a client waits for a
//! byte. So a comment comes first, an extended header of POSIX pax, which readers of a tar pass over. Its bytes depend on the lengths of
//! files on the disk and on nothing else: how many of them leave before the header, and when, the clock decides.
//!
//! ```text
//! header 512, type x | <length of this line> comment=.....\n |     512 for each 16 MiB of the files, at most 1 MiB; none below 16 MiB
//! ```
//!
//! Invariant: behind a comment comes the header of a file, and never another comment: some readers refuse two (the `tar` crate). Where nothing
//! is left of its file a comment stands before the next entry, which has none of its own then, and what has not left yet of it serves that one.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ustar::{BLOCK_LEN, EXTENDED_LEN_MAX};

/// The name of a comment: readers that do not know its type make a file of it, which no restore takes.
pub(crate) const NAME: &str = "icecore.comment";
/// Bytes of files on the disk for each block of a comment.
const UNIT: u64 = 16 << 20;
/// So much leaves at once: a comment lasts eight pauses for each unit, which a disk of 2 MB/s has to read in that time.
const PULSE_LEN: usize = 64;
/// From one of them to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read between two looks at the clock.
const STEP_LEN: u64 = 4 << 20;

/// When there is a comment, and how it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) unit: u64,
    pub(crate) step_len: u64,
    pub(crate) now: fn() -> Instant,
}

impl Default for Manner {
    fn default() -> Self {
        Self { unit: UNIT, step_len: STEP_LEN, now: Instant::now }
    }
}

impl Manner {
    /// The length of the comment for files of so many bytes on the disk, without its header; 0: there is none.
    pub(crate) fn len_for(&self, on_disk: u64) -> u64 {
        (on_disk / self.unit).saturating_mul(BLOCK_LEN).min(EXTENDED_LEN_MAX)
    }
}

/// A comment behind which no header has come yet.
#[derive(Debug, Default)]
pub(crate) struct Filler {
    /// What has not left yet.
    rest: Bytes,
    /// When some of it left.
    pulsed: Option<Instant>,
}

impl Filler {
    /// A comment of so many bytes, whole blocks; empty for 0.
    pub(crate) fn new(len: u64) -> Self {
        Self { rest: record(usize::try_from(len).unwrap_or(0)).into(), pulsed: None }
    }

    /// A few bytes, if it is time for some and there are any.
    pub(crate) fn pulse(&mut self, now: Instant) -> Option<Bytes> {
        let is_due = self.pulsed.is_none_or(|pulsed| now.saturating_duration_since(pulsed) >= PAUSE);
        if !is_due || self.rest.is_empty() {
            return None;
        }
        self.pulsed = Some(now);
        Some(self.rest.split_to(self.rest.len().min(PULSE_LEN)))
    }

    /// All that has not left yet.
    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }
}

/// The record of a comment of `len` bytes with its own length in front.
fn record(len: usize) -> Vec<u8> {
    let mut record = format!("{len} comment=").into_bytes();
    if record.len() >= len {
        return Vec::new();
    }
    record.resize(len - 1, b'.');
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_has_a_block_for_each_sixteen_mib_and_no_more_than_every_reader_takes() {
        let manner = Manner::default();
        let len_for = |on_disk| manner.len_for(on_disk);
        assert_eq!([0, (16 << 20) - 1, 16 << 20, (32 << 20) - 1].map(len_for), [0, 0, 512, 512]);
        assert_eq!(
            [1 << 31, 1 << 32, 1 << 35, u64::MAX].map(len_for),
            [64 << 10, 128 << 10, 1 << 20, 1 << 20]
        );
    }

    #[test]
    fn a_record_states_its_own_length() {
        for len in [512, 1024, 1 << 20] {
            let mut filler = Filler::new(len);
            let record = filler.take();
            let text = std::str::from_utf8(&record).unwrap();
            let filled = text.strip_prefix(&format!("{len} comment=")).unwrap().strip_suffix('\n').unwrap();
            assert!(record.len() as u64 == len && filled.bytes().all(|byte| byte == b'.'));
        }
        assert!(Filler::new(0).take().is_empty());
    }

    #[test]
    fn a_second_has_its_bytes_and_the_rest_comes_at_once() {
        let (mut filler, begun) = (Filler::new(512), Instant::now());
        let mut at = |ms| filler.pulse(begun + Duration::from_millis(ms)).map(|bytes| bytes.len());
        assert_eq!(
            [0, 1, 999, 1000, 1500, 2500].map(&mut at),
            [Some(64), None, None, Some(64), None, Some(64)]
        );
        assert_eq!(filler.take().len(), 512 - 3 * 64);
        assert_eq!(filler.pulse(begun + Duration::from_secs(9)), None, "nothing is left");
    }
}
