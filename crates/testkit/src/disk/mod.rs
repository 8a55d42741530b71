//! Disks for tests: one in memory that knows what a power loss would leave, and one that lets a test decide over each
//! call of any disk.

mod hooked;
mod journal;
mod mem;

pub use hooked::{Action, Call, Failure, Hooked, Verdict, fail_calls, fill_up, without_sync};
pub use journal::Loss;
pub use mem::MemDisk;
