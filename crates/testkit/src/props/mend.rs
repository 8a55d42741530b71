//! Makes TSM files of bytes that are nearly one.
//!
//! What guards a file from damage keeps a fuzzer from what lies behind: nearly every change is refused for a checksum or for
//! an entry that no longer fits its block. So these are derived anew from the rest of the bytes: header and footer; lengths
//! and counts in the index, as far as there are bytes for them; the places of the blocks, one behind the other in the order
//! of the index; their checksums; and type and times in the index, as the blocks have them.

use icecore_tsm::{Offset, block};

const HEADER: [u8; 5] = [0x16, 0xd1, 0x16, 0xd1, 1];
const CRC_LEN: usize = 4;
const TYPE_AND_COUNT_LEN: usize = 3;
const ENTRY_LEN: usize = 28;
const ENTRY_PLACE: usize = 16;

type Entry = [u8; ENTRY_LEN];

/// Becomes the mended file. False when the bytes are too few for one, or when there was nothing to mend.
pub(super) fn file(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    mended(bytes, out).is_some() && out != bytes
}

fn mended(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (body, footer) = bytes.split_last_chunk()?;
    let room = body.len().checked_sub(HEADER.len()).filter(|room| *room > 0)?;
    let start = match usize::try_from(u64::from_be_bytes(*footer)) {
        Ok(start) if (HEADER.len()..body.len()).contains(&start) => start,
        _ => HEADER.len() + usize::from(u16::from_be_bytes([footer[6], footer[7]])) % room,
    };
    out.extend_from_slice(&HEADER);
    out.extend_from_slice(body.get(HEADER.len()..start)?);
    let mut blocks = Blocks { next: HEADER.len(), end: start };
    let mut index = body.get(start..)?;
    while let Some(key) = Key::split_off(&mut index) {
        if blocks.put_key(&key, out).is_none() {
            break;
        }
    }
    out.extend_from_slice(&(start as u64).to_be_bytes());
    Some(())
}

/// A key with its entries, before it is mended.
struct Key<'a> {
    key: &'a [u8],
    entries: &'a [Entry],
}

impl<'a> Key<'a> {
    /// Takes a key off the front; `None` where nothing is left that could be one.
    fn split_off(index: &mut &'a [u8]) -> Option<Self> {
        let (len, rest) = index.split_first_chunk()?;
        let longest = rest.len().checked_sub(TYPE_AND_COUNT_LEN + ENTRY_LEN)?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)).min(longest))?;
        let ([_, count @ ..], rest) = rest.split_first_chunk::<TYPE_AND_COUNT_LEN>()?;
        let count = usize::from(u16::from_be_bytes(*count)).clamp(1, rest.len() / ENTRY_LEN);
        let (entries, rest) = rest.split_at_checked(count * ENTRY_LEN)?;
        *index = rest;
        Some(Self { key, entries: entries.as_chunks().0 })
    }
}

/// Where the next block begins, and where the last must end.
struct Blocks {
    next: usize,
    end: usize,
}

impl Blocks {
    /// Appends a key and those of its entries for which there are blocks; `None` and nothing where there is no block.
    fn put_key(&mut self, key: &Key<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mended: Vec<_> = key.entries.iter().map_while(|entry| self.entry(*entry, out)).collect();
        let (kind, _) = mended.first()?;
        out.extend_from_slice(&u16::try_from(key.key.len()).ok()?.to_be_bytes());
        out.extend_from_slice(key.key);
        out.push(kind.unwrap_or(0));
        out.extend_from_slice(&u16::try_from(mended.len()).ok()?.to_be_bytes());
        mended.iter().for_each(|(_, entry)| out.extend_from_slice(entry));
        Some(())
    }

    /// Gives an entry the next block, with the type that it has if its times can be read.
    fn entry(&mut self, mut entry: Entry, file: &mut [u8]) -> Option<(Option<u8>, Entry)> {
        let size =
            entry.last_chunk().map(|size| u32::from_be_bytes(*size) as usize)?.min(self.end - self.next);
        let place = self.next;
        let block = file.get_mut(place..place + size)?;
        let (checksum, body) = block.split_at_mut_checked(CRC_LEN).filter(|(_, body)| !body.is_empty())?;
        checksum.copy_from_slice(&crc32fast::hash(body).to_be_bytes());
        self.next += size;
        let bounds = block::bounds(body, Offset::START).ok();
        let (times, behind) = entry.split_at_mut_checked(ENTRY_PLACE)?;
        if let Some(bounds) = bounds {
            times.copy_from_slice([bounds.first.to_be_bytes(), bounds.last.to_be_bytes()].as_flattened());
        }
        let (offset, stated) = behind.split_at_mut_checked(size_of::<u64>())?;
        offset.copy_from_slice(&(place as u64).to_be_bytes());
        stated.copy_from_slice(&u32::try_from(size).ok()?.to_be_bytes());
        Some((bounds.map(|bounds| bounds.kind.code()), entry))
    }
}
