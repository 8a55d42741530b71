//! `icecore inspect bolt`: how the buckets of a Bolt file lie in its pages.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use icecore_kvstore::{MetaPage, NodePart, Part, PartKind, Report, View};
use serde::Serialize;

use super::{STDOUT, bolt_text, stdout};
use crate::command::json::{Document, Key};
use crate::command::{Failure, bolt, doing};

/// Show the buckets and pages of a Bolt file (influxd.bolt)
///
/// The file may be one that a running influxd holds: it is copied into memory then, whole or not at all.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A BoltDB file
    file: PathBuf,
    /// Draw every leaf, also where many lie side by side
    #[arg(long)]
    all: bool,
    /// Print one JSON document, with every leaf
    #[arg(long)]
    json: bool,
}

/// What is known of a file after all of it was seen.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) report: Report,
    pub(super) metas: [Result<MetaPage, String>; 2],
    /// First page and count of the free pages, ascending.
    pub(super) free_runs: Vec<(u64, u64)>,
    pub(super) inline_buckets: u64,
    pub(super) branches: Nodes,
    pub(super) leaves: Nodes,
}

/// What nodes of one kind add up to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Nodes {
    pub(super) nodes: u64,
    pub(super) pages: u64,
    pub(super) used_bytes: u64,
    pub(super) bytes: u64,
}

impl Nodes {
    pub(super) fn add(&mut self, node: &NodePart<'_>) {
        self.nodes += 1;
        self.pages += node.pages;
        self.used_bytes += node.used_bytes as u64;
        self.bytes += node.len_bytes as u64;
    }
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum PartJson {
    Bucket {
        depth: usize,
        #[serde(flatten)]
        name: Key,
        sequence: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        inline_pairs: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inline_bytes: Option<usize>,
    },
    Branch(NodeJson),
    Leaf(NodeJson),
    Damage {
        depth: usize,
        what: &'static str,
        page: u64,
        offset: u64,
    },
}

#[derive(Serialize)]
struct NodeJson {
    depth: usize,
    page: u64,
    pages: u64,
    elements: usize,
    pairs: usize,
    used_bytes: usize,
    bytes: usize,
    #[serde(flatten)]
    first_key: Option<Key>,
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    transaction: u64,
    page_size: u32,
    metas: Vec<MetaJson<'a>>,
    pages: u64,
    used: u64,
    free: u64,
    free_runs: &'a [(u64, u64)],
    buckets: u64,
    inline_buckets: u64,
    pairs: u64,
    branches: Nodes,
    leaves: Nodes,
    #[serde(flatten)]
    findings: bolt::FindingsJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum MetaJson<'a> {
    Sound { page: u64, transaction: u64, root: u64, free_list: Option<u64>, pages: u64 },
    Damaged { damage: &'a str },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let view = bolt::open(&arguments.file)?;
    let mut out = stdout();
    let summary = if arguments.json {
        let mut document = Document::new(&mut out, "parts");
        let summary = Summary::of(&view, |part| document.push(&PartJson::of(&part)));
        document.finish("summary", &SummaryJson::of(&summary)).map_err(doing(STDOUT))?;
        summary
    } else {
        let mut parts = Vec::new();
        let summary = Summary::of(&view, |part| parts.push(part));
        bolt_text::summary(&mut out, &arguments.file, &summary)
            .and_then(|()| bolt_text::tree(&mut out, &parts, arguments.all))
            .and_then(|()| bolt::print_findings(&mut out, &summary.report))
            .map_err(doing(STDOUT))?;
        summary
    };
    out.flush().map_err(doing(STDOUT))?;
    bolt::outcome(&arguments.file, &summary.report)
}

impl Summary {
    fn of<'v>(view: &'v View, mut seen: impl FnMut(Part<'v>)) -> Self {
        let (mut branches, mut leaves, mut inline_buckets) = (Nodes::default(), Nodes::default(), 0);
        view.outline(|part| {
            match &part.kind {
                PartKind::Bucket { inline, .. } => inline_buckets += u64::from(inline.is_some()),
                PartKind::Node(node) if node.is_leaf => leaves.add(node),
                PartKind::Node(node) => branches.add(node),
                _ => {}
            }
            seen(part);
        });
        Self {
            report: view.check(),
            metas: view.metas().map(|meta| meta.map_err(|error| error.to_string())),
            free_runs: view.free_runs().into_iter().map(|(first, count)| (first.get(), count)).collect(),
            inline_buckets,
            branches,
            leaves,
        }
    }
}

impl PartJson {
    fn of(part: &Part<'_>) -> Self {
        let depth = part.depth;
        match part.kind {
            PartKind::Bucket { name, sequence, inline } => Self::Bucket {
                depth,
                name: Key::of(name),
                sequence,
                inline_pairs: inline.map(|(pairs, _)| pairs),
                inline_bytes: inline.map(|(_, bytes)| bytes),
            },
            PartKind::Node(node) if node.is_leaf => Self::Leaf(NodeJson::of(depth, &node)),
            PartKind::Node(node) => Self::Branch(NodeJson::of(depth, &node)),
            PartKind::Damaged(problem) => Self::Damage {
                depth,
                what: problem.what(),
                page: problem.page().get(),
                offset: problem.offset().get(),
            },
        }
    }
}

impl NodeJson {
    fn of(depth: usize, node: &NodePart<'_>) -> Self {
        let NodePart { page, pages, elements, pairs, used_bytes, len_bytes, first_key, .. } = *node;
        let (page, first_key) = (page.get(), first_key.map(Key::of));
        Self { depth, page, pages, elements, pairs, used_bytes, bytes: len_bytes, first_key }
    }
}

impl<'a> SummaryJson<'a> {
    fn of(summary: &'a Summary) -> Self {
        let Report { txid, page_size, pages, used, free, buckets, pairs, .. } = summary.report;
        let metas = summary.metas.iter().map(|meta| match meta {
            Ok(meta) => MetaJson::Sound {
                page: meta.page.get(),
                transaction: meta.txid.get(),
                root: meta.root.get(),
                free_list: meta.freelist.map(|page| page.get()),
                pages: meta.high_water,
            },
            Err(damage) => MetaJson::Damaged { damage },
        });
        Self {
            transaction: txid.get(),
            page_size,
            metas: metas.collect(),
            pages,
            used,
            free,
            free_runs: &summary.free_runs,
            buckets,
            inline_buckets: summary.inline_buckets,
            pairs,
            branches: summary.branches,
            leaves: summary.leaves,
            findings: bolt::FindingsJson::of(&summary.report),
        }
    }
}
