//! A server over a data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use icecore_database::{Database, Mode, Options, Paths};
use icecore_http::{Service, serve};
use tokio::net::TcpListener;

/// Serves `dir` until the test ends.
pub(crate) async fn start(dir: &Path, mode: Mode) -> SocketAddr {
    let database = Database::open(Paths::in_dir(dir), Options::new(mode)).expect("the directory opens");
    let service = Service::new(Arc::new(database), icecore_http::Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, service, std::future::pending()));
    address
}
