//! `G-S.tsmsum`: the sums of the pages of a TSM file, whose root is the BLAKE3 of the file
//! (`docs/formats/icecore-tsmsum.md`).
//!
//! Invariant: there is one page for each 64 KiB begun; where there are several each has its chaining value, and where there
//! is one it has the hash of the file, since BLAKE3 ends the root of a tree in another way than its inner nodes.
//!
//! ```text
//! | header 13 | length of the TSM file 8 | page 32 | … | checksum 32 |                              integers big-endian
//! ```
//!
//! ```
//! use icecore_tsm::sums::Sums;
//!
//! let file = vec![7; 100_000];
//! let sums = Sums::of(&file);
//! assert_eq!(sums.root(), blake3::hash(&file));
//! assert!(sums.check_page(1, &file[65_536..]).is_ok());
//! assert!(sums.check_page(1, &[8; 34_464]).is_err());
//! # Ok::<(), icecore_tsm::Error>(())
//! ```

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::header::{self, CHECKSUM_LEN, HEADER_LEN};
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::units::Offset;

/// Bytes of a page, but for the last of a file.
pub const PAGE_LEN: usize = 1 << 16;
const _: () =
    assert!(PAGE_LEN.is_power_of_two() && PAGE_LEN > blake3::CHUNK_LEN, "a page is a subtree of BLAKE3");

const MAGIC: [u8; 4] = *b"iceS";
const SUM_LEN: usize = blake3::OUT_LEN;

/// The sums of the pages of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    len: u64,
    pages: Vec<ChainingValue>,
}

impl Sums {
    /// The sums of a file that is in memory.
    pub fn of(file: &[u8]) -> Self {
        let mut summing = Summing::default();
        summing.update(file);
        summing.finish()
    }

    /// The sums of the pages of a file of `len` bytes, each [made by itself](page_sum), in their order.
    ///
    /// # Errors
    /// `Unfit` when these are not as many as the file has pages.
    pub(crate) fn of_pages(len: u64, pages: Vec<ChainingValue>) -> Result<Self> {
        match pages.len() as u64 == len.div_ceil(PAGE_LEN as u64) {
            true => Ok(Self { len, pages }),
            false => Err(Error::unfit("sums of another number of pages than the file has")),
        }
    }

    /// Length of the file, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a length of something else")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// The BLAKE3 of the file: O(pages).
    pub fn root(&self) -> Digest {
        match &*self.pages {
            [] => blake3::hash(&[]),
            [hash] => Digest::from_bytes(*hash),
            pages => {
                let (left, right) = pages.split_at(left_len(pages.len()));
                merge_subtrees_root(&joined(left), &joined(right), Mode::Hash)
            }
        }
    }

    /// Compares the page `nth` of the file, counted from 0, with its sum.
    ///
    /// # Errors
    /// `Corrupt` with the place of the page when it differs, in its length too; the file is not named.
    pub fn check_page(&self, nth: usize, page: &[u8]) -> Result<()> {
        let start = (nth as u64).saturating_mul(PAGE_LEN as u64);
        let is_whole = page.len() as u64 == self.len.saturating_sub(start).min(PAGE_LEN as u64);
        let sum = (is_whole && !page.is_empty()).then(|| page_sum(self.len, start, page));
        match sum.is_some() && sum.as_ref() == self.pages.get(nth) {
            true => Ok(()),
            false => Err(Error::corrupt("a page is not what its sum says", Offset::new(start))),
        }
    }

    /// Reads a whole file of sums.
    ///
    /// # Errors
    /// `Corrupt`, `Version` or `Feature` with the place; the file is not named.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut content, may) = header::open(bytes, MAGIC, "no sums of a TSM file")?;
        let len = content.u64("the length of the TSM file is cut off")?;
        let sums_len =
            usize::try_from(len.div_ceil(PAGE_LEN as u64)).ok().and_then(|count| count.checked_mul(SUM_LEN));
        let what = "sums are cut off";
        let sums = content.take(sums_len.ok_or_else(|| content.corrupt(what))?, what)?;
        if may == 0 && !content.is_empty() {
            return Err(content.corrupt("more sums than pages"));
        }
        Ok(Self { len, pages: sums.as_chunks().0.to_vec() })
    }

    /// The whole file of sums; the same for the same sums.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEADER_LEN + size_of::<u64>() + self.pages.len() * SUM_LEN + CHECKSUM_LEN);
        header::begin(MAGIC, &mut out);
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend(self.pages.iter().flatten());
        header::end(&mut out);
        out
    }

    /// How long the sums of a file are that has `len` bytes: others cannot be its own.
    pub(crate) fn bytes_len(len: u64) -> u64 {
        let fixed = (HEADER_LEN + size_of::<u64>() + CHECKSUM_LEN) as u64;
        len.div_ceil(PAGE_LEN as u64).saturating_mul(SUM_LEN as u64).saturating_add(fixed)
    }
}

/// The sum of a page: `bytes` of a file of `len` bytes from `start` on, which is where a page begins.
pub(crate) fn page_sum(len: u64, start: u64, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    match len <= PAGE_LEN as u64 {
        true => *hasher.update(bytes).finalize().as_bytes(),
        false => hasher.set_input_offset(start).update(bytes).finalize_non_root(),
    }
}

/// How many of several subtrees, each but the last full, lie to the left of their root.
fn left_len(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two()
}

/// The chaining value over pages, at least one.
fn joined(pages: &[ChainingValue]) -> ChainingValue {
    match pages {
        [] => ChainingValue::default(), // nobody asks: both sides of a split have a page
        [page] => *page,
        _ => {
            let (left, right) = pages.split_at(left_len(pages.len()));
            merge_subtrees_non_root(&joined(left), &joined(right), Mode::Hash)
        }
    }
}

