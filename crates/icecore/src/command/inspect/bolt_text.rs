//! The text of `icecore inspect bolt`.

use std::io::{self, Write};
use std::path::Path;

use icecore_kvstore::{NodePart, Part, PartKind};
use icecore_tsm::verify::ShownKey;

use super::bolt::{Nodes, Summary};
use crate::command::human::{Count, bar, counted};

/// Characters of the longest bar.
const BAR_WIDTH: u32 = 8;
/// Free runs that are listed.
const RUNS_MAX: usize = 12;
/// Leaves side by side that are drawn: so many at the start, and the last one.
const LEAVES_MAX: usize = 3;

pub(super) fn summary(out: &mut impl Write, path: &Path, summary: &Summary) -> io::Result<()> {
    let report = &summary.report;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let bytes = report.pages.saturating_mul(u64::from(report.page_size));
    let pages = counted(report.pages, "page", "pages");
    writeln!(out, "{name}: {pages} of {} bytes, {} bytes", Count(report.page_size.into()), Count(bytes))?;
    for (page, meta) in summary.metas.iter().enumerate() {
        match meta {
            Ok(meta) => {
                let list = meta.freelist.map_or("none".to_owned(), |page| format!("page {page}"));
                let is_shown = if meta.txid == report.txid { "  (shown)" } else { "" };
                let (txid, root) = (meta.txid, meta.root);
                writeln!(
                    out,
                    "meta {page}     transaction {txid}, root page {root}, free list {list}{is_shown}"
                )?;
            }
            Err(damage) => writeln!(out, "meta {page}     {damage}")?,
        }
    }
    let Summary { branches, leaves, .. } = summary;
    let others = report.used.saturating_sub(branches.pages + leaves.pages);
    let of =
        |nodes: &Nodes| format!("{} ({} full)", Count(nodes.pages), percent(nodes.used_bytes, nodes.bytes));
    writeln!(
        out,
        "pages      {} branch, {} leaf, {others} meta and free list, {} free",
        of(branches),
        of(leaves),
        Count(report.free)
    )?;
    let inline = Count(summary.inline_buckets);
    let (buckets, pairs) =
        (counted(report.buckets, "bucket", "buckets"), counted(report.pairs, "pair", "pairs"));
    writeln!(out, "content    {buckets} ({inline} inside their names), {pairs}")?;
    free_runs(out, &summary.free_runs)
}

fn free_runs(out: &mut impl Write, runs: &[(u64, u64)]) -> io::Result<()> {
    let longest = runs.iter().map(|(_, count)| *count).max().unwrap_or_default();
    write!(out, "free       ")?;
    match runs.len() {
        0 => return writeln!(out, "none"),
        1 => write!(out, "one run:")?,
        more => {
            write!(out, "{} runs, the longest of {}:", Count(more as u64), counted(longest, "page", "pages"))?
        }
    }
    for &(first, count) in runs.iter().take(RUNS_MAX) {
        match count {
            1 => write!(out, " {first}")?,
            _ => write!(out, " {first}–{}", first + count - 1)?,
        }
    }
    writeln!(out, "{}", if runs.len() > RUNS_MAX { " …" } else { "" })
}

/// A line of the tree: a part, or leaves that lie side by side and are not drawn.
enum Line<'v> {
    Part(Part<'v>),
    Folded { depth: usize, leaves: Nodes, pairs: u64 },
}

impl Line<'_> {
    fn depth(&self) -> usize {
        match self {
            Self::Part(part) => part.depth,
            Self::Folded { depth, .. } => *depth,
        }
    }
}

