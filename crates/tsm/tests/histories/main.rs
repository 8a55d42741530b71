//! A shard that is written, beside an ordered map: whatever happens to it, it shows what was acknowledged.
//!
//! `ICECORE_HISTORIES` and `ICECORE_SEED` choose how many random histories there are, and the first seed; a failure
//! prints its seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod back_pressure;
mod check;
mod draw;
mod failing;
mod machine;
mod model;
mod planted;
mod power_loss;
mod random;
mod seeds;
mod series_index;
mod together;
