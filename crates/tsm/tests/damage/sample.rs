//! A TSM file of 16 KiB with every type and every encoding, and its parts, to be put together in wrong ways.

use icecore_testkit::tsm::noise;
use icecore_tsm::block::{self, Flavor, TimesEncoding, ValuesEncoding};
use icecore_tsm::{Bits, BlockType, Column, Offset, Strings, Values};

pub(crate) const FILE_LEN: usize = 16 << 10;

const HEADER: [u8; 5] = [0x16, 0xd1, 0x16, 0xd1, 1];
const START_NS: i64 = 1_704_067_200_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// A key with its blocks.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: BlockType,
    pub(crate) blocks: Vec<Block>,
}

/// A block, its checksum, and what it holds when it is not damaged.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: u32,
    pub(crate) column: Column,
}

impl Block {
    fn new(times: Vec<i64>, values: Values) -> Self {
        let column = Column { times, values };
        let mut bytes = Vec::new();
        block::encode(&column, 0..column.len(), Flavor::Batch, &mut bytes).expect("a block");
        Self { crc: crc32fast::hash(&bytes), bytes, column }
    }
}

/// The keys of the sample.
pub(crate) fn keys() -> Vec<Key> {
    let mut keys = every_encoding();
    let missing = FILE_LEN - file(&keys).0.len();
    // Noise has no matches, so that snappy keeps its length and a few bytes; those are found by trying.
    let fits = (0..missing).rev().find_map(|len| {
        let text: Vec<u8> = noise(9).flat_map(u64::to_le_bytes).take(len).collect();
        let mut keys = keys.clone();
        keys.push(key("z#!~#s", [(run(1), Values::String([text].iter().collect()))]));
        (file(&keys).0.len() == FILE_LEN).then_some(keys)
    });
    keys = fits.expect("a string of some length fills the file");
    let shapes = keys.iter().flat_map(|key| &key.blocks);
    let shapes: Vec<_> =
        shapes.map(|block| block::describe(&block.bytes, Offset::START).expect("sound")).collect();
    for times in [TimesEncoding::Raw, TimesEncoding::Packed, TimesEncoding::Run] {
        assert!(shapes.iter().any(|shape| shape.times == times), "times {times:?}");
    }
    for kind in [BlockType::Integer, BlockType::Unsigned] {
        for values in [ValuesEncoding::Raw, ValuesEncoding::Packed, ValuesEncoding::Run] {
            assert!(
                shapes.iter().any(|shape| (shape.kind, shape.values) == (kind, values)),
                "{kind:?} {values:?}"
            );
        }
    }
    keys
}

fn key<const N: usize>(key: &str, blocks: [(Vec<i64>, Values); N]) -> Key {
    let blocks = blocks.map(|(times, values)| Block::new(times, values)).to_vec();
    let kind = blocks[0].column.kind();
    Key { key: key.as_bytes().to_vec(), kind, blocks }
}

fn run(count: usize) -> Vec<i64> {
    (START_NS..).step_by(10_000_000_000).take(count).collect()
}

/// About a second apart, `from` seconds after the start.
fn packed(from: i64, count: usize) -> Vec<i64> {
    let jitter = noise(5).map(|bits| i64::from(bits as u16 % 500) * 1_000_000);
    (from..).zip(jitter).map(|(at, jitter)| START_NS + at * SECOND_NS + jitter).take(count).collect()
}

/// Decades apart.
fn raw(count: usize) -> Vec<i64> {
    (-3..).map(|at: i64| at * 1_200_000_000_000_000_000 + at * at).take(count).collect()
}

