//! Icecore's log keeps what it acknowledged, whatever the disk does, and says what it cannot read.
//!
//! `ICECORE_HISTORIES` and `ICECORE_SEED` choose how many random histories lose power, and the first seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod bits;
mod failing;
mod model;
mod power_loss;
mod rules;
mod threads;
