//! What was not synced, and what of it a power loss leaves.
//!
//! Invariant: `synced` with all of `since` applied in order is what readers of the file see (until a failed sync forgot
//! something). A power loss leaves of each sector one of the contents it had since the last sync, and of the length one
//! of the lengths, and one of the times of modification; each independently of all others, so writes tear and change
//! places.

use std::collections::BTreeMap;

use crate::random::Random;

/// What is written as a whole or not at all.
const SECTOR: usize = 512;

/// What becomes of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it is lost.
    Everything,
    /// None of it is lost.
    Nothing,
    /// Any sector, length or name may be new, old or in between, as the seed has it.
    Torn(u64),
}

/// One file's changes since its last sync.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    synced: Vec<u8>,
    since: Vec<Change>,
    modified_ns: i64,
    /// Times that were set since.
    modified_since: Vec<i64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { start: usize, bytes: Vec<u8> },
    Size(usize),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { start, bytes } => write(file, *start, bytes),
            Self::Size(size) => file.resize(*size, 0),
        }
    }
}

/// Puts `bytes` at `start`, with zeros before it where the file was shorter.
pub(super) fn write(file: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = start + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

impl Journal {
    /// A file that is durable as it is.
    pub(super) fn synced(bytes: Vec<u8>, modified_ns: i64) -> Self {
        Self { synced: bytes, modified_ns, ..Self::default() }
    }

    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        self.since.push(Change::Write { start, bytes: bytes.to_vec() });
    }

    pub(super) fn set_size(&mut self, size: usize) {
        self.since.push(Change::Size(size));
    }

    pub(super) fn set_modified(&mut self, modified_ns: i64) {
        self.modified_since.push(modified_ns);
    }

    /// Makes the bytes and their number durable.
    pub(super) fn sync(&mut self) {
        for change in self.since.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// Makes all durable.
    pub(super) fn sync_all(&mut self) {
        self.sync();
        self.modified_ns = self.modified_since.drain(..).next_back().unwrap_or(self.modified_ns);
    }

    /// What a failed sync may do: the changes will never reach the disk.
    pub(super) fn forget(&mut self) {
        self.since.clear();
        self.modified_since.clear();
    }

    /// The time of modification that a power loss leaves.
    pub(super) fn modified_after(&self, loss: Loss, random: &mut Random) -> i64 {
        let left = match loss {
            Loss::Everything => None,
            Loss::Nothing => self.modified_since.last(),
            Loss::Torn(_) => self.modified_since.get(random.below(self.modified_since.len() + 1)),
        };
        left.copied().unwrap_or(self.modified_ns)
    }

    pub(super) fn after(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        match loss {
            Loss::Everything => self.synced.clone(),
            Loss::Nothing => {
                let mut all = self.clone();
                all.sync();
                all.synced
            }
            Loss::Torn(_) => self.torn(random),
        }
    }

    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut now = self.synced.clone();
        let mut sizes = vec![now.len()];
        let mut sectors: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for change in &self.since {
            change.apply(&mut now);
            sizes.push(now.len());
            if let Change::Write { start, bytes } = change
                && !bytes.is_empty()
            {
                for sector in start / SECTOR..=(start + bytes.len() - 1) / SECTOR {
                    sectors.entry(sector).or_default().push(part(&now, sector).to_vec());
                }
            }
        }
        let mut left = self.synced.clone();
        for (sector, versions) in &sectors {
            if let Some(version) = versions.get(random.below(versions.len() + 1)) {
                write(&mut left, sector * SECTOR, version);
            }
        }
        left.resize(sizes.get(random.below(sizes.len())).copied().unwrap_or_default(), 0);
        left
    }
}

fn part(file: &[u8], sector: usize) -> &[u8] {
    let start = (sector * SECTOR).min(file.len());
    file.get(start..(start + SECTOR).min(file.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sector_is_old_new_or_in_between_and_all_mixtures_occur() {
        let mut journal = Journal::synced(vec![0; 3 * SECTOR], 0);
        journal.write(0, &vec![1; 2 * SECTOR]);
        journal.write(SECTOR, &vec![2; 2 * SECTOR]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let torn = journal.after(Loss::Torn(seed), &mut Random::new(seed));
            assert_eq!(torn.len(), 3 * SECTOR);
            assert!(torn.chunks(SECTOR).all(|sector| sector.iter().all(|&byte| byte == sector[0])));
            seen.insert([torn[0], torn[SECTOR], torn[2 * SECTOR]]);
        }
        let all = [0, 1].into_iter().flat_map(|a| [0, 1, 2].map(|b| [0, 2].map(|c| [a, b, c]))).flatten();
        assert_eq!(seen, all.collect());
    }

    #[test]
    fn the_length_is_one_that_the_file_had() {
        let mut journal = Journal::synced(vec![7; 10], 0);
        journal.set_size(2000);
        journal.write(1500, b"ice");
        let sizes: std::collections::BTreeSet<_> =
            (0..50).map(|seed| journal.after(Loss::Torn(seed), &mut Random::new(seed)).len()).collect();
        assert_eq!(sizes, [10, 2000].into());
        assert_eq!(journal.after(Loss::Everything, &mut Random::new(0)), [7; 10]);
        let whole = journal.after(Loss::Nothing, &mut Random::new(0));
        assert_eq!((whole.len(), &whole[1500..1503]), (2000, &b"ice"[..]));
        journal.forget();
        journal.sync();
        assert_eq!(journal.after(Loss::Nothing, &mut Random::new(0)), [7; 10]);
    }

    #[test]
    fn a_time_of_modification_is_lost_until_all_is_synced() {
        let after = |journal: &Journal, loss| journal.modified_after(loss, &mut Random::new(1));
        let mut journal = Journal::synced(Vec::new(), 7);
        journal.set_modified(9);
        journal.sync();
        assert_eq!((after(&journal, Loss::Everything), after(&journal, Loss::Nothing)), (7, 9));
        let seen: std::collections::BTreeSet<_> =
            (0..20).map(|seed| journal.modified_after(Loss::Torn(seed), &mut Random::new(seed))).collect();
        assert_eq!(seen, [7, 9].into());
        journal.sync_all();
        assert_eq!(after(&journal, Loss::Everything), 9);
    }
}
