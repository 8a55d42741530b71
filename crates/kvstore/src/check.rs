//! The check: every page in use is read once and held to the format.
//!
//! Invariant: no page is entered twice, so the walk ends on any bytes; and when it found nothing, the extents it
//! returns, the two metas and the free pages partition the pages below the high-water mark.
//!
//! Where the file has digests beside it (`digests.rs`), each page is compared with its own.
//!
//! Stricter than a reader has to be: keys and values must follow each other without a gap, as bbolt has always written
//! them. This finds nearly every flipped bit of a count, position or length, which no checksum guards.

use std::ops::Range;

use crate::PageId;
use crate::cursor::{DEPTH_MAX, NESTING_MAX};
use crate::digests::Known;
use crate::error::{Error, Result};
use crate::format::bucket::{self, BucketValue, Root};
use crate::format::digests::{Digest, digest};
use crate::format::meta::META_PAGES;
use crate::format::node::{LeafElement, Node, order};
use crate::report::Report;
use crate::state::State;
use crate::units::Place;

/// What a walk over all pages found.
pub(crate) struct Walked {
    pub(crate) report: Report,
    /// The pages of each node and of the freelist; complete when the report is clean.
    pub(crate) extents: Vec<Extent>,
    /// The pages that hold nothing, as runs of a first page and a count, ascending.
    pub(crate) free: Vec<(u64, u64)>,
}

/// Consecutive pages that belong together, and how many of their bytes mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) used_bytes: usize,
    pub(crate) len_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Unseen,
    Used,
    Free,
}

/// A page to be visited, and what the way to it says about its keys.
struct Visit<'v> {
    page: PageId,
    /// Where its number was read.
    from: Place,
    keys: Keys<'v>,
    depth: usize,
    /// How many buckets are around these keys.
    nesting: usize,
}

/// The bounds that keys below a branch must keep: at least `low`, below `high`.
#[derive(Clone, Copy, Default)]
struct Keys<'v> {
    low: Option<&'v [u8]>,
    high: Option<&'v [u8]>,
}

struct Walk<'v> {
    state: &'v State,
    marks: Vec<Mark>,
    extents: Vec<Extent>,
    /// A stack rather than recursion: a file decides how deep it grows.
    ahead: Vec<Visit<'v>>,
    report: Report,
}

pub(crate) fn walk(state: &State) -> Walked {
    let meta = state.meta();
    // The file was seen to have all these pages, so the marks are far smaller than the map.
    let pages = usize::try_from(meta.high_water).unwrap_or_default();
    let mut walk = Walk {
        state,
        marks: vec![Mark::Unseen; pages],
        extents: Vec::new(),
        ahead: Vec::new(),
        report: Report::new(meta.txid, meta.page_size, meta.high_water),
    };
    walk.metas();
    walk.trees();
    if let Err(error) = walk.freelist() {
        walk.report.problem(&error);
    }
    walk.digests();
    walk.count_pages();
    walk.report.sort();
    if walk.report.is_clean() {
        state.found_sound();
    }
    let free = walk.free_runs();
    Walked { report: walk.report, extents: walk.extents, free }
}

impl<'v> Walk<'v> {
    fn metas(&mut self) {
        self.marks.iter_mut().take(widen_pages(META_PAGES)).for_each(|mark| *mark = Mark::Used);
        if let Some((what, place)) = self.state.spare().and_then(Error::finding) {
            self.report.note(what, place);
        }
    }

    fn trees(&mut self) {
        if let Root::Page(page, from) = self.state.root().root {
            self.ahead.push(Visit { page, from, keys: Keys::default(), depth: 0, nesting: 0 });
        }
        while let Some(visit) = self.ahead.pop() {
            if let Err(error) = self.visit(&visit) {
                self.report.problem(&error);
            }
        }
    }

    /// One node. Its first fault ends it; what lies below it is then not seen.
    fn visit(&mut self, visit: &Visit<'v>) -> Result<()> {
        if visit.depth >= DEPTH_MAX {
            return Err(Error::corrupt("the tree is too deep", visit.from));
        }
        let node = self.state.node(visit.page, visit.from)?;
        self.claim(node.bytes().len(), node.place())?;
        let used_bytes = if node.is_leaf() { self.leaf(&node, visit)? } else { self.branch(&node, visit)? };
        self.extent(node.bytes(), node.place(), used_bytes);
        Ok(())
    }

    /// bbolt looks for a child in its parent by the child's first key; a file where that differs reads well, but bbolt
    /// would add a second link to the child when it changes it.
    fn first(&mut self, key: &[u8], span: &Range<usize>, node: &Node<'v>, visit: &Visit<'v>) {
        if visit.keys.low.is_some_and(|low| low != key) {
            self.report
                .note("a branch's key is not the first of its child", node.place().forward(span.start));
        }
    }

