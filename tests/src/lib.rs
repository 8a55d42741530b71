//! The harness of the end-to-end tests: `icecore serve` as a process, the servers and clients it is held against, and
//! one form of a value that all of their answers are read into.
//!
//! The tests are in `tests/`, one file for each behaviour; programs that use the clients of other languages are in
//! `peers/`. [`peers`] says how each peer is found and what happens without it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a harness a surprise is a failed test")]

pub mod archive;
pub mod bolt;
pub mod fixture;
pub mod flux;
pub mod http;
pub mod icecore;
pub mod influxd1;
pub mod influxd2;
pub mod influxql;
pub mod line_protocol;
pub mod manifest;
pub mod multipart;
pub mod peers;
pub mod process;
pub mod sql;
pub mod tree;
pub mod tsm;
pub mod values;
pub mod workload;
