//! The locks of `tickets.rs` and `cache/pending.rs`: these here, those of shuttle where `tests/cuts.rs` compiles both files once
//! more.

pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
pub(crate) use std::sync::atomic::AtomicU64;