/// Draws parts as a tree.
pub(super) fn tree(out: &mut impl Write, parts: &[Part<'_>], all: bool) -> io::Result<()> {
    let lines = if all { parts.iter().copied().map(Line::Part).collect() } else { folded(parts) };
    // By depth: whether the part that is open there has a sibling below it.
    let mut goes_on: Vec<bool> = Vec::new();
    let ends: Vec<bool> = ends(&lines);
    writeln!(out)?;
    for (line, is_last) in lines.iter().zip(ends) {
        let depth = line.depth();
        goes_on.truncate(depth);
        for goes_on in goes_on.iter().skip(1) {
            write!(out, "{}", if *goes_on { "│  " } else { "   " })?;
        }
        if depth > 0 {
            write!(out, "{}", if is_last { "└─ " } else { "├─ " })?;
        }
        goes_on.push(!is_last);
        draw(out, line)?;
    }
    Ok(())
}

/// Whether each line is the last among its siblings.
fn ends(lines: &[Line<'_>]) -> Vec<bool> {
    let mut has_later: Vec<bool> = Vec::new();
    let ends = lines.iter().rev().map(|line| {
        let depth = line.depth();
        let is_last = !has_later.get(depth).copied().unwrap_or_default();
        has_later.resize(depth, false);
        has_later.push(true);
        is_last
    });
    let mut ends: Vec<bool> = ends.collect();
    ends.reverse();
    ends
}

/// The lines of these parts, where most leaves that lie side by side are one line.
fn folded<'v>(parts: &[Part<'v>]) -> Vec<Line<'v>> {
    let mut lines = Vec::new();
    let mut rest = parts;
    while let Some(first) = rest.first() {
        let is_like = |part: &&Part<'_>| {
            part.depth == first.depth && matches!(&part.kind, PartKind::Node(node) if node.is_leaf)
        };
        let count = rest.iter().take_while(is_like).count().max(1);
        // What follows the last of them may be inside it.
        let (alike, after) = rest.split_at(count);
        rest = after;
        match alike {
            [head @ .., last] if head.len() > LEAVES_MAX + 1 => {
                let (drawn, hidden) = head.split_at(LEAVES_MAX);
                lines.extend(drawn.iter().copied().map(Line::Part));
                lines.push(fold(first.depth, hidden));
                lines.push(Line::Part(*last));
            }
            _ => lines.extend(alike.iter().copied().map(Line::Part)),
        }
    }
    lines
}

fn fold<'v>(depth: usize, hidden: &[Part<'_>]) -> Line<'v> {
    let (mut leaves, mut pairs) = (Nodes::default(), 0);
    for part in hidden {
        if let PartKind::Node(node) = &part.kind {
            leaves.add(node);
            pairs += node.pairs as u64;
        }
    }
    Line::Folded { depth, leaves, pairs }
}

fn draw(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    match line {
        Line::Folded { leaves, pairs, .. } => {
            let (count, pairs) =
                (counted(leaves.nodes, "more leaf", "more leaves"), counted(*pairs, "pair", "pairs"));
            writeln!(out, "… {count}, {} full, {pairs}", percent(leaves.used_bytes, leaves.bytes))
        }
        Line::Part(part) => match &part.kind {
            PartKind::Bucket { .. } if part.depth == 0 => writeln!(out, "the bucket of all buckets"),
            PartKind::Bucket { name, sequence, inline } => {
                write!(out, "bucket {}", ShownKey(name))?;
                if let Some((pairs, bytes)) = inline {
                    let pairs = counted(*pairs, "pair", "pairs");
                    write!(out, "  inside its name: {pairs}, {} bytes", Count(*bytes as u64))?;
                }
                if *sequence > 0 {
                    write!(out, "  sequence {sequence}")?;
                }
                writeln!(out)
            }
            PartKind::Node(node) => draw_node(out, node),
            PartKind::Damaged(problem) => writeln!(out, "DAMAGED {problem}"),
        },
    }
}

fn draw_node(out: &mut impl Write, node: &NodePart<'_>) -> io::Result<()> {
    let (used, len) = (node.used_bytes as u64, node.len_bytes as u64);
    match node.pages {
        1 => write!(out, "page {}", node.page)?,
        pages => write!(out, "pages {}–{}", node.page, node.page.get() + pages - 1)?,
    }
    let kind = if node.is_leaf { "leaf" } else { "branch" };
    write!(
        out,
        " {kind}  {:<width$} {:>5}  ",
        bar(used, len, BAR_WIDTH),
        percent(used, len),
        width = BAR_WIDTH as usize
    )?;
    let names = (node.elements - node.pairs) as u64;
    match (node.is_leaf, node.pairs, names) {
        (false, ..) => write!(out, "{}", counted(names, "child", "children"))?,
        (true, pairs, 0) => write!(out, "{}", counted(pairs as u64, "pair", "pairs"))?,
        (true, 0, names) => write!(out, "{}", counted(names, "bucket", "buckets"))?,
        (true, pairs, names) => {
            let names = counted(names, "bucket", "buckets");
            write!(out, "{}, {names}", counted(pairs as u64, "pair", "pairs"))?;
        }
    }
    match node.first_key {
        Some(key) => writeln!(out, "  from {}", ShownKey(key)),
        None => writeln!(out),
    }
}

fn percent(part: u64, whole: u64) -> String {
    format!("{} %", (u128::from(part) * 100 / u128::from(whole.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_its_siblings_has_nothing_below_it() {
        let folded = |depth| Line::Folded { depth, leaves: Nodes::default(), pairs: 0 };
        let drawn = |depths: &[usize]| ends(&depths.iter().copied().map(folded).collect::<Vec<_>>());
        assert_eq!(drawn(&[0, 1, 2, 2, 1, 2]), [true, false, false, true, true, true]);
        assert_eq!(drawn(&[0]), [true]);
        assert_eq!(drawn(&[0, 1, 2, 3, 2]), [true, true, false, true, true]);
    }
}
