use std::cell::RefCell;

use icecore_tsm::{BlockType, Strings, Values};

use super::model::{put_uvarint, uvarint};
use super::values_agree;

thread_local! {
    static MODEL: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Any bytes are the strings of a block, or damaged.
///
/// Tried twice: as they are; and taken for lengths and strings before they are compressed, so that changed lengths reach
/// the decoder. With as many times as there are strings they are decoded to what a second reader finds; with other times
/// the block is damaged.
pub fn block_strings(bytes: &[u8]) {
    MODEL.with_borrow_mut(|(packed, plain)| {
        values_agree(bytes, read(bytes, plain).as_ref(), BlockType::String);
        packed.clear();
        packed.push(0x10);
        put_literal(bytes, packed);
        values_agree(packed, read(packed, plain).as_ref(), BlockType::String);
    });
}

/// Appends a snappy block of `plain` without any match.
pub(in crate::props) fn put_literal(plain: &[u8], out: &mut Vec<u8>) {
    put_uvarint(plain.len() as u64, out);
    for part in plain.chunks(1 << 16) {
        let len = u16::try_from(part.len() - 1).expect("a part of at most 64 KiB");
        out.push(61 << 2);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part);
    }
}

fn read(bytes: &[u8], plain: &mut Vec<u8>) -> Option<Values> {
    let packed = bytes.strip_prefix(&[0x10])?;
    let len = snap::raw::decompress_len(packed).ok()?;
    // No element of snappy gives more than 64 bytes for three.
    plain.clear();
    plain.resize(Some(len).filter(|len| *len <= packed.len() * 22)?, 0);
    snap::raw::Decoder::new().decompress(packed, plain).ok()?;
    let mut rest = plain.as_slice();
    let mut strings = Strings::default();
    while !rest.is_empty() {
        let len = usize::try_from(uvarint(&mut rest)?).ok()?;
        let (string, behind) = rest.split_at_checked(len)?;
        strings.push(string);
        rest = behind;
    }
    Some(Values::String(strings))
}
