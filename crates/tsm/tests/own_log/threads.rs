//! Several threads write and one releases while power is lost again and again: what was acknowledged by then is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use icecore_disk::Disk;
use icecore_testkit::Random;
use icecore_testkit::disk::{Action, Call, Hooked, Loss, Verdict};
use icecore_tsm::Ticket;
use icecore_tsm::internal::LogOptions;

use super::model::{Record, append, disk, found, open, record};

const WRITERS: u64 = 4;
const RECORDS: u64 = 50;

#[derive(Clone, Default)]
struct Known {
    drawn: u64,
    in_flight: BTreeSet<u64>,
    acknowledged: BTreeMap<u64, Vec<u8>>,
    flushed: u64,
}

impl Known {
    fn draw(&mut self, random: &mut Random) -> Record {
        self.drawn += 1;
        self.in_flight.insert(self.drawn);
        record(self.drawn, random.below(400))
    }

    /// All smaller tickets are acknowledged.
    fn flush(&mut self) -> u64 {
        self.flushed = self.in_flight.first().copied().unwrap_or(self.drawn + 1);
        self.flushed
    }

    fn assert_in(&self, records: Vec<Record>) {
        let count = records.len();
        let records: BTreeMap<_, _> = records.into_iter().collect();
        assert_eq!(records.len(), count, "each once");
        for (ticket, body) in self.acknowledged.range(self.flushed..) {
            assert_eq!(records.get(ticket), Some(body), "ticket {ticket}");
        }
        records.iter().for_each(|(ticket, body)| assert_eq!(record(*ticket, body.len()).1, *body));
    }
}

#[test]
fn power_loss_among_threads() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let (below, known) = (disk(), Arc::new(Mutex::new(Known::default())));
        let (points, image_of, expected) = (AtomicU64::new(0), below.clone(), known.clone());
        let hook = move |call: &Call<'_>| {
            if call.action.changes() {
                let point = points.fetch_add(1, Ordering::Relaxed);
                let loss = match point % 4 {
                    0 => Loss::Everything,
                    _ => Loss::Torn(seed * 100_000 + point),
                };
                // First: more may be acknowledged until the image is taken.
                let mut known = expected.lock().unwrap().clone();
                let image = image_of.after_power_loss(loss);
                known.flushed = expected.lock().unwrap().flushed; // and more be released
                known.assert_in(found(&image).unwrap_or_else(|error| panic!("{error}")).1);
            }
            if call.action == Action::Sync {
                thread::sleep(Duration::from_micros(200)); // so that groups gather
            }
            Verdict::Go
        };
        let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(below.clone(), hook));
        let (log, _) = open(hooked, LogOptions { segment_size: 3000, reserve: true }).unwrap();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (log, known) = (&log, &known);
                scope.spawn(move || {
                    let mut random = Random::new(seed * 10 + writer);
                    for _ in 0..RECORDS {
                        let new = known.lock().unwrap().draw(&mut random);
                        append(log, &new).unwrap();
                        let mut known = known.lock().unwrap();
                        known.in_flight.remove(&new.0);
                        known.acknowledged.insert(new.0, new.1);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..20 {
                    let flushed = known.lock().unwrap().flush();
                    log.release(Ticket::new(flushed)).unwrap();
                    thread::yield_now();
                }
            });
        });
        known.lock().unwrap().assert_in(found(&below.after_power_loss(Loss::Everything)).unwrap().1);
        let stats = log.stats();
        assert_eq!(stats.records, WRITERS * RECORDS);
        println!("{stats:?}");
        let flushed = known.lock().unwrap().flush();
        assert!(log.release(Ticket::new(flushed)).unwrap());
        assert!(below.files().is_empty());
    }
}
