//! Records that are written together, in one buffer with room for their heads.

use crate::format::iwal::{HEAD_LEN, Head, POINTS, Place};
use crate::units::{Offset, Ticket};

/// A larger buffer is given back after its group was written.
const KEPT_MAX: usize = 4 << 20;

/// Invariant: `buffer` has a head and a body for each of `records`, in order and without gaps.
#[derive(Debug, Default)]
pub(super) struct Group {
    buffer: Vec<u8>,
    records: Vec<Gathered>,
}

/// What of a head is known before the record has a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered {
    pub(super) ticket: Ticket,
    /// Length of the body.
    pub(super) len: u32,
    pub(super) body_crc: u32,
}

impl Group {
    /// Adds a record; its body is the concatenation of `parts`, of the length that it states.
    pub(super) fn add(&mut self, record: Gathered, parts: &[&[u8]]) {
        self.buffer.extend_from_slice(&[0; HEAD_LEN]);
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
        self.records.push(record);
    }

    /// Bytes of the records.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn count(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn max_ticket(&self) -> Option<Ticket> {
        self.records.iter().map(|record| record.ticket).max()
    }

    /// The bytes for a place in a segment, where the first record is number `first`.
    pub(super) fn bytes(&mut self, segment: u64, start: u64, first: u64) -> &[u8] {
        let mut at = 0;
        for (record, number) in self.records.iter().zip(first..) {
            let Gathered { ticket, len, body_crc } = *record;
            let head = Head { kind: POINTS, len, body_crc, number, synced: first - 1, ticket };
            let place = Place { segment, at: Offset::new(start).forward(at) };
            if let Some(room) = self.buffer.get_mut(at..at + HEAD_LEN) {
                room.copy_from_slice(&head.to_bytes(place));
            }
            at += head.record_len().unwrap_or_default();
        }
        &self.buffer
    }

    /// Takes all records out.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_MAX {
            self.buffer = Vec::new();
        }
    }
}
