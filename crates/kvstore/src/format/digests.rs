//! The side file of a Bolt file: a digest of each page, since the format has none.
//!
//! Invariant: a slot speaks of its page alone and has its own check, so that a damaged slot is never taken for a damaged
//! page; and a record names a meta page that was durable when the record was written.
//!
//! ```text
//! header     | 0 magic 8 | 8 version u32 | 12 must understand u32 | 16 may ignore u32 | 20 page size u32 | 24 check u64 |
//! record     | 0 transaction u64 | 8 checksum of the meta u64 | 16 check u64 |           at 32 for meta page 0, at 56 for 1
//! slot       | 0 BLAKE3 of the page, its first 12 bytes | 12 check u32 |                 at 128 + 16 * page
//! ```
//! All little-endian. A check is FNV-1a 64 of the bytes before it; in records and slots the number of the page, as u64,
//! goes first; a slot has its low half.

use super::meta::{Meta, fnv1a, fnv1a_on};
use super::{array, u32_at, u64_at};

const MAGIC: usize = 0;
const VERSION: usize = MAGIC + size_of::<u64>();
const MUST_UNDERSTAND: usize = VERSION + size_of::<u32>();
const MAY_IGNORE: usize = MUST_UNDERSTAND + size_of::<u32>();
const PAGE_SIZE: usize = MAY_IGNORE + size_of::<u32>();
const HEADER_CHECK: usize = PAGE_SIZE + size_of::<u32>();
pub(crate) const RECORDS: usize = HEADER_CHECK + size_of::<u64>();
const RECORD_LEN: usize = 3 * size_of::<u64>();
pub(crate) const SLOTS: usize = 128;
pub(crate) const SLOT_LEN: usize = DIGEST_LEN + size_of::<u32>();
const _: () = assert!(RECORDS + 2 * RECORD_LEN <= SLOTS && SLOT_LEN == 16, "Bolt digests, version 1");

const MAGIC_VALUE: &[u8; 8] = b"ICEBSUMS";
const VERSION_VALUE: u32 = 1;
pub(crate) const DIGEST_LEN: usize = 12;

/// What a page's bytes come down to.
pub(crate) type Digest = [u8; DIGEST_LEN];

pub(crate) fn digest(page: &[u8]) -> Digest {
    let mut digest = [0; DIGEST_LEN];
    digest.iter_mut().zip(blake3::hash(page).as_bytes()).for_each(|(to, from)| *to = *from);
    digest
}

/// The bytes before the first slot, without any record.
pub(crate) fn head(page_size: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(SLOTS);
    head.extend_from_slice(MAGIC_VALUE);
    for half in [VERSION_VALUE, 0, 0, page_size] {
        head.extend_from_slice(&half.to_le_bytes());
    }
    let check = fnv1a(&head);
    head.extend_from_slice(&check.to_le_bytes());
    head.resize(SLOTS, 0);
    head
}

/// What keeps a side file from being used, if anything does.
pub(crate) fn refusal(head: &[u8], page_size: u32) -> Option<&'static str> {
    if head.get(..VERSION) != Some(MAGIC_VALUE) {
        return Some("the file of digests beside it is none");
    }
    if u64_at(head, HEADER_CHECK) != Some(fnv1a(head.get(..HEADER_CHECK).unwrap_or_default())) {
        return Some("the digests beside the file have a damaged header");
    }
    if (u32_at(head, VERSION), u32_at(head, MUST_UNDERSTAND)) != (Some(VERSION_VALUE), Some(0)) {
        return Some("the digests beside the file are of an unknown version");
    }
    (u32_at(head, PAGE_SIZE) != Some(page_size))
        .then_some("the digests beside the file are of another page size")
}

/// Where the record of a meta page is.
pub(crate) fn record_at(page: u64) -> usize {
    RECORDS + if page == 0 { 0 } else { RECORD_LEN }
}

/// Says that `meta` is on its page, 0 or 1, and durable.
pub(crate) fn record(page: u64, meta: &Meta) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_LEN);
    record.extend_from_slice(&meta.txid.get().to_le_bytes());
    record.extend_from_slice(&meta.checksum().to_le_bytes());
    let check = of_page(page, &record);
    record.extend_from_slice(&check.to_le_bytes());
    record
}

/// Whether the slots are those of the state whose meta, on this page, is `meta`.
pub(crate) fn fits(head: &[u8], page: u64, meta: &Meta) -> bool {
    head.get(record_at(page)..).and_then(|rest| rest.get(..RECORD_LEN)) == Some(&record(page, meta))
}

/// Where the slot of a page is.
pub(crate) fn slot_at(page: u64) -> u64 {
    page.saturating_mul(SLOT_LEN as u64).saturating_add(SLOTS as u64)
}

pub(crate) fn slot(page: u64, digest: &Digest) -> [u8; SLOT_LEN] {
    let mut slot = [0; SLOT_LEN];
    let check = low_half(of_page(page, digest)).to_le_bytes();
    slot.iter_mut().zip(digest.iter().chain(&check)).for_each(|(to, from)| *to = *from);
    slot
}

/// The digest in a slot; `None` when the slot is damaged, or was never written.
pub(crate) fn parse_slot(page: u64, bytes: &[u8]) -> Option<Digest> {
    let digest = array(bytes, 0)?;
    (u32_at(bytes, DIGEST_LEN)? == low_half(of_page(page, &digest))).then_some(digest)
}

fn of_page(page: u64, bytes: &[u8]) -> u64 {
    fnv1a_on(fnv1a(&page.to_le_bytes()), bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "one half is wanted")]
const fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PageId, TxId};

    fn meta() -> Meta {
        let (root, freelist) = (PageId::new(3), Some(PageId::new(2)));
        Meta { page_size: 4096, root, sequence: 0, freelist, high_water: 9, txid: TxId::new(7) }
    }

    #[test]
    fn a_slot_comes_back_for_its_page_and_no_flipped_bit_of_it_passes() {
        let digest = digest(b"a page");
        let whole = slot(5, &digest);
        assert_eq!((parse_slot(5, &whole), parse_slot(6, &whole)), (Some(digest), None));
        assert_eq!(parse_slot(0, &[0; SLOT_LEN]), None, "never written");
        for bit in 0..SLOT_LEN * 8 {
            let mut slot = whole;
            slot[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_slot(5, &slot), None, "bit {bit}");
        }
    }

    #[test]
    fn a_damaged_head_is_refused_and_a_record_fits_its_meta_alone() {
        let mut whole = head(4096);
        assert!(refusal(&whole, 4096).is_none() && refusal(&whole, 1024).is_some());
        for bit in 0..RECORDS * 8 {
            let mut head = whole.clone();
            head[bit / 8] ^= 1 << (bit % 8);
            assert!(refusal(&head, 4096).is_some(), "bit {bit}");
        }
        assert!(refusal(&whole[..20], 4096).is_some() && refusal(&[], 4096).is_some());
        whole[record_at(1)..][..RECORD_LEN].copy_from_slice(&record(1, &meta()));
        assert!(fits(&whole, 1, &meta()) && !fits(&whole, 0, &meta()));
        assert!(!fits(&whole, 1, &Meta { high_water: 10, ..meta() }));
    }
}
