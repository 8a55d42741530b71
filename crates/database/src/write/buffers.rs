use icecore_lineprotocol::Parser;
use icecore_tsm::Batch;
use parking_lot::Mutex;

/// Memory that a request works in.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(super) parser: Parser,
    /// The number of each shard, and its points.
    pub(super) batches: Vec<(u64, Batch)>,
    /// For each of these, the numbers of the lines that its points came from.
    pub(super) lines: Vec<Vec<u32>>,
    /// Batches that are not in use.
    spare: Vec<Batch>,
}

/// Buffers of requests that are done, for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Buffers>>);

impl Buffers {
    /// The place of a shard's batch, which is empty if there was none.
    pub(super) fn place_of(&mut self, shard: u64) -> usize {
        let known = self.batches.iter().position(|(id, _)| *id == shard);
        known.unwrap_or_else(|| {
            self.batches.push((shard, self.spare.pop().unwrap_or_default()));
            self.lines.push(Vec::new());
            self.batches.len() - 1
        })
    }

    /// Forgets all points.
    pub(super) fn clear(&mut self) {
        const SPARE_MAX: usize = 4;
        for (_, mut batch) in self.batches.drain(..) {
            if self.spare.len() < SPARE_MAX {
                batch.clear();
                self.spare.push(batch);
            }
        }
        self.lines.clear();
    }
}

impl Pool {
    pub(crate) fn take(&self) -> Buffers {
        self.0.lock().pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, mut buffers: Buffers) {
        const KEPT_MAX: usize = 16;
        buffers.clear();
        let mut kept = self.0.lock();
        if kept.len() < KEPT_MAX {
            kept.push(buffers);
        }
    }
}
