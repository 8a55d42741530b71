//! One TSM file on disk: its name, reading it mapped, checking it, its deletes, writing a new one.

pub(crate) mod check;
pub(crate) mod deletes;
pub(crate) mod name;
pub(crate) mod reader;
pub(crate) mod tombstone;
pub(crate) mod writer;
