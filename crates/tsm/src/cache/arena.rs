//! Bytes that only grow, in pieces that never move.
//!
//! An address is a number of four-byte steps; a chunk takes [`CHUNK_STEPS`] of them, or as many such stretches as what it
//! holds needs.

/// Bytes of a chunk.
const CHUNK_LEN: usize = 1 << 18;
const STEP: usize = 4;
const CHUNK_STEPS: usize = CHUNK_LEN / STEP;

/// Where bytes lie in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(u32);

impl Address {
    /// No address: an arena is full before it gives this one.
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Pieces of bytes by their addresses; up to 16 GiB.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// By the high part of an address; a chunk that is longer than one stretch is followed by empty ones.
    chunks: Vec<Vec<u8>>,
    /// The chunk that is being filled.
    current: usize,
}

impl Arena {
    /// Puts the parts behind each other. `None` when the arena is full.
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> Option<Address> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        // What begins behind the first stretch of a chunk would have the address of another.
        let fits = |chunk: &Vec<u8>| {
            let start = chunk.len().next_multiple_of(STEP);
            start < CHUNK_LEN && start + len <= chunk.capacity()
        };
        if !self.chunks.get(self.current).is_some_and(fits) {
            self.grow(len)?;
        }
        let chunk = self.chunks.get_mut(self.current)?;
        chunk.resize(chunk.len().next_multiple_of(STEP), 0);
        let address = self.current.checked_mul(CHUNK_STEPS)?.checked_add(chunk.len() / STEP)?;
        let address = u32::try_from(address).ok().map(Address).filter(|address| *address != Address::NONE)?;
        parts.iter().for_each(|part| chunk.extend_from_slice(part));
        Some(address)
    }

    /// A chunk for `len` bytes at least.
    fn grow(&mut self, len: usize) -> Option<()> {
        let stretches = len.div_ceil(CHUNK_LEN).max(1);
        let next = self.chunks.len();
        let end = next.checked_add(stretches)?.checked_mul(CHUNK_STEPS)?;
        u32::try_from(end).ok()?;
        self.chunks.push(Vec::with_capacity(stretches * CHUNK_LEN));
        self.chunks.extend((1..stretches).map(|_| Vec::new()));
        self.current = next;
        Some(())
    }

    /// The bytes from an address to the end of its chunk: what was put there, and what came behind it.
    pub(super) fn from(&self, address: Address) -> Option<&[u8]> {
        let address = address.0 as usize;
        self.chunks.get(address / CHUNK_STEPS)?.get(address % CHUNK_STEPS * STEP..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_stays_where_it_is_whatever_its_length() {
        let mut arena = Arena::default();
        let lens = [0, 1, 3, 4, 5, 1000, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN, 7];
        let piece = |round: usize, len: usize| vec![u8::try_from(round % 251).unwrap(); len];
        let put: Vec<_> = (0..500)
            .map(|round| {
                let len = lens[round * 7 % lens.len()];
                let (head, tail) = (piece(round, len / 2), piece(round, len - len / 2));
                (round, len, arena.put(&[&head, &tail]).unwrap())
            })
            .collect();
        for (round, len, address) in put {
            assert_eq!(arena.from(address).unwrap()[..len], piece(round, len), "piece {round}");
        }
    }
}
