//! One TSM file on disk: its name, reading it mapped, checking it, its deletes, writing a new one, finding
//! all that is wrong with one.

pub(crate) mod check;
pub(crate) mod deletes;
pub(crate) mod digest;
pub(crate) mod expected;
pub(crate) mod name;
pub(crate) mod reader;
pub mod scan;
mod sums;
pub(crate) mod tombstone;
pub mod verify;
pub(crate) mod whole;
pub(crate) mod window;
pub(crate) mod writer;