fn every_encoding() -> Vec<Key> {
    let bools = |count| Values::Boolean(noise(1).map(|bits| bits & 1 == 1).take(count).collect::<Bits>());
    let random = |count| Values::Float(noise(2).map(|bits| (bits >> 11) as f64 / 1e6).take(count).collect());
    let walk = |count| Values::Float((0..count).map(|at| 20.0 + (at / 3) as f64 / 4.0).collect());
    let small = |count| noise(3).map(|bits| bits % 1000).take(count).collect::<Vec<_>>();
    let signed = |values: Vec<u64>| Values::Integer(values.into_iter().map(u64::cast_signed).collect());
    let texts = |count| noise(4).map(|bits| format!("layer {}", bits % 30)).take(count).collect::<Strings>();
    let blobs = |count| {
        let blob = |bits: u64| bits.to_le_bytes().into_iter().cycle().take((bits % 150) as usize).collect();
        noise(6).map(blob).take(count).collect::<Vec<Vec<u8>>>().iter().collect::<Strings>()
    };
    let even = |count| (0..count).map(|at: u64| 7 + 3 * at).collect::<Vec<_>>();
    let wild = |count| noise(7).take(count).collect::<Vec<_>>();
    vec![
        key("m,h=a#!~#b", [(run(100), bools(100)), (packed(2000, 61), bools(61))]),
        key(
            "m,h=a#!~#f",
            [(packed(0, 120), random(120)), (packed(200, 80), walk(80)), (packed(300, 1), walk(1))],
        ),
        key("m,h=a#!~#i", [(run(100), signed(even(100))), (packed(2000, 100), signed(small(100)))]),
        key("m,h=a#!~#iraw", [(raw(6), signed(wild(6)))]),
        key(
            "m,h=a#!~#s",
            [(run(90), Values::String(texts(90))), (packed(2000, 40), Values::String(blobs(40)))],
        ),
        key(
            "m,h=a#!~#u",
            [(run(100), Values::Unsigned(even(100))), (packed(2000, 100), Values::Unsigned(small(100)))],
        ),
        key("m,h=a#!~#uraw", [(run(40), Values::Unsigned(wild(40)))]),
        key("m,h=b#!~#f", [(raw(7), walk(7))]),
        key(r"n\ x,h=b\,c#!~#ones", [(packed(0, 150), signed((0..150).collect()))]),
    ]
}

/// What a byte of a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Header,
    Checksum,
    Block,
    KeyLength,
    Key,
    Type,
    Count,
    MinTime,
    MaxTime,
    Offset,
    Size,
    Footer,
}

/// A run of bytes with one purpose.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) part: Part,
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// A file, and what its bytes are for.
struct Layout {
    file: Vec<u8>,
    fields: Vec<Field>,
}

impl Layout {
    fn put(&mut self, part: Part, bytes: &[u8]) {
        self.fields.push(Field { part, at: self.file.len(), len: bytes.len() });
        self.file.extend_from_slice(bytes);
    }
}

/// The file of these keys, and its fields in order.
pub(crate) fn file(keys: &[Key]) -> (Vec<u8>, Vec<Field>) {
    let mut out = Layout { file: Vec::new(), fields: Vec::new() };
    out.put(Part::Header, &HEADER);
    let mut offsets = Vec::new();
    for block in keys.iter().flat_map(|key| &key.blocks) {
        offsets.push(out.file.len() as u64);
        out.put(Part::Checksum, &block.crc.to_be_bytes());
        out.put(Part::Block, &block.bytes);
    }
    let start = out.file.len() as u64;
    let mut offsets = offsets.iter();
    for Key { key, kind, blocks } in keys {
        out.put(Part::KeyLength, &u16::try_from(key.len()).expect("a short key").to_be_bytes());
        out.put(Part::Key, key);
        out.put(Part::Type, &[kind.code()]);
        out.put(Part::Count, &u16::try_from(blocks.len()).expect("few blocks").to_be_bytes());
        for block in blocks {
            let times = &block.column.times;
            out.put(Part::MinTime, &times[0].to_be_bytes());
            out.put(Part::MaxTime, &times[times.len() - 1].to_be_bytes());
            out.put(Part::Offset, &offsets.next().expect("one for each block").to_be_bytes());
            let size = u32::try_from(block.bytes.len() + 4).expect("a short block");
            out.put(Part::Size, &size.to_be_bytes());
        }
    }
    out.put(Part::Footer, &start.to_be_bytes());
    (out.file, out.fields)
}
