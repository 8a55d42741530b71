//! A backup of files with deletes: what it reads and when, and what it keeps of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod failing;
mod plan;
mod shard;
mod spool;