    fn branch(&mut self, node: &Node<'v>, visit: &Visit<'v>) -> Result<usize> {
        let mut order = Order::new(node, visit.keys);
        let mut below: Option<Visit<'v>> = None;
        for index in 0..node.count() {
            let element = node.branch(index)?;
            order.accept(element.key, &element.span)?;
            if index == 0 {
                self.first(element.key, &element.span, node, visit);
            }
            if let Some(mut before) = below.take() {
                before.keys.high = Some(element.key);
                self.ahead.push(before);
            }
            let keys = Keys { low: Some(element.key), high: visit.keys.high };
            let (page, from, depth) = (element.child, element.place, visit.depth + 1);
            below = Some(Visit { page, from, keys, depth, nesting: visit.nesting });
        }
        order.ends()?;
        self.ahead.extend(below);
        Ok(order.end)
    }

    fn leaf(&mut self, node: &Node<'v>, visit: &Visit<'v>) -> Result<usize> {
        let mut order = Order::new(node, visit.keys);
        for index in 0..node.count() {
            let element = node.leaf(index)?;
            let span = node.span(&element);
            order.accept(element.key, &span)?;
            if index == 0 {
                self.first(element.key, &span, node, visit);
            }
            if element.is_bucket {
                self.bucket(&element, visit.nesting)?;
            } else if visit.nesting == 0 {
                return Err(Error::corrupt("a pair among the top-level buckets", element.value_place));
            } else {
                self.pair(&element);
            }
        }
        order.ends()?;
        Ok(order.end)
    }

    fn pair(&mut self, element: &LeafElement<'v>) {
        self.report.pairs += 1;
        if !bucket::may_be_inline(element.value) {
            return;
        }
        let bucket = BucketValue::parse(element.value, element.value_place).map(|bucket| bucket.root);
        if let Ok(Root::Inline(node)) = bucket
            && inline(&node).is_ok()
        {
            self.report.note("a value in the form of a bucket", element.value_place);
        }
    }

    fn bucket(&mut self, element: &LeafElement<'v>, nesting: usize) -> Result<()> {
        self.report.buckets += 1;
        if nesting >= NESTING_MAX {
            return Err(Error::corrupt("buckets are nested too deep", element.value_place));
        }
        match BucketValue::parse(element.value, element.value_place)?.root {
            Root::Page(page, from) => {
                self.ahead.push(Visit { page, from, keys: Keys::default(), depth: 0, nesting: nesting + 1 });
            }
            Root::Inline(node) => self.report.pairs += inline(&node)?,
        }
        Ok(())
    }

    fn freelist(&mut self) -> Result<()> {
        let Some((list, bytes, place)) = self.state.freelist()? else { return Ok(()) };
        self.claim(bytes.len(), place)?;
        self.extent(bytes, place, list.used());
        let mut before = None;
        for (id, at) in list.ids() {
            if let Err(error) = self.free(id, before, place.forward(at)) {
                self.report.problem(&error);
            }
            before = Some(id);
        }
        Ok(())
    }

    fn free(&mut self, id: u64, before: Option<u64>, place: Place) -> Result<()> {
        if !self.state.meta().holds(PageId::new(id)) {
            return Err(Error::corrupt("a free page lies outside the pages in use", place));
        }
        let mark = usize::try_from(id).ok().and_then(|index| self.marks.get_mut(index));
        match mark {
            Some(mark @ Mark::Unseen) => *mark = Mark::Free,
            Some(Mark::Free) => return Err(Error::corrupt("a page is listed as free twice", place)),
            _ => return Err(Error::corrupt("a page is both free and in use", place)),
        }
        if before.is_some_and(|before| before >= id) {
            return Err(Error::corrupt("the freelist is out of order", place));
        }
        Ok(())
    }

    /// Marks the pages of `len` bytes at `place` as used, unless one of them already is.
    fn claim(&mut self, len: usize, place: Place) -> Result<()> {
        let first = widen_pages(place.page.get());
        let pages = first..first.saturating_add(len / self.state.page_size());
        let twice = || Error::corrupt("the page is used twice", place);
        let marks = self.marks.get_mut(pages).ok_or_else(twice)?;
        if marks.contains(&Mark::Used) {
            return Err(twice());
        }
        marks.fill(Mark::Used);
        Ok(())
    }

    /// Compares pages with their digests, if the file has some. Where this process may write, meta pages and
    /// pages that the state does not use may change meanwhile, and are not looked at.
    fn digests(&mut self) {
        let digests = match self.state.file().digests() {
            Known::Nothing => return,
            Known::Unusable(why) => return self.report.note(why, Place::new(PageId::new(0), 0)),
            Known::Digests(digests) => digests,
        };
        let is_written = self.state.file().is_written();
        let marks = std::mem::take(&mut self.marks);
        let mut compared = 0;
        for (id, mark) in (0..).zip(&marks) {
            if !is_written || (*mark == Mark::Used && id >= META_PAGES) {
                compared += u64::from(self.digest(id, *mark, digests.of(id)));
            }
        }
        self.marks = marks;
        self.report.digests = Some(compared);
    }

