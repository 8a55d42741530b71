//! The freelist page: which pages below the high-water mark hold nothing.
//!
//! Invariant: the ids ascend strictly and lie in 2..high-water mark.
//!
//! ```text
//! | header 16, count = n | id u64 * n |                      n < 65535
//! | header 16, count = 65535 | n u64 | id u64 * n |          otherwise (65535 itself too)
//! ```

use super::page::{HEADER_LEN, Header, Kind};
use super::u64_at;
use crate::error::{Error, Result};
use crate::units::Place;

const ID_LEN: usize = size_of::<u64>();
/// A count that says: the number stands in the first word instead.
const COUNT_ELSEWHERE: u16 = u16::MAX;

/// The ids of a freelist page, where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freelist<'a> {
    ids: &'a [u8],
    /// Bytes of the page before the first id.
    start: usize,
}

impl<'a> Freelist<'a> {
    /// Reads the list from the bytes of its page or pages, whose header is `header`.
    pub(crate) fn parse(bytes: &'a [u8], header: Header, place: Place) -> Result<Self> {
        let too_long = || Error::corrupt("the freelist is longer than its page", place);
        let (start, count) = if header.count == COUNT_ELSEWHERE {
            let count = u64_at(bytes, HEADER_LEN).ok_or_else(too_long)?;
            (HEADER_LEN + ID_LEN, usize::try_from(count).map_err(|_| too_long())?)
        } else {
            (HEADER_LEN, usize::from(header.count))
        };
        let end = count.checked_mul(ID_LEN).and_then(|len| len.checked_add(start)).ok_or_else(too_long)?;
        Ok(Self { ids: bytes.get(start..end).ok_or_else(too_long)?, start })
    }

    /// Each id with its place in the page.
    pub(crate) fn ids(self) -> impl Iterator<Item = (u64, usize)> + 'a {
        let ids = self.ids.chunks_exact(ID_LEN).filter_map(|id| u64_at(id, 0));
        ids.enumerate().map(move |(index, id)| (id, self.start + index * ID_LEN))
    }

    /// Bytes of the page that mean something.
    pub(crate) fn used(self) -> usize {
        self.start + self.ids.len()
    }
}

/// How many pages a list of `count` ids takes.
pub(crate) fn pages_for(count: usize, page_size: usize) -> usize {
    let words = count + usize::from(count >= usize::from(COUNT_ELSEWHERE));
    (HEADER_LEN + words * ID_LEN).div_ceil(page_size)
}

/// The list of `count` ids, ascending, on `pages` pages from `id` on: at least as many as [`pages_for`] says.
///
/// # Errors
/// `Unfit` for more pages than a header can say.
pub(crate) fn write(
    id: u64,
    pages: usize,
    page_size: usize,
    count: usize,
    ids: impl Iterator<Item = u64>,
) -> Result<Vec<u8>> {
    let too_many = || Error::unfit("more free pages than the format can say");
    let overflow = pages.checked_sub(1).and_then(|more| u32::try_from(more).ok()).ok_or_else(too_many)?;
    let mut list = Vec::with_capacity(pages * page_size);
    let short = u16::try_from(count).ok().filter(|&count| count != COUNT_ELSEWHERE);
    Header::write(&mut list, Kind::Freelist, id, short.unwrap_or(COUNT_ELSEWHERE), overflow);
    if short.is_none() {
        list.extend_from_slice(&(count as u64).to_le_bytes());
    }
    ids.for_each(|id| list.extend_from_slice(&id.to_le_bytes()));
    list.resize(pages * page_size, 0);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageId;

    const PLACE: Place = Place::new(PageId::new(2), 8192);

    fn page(count: u16, words: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut page = Vec::new();
        Header::write(&mut page, Kind::Freelist, 2, count, 0);
        page.extend(words.into_iter().flat_map(u64::to_le_bytes));
        page
    }

    fn ids(page: &[u8]) -> Result<Vec<u64>> {
        let list = Freelist::parse(page, Header::parse(page).unwrap(), PLACE)?;
        Ok(list.ids().map(|(id, _)| id).collect())
    }

    #[test]
    fn both_layouts_give_the_ids() {
        assert_eq!(ids(&page(3, [4, 5, 9, 77])).unwrap(), [4, 5, 9]);
        assert_eq!(ids(&page(0, [])).unwrap(), []);
        assert_eq!(ids(&page(65534, 0..65534)).unwrap().len(), 65534);
        assert_eq!(ids(&page(65535, [2, 8, 9, 10])).unwrap(), [8, 9]);
        let many = std::iter::once(70_000).chain(100..70_100);
        assert_eq!(ids(&page(65535, many)).unwrap(), (100..70_100).collect::<Vec<_>>());
    }

    #[test]
    fn a_list_comes_back_as_it_was_written_in_as_many_pages_as_it_takes() {
        for count in [0, 1, 126, 127, 65_533, 65_534, 65_535, 65_536, 70_000] {
            let pages = pages_for(count, 1024);
            let words = if count < 65_535 { count } else { count + 1 };
            assert!(pages * 1024 >= 16 + words * 8 && (pages - 1) * 1024 < 16 + words * 8);
            let wanted = (9..).take(count).collect::<Vec<u64>>();
            let page = write(2, pages, 1024, count, wanted.iter().copied()).unwrap();
            assert_eq!((page.len(), ids(&page).unwrap()), (pages * 1024, wanted));
        }
    }

    #[test]
    fn a_count_beyond_the_page_is_damage() {
        for page in
            [page(2, [4]), page(65534, [4]), page(65535, []), page(65535, [2, 8]), page(65535, [u64::MAX])]
        {
            assert!(ids(&page).unwrap_err().is_damage());
        }
    }
}
