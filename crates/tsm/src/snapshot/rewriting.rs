//! The bytes of a rewritten file on their way out: out of the spool, or made again and put there.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::member::Reads;
use super::rewrite::{Plan, Planner, Position};
use super::spool::{Kept, Key, Reading, Spool, Writer};
use crate::error::Result;
use crate::file::reader::TsmFile;
use crate::format::sums::Summing;

/// Where a rewritten file is kept, and under which name.
#[derive(Clone, Debug)]
pub(super) struct Spooling {
    spool: Arc<Spool>,
    key: Key,
}

impl Spooling {
    pub(super) fn new(spool: Arc<Spool>, key: Key) -> Self {
        Self { spool, key }
    }

    pub(super) fn find(&self) -> Option<Arc<Kept>> {
        self.spool.find(&self.key, Instant::now())
    }

    /// Opens a kept file; one that cannot be opened is kept no longer.
    pub(super) fn read(&self, kept: &Arc<Kept>) -> Option<Reading> {
        self.spool.read(kept).inspect_err(|error| self.spool.give_up(kept, error)).ok()
    }
}

/// A rewritten file that is being sent. At its end the source knows length and digest of what it became.
#[derive(Debug)]
pub(super) struct Rewriting {
    file: Arc<TsmFile>,
    spooling: Option<Spooling>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Spool(Reading),
    Blocks(Box<Making>),
}

/// A plan that is carried out.
#[derive(Debug)]
struct Making {
    plan: Arc<Plan>,
    position: Position,
    /// Of what was made so far; taken at the end.
    summing: Summing,
    writer: Option<Writer>,
    /// Bytes that are made and not handed out: they came out of the spool before.
    left_out: u64,
}

impl Rewriting {
    pub(super) fn of_plan(file: Arc<TsmFile>, plan: Arc<Plan>, spooling: Option<Spooling>) -> Self {
        let source = Source::Blocks(Box::new(Making::new(plan, spooling.as_ref(), 0)));
        Self { file, spooling, source }
    }

    pub(super) fn of_spool(file: Arc<TsmFile>, reading: Reading, spooling: Option<Spooling>) -> Self {
        Self { file, spooling, source: Source::Spool(reading) }
    }

    /// The next bytes, each checked before. A file of the spool that turns out to be damaged is made again, and the bytes go on
    /// where it stopped.
    pub(super) fn next(&mut self, reads: Reads) -> Option<Result<Bytes>> {
        if let Source::Spool(reading) = &mut self.source {
            let error = match reading.next(reads) {
                Some(Err(error)) => error,
                sound => return sound,
            };
            let (kept, sent) = (Arc::clone(reading.kept()), reading.at());
            if let Some(Spooling { spool, .. }) = &self.spooling {
                spool.give_up(&kept, &error);
            }
            let mut planner = Planner::default();
            if let Err(error) = planner.advance(&self.file, |_| false) {
                return Some(Err(error));
            }
            let plan = Arc::new(planner.finish()?);
            self.source = Source::Blocks(Box::new(Making::new(plan, self.spooling.as_ref(), sent)));
        }
        match &mut self.source {
            Source::Blocks(making) => making.next(&self.file, reads),
            Source::Spool(_) => None,
        }
    }
}

impl Making {
    fn new(plan: Arc<Plan>, spooling: Option<&Spooling>, left_out: u64) -> Self {
        let writer = spooling.and_then(|Spooling { spool, key }| spool.begin(*key, plan.size()));
        Self { plan, position: Position::default(), summing: Summing::default(), writer, left_out }
    }

    fn next(&mut self, file: &TsmFile, reads: Reads) -> Option<Result<Bytes>> {
        loop {
            let Self { plan, position, summing, writer, .. } = self;
            let chunk = plan.chunk(file, position, reads, &mut |bytes| {
                summing.update(bytes);
                if let Some(writer) = writer {
                    writer.append(bytes);
                }
            });
            match chunk {
                Some(Ok(mut bytes)) => {
                    let left_out = bytes.len().min(usize::try_from(self.left_out).unwrap_or(usize::MAX));
                    self.left_out -= bytes.split_to(left_out).len() as u64;
                    if !bytes.is_empty() {
                        return Some(Ok(bytes));
                    }
                }
                None => {
                    self.end(file);
                    return None;
                }
                error => return error,
            }
        }
    }

    fn end(&mut self, file: &TsmFile) {
        let sums = std::mem::take(&mut self.summing).finish();
        if sums.len() != self.plan.size() {
            return; // asked again behind the end
        }
        file.set_rewritten(sums.len(), sums.root());
        if let Some(writer) = self.writer.take() {
            writer.finish(sums);
        }
    }
}
