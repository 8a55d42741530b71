//! What all downloads of a service share: how many and how fast they may be, the threads that compress, the cuts that are kept, what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use icecore_backup::encode::Crew;
use icecore_backup::{Cuts, Pins, pinned_bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lane::Deferential;
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::pump::Turns;
use crate::rate::Rate;
use crate::service::Options;
use crate::write::InProgress;

/// As many as there are downloads by default, so that then nobody waits for one: a source may be slow.
const TURNS: usize = 64;
/// Of all downloads that are made in memory.
const BATCHES_BYTES: usize = 8 << 20;

fn crew(deferential: Option<Arc<Deferential>>) -> Crew {
    let crew = Crew::of_all_cores();
    match deferential {
        Some(deferential) => crew.with_manners(deferential),
        None => crew,
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) crew: Arc<Crew>,
    pub(crate) cuts: Cuts,
    pub(crate) pins: Arc<Pins>,
    pub(crate) metrics: Metrics,
    pub(crate) rate: Option<Arc<Rate>>,
    /// How downloads give way to writes, where they do.
    pub(crate) deferential: Option<Arc<Deferential>>,
    /// Of downloads that are made in memory: what is compressed, or digested.
    pub(crate) turns: Arc<Turns>,
    places: Arc<Semaphore>,
    wait_max: Duration,
    /// Whether somebody frees cuts whose leases have ended.
    is_swept: AtomicBool,
}

impl Shared {
    pub(crate) fn new(options: &Options, writes: InProgress) -> Self {
        let deferential = options.background.as_ref();
        let deferential = deferential.map(|background| Arc::new(Deferential::new(background.nice, writes)));
        Self {
            crew: Arc::new(crew(deferential.clone())),
            deferential,
            cuts: Cuts::new(options.cut_lease, options.cuts_max),
            pins: Arc::default(),
            metrics: Metrics::new(),
            rate: Rate::new(options.download_rate_max),
            turns: Arc::new(Turns::new(TURNS, BATCHES_BYTES)),
            places: Arc::new(Semaphore::new(options.downloads_max.min(Semaphore::MAX_PERMITS))),
            wait_max: options.download_wait_max,
            is_swept: AtomicBool::new(false),
        }
    }

    /// The priority of the threads that check files, as `nice` counts.
    pub(crate) fn nice(&self) -> u8 {
        self.deferential.as_ref().map_or(0, |deferential| deferential.nice())
    }

    /// What `/metrics` answers. Costs O(files that are held).
    pub(crate) fn metrics_text(&self) -> Result<String, std::fmt::Error> {
        let (of_cuts, of_downloads) = (self.cuts.snapshots(), self.pins.snapshots());
        self.metrics.text(self.cuts.len(), pinned_bytes(of_cuts.iter().chain(&of_downloads)))
    }

    /// A place among the downloads at once; those who find none wait for one, first come, first served.
    ///
    /// # Errors
    /// `Unavailable` after the longest wait.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        match tokio::time::timeout(self.wait_max, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Problem::new(
                Code::Unavailable,
                "as many backups are being downloaded as may be at once: try again later",
            )),
        }
    }

    /// Sees to it that cuts are freed when their leases end, also when nobody asks for one any more. To be called inside a
    /// tokio runtime, after a cut was kept.
    pub(crate) fn sweep(self: &Arc<Self>) {
        if self.is_swept.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(shared) = weak.upgrade() {
                let next = shared.cuts.free_ended(Instant::now()).or_else(|| {
                    shared.is_swept.store(false, Ordering::Release);
                    // Who kept one before that saw a sweeper.
                    let is_needed = !shared.cuts.is_empty() && !shared.is_swept.swap(true, Ordering::AcqRel);
                    is_needed.then(Instant::now)
                });
                drop(shared);
                let Some(next) = next else { return };
                tokio::time::sleep_until(next.into()).await;
            }
        });
    }
}
