//! The two meta pages: which state of the file is the current one.
//!
//! Invariant: a commit writes the meta page that is not the newest, after all else is durable; so at any moment one of
//! the two is whole, and the whole one with the higher transaction id is the state of the file.
//!
//! ```text
//! behind the page header:
//! | 0 magic u32 | 4 version u32 | 8 page size u32 | 12 flags u32 | 16 root page u64 | 24 root sequence u64 |
//! | 32 freelist page u64 | 40 high-water mark u64 | 48 transaction u64 | 56 FNV-1a 64 of bytes 0..56 |
//! ```
//! The high-water mark is the number of pages in use: what lies behind it in the file is undefined.
//! A freelist page of all ones means that the list is not kept in the file.

use super::page::{HEADER_LEN, Header, Kind, is_page_size};
use super::{u32_at, u64_at, widen};
use crate::error::{Error, Result};
use crate::units::Place;
use crate::{PageId, TxId};

const MAGIC: usize = 0;
const VERSION: usize = MAGIC + size_of::<u32>();
const PAGE_SIZE: usize = VERSION + size_of::<u32>();
const FLAGS: usize = PAGE_SIZE + size_of::<u32>();
const ROOT: usize = FLAGS + size_of::<u32>();
const SEQUENCE: usize = ROOT + size_of::<u64>();
const FREELIST: usize = SEQUENCE + size_of::<u64>();
const HIGH_WATER: usize = FREELIST + size_of::<u64>();
const TXID: usize = HIGH_WATER + size_of::<u64>();
const CHECKSUM: usize = TXID + size_of::<u64>();
const META_LEN: usize = CHECKSUM + size_of::<u64>();
const _: () = assert!(META_LEN == 64, "Bolt meta, version 2");

/// Bytes of a meta page that mean something.
pub(crate) const META_PAGE_USED: usize = HEADER_LEN + META_LEN;
/// The pages 0 and 1 are metas.
pub(crate) const META_PAGES: u64 = 2;

const MAGIC_VALUE: u32 = 0xED0C_DAED;
const VERSION_VALUE: u32 = 2;
const NO_FREELIST: u64 = u64::MAX;

/// One state of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u32,
    pub(crate) root: PageId,
    pub(crate) sequence: u64,
    /// `None`: the file keeps no list of its free pages.
    pub(crate) freelist: Option<PageId>,
    /// Number of pages in use, the metas included.
    pub(crate) high_water: u64,
    pub(crate) txid: TxId,
}

impl Meta {
    /// Reads meta page `id` (0 or 1) from bytes that begin at `place`.
    ///
    /// A checksum of zero is not accepted: bbolt stopped to in 1.4, and no influxd 2.x wrote one.
    pub(crate) fn parse(bytes: &[u8], id: u64, place: Place) -> Result<Self> {
        let damaged = |what| Error::corrupt(what, place);
        let body = bytes
            .get(HEADER_LEN..META_PAGE_USED)
            .ok_or_else(|| damaged("the file ends inside a meta page"))?;
        let header = Header::parse(bytes).ok_or_else(|| damaged("the file ends inside a meta page"))?;
        let at = |field| place.forward(HEADER_LEN + field);
        let word =
            |field| u64_at(body, field).ok_or_else(|| Error::corrupt("a meta field is missing", at(field)));
        let half =
            |field| u32_at(body, field).ok_or_else(|| Error::corrupt("a meta field is missing", at(field)));
        if half(MAGIC)? != MAGIC_VALUE {
            return Err(Error::corrupt("not a Bolt meta page: wrong magic", at(MAGIC)));
        }
        if half(VERSION)? != VERSION_VALUE {
            return Err(Error::version(half(VERSION)?, at(VERSION)));
        }
        if word(CHECKSUM)? != fnv1a(body.get(..CHECKSUM).unwrap_or_default()) {
            return Err(Error::corrupt("wrong checksum of a meta page", at(CHECKSUM)));
        }
        if header != (Header { id, kind: Some(Kind::Meta), count: 0, overflow: 0 }) {
            return Err(damaged("wrong header of a meta page"));
        }
        let meta = Self {
            page_size: half(PAGE_SIZE)?,
            root: PageId::new(word(ROOT)?),
            sequence: word(SEQUENCE)?,
            freelist: Some(word(FREELIST)?).filter(|&id| id != NO_FREELIST).map(PageId::new),
            high_water: word(HIGH_WATER)?,
            txid: TxId::new(word(TXID)?),
        };
        if !is_page_size(meta.page_size) {
            return Err(Error::corrupt(
                "page size is not a power of two from 1 KiB to 64 KiB",
                at(PAGE_SIZE),
            ));
        }
        if !meta.holds(meta.root) {
            return Err(Error::corrupt("root page lies outside the pages in use", at(ROOT)));
        }
        if meta.freelist.is_some_and(|id| !meta.holds(id)) {
            return Err(Error::corrupt("freelist page lies outside the pages in use", at(FREELIST)));
        }
        Ok(meta)
    }

