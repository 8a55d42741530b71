//! Cuts that clients can come back to: each has a name and a lease.
//!
//! Invariant: a name means the same files as long as it is known. What a cut pins is freed when its lease has ended and nobody
//! downloads from it; a download keeps it alive, and every use begins its lease anew.
//!
//! Lock: `table`, held for look-ups alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use icecore_database::{Cut, ShardId};
use icecore_tsm::Snapshot;

/// What a cut is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutName {
    /// Of all shards: 32 lower-case hex digits, made at random.
    All(String),
    /// Of one shard: by the moment that its archive states, ns since 1970. A later state of a shard has a later one.
    Shard(ShardId, i64),
}

/// Why a cut is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// It never was, or its lease has ended.
    #[error("there is no such cut: its lease has ended, or the server was started anew")]
    Unknown,
    /// As many as may be are in use.
    #[error("all {0} cuts that may be kept are in use: try again later")]
    Full(usize),
}

impl CutName {
    /// A name of random bytes.
    pub fn all(random: &[u8; 16]) -> Self {
        Self::All(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The cuts that are kept.
pub struct Cuts {
    lease: Duration,
    cuts_max: usize,
    table: Mutex<BTreeMap<CutName, Lease>>,
}

struct Lease {
    cut: Arc<Cut>,
    used: Instant,
}

impl Lease {
    /// Whether somebody downloads from it. Who wants to begin needs the table.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.cut) > 1
    }
}

impl Cuts {
    /// Keeps at most `cuts_max`, each for `lease` after its last use.
    pub fn new(lease: Duration, cuts_max: usize) -> Self {
        Self { lease, cuts_max, table: Mutex::default() }
    }

    /// How long a cut is kept after its last use.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the kept ones hold. This is no use of a cut.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.table().values().flat_map(|lease| lease.cut.snapshots().cloned().collect::<Vec<_>>()).collect()
    }

    /// Keeps a cut under a name; where the name is known, the cut that it means already. Makes room by giving up the one that
    /// was not used for the longest time.
    ///
    /// # Errors
    /// `Full` when all are in use.
    pub fn keep(&self, name: CutName, cut: Arc<Cut>, now: Instant) -> Result<Arc<Cut>, CutError> {
        let mut table = self.table();
        self.free(&mut table, now);
        if let Some(known) = table.get_mut(&name) {
            known.used = now;
            return Ok(Arc::clone(&known.cut));
        }
        if table.len() >= self.cuts_max {
            let idle = table.iter().filter(|(_, lease)| !lease.is_in_use());
            let oldest = idle.min_by_key(|(_, lease)| lease.used).map(|(name, _)| name.clone());
            table.remove(&oldest.ok_or(CutError::Full(self.cuts_max))?);
        }
        table.insert(name, Lease { cut: Arc::clone(&cut), used: now });
        Ok(cut)
    }

    /// The cut of a name; its lease begins anew.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn find(&self, name: &CutName, now: Instant) -> Result<Arc<Cut>, CutError> {
        let mut table = self.table();
        self.free(&mut table, now);
        let lease = table.get_mut(name).ok_or(CutError::Unknown)?;
        lease.used = now;
        Ok(Arc::clone(&lease.cut))
    }

    /// Frees the cuts whose leases have ended; when the next one ends, if any is left. To be called then.
    pub fn free_ended(&self, now: Instant) -> Option<Instant> {
        let mut table = self.table();
        self.free(&mut table, now);
        // One whose lease has ended and that is in use is looked at again after another lease.
        table.values().map(|lease| (lease.used + self.lease).max(now + self.lease / 8)).min()
    }

    fn free(&self, table: &mut BTreeMap<CutName, Lease>, now: Instant) {
        table.retain(|_, lease| {
            if lease.is_in_use() {
                lease.used = now; // the lease begins when the download ends, a little later than that at most
            }
            now.saturating_duration_since(lease.used) < self.lease
        });
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<CutName, Lease>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuts").field("lease", &self.lease).field("kept", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use icecore_database::{Database, Mode, Options, Paths};
    use icecore_testkit::fixtures;

    use super::*;

    const LEASE: Duration = Duration::from_secs(100);

    fn name(nth: u8) -> CutName {
        CutName::all(&[nth; 16])
    }

    fn cuts() -> (tempfile::TempDir, Database) {
        let dir = fixtures::unpack("layers");
        let database =
            Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).expect("a sound fixture");
        (dir, database)
    }

    #[test]
    fn a_lease_ends_after_the_last_use_and_a_download_holds_it() {
        let (_dir, database) = cuts();
        let cut = || database.cut().expect("a sound fixture").0;
        let (kept, start) = (Cuts::new(LEASE, 3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        drop(kept.keep(name(1), cut(), at(0)).unwrap());
        let downloading = kept.keep(name(2), cut(), at(0)).unwrap();
        assert!(kept.find(&name(1), at(99)).is_ok());
        assert!(kept.find(&name(1), at(198)).is_ok(), "its use at 99 began the lease anew");
        assert_eq!(kept.find(&name(1), at(298)).unwrap_err(), CutError::Unknown);
        assert!(Arc::ptr_eq(&kept.find(&name(2), at(1000)).unwrap(), &downloading), "the same cut");
        drop(downloading);
        assert!(kept.find(&name(2), at(1099)).is_ok());
        assert_eq!(kept.free_ended(at(1150)), Some(at(1199)));
        assert_eq!(kept.free_ended(at(1199)), None);
        assert!(kept.is_empty());
    }

    #[test]
    fn the_cut_that_was_idle_longest_makes_room_and_none_in_use_does() {
        let (_dir, database) = cuts();
        let cut = || database.cut().expect("a sound fixture").0;
        let (kept, start) = (Cuts::new(LEASE, 2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        drop(kept.keep(name(1), cut(), at(0)).unwrap());
        drop(kept.keep(name(2), cut(), at(1)).unwrap());
        let first = kept.find(&name(1), at(2)).unwrap();
        let third = kept.keep(name(3), cut(), at(3)).unwrap();
        assert_eq!(kept.find(&name(2), at(3)).unwrap_err(), CutError::Unknown, "idle since 1");
        assert_eq!(kept.keep(name(4), cut(), at(4)).unwrap_err(), CutError::Full(2));
        drop(first);
        assert!(kept.keep(name(4), cut(), at(5)).is_ok());
        assert!(kept.find(&name(3), at(5)).is_ok());
        drop(third);
    }

    #[test]
    fn a_name_keeps_its_meaning() {
        let (_dir, database) = cuts();
        let cut = || database.cut_shard(ShardId(1)).expect("a sound fixture");
        let (kept, now) = (Cuts::new(LEASE, 2), Instant::now());
        let first = kept.keep(CutName::Shard(ShardId(1), 5), cut(), now).unwrap();
        let again = kept.keep(CutName::Shard(ShardId(1), 5), cut(), now).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }
}
