use icecore_tsm::sums::{PAGE_LEN, Summing, Sums};

use super::own;

/// Any bytes are the sums of a file, which are written back as they were read, or damaged; and any bytes are a file, whose
/// sums have its hash for a root, in whatever pieces it comes.
///
/// As sums they are tried twice: as they are; and with a header and a checksum that are right.
pub fn sums(bytes: &[u8]) {
    reads(bytes);
    reads(&own::mended(*b"iceS", bytes));
    let mut file = bytes.to_vec();
    // Short inputs are stretched over a few pages, by what their first byte says.
    let len = bytes.first().map_or(0, |first| usize::from(*first) << 9) + bytes.len();
    file.resize(len, 7);
    let sums = Sums::of(&file);
    assert_eq!(sums.root(), blake3::hash(&file), "the root is the hash");
    let mut summing = Summing::default();
    let piece = bytes.get(1).map_or(700, |second| usize::from(*second) * 257 + 700);
    file.chunks(piece).for_each(|piece| summing.update(piece));
    assert_eq!(summing.finish(), sums);
    let pages = file.chunks(PAGE_LEN).enumerate();
    pages.for_each(|(nth, page)| sums.check_page(nth, page).expect("it is that page"));
}

fn reads(bytes: &[u8]) {
    let sums = match Sums::parse(bytes) {
        Ok(sums) => sums,
        Err(error) => return own::names_place(&error, bytes),
    };
    let written = sums.to_bytes();
    assert_eq!(sums.page_count() as u64, sums.len().div_ceil(PAGE_LEN as u64));
    assert_eq!(Sums::parse(&written).expect("what was written can be read"), sums);
    assert!(own::has_additions(bytes) || written == bytes, "one content has one form");
    let _ = sums.root(); // ends
}
