//! The bytes of a rewritten file on their way out.

use std::sync::Arc;

use bytes::Bytes;

use super::member::Reads;
use super::rewrite::{Plan, Position};
use crate::error::Result;
use crate::file::reader::TsmFile;
use crate::format::sums::Summing;

/// A plan that is carried out. At its end the file knows length and digest of what it became.
#[derive(Debug)]
pub(super) struct Rewriting {
    file: Arc<TsmFile>,
    plan: Arc<Plan>,
    position: Position,
    /// Of what was made so far; taken at the end.
    summing: Summing,
}

impl Rewriting {
    pub(super) fn new(file: Arc<TsmFile>, plan: Arc<Plan>) -> Self {
        Self { file, plan, position: Position::default(), summing: Summing::default() }
    }

    /// The next bytes, each checked before.
    pub(super) fn next(&mut self, reads: Reads) -> Option<Result<Bytes>> {
        let summing = &mut self.summing;
        let chunk =
            self.plan.chunk(&self.file, &mut self.position, reads, &mut |bytes| summing.update(bytes));
        if chunk.is_none() {
            let sums = std::mem::take(&mut self.summing).finish();
            if sums.len() == self.plan.size() {
                self.file.set_rewritten(sums.len(), sums.root());
            }
        }
        chunk
    }
}
