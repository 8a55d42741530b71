//! The text of `icecore inspect tsm`.

use std::io::{self, Write};
use std::path::Path;

use icecore_tsm::BlockType;
use icecore_tsm::scan::ScannedKey;
use icecore_tsm::verify::ShownKey;

use super::tsm::{OfType, SeenBlock, Summary};
use crate::command::human::{Bytes, Count, Times, bar, counted};

/// Characters of the longest bar.
const BAR_WIDTH: u32 = 40;

/// Bytes of a point's time, before compression.
const TIME_LEN: f64 = 8.0;

pub(super) fn key(out: &mut impl Write, key: &ScannedKey, bytes: &[u8]) -> io::Result<()> {
    let kind = key.kind.map_or("unknown", BlockType::name);
    let blocks = counted(u64::from(key.count), "block", "blocks");
    writeln!(out, "{kind:<9} {blocks:>13}  {}", ShownKey(bytes))
}

pub(super) fn block(out: &mut impl Write, seen: &SeenBlock<'_>) -> io::Result<()> {
    let entry = seen.entry;
    write!(out, "    byte {:<10} {:>9} B  ", entry.offset.get(), Count(u64::from(entry.size)))?;
    match &seen.shape {
        Ok(shape) => {
            let values = counted(shape.count as u64, "value", "values");
            let encodings = format!("{}/{}", shape.times.name(), shape.values.name());
            write!(out, "{values:>13}  {encodings:<13}")?;
        }
        Err(what) => write!(out, "{what}  ")?,
    }
    let crc = if seen.crc_is_right { "" } else { "  CHECKSUM WRONG" };
    writeln!(out, " {}{crc}", Times(entry.min, entry.max))
}

pub(super) fn summary(out: &mut impl Write, path: &Path, summary: &Summary) -> io::Result<()> {
    let total = summary.total();
    let index_len = summary.layout.index_end.get() - summary.layout.index_start.get();
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    writeln!(out, "{name}: {} bytes, {} of them index", Count(summary.layout.size), Count(index_len))?;
    let keys = counted(summary.keys, "key", "keys");
    let blocks = counted(total.blocks, "block", "blocks");
    writeln!(out, "{keys}, {blocks}, {}", counted(total.values, "value", "values"))?;
    if let Some((min, max)) = summary.times {
        writeln!(out, "{}", Times(min, max))?;
    }
    writeln!(out, "first key  {}", ShownKey(&summary.first_key))?;
    writeln!(out, "last key   {}", ShownKey(&summary.last_key))?;
    types(out, summary, &total)?;
    encodings(out, summary)?;
    sizes(out, summary)?;
    for fault in &summary.faults {
        writeln!(out, "\ndamaged: {fault}")?;
    }
    if summary.bad_blocks > 0 {
        let blocks = counted(summary.bad_blocks, "block is", "blocks are");
        writeln!(out, "\ndamaged: {blocks} not what a block must be; `icecore verify` names each")?;
    }
    Ok(())
}

fn types(out: &mut impl Write, summary: &Summary, total: &OfType) -> io::Result<()> {
    writeln!(out, "\n                                                        bytes per value")?;
    writeln!(
        out,
        "type         keys    blocks        values      bytes      all = times + values   of plain"
    )?;
    for (kind, of_type) in &summary.types {
        type_row(out, kind.name(), of_type, plain_len(*kind))?;
    }
    if summary.types.len() > 1 {
        type_row(out, "all", total, None)?;
    }
    Ok(())
}

/// Bytes of a value before compression; strings have no fixed length.
fn plain_len(kind: BlockType) -> Option<f64> {
    match kind {
        BlockType::Float | BlockType::Integer | BlockType::Unsigned => Some(8.0),
        BlockType::Boolean => Some(1.0),
        BlockType::String => None,
    }
}

fn type_row(out: &mut impl Write, name: &str, of: &OfType, plain_len: Option<f64>) -> io::Result<()> {
    let per_value = |bytes: u64| bytes as f64 / of.values.max(1) as f64;
    let plain = plain_len.map_or_else(
        || "       –".to_owned(),
        |len| format!("{:>6.1} %", 100.0 * per_value(of.bytes) / (TIME_LEN + len)),
    );
    writeln!(
        out,
        "{name:<9} {:>7} {:>9} {:>13} {:>10}   {:>6.2}  {:>6.2}   {:>6.2}   {plain}",
        Count(of.keys),
        Count(of.blocks),
        Count(of.values),
        Bytes(of.bytes),
        per_value(of.bytes),
        per_value(of.time_bytes),
        per_value(of.value_bytes),
    )
}

fn encodings(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let times = summary.time_encodings.iter().map(|(of, blocks)| ("times", of.name(), *blocks));
    let values = summary.value_encodings.iter();
    let values = values.map(|((kind, of), blocks)| (kind.name(), of.name(), *blocks));
    let all: Vec<_> = times.chain(values).collect();
    let most = all.iter().map(|(.., blocks)| *blocks).max().unwrap_or(0);
    writeln!(out, "\nencodings, in blocks")?;
    for (of, name, blocks) in all {
        bar_row(out, &format!("{of:<9} {name:<8}"), blocks, most)?;
    }
    Ok(())
}

fn sizes(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let most = summary.sizes.values().max().copied().unwrap_or(0);
    writeln!(out, "\nblock sizes, in bytes with the checksum")?;
    let (Some(low), Some(high)) = (summary.sizes.keys().min(), summary.sizes.keys().max()) else {
        return Ok(());
    };
    for power in *low..=*high {
        let blocks = summary.sizes.get(&power).copied().unwrap_or(0);
        let range = format!("{} to {}", Count(1 << power), Count((2 << power) - 1));
        bar_row(out, &format!("{range:>18}"), blocks, most)?;
    }
    Ok(())
}

fn bar_row(out: &mut impl Write, label: &str, blocks: u64, most: u64) -> io::Result<()> {
    let row = format!("  {label} {:>9}  {}", Count(blocks), bar(blocks, most, BAR_WIDTH));
    writeln!(out, "{}", row.trim_end())
}
