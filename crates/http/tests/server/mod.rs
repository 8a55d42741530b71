//! A server over a data directory.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use icecore_database::{Database, Mode, Options, Paths};
use icecore_disk::Disk;
use icecore_http::{Service, serve};
use tokio::net::TcpListener;

/// Serves `dir` until the test ends.
pub(crate) async fn start(dir: &Path, mode: Mode) -> SocketAddr {
    let database = Database::open(Paths::in_dir(dir), Options::new(mode)).expect("the directory opens");
    serving(database, icecore_http::Options::default()).await
}

/// The same on another disk, to be read.
pub(crate) async fn start_on(disk: &Arc<dyn Disk>, dir: &Path, options: icecore_http::Options) -> SocketAddr {
    let database = Database::open_on(Arc::clone(disk), Paths::in_dir(dir), Options::new(Mode::ReadOnly));
    serving(database.expect("the directory opens"), options).await
}

async fn serving(database: Database, options: icecore_http::Options) -> SocketAddr {
    let service = Service::new(Arc::new(database), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, service, std::future::pending()));
    address
}