/// The sums of a file that comes in pieces of any size.
///
/// Invariant: `pages` has the pages before the current one, of which the hasher has `in_page` bytes, never none unless the
/// file is empty so far. So the last page is known as such when the file ends.
#[derive(Clone, Debug, Default)]
pub struct Summing {
    pages: Vec<ChainingValue>,
    hasher: blake3::Hasher,
    in_page: usize,
}

impl Summing {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.in_page == PAGE_LEN {
                self.end_page();
            }
            let (piece, rest) = bytes.split_at_checked(PAGE_LEN - self.in_page).unwrap_or((bytes, &[]));
            self.hasher.update(piece);
            self.in_page += piece.len();
            bytes = rest;
        }
    }

    fn end_page(&mut self) {
        self.pages.push(self.hasher.finalize_non_root());
        self.hasher = blake3::Hasher::new(); // `reset` keeps the offset of the page before, and miscounts
        self.hasher.set_input_offset(self.pages.len() as u64 * PAGE_LEN as u64);
        self.in_page = 0;
    }

    /// The sums, when all bytes were given.
    pub fn finish(mut self) -> Sums {
        let len = self.pages.len() as u64 * PAGE_LEN as u64 + self.in_page as u64;
        match (self.pages.is_empty(), self.in_page) {
            (true, 0) => {}
            (true, _) => self.pages.push(*self.hasher.finalize().as_bytes()),
            (false, _) => self.pages.push(self.hasher.finalize_non_root()),
        }
        Sums { len, pages: self.pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in which no page is like another.
    fn file(len: usize) -> Vec<u8> {
        (0..len.div_ceil(8) as u64)
            .flat_map(|nth| (nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes())
            .take(len)
            .collect()
    }

    fn lengths() -> impl Iterator<Item = usize> {
        let around = |middle: usize| [middle - 1, middle, middle + 1];
        let pages = (1..=9).chain([15, 16, 17, 31, 33]).flat_map(move |pages| around(pages * PAGE_LEN));
        [0].into_iter().chain(around(1)).chain(around(1024)).chain(pages).chain([PAGE_LEN * 5 + 12_345])
    }

    #[test]
    fn the_root_is_the_hash_of_the_file_however_long_it_is() {
        for len in lengths() {
            let file = file(len);
            let sums = Sums::of(&file);
            assert_eq!(sums.root(), blake3::hash(&file), "{len} bytes");
            assert_eq!((sums.len(), sums.page_count()), (len as u64, len.div_ceil(PAGE_LEN)));
            assert_eq!(Sums::parse(&sums.to_bytes()).unwrap(), sums);
            assert_eq!(sums.to_bytes().len() as u64, Sums::bytes_len(len as u64));
        }
    }

    #[test]
    fn pieces_of_any_size_have_the_sums_of_the_whole() {
        for len in lengths() {
            let file = file(len);
            for piece in [1021, PAGE_LEN - 1, PAGE_LEN, PAGE_LEN + 1, 3 * PAGE_LEN] {
                let mut summing = Summing::default();
                file.chunks(piece).for_each(|piece| summing.update(piece));
                summing.update(&[]);
                assert_eq!(summing.finish(), Sums::of(&file), "{len} bytes by {piece}");
            }
        }
    }

    #[test]
    fn a_page_is_told_from_every_other() {
        for len in [1, PAGE_LEN, PAGE_LEN + 1, 3 * PAGE_LEN - 5] {
            let file = file(len);
            let sums = Sums::of(&file);
            for (nth, page) in file.chunks(PAGE_LEN).enumerate() {
                sums.check_page(nth, page).unwrap();
                let mut damaged = page.to_vec();
                for at in [0, page.len() / 2, page.len() - 1] {
                    damaged[at] ^= 0x10;
                    let error = sums.check_page(nth, &damaged).unwrap_err();
                    let place =
                        format!("damaged: a page is not what its sum says at byte {}", nth * PAGE_LEN);
                    assert_eq!(error.to_string(), place);
                    damaged[at] ^= 0x10;
                }
                assert!(sums.check_page(nth, &page[1..]).is_err(), "cut");
                assert!(
                    sums.check_page(nth + 1, page).is_err() && sums.check_page(usize::MAX, page).is_err()
                );
            }
        }
        assert!(Sums::of(&[]).check_page(0, &[]).is_err(), "an empty file has no page");
    }

    #[test]
    fn what_contradicts_itself_is_refused_under_a_right_checksum() {
        let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Sums::of(&file(100_000)).to_bytes();
            bytes.truncate(bytes.len() - CHECKSUM_LEN);
            change(&mut bytes);
            header::end(&mut bytes);
            Sums::parse(&bytes).map_err(|error| error.to_string())
        };
        assert!(refusal(&|_| ()).is_ok());
        assert_eq!(refusal(&|bytes| bytes[13] = 0xff).unwrap_err(), "damaged: sums are cut off at byte 21");
        assert_eq!(refusal(&|bytes| bytes[18] = 0).unwrap_err(), "damaged: more sums than pages at byte 53");
        assert_eq!(refusal(&|bytes| bytes.truncate(84)).unwrap_err(), "damaged: sums are cut off at byte 21");
        let added = refusal(&|bytes| {
            bytes[12] = 1;
            bytes.extend_from_slice(b"a later version");
        });
        assert_eq!(added.unwrap(), Sums::of(&file(100_000)));
    }
}