    /// Whether a page that holds data may have this number.
    pub(crate) fn holds(&self, id: PageId) -> bool {
        (META_PAGES..self.high_water).contains(&id.get())
    }

    /// The checksum that the page of this meta carries: another one for each commit.
    pub(crate) fn checksum(&self) -> u64 {
        u64_at(&self.page(0), HEADER_LEN + CHECKSUM).unwrap_or_default()
    }

    /// The whole of meta page `id` with this content.
    pub(crate) fn page(&self, id: u64) -> Vec<u8> {
        let mut page = Vec::with_capacity(widen(self.page_size));
        Header::write(&mut page, Kind::Meta, id, 0, 0);
        for half in [MAGIC_VALUE, VERSION_VALUE, self.page_size, 0] {
            page.extend_from_slice(&half.to_le_bytes());
        }
        let freelist = self.freelist.map_or(NO_FREELIST, PageId::get);
        for word in [self.root.get(), self.sequence, freelist, self.high_water, self.txid.get()] {
            page.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = fnv1a(page.get(HEADER_LEN..).unwrap_or_default());
        page.extend_from_slice(&checksum.to_le_bytes());
        page.resize(widen(self.page_size), 0);
        page
    }
}

pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_on(0xcbf2_9ce4_8422_2325, bytes)
}

/// The hash of what `hash` was made of, and `bytes` behind it.
pub(crate) fn fnv1a_on(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const PLACE: Place = Place::new(PageId::new(1), 4096);

    fn meta() -> Meta {
        Meta {
            page_size: 4096,
            root: PageId::new(3),
            sequence: 9,
            freelist: Some(PageId::new(2)),
            high_water: 4,
            txid: TxId::new(77),
        }
    }

    #[test]
    fn a_meta_comes_back_as_it_was_written() {
        for meta in [meta(), Meta { freelist: None, ..meta() }] {
            let page = meta.page(1);
            assert_eq!(page.len(), 4096);
            assert_eq!(Meta::parse(&page, 1, PLACE).unwrap(), meta);
        }
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_flipped_bit_of_a_meta_is_seen() {
        let page = meta().page(1);
        for bit in 0..META_PAGE_USED * 8 {
            let mut damaged = page.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::parse(&damaged, 1, PLACE).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_meta_that_points_outside_the_file_is_damage_and_another_version_is_named() {
        for lie in [
            Meta { root: PageId::new(1), ..meta() },
            Meta { root: PageId::new(4), ..meta() },
            Meta { freelist: Some(PageId::new(4)), ..meta() },
            Meta { high_water: 0, ..meta() },
            Meta { page_size: 0, ..meta() },
            Meta { page_size: 4095, ..meta() },
        ] {
            let page = lie.page(1);
            let error = Meta::parse(&page, 1, PLACE).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{error}");
        }
        let mut page = meta().page(1);
        page[HEADER_LEN + VERSION] = 3;
        assert_eq!(Meta::parse(&page, 1, PLACE).unwrap_err().kind(), ErrorKind::Version(3));
    }
}
