//! Every length and count inside the blocks of the sample, replaced.

use icecore_tsm::{BlockType, block};

use crate::sample::Key;

/// What a length may be replaced with: the ends of its type and of narrower ones, and the limit of this reader.
const LIES: [u64; 8] = [
    0,
    1,
    block::MAX_POINTS as u64 - 1,
    block::MAX_POINTS as u64,
    u32::MAX as u64 - 1,
    u32::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// A lying block: which it stands for, which of its lengths lies, and its bytes.
pub(crate) struct Lie {
    pub(crate) key: usize,
    pub(crate) block: usize,
    pub(crate) what: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// All lies about all blocks.
pub(crate) fn lies(keys: &[Key]) -> Vec<Lie> {
    let mut lies = Vec::new();
    for (key, Key { kind, blocks, .. }) in keys.iter().enumerate() {
        for (block, held) in blocks.iter().enumerate() {
            let found = block_lies(*kind, &held.bytes).into_iter().filter(|(_, bytes)| *bytes != held.bytes);
            lies.extend(found.map(|(what, bytes)| Lie { key, block, what, bytes }));
        }
    }
    lies
}

fn block_lies(kind: BlockType, block: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    let mut lie = |what, at: usize| {
        let len = uvarint(&block[at..]).1;
        for lie in LIES {
            found.push((what, [&block[..at], &put_uvarint(lie), &block[at + len..]].concat()));
        }
    };
    lie("length of the times", 1);
    let (times_len, prefix) = uvarint(&block[1..]);
    let times = 1 + prefix;
    let values = times + usize::try_from(times_len).expect("a short block");
    // A run: header, first, step, count. The length in front of longer times is not mended: it is another lie.
    if block[times] >> 4 == 2 {
        let step = times + 9;
        lie("length of a run of times", step + uvarint(&block[step..]).1);
    }
    match kind {
        BlockType::Integer | BlockType::Unsigned if block[values] >> 4 == 2 => {
            let step = values + 9;
            lie("length of a run of integers", step + uvarint(&block[step..]).1);
        }
        BlockType::Boolean => lie("number of booleans", values + 1),
        BlockType::String => {
            lie("length of the snappy block", values + 1);
            found.extend(string_lies(block, values + 1));
        }
        _ => {}
    }
    found.extend(run_lies(block, times, values));
    found
}

/// Counts of a run of times, with the length of the times right.
fn run_lies(block: &[u8], times: usize, values: usize) -> Vec<(&'static str, Vec<u8>)> {
    if block[times] >> 4 != 2 {
        return Vec::new();
    }
    let count = times + 9 + uvarint(&block[times + 9..]).1;
    LIES.map(|lie| {
        let run = [&block[times..count], &put_uvarint(lie)].concat();
        let bytes = [&block[..1], &put_uvarint(run.len() as u64), &run, &block[values..]].concat();
        ("length of a run of times", bytes)
    })
    .to_vec()
}

/// The length of every string, compressed again.
fn string_lies(block: &[u8], packed: usize) -> Vec<(&'static str, Vec<u8>)> {
    let plain = snap::raw::Decoder::new().decompress_vec(&block[packed..]).expect("our own");
    let mut found = Vec::new();
    let mut at = 0;
    while at < plain.len() {
        let (len, prefix) = uvarint(&plain[at..]);
        for lie in LIES {
            let lying = [&plain[..at], &put_uvarint(lie), &plain[at + prefix..]].concat();
            let lying = snap::raw::Encoder::new().compress_vec(&lying).expect("small");
            found.push(("length of a string", [&block[..packed], &lying].concat()));
        }
        at += prefix + usize::try_from(len).expect("a short string");
    }
    found
}

/// A number and how many bytes it takes.
fn uvarint(bytes: &[u8]) -> (u64, usize) {
    let len = bytes.iter().position(|byte| *byte < 0x80).expect("it ends") + 1;
    (bytes[..len].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)), len)
}

fn put_uvarint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