    /// Compares one page; returns whether it could.
    fn digest(&mut self, id: u64, mark: Mark, known: Option<Digest>) -> bool {
        let state = self.state;
        let page = PageId::new(id);
        let place = Place::new(page, state.page_offset(page));
        let Some(known) = known else {
            if mark == Mark::Used {
                self.report.note("the page has no digest", place);
            }
            return false;
        };
        let found = if id < META_PAGES {
            state.meta_page_bytes(id, digest)
        } else {
            let start = widen_pages(id).saturating_mul(state.page_size());
            digest(state.bytes(start, state.page_size()))
        };
        if found != known {
            match mark {
                Mark::Used if id >= META_PAGES => {
                    self.report.problem(&Error::corrupt("the page is not what was written", place));
                }
                // What a meta page says has a checksum of its own.
                Mark::Used => self.report.note("the meta page is not what was written", place),
                _ => self.report.note("a page that is not used is not what was written", place),
            }
        }
        true
    }

    fn extent(&mut self, bytes: &[u8], place: Place, used_bytes: usize) {
        let rest = bytes.get(used_bytes..).unwrap_or_default();
        if let Some(at) = rest.iter().position(|&byte| byte != 0) {
            self.report.note("bytes behind the last element", place.forward(used_bytes + at));
        }
        self.extents.push(Extent { offset: place.offset.get(), used_bytes, len_bytes: bytes.len() });
    }

    fn free_runs(&self) -> Vec<(u64, u64)> {
        let keeps_list = self.state.meta().freelist.is_some();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (id, mark) in (0..).zip(&self.marks) {
            if *mark == Mark::Used || (*mark == Mark::Unseen && keeps_list) {
                continue;
            }
            match runs.last_mut() {
                Some((first, count)) if *first + *count == id => *count += 1,
                _ => runs.push((id, 1)),
            }
        }
        runs
    }

    /// Counts, and finds the pages that nobody owns. After another problem those are only its consequence.
    fn count_pages(&mut self) {
        let keeps_list = self.state.meta().freelist.is_some();
        let is_complete = self.report.is_clean();
        for (id, mark) in (0..).zip(&self.marks) {
            match mark {
                Mark::Used => self.report.used += 1,
                Mark::Free => self.report.free += 1,
                Mark::Unseen if !keeps_list => self.report.free += 1,
                Mark::Unseen if is_complete => {
                    let id = PageId::new(id);
                    let place = Place::new(id, self.state.page_offset(id));
                    self.report.problem(&Error::corrupt("the page is neither used nor free", place));
                }
                Mark::Unseen => {}
            }
        }
    }
}

/// The number of pairs of an inline bucket.
fn inline(node: &Node<'_>) -> Result<u64> {
    let mut order = Order::new(node, Keys::default());
    for index in 0..node.count() {
        let element = node.leaf(index)?;
        order.accept(element.key, &node.span(&element))?;
        if element.is_bucket {
            return Err(Error::corrupt("a bucket inside an inline bucket", element.value_place));
        }
    }
    if order.end != node.bytes().len() {
        return Err(Error::corrupt("an inline bucket is longer than its pairs", node.place()));
    }
    Ok(node.count() as u64)
}

/// The keys of one node as they come: each above the one before, inside the bounds, without a gap between the data.
struct Order<'v> {
    place: Place,
    keys: Keys<'v>,
    before: Option<&'v [u8]>,
    /// Where the last element's data began.
    start: usize,
    /// Where the next element's data must begin.
    end: usize,
}

impl<'v> Order<'v> {
    fn new(node: &Node<'v>, keys: Keys<'v>) -> Self {
        Self { place: node.place(), keys, before: None, start: 0, end: node.data_start() }
    }

    fn accept(&mut self, key: &'v [u8], span: &Range<usize>) -> Result<()> {
        let damaged = |what| Err(Error::corrupt(what, self.place.forward(span.start)));
        if span.start != self.end {
            return damaged("a gap or an overlap between keys and values");
        }
        match self.before {
            Some(before) if order(before, key).is_ge() => return damaged("keys are out of order"),
            None if self.keys.low.is_some_and(|low| key < low) => {
                return damaged("a key lies below its parent's");
            }
            _ => {}
        }
        (self.before, self.start, self.end) = (Some(key), span.start, span.end);
        Ok(())
    }

    /// After the last key, which is the highest.
    fn ends(&self) -> Result<()> {
        match (self.before, self.keys.high) {
            (Some(last), Some(high)) if last >= high => {
                Err(Error::corrupt("a key belongs to the next page", self.place.forward(self.start)))
            }
            _ => Ok(()),
        }
    }
}

/// A number of pages of this file, which is mapped, as a length in memory.
fn widen_pages(pages: u64) -> usize {
    usize::try_from(pages).unwrap_or(usize::MAX)
}
