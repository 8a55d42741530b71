//! How a store stands.

use crate::TxId;
use crate::state::State;

/// How a store stands; see [`Store::stats`](crate::Store::stats).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The current transaction.
    pub txid: TxId,
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages below the high-water mark.
    pub pages: u64,
    /// Bytes of the file that are mapped; what lies behind the pages in use is room to grow.
    pub mapped_bytes: u64,
    /// Pages that the next transaction may take; `None` before the first one of this handle, which counts them.
    pub free_pages: Option<u64>,
    /// Pages that the current state does not use, and that wait for older states to be dropped.
    pub waiting_pages: Option<u64>,
    /// The states that somebody reads, the oldest first.
    pub readers: Vec<Reader>,
}

/// Who holds a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The transaction whose state is held.
    pub txid: TxId,
    /// How many transactions were committed since. A high age keeps pages waiting.
    pub age: u64,
    /// How many views, copies and chunks of copies hold it.
    pub holders: usize,
}

impl Stats {
    pub(crate) fn of(state: &std::sync::Arc<State>, unused: Option<(u64, u64)>) -> Self {
        let meta = state.meta();
        let holders = |txid, count: usize| {
            // The current state is held by the store and by this function too.
            if txid == meta.txid { count.saturating_sub(2) } else { count }
        };
        let readers = state.file().living().into_iter().filter_map(|(txid, count)| {
            let age = meta.txid.get().saturating_sub(txid.get());
            let reader = Reader { txid, age, holders: holders(txid, count) };
            (reader.holders > 0).then_some(reader)
        });
        Self {
            txid: meta.txid,
            page_size: meta.page_size,
            pages: meta.high_water,
            mapped_bytes: state.map().len() as u64,
            free_pages: unused.map(|(free, _)| free),
            waiting_pages: unused.map(|(_, waiting)| waiting),
            readers: readers.collect(),
        }
    }
}
