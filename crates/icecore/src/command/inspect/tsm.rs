//! `icecore inspect tsm`: reads a TSM file key by key and adds up what its blocks are.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use icecore_disk::ReadAt;
use icecore_tsm::block::{self, Shape, TimesEncoding, ValuesEncoding};
use icecore_tsm::scan::{Layout, Scan, ScannedEntry, ScannedKey};
use icecore_tsm::{BlockType, Error};
use serde::Serialize;

use super::{STDOUT, Written, open, stdout, tsm_text};
use crate::command::json::{Document, Key};
use crate::command::{Failure, doing};

/// Show what a TSM file holds and how it is compressed
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file G-S.tsm
    file: PathBuf,
    /// List the keys
    #[arg(long)]
    index: bool,
    /// List the blocks of each key
    #[arg(long)]
    blocks: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Faults of the index are told up to this number; `icecore verify` has them all.
const FAULTS_MAX: usize = 10;

/// Bytes of a block's checksum.
const CRC_LEN: u64 = 4;

/// What is known of a file after all of it was seen.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) layout: Layout,
    pub(super) keys: u64,
    pub(super) first_key: Vec<u8>,
    pub(super) last_key: Vec<u8>,
    /// From the first to the last time that the index claims.
    pub(super) times: Option<(i64, i64)>,
    pub(super) types: BTreeMap<BlockType, OfType>,
    pub(super) time_encodings: BTreeMap<TimesEncoding, u64>,
    pub(super) value_encodings: BTreeMap<(BlockType, ValuesEncoding), u64>,
    /// Blocks by the power of two that their size reaches.
    pub(super) sizes: BTreeMap<u32, u64>,
    /// Blocks with a wrong checksum, or not to be read for another reason.
    pub(super) bad_blocks: u64,
    /// What ended the reading of the index, or was found in front of it.
    pub(super) faults: Vec<String>,
}

/// All blocks of one type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfType {
    pub(super) keys: u64,
    pub(super) blocks: u64,
    pub(super) values: u64,
    /// Bytes of blocks with their checksums.
    pub(super) bytes: u64,
    /// Of these, bytes of times and of values.
    pub(super) time_bytes: u64,
    pub(super) value_bytes: u64,
}

/// A block, as far as it can be told without decoding it.
pub(super) struct SeenBlock<'a> {
    pub(super) entry: &'a ScannedEntry,
    /// As it stands in front of the block.
    pub(super) crc: u32,
    pub(super) crc_is_right: bool,
    pub(super) shape: Result<Shape, String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = open(&arguments.file)?;
    let header = Layout::check_header(&*file).err().map(|error| error.to_string());
    let layout = Layout::read(&*file).map_err(|error| named(arguments, &error))?;
    let mut summary = Summary::new(layout, header);
    let mut out = stdout();
    if arguments.json {
        json(arguments, &*file, &mut summary, &mut out)?;
    } else {
        text(arguments, &*file, &mut summary, &mut out)?;
    }
    out.flush().map_err(doing(STDOUT))?;
    let path = arguments.file.display();
    match (summary.faults.first(), summary.bad_blocks) {
        (Some(fault), _) => Err(Failure::Damaged(format!("{path}: {fault}"))),
        (None, 0) => Ok(()),
        (None, bad) => Err(Failure::Damaged(format!("{path}: {bad} damaged; see icecore verify"))),
    }
}

fn named(arguments: &Arguments, error: &Error) -> Failure {
    Failure::Damaged(format!("{}: {error}", arguments.file.display()))
}

/// Who wants to hear of keys and blocks as they are seen.
trait Listener {
    fn key(&mut self, key: &ScannedKey, bytes: &[u8]);
    fn block(&mut self, block: &SeenBlock<'_>);
    fn end_of_key(&mut self);
}

fn text(
    arguments: &Arguments,
    file: &dyn ReadAt,
    summary: &mut Summary,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut list = TextList { arguments, out, written: Written::new() };
    summary.read(file, &mut list);
    let TextList { mut written, out, .. } = list;
    written.then(|| tsm_text::summary(out, &arguments.file, summary));
    written.0.map_err(doing(STDOUT))
}

fn json(
    arguments: &Arguments,
    file: &dyn ReadAt,
    summary: &mut Summary,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut list = JsonList { arguments, document: Document::new(out, "index"), key: None };
    summary.read(file, &mut list);
    list.document.finish("summary", &SummaryJson::of(summary)).map_err(doing(STDOUT))
}

impl Summary {
    fn new(layout: Layout, header: Option<String>) -> Self {
        Self {
            layout,
            keys: 0,
            first_key: Vec::new(),
            last_key: Vec::new(),
            times: None,
            types: BTreeMap::new(),
            time_encodings: BTreeMap::new(),
            value_encodings: BTreeMap::new(),
            sizes: BTreeMap::new(),
            bad_blocks: 0,
            faults: header.into_iter().collect(),
        }
    }

