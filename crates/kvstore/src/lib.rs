//! BoltDB files, the format of `go.etcd.io/bbolt`: what influxd keeps its metadata in.
//!
//! Opens a file whichever meta page is the newest, reads its buckets and pairs, changes them in transactions, checks every
//! page, sends a consistent copy of one state while others read and write, and replaces the whole content by a new file.
//! One writer at a time, any number of readers; neither waits for the other. What is committed is durable. Damage is an
//! error with file, page and offset, never a panic, whatever the bytes are. bbolt 1.3.6 and 1.5 read and continue what
//! this writes, and the other way round.
//!
//! What it is not, and what to know:
//! - Pages of this format have no checksum: a flipped bit inside a key or a value is seen only where digests are kept beside
//!   the file ([`Store::keep_digests`]), and then by a check, a copy and the first transaction, not by a read.
//! - It opens no file that another process has open to write; [`View::of_file_in_use`] copies one that is small enough to
//!   be read between two commits.
//! - A view, a copy or a chunk of one keeps the pages it shows from being used again: held for long while others write,
//!   the file grows ([`Store::stats`] names who holds what). It never shrinks; [`Store::compact`] makes a small one.
//! - A transaction holds what it changed in memory until its commit, at least the pages it touched; a value or two of a
//!   gigabyte fit, ten do not. A [`Builder`] holds the whole file.
//! - The first transaction after opening reads the whole file and refuses a damaged one; later ones read what they need.
//! - Each commit syncs twice and writes the list of free pages: many small changes belong in one transaction.
//! - Pages are cut half full, as bbolt cuts them, or nine tenths full where keys only ascend
//!   ([`BucketMut::set_fill_percent`]).
//! - A thread that has a transaction open and begins another waits for itself.
//! - Deleted data stays in free pages of the file until they are used again; a copy sends zeros instead.
//! - The file is mapped: another process that cuts it short in spite of the lock ends this one with SIGBUS.
//!
//! Layout and rules: `docs/formats/bolt.md`.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("influxd.bolt");
//! use std::sync::Arc;
//! use icecore_disk::{LockMode, RealDisk};
//! use icecore_kvstore::{Builder, Store};
//! # let mut builder = Builder::new(4096)?;
//! # builder.open_bucket(b"samples")?;
//! # builder.put(b"depth", b"3200 m")?;
//! # builder.close_bucket()?;
//! # drop(Store::create(Arc::new(RealDisk), &path, builder)?);
//!
//! let store = Store::open(Arc::new(RealDisk), &path, LockMode::Shared)?;
//! let view = store.view();
//! view.verify()?; // every page, before anything is believed
//! for bucket in view.buckets()? {
//!     let (name, bucket) = bucket?;
//!     for pair in bucket.iter()? {
//!         let (key, value) = pair?;
//!         println!("{}: {} = {} bytes", name.escape_ascii(), key.escape_ascii(), value.len());
//!     }
//! }
//! let copy = view.copy()?; // of this state, whatever is written from now on
//! assert_eq!(copy.len_bytes() % u64::from(view.page_size()), 0);
//! # Ok::<(), icecore_kvstore::Error>(())
//! ```
#![deny(clippy::big_endian_bytes)]

mod build;
mod check;
mod copy;
mod cursor;
mod digests;
mod error;
mod file;
mod format;
mod live;
mod outline;
mod publish;
mod report;
mod salvage;
mod state;
mod stats;
mod store;
mod tx;
mod units;
mod view;

pub use build::{Builder, KEY_LEN_MAX, VALUE_LEN_MAX};
pub use copy::HotCopy;
pub use error::{Error, ErrorKind, Result};
pub use outline::{MetaPage, NodePart, Part, PartKind};
pub use report::{Problem, Report};
pub use salvage::{Salvaged, salvage};
pub use stats::{Reader, Stats};
pub use store::Store;
pub use tx::{BucketMut, Tx};
pub use units::{Offset, PageId, TxId};
pub use view::{Bucket, Buckets, Cursor, Item, Pairs, View};
