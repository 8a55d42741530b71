//! BoltDB files, the format of `go.etcd.io/bbolt`: what influxd keeps its metadata in.
//!
//! Opens a file whichever meta page is the newest, reads its buckets and pairs, checks every page, sends a consistent
//! copy of one state while others read, and replaces the whole content by a new file. Total on any bytes: damage is an
//! error with file, page and offset, never a panic.
//!
//! What it is not: it changes no page in place, so there are no small transactions; each replacement writes the whole
//! file. It does not see a flipped bit inside a key or a value, since pages of this format have no checksum. It does
//! not read a file that another process has open to write.
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
mod error;
mod format;
mod publish;
mod report;
mod state;
mod store;
mod units;
mod view;

pub use build::{Builder, KEY_LEN_MAX, VALUE_LEN_MAX};
pub use copy::HotCopy;
pub use error::{Error, ErrorKind, Result};
pub use report::{Problem, Report};
pub use store::Store;
pub use units::{Offset, PageId, TxId};
pub use view::{Bucket, Buckets, Pairs, View};