    pub(super) fn total(&self) -> OfType {
        self.types.values().fold(OfType::default(), |all, one| OfType {
            keys: all.keys + one.keys,
            blocks: all.blocks + one.blocks,
            values: all.values + one.values,
            bytes: all.bytes + one.bytes,
            time_bytes: all.time_bytes + one.time_bytes,
            value_bytes: all.value_bytes + one.value_bytes,
        })
    }

    /// Walks the index and reads every block, as far as the index can be followed.
    fn read(&mut self, file: &dyn ReadAt, listener: &mut dyn Listener) {
        let mut scan = Scan::new(file, &self.layout);
        let mut block = Vec::new();
        let outcome = loop {
            match scan.next_key() {
                Ok(Some(key)) => {
                    self.begin_key(&key, scan.key());
                    listener.key(&key, scan.key());
                    if let Err(error) = self.read_key(file, &key, &mut scan, &mut block, listener) {
                        break Err(error);
                    }
                    listener.end_of_key();
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = outcome {
            self.fault(error.to_string());
        }
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    fn begin_key(&mut self, key: &ScannedKey, bytes: &[u8]) {
        self.keys += 1;
        if self.keys == 1 {
            self.first_key = bytes.to_vec();
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(bytes);
        match key.kind {
            Some(kind) => self.types.entry(kind).or_default().keys += 1,
            None => self.fault(format!("unknown block type in the index at byte {}", key.at)),
        }
    }

    fn read_key(
        &mut self,
        file: &dyn ReadAt,
        key: &ScannedKey,
        scan: &mut Scan<'_>,
        buffer: &mut Vec<u8>,
        listener: &mut dyn Listener,
    ) -> Result<(), Error> {
        while let Some(entry) = scan.next_entry()? {
            let seen = self.look(file, &entry, buffer);
            self.add(key, &seen);
            listener.block(&seen);
        }
        Ok(())
    }

    fn look<'a>(&self, file: &dyn ReadAt, entry: &'a ScannedEntry, buffer: &mut Vec<u8>) -> SeenBlock<'a> {
        let bad = |what: String| SeenBlock { entry, crc: 0, crc_is_right: false, shape: Err(what) };
        if !self.layout.holds(entry) {
            return bad("outside the file's blocks".to_owned());
        }
        buffer.resize(entry.size as usize, 0);
        if let Err(error) = file.read_exact_at(buffer, entry.offset.get()) {
            return bad(error.to_string());
        }
        let Some((stored, body)) = buffer.split_first_chunk() else { return bad("too short".to_owned()) };
        let crc = u32::from_be_bytes(*stored);
        let crc_is_right = crc == crc32fast::hash(body);
        let at = entry.offset.checked_add(CRC_LEN).unwrap_or(entry.offset);
        let shape = block::describe(body, at).map_err(|error| error.to_string());
        SeenBlock { entry, crc, crc_is_right, shape }
    }

    fn add(&mut self, key: &ScannedKey, seen: &SeenBlock<'_>) {
        let ScannedEntry { min, max, size, .. } = *seen.entry;
        self.times = match self.times {
            Some((first, last)) => Some((first.min(min), last.max(max))),
            None => Some((min, max)),
        };
        *self.sizes.entry(size.max(1).ilog2()).or_default() += 1;
        self.bad_blocks += u64::from(!seen.crc_is_right || seen.shape.is_err());
        let kind = seen.shape.as_ref().map(|shape| shape.kind).ok().or(key.kind);
        let Some(kind) = kind else { return };
        let of_type = self.types.entry(kind).or_default();
        of_type.blocks += 1;
        of_type.bytes += u64::from(size);
        let Ok(shape) = &seen.shape else { return };
        of_type.values += shape.count as u64;
        of_type.time_bytes += shape.times_len as u64;
        of_type.value_bytes += shape.values_len as u64;
        *self.time_encodings.entry(shape.times).or_default() += 1;
        *self.value_encodings.entry((kind, shape.values)).or_default() += 1;
    }
}

struct TextList<'a, W> {
    arguments: &'a Arguments,
    out: &'a mut W,
    written: Written,
}

impl<W: Write> Listener for TextList<'_, W> {
    fn key(&mut self, key: &ScannedKey, bytes: &[u8]) {
        if self.arguments.index || self.arguments.blocks {
            self.written.then(|| tsm_text::key(self.out, key, bytes));
        }
    }

    fn block(&mut self, block: &SeenBlock<'_>) {
        if self.arguments.blocks {
            self.written.then(|| tsm_text::block(self.out, block));
        }
    }

    fn end_of_key(&mut self) {}
}

struct JsonList<'a, W: Write> {
    arguments: &'a Arguments,
    document: Document<W>,
    key: Option<KeyJson>,
}

impl<W: Write> Listener for JsonList<'_, W> {
    fn key(&mut self, key: &ScannedKey, bytes: &[u8]) {
        if self.arguments.index || self.arguments.blocks {
            let kind = key.kind.map(BlockType::name);
            let blocks = self.arguments.blocks.then(Vec::new);
            let key = Key::of(bytes);
            self.key =
                Some(KeyJson { key, r#type: kind, block_count: 0, min_time: None, max_time: None, blocks });
        }
    }

    fn block(&mut self, block: &SeenBlock<'_>) {
        let Some(key) = &mut self.key else { return };
        let ScannedEntry { min, max, .. } = *block.entry;
        key.block_count += 1;
        key.min_time = Some(key.min_time.map_or(min, |first| first.min(min)));
        key.max_time = Some(key.max_time.map_or(max, |last| last.max(max)));
        // At most 65,535 of them: the format's limit.
        if let Some(blocks) = &mut key.blocks {
            blocks.push(BlockJson::of(block));
        }
    }

    fn end_of_key(&mut self) {
        if let Some(key) = self.key.take() {
            self.document.push(&key);
        }
    }
}

#[derive(Serialize)]
struct KeyJson {
    #[serde(flatten)]
    key: Key,
    r#type: Option<&'static str>,
    block_count: u64,
    min_time: Option<i64>,
    max_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<Vec<BlockJson>>,
}

#[derive(Serialize)]
struct BlockJson {
    offset: u64,
    bytes: u32,
    min_time: i64,
    max_time: i64,
    crc32: u32,
    crc_is_right: bool,
    #[serde(flatten)]
    shape: Option<ShapeJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

#[derive(Serialize)]
struct ShapeJson {
    r#type: &'static str,
    values: usize,
    time_encoding: &'static str,
    time_bytes: usize,
    value_encoding: &'static str,
    value_bytes: usize,
}

impl BlockJson {
    fn of(seen: &SeenBlock<'_>) -> Self {
        let shape = seen.shape.as_ref().ok().map(|shape| ShapeJson {
            r#type: shape.kind.name(),
            values: shape.count,
            time_encoding: shape.times.name(),
            time_bytes: shape.times_len,
            value_encoding: shape.values.name(),
            value_bytes: shape.values_len,
        });
        Self {
            offset: seen.entry.offset.get(),
            bytes: seen.entry.size,
            min_time: seen.entry.min,
            max_time: seen.entry.max,
            crc32: seen.crc,
            crc_is_right: seen.crc_is_right,
            shape,
            damage: seen.shape.as_ref().err().cloned(),
        }
    }
}

#[derive(Serialize)]
struct SummaryJson {
    bytes: u64,
    index_start: u64,
    index_bytes: u64,
    keys: u64,
    blocks: u64,
    values: u64,
    min_time: Option<i64>,
    max_time: Option<i64>,
    first_key: Key,
    last_key: Key,
    types: BTreeMap<&'static str, TypeJson>,
    time_encodings: BTreeMap<&'static str, u64>,
    block_sizes: Vec<SizeJson>,
    bad_blocks: u64,
    damage: Vec<String>,
}

#[derive(Serialize)]
struct TypeJson {
    keys: u64,
    blocks: u64,
    values: u64,
    bytes: u64,
    time_bytes: u64,
    value_bytes: u64,
    value_encodings: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct SizeJson {
    from: u64,
    below: u64,
    blocks: u64,
}

impl SummaryJson {
    fn of(summary: &Summary) -> Self {
        let total = summary.total();
        let types = summary.types.iter().map(|(kind, of)| {
            let encodings = summary.value_encodings.iter().filter(|((of, _), _)| of == kind);
            let value_encodings =
                encodings.map(|((_, encoding), blocks)| (encoding.name(), *blocks)).collect();
            let OfType { keys, blocks, values, bytes, time_bytes, value_bytes } = *of;
            (kind.name(), TypeJson { keys, blocks, values, bytes, time_bytes, value_bytes, value_encodings })
        });
        let sizes = summary.sizes.iter().map(|(power, blocks)| SizeJson {
            from: 1 << power,
            below: 2 << power,
            blocks: *blocks,
        });
        Self {
            bytes: summary.layout.size,
            index_start: summary.layout.index_start.get(),
            index_bytes: summary.layout.index_end.get() - summary.layout.index_start.get(),
            keys: summary.keys,
            blocks: total.blocks,
            values: total.values,
            min_time: summary.times.map(|(min, _)| min),
            max_time: summary.times.map(|(_, max)| max),
            first_key: Key::of(&summary.first_key),
            last_key: Key::of(&summary.last_key),
            types: types.collect(),
            time_encodings: summary.time_encodings.iter().map(|(of, blocks)| (of.name(), *blocks)).collect(),
            block_sizes: sizes.collect(),
            bad_blocks: summary.bad_blocks,
            damage: summary.faults.clone(),
        }
    }
}
