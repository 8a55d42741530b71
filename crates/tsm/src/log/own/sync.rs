//! The locks of `commit.rs`: those of `std` here, those of shuttle where it is tested.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
