//! Memory for bodies that are read at the same time.
//!
//! Invariant: all bodies that are held, packed or not, have not more room than there is memory in all. Who needs more
//! waits; who waited too long is told to try again, so that bodies that wait for each other do not wait for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Code, Problem};

/// What is counted: a semaphore has 32 bits for what is taken at once.
const UNIT_BYTES: usize = 1 << 10;
/// The first room of a body, and what it grows by at least.
const STEP_BYTES: usize = 64 << 10;

/// How much there is, and who waits for it; first come, first served.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    wait_max: Duration,
    body_max: usize,
}

/// A body, and its share of the memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    memory: Memory,
    share: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// `bytes` in all, or as much as a body of `body_max` needs, packed and unpacked.
    pub(crate) fn new(bytes: usize, body_max: usize, wait_max: Duration) -> Self {
        let enough = body_max.saturating_add(STEP_BYTES).saturating_mul(2);
        let units = units(bytes.max(enough)).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), wait_max, body_max }
    }

    /// An empty body.
    pub(crate) fn hold(&self) -> Held {
        Held { bytes: Vec::new(), memory: self.clone(), share: None }
    }
}

impl Held {
    /// Makes room for `more` bytes.
    pub(crate) async fn make_room(&mut self, more: usize) -> Result<(), Problem> {
        let needed = self.bytes.len().checked_add(more).filter(|needed| *needed <= self.memory.body_max);
        let needed = needed.ok_or_else(too_large)?;
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let room = needed.max(self.bytes.capacity().saturating_mul(2)).next_multiple_of(STEP_BYTES);
        let room = room.min(self.memory.body_max.next_multiple_of(STEP_BYTES));
        let missing = units(room) - self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(missing).map_err(|_| too_large())?;
        let taken = Arc::clone(&self.memory.units).acquire_many_owned(missing);
        match tokio::time::timeout(self.memory.wait_max, taken).await {
            Ok(Ok(taken)) => match &mut self.share {
                Some(share) => share.merge(taken),
                None => self.share = Some(taken),
            },
            Ok(Err(_)) | Err(_) => return Err(no_memory()),
        }
        self.bytes.reserve_exact(room - self.bytes.len());
        Ok(())
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

/// The body is longer than allowed.
pub(crate) fn too_large() -> Problem {
    Problem::new(Code::RequestTooLarge, "unable to read data: points batch is too large")
}

fn no_memory() -> Problem {
    let message = "the server holds as much unwritten data as it may; try again later";
    Problem::new(Code::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn memory(bytes: usize, body_max: usize) -> Memory {
        Memory::new(bytes, body_max, Duration::from_millis(50))
    }

    #[tokio::test]
    async fn a_body_ends_at_its_limit_and_never_before() {
        for body_max in [1, 1000, STEP_BYTES, STEP_BYTES + 1, 3 * MIB] {
            let memory = memory(0, body_max);
            let mut held = memory.hold();
            for _ in 0..body_max {
                held.make_room(1).await.unwrap();
                held.bytes.push(1);
            }
            let problem = held.make_room(1).await.unwrap_err();
            assert_eq!(problem.code, Code::RequestTooLarge);
            assert!(held.bytes.capacity() <= body_max + STEP_BYTES);
            assert_eq!(memory.hold().make_room(usize::MAX).await.unwrap_err(), too_large());
        }
    }

    #[tokio::test]
    async fn the_smallest_memory_is_enough_for_one_body_packed_and_unpacked() {
        let memory = memory(0, MIB);
        let (mut packed, mut plain) = (memory.hold(), memory.hold());
        packed.make_room(MIB).await.unwrap();
        plain.make_room(MIB).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_held_is_never_more_than_there_is_and_comes_back() {
        let memory = memory(4 * MIB, MIB);
        let mut all = Vec::new();
        for _ in 0..4 {
            let mut held = memory.hold();
            held.make_room(MIB).await.unwrap();
            all.push(held);
        }
        let problem = memory.hold().make_room(MIB).await.unwrap_err();
        assert_eq!(problem.code, Code::Unavailable);
        let waiting = tokio::spawn(async move {
            let mut held = Memory::hold(&memory);
            held.make_room(MIB).await
        });
        all.pop();
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn bodies_that_wait_for_each_other_do_not_wait_for_ever() {
        let memory = memory(4 * MIB, 2 * MIB - STEP_BYTES);
        let bodies: Vec<_> = (0..4)
            .map(|_| {
                let mut held = memory.hold();
                tokio::spawn(async move {
                    held.make_room(MIB).await?;
                    held.bytes.resize(MIB, 1);
                    tokio::task::yield_now().await;
                    held.make_room(1).await
                })
            })
            .collect();
        let mut refused = 0;
        for body in bodies {
            match body.await.unwrap() {
                Ok(()) => {}
                Err(problem) => {
                    assert_eq!(problem.code, Code::Unavailable);
                    refused += 1;
                }
            }
        }
        assert!((1..=4).contains(&refused), "{refused}");
    }
}
