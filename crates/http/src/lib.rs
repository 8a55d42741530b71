//! The InfluxDB v2 HTTP API over a [`Database`](icecore_database::Database), as a service for hyper and tower.
//!
//! It serves inspection, setup, lists of organizations and buckets, new buckets, writes and the backup API: what
//! `influx backup`, the Python and the Node client need. What the contract (`docs/http.md`) has beyond that is answered
//! with 501. It maps requests to calls of the crates below and
//! their errors to answers; it decides nothing about storage, and it is not a server: TLS, process and signals belong to
//! whoever mounts it. [`serve`] is the loop for those who only want to listen.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use icecore_database::{Database, Mode, Options, Paths};
//! use icecore_http::{Service, serve};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let paths = Paths::in_dir("/var/lib/influxdb".as_ref());
//! let database = Arc::new(Database::open(paths, Options::new(Mode::ReadWrite))?);
//! let service = Service::new(database, icecore_http::Options::default());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8086").await?;
//! let stopped = serve(listener, service, async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! println!("{} downloads were cut off", stopped.cut_off_connections);
//! # Ok(())
//! # }
//! ```

mod answer;
mod backend;
mod backup;
mod blocking;
mod body;
mod clock;
mod coding;
mod conditions;
mod credentials;
mod cut;
mod database;
mod dispatch;
mod download;
mod handed;
mod inspect;
mod lane;
mod lists;
mod metrics;
mod paging;
mod patience;
mod prepare;
mod problem;
mod pump;
mod range;
mod rate;
mod record;
mod route;
mod serve;
mod service;
mod setup;
mod shape;
mod shared;
mod since;
mod stall;
mod url;
mod write;

#[cfg(test)]
#[path = "../tests/client/mod.rs"]
mod client;
#[cfg(test)]
mod tests;

pub use body::Body;
pub use download::BrokenOff;
pub use lane::{Background, BackgroundHandle};
pub use serve::{Stopped, serve};
pub use service::{Options, Service};
