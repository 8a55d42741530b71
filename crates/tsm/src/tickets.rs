//! Tickets, and the one moment at which a cut is made.
//!
//! Invariant: whoever was admitted under a ticket before that of a cut was admitted before the cut swapped any cache, and
//! everyone else after it had swapped all of them. The gate is held for a few loads and stores, never while anything
//! waits or is written.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicU64, RwLock};
use crate::units::Ticket;

/// Hands out tickets: one for all shards that may be cut together.
#[derive(Debug)]
pub struct Tickets {
    gate: RwLock<()>,
    next: AtomicU64,
}

impl Tickets {
    /// The first ticket will be 1.
    pub fn new() -> Self {
        Self { gate: RwLock::new(()), next: AtomicU64::new(1) }
    }

    /// Makes every later ticket greater than one that was found on disk.
    pub(crate) fn raise_above(&self, ticket: Ticket) {
        self.next.fetch_max(ticket.get().saturating_add(1), Ordering::Relaxed);
    }

    /// Draws a ticket for a write, which `admit` lets into its caches.
    pub(crate) fn admit<T>(&self, admit: impl FnOnce(Ticket) -> T) -> T {
        let _open = self.gate.read();
        admit(self.draw())
    }

    /// Draws a ticket for a cut, while nobody is being admitted: `swap` puts other caches in place.
    pub(crate) fn cut<T>(&self, swap: impl FnOnce(Ticket) -> T) -> T {
        let _closed = self.gate.write();
        swap(self.draw())
    }

    fn draw(&self) -> Ticket {
        Ticket::new(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self::new()
    }
}
