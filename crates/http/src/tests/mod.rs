//! The service over a double of a data directory, through real sockets.

mod logging;
mod routing;
mod serving;
mod streams;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use icecore_backup::{Boundary, Selection};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::backend::{Backend, Caller};
use crate::download::{BrokenOff, Chunks, Download};
use crate::problem::{Code, Problem};
use crate::{Options, Service, Stopped, serve};

type ShardFn = dyn Fn(u64, &Selection) -> Result<Download, Problem> + Send + Sync;

/// Knows the tokens `operator`, `reader`, `inactive` and `orphan`, and panics when asked for the KV file.
pub(crate) struct Double {
    shard: Box<ShardFn>,
    setups: Mutex<Vec<Vec<u8>>>,
}

impl Double {
    fn new(shard: impl Fn(u64, &Selection) -> Result<Download, Problem> + Send + Sync + 'static) -> Self {
        Self { shard: Box::new(shard), setups: Mutex::default() }
    }

    /// Has no shard.
    fn empty() -> Self {
        Self::new(|id, _| Err(Problem::new(Code::NotFound, format!("shard {id} not found"))))
    }
}

#[expect(clippy::panic_in_result_fn, reason = "one panic is planted")]
impl Backend for Double {
    fn caller(&self, token: &str) -> Result<Option<Caller>, Problem> {
        let denied = |why: &str| Err(why.to_owned());
        let may_operate = match token {
            "operator" | "orphan" => Ok(()),
            "reader" => denied("read:authorizations is unauthorized"),
            "inactive" => denied("token is inactive"),
            _ => return Ok(None),
        };
        Ok(Some(Caller { user_is_active: token != "orphan", may_operate }))
    }

    fn is_onboarding(&self) -> Result<bool, Problem> {
        Ok(self.setups.lock().unwrap().is_empty())
    }

    fn onboard(&self, request: &[u8]) -> Result<Bytes, Problem> {
        self.setups.lock().unwrap().push(request.to_vec());
        Ok(Bytes::from_static(b"{}"))
    }

    fn kv(&self) -> Result<Download, Problem> {
        panic!("the <store> is gone")
    }

    fn metadata(&self, boundary: &Boundary) -> Result<Download, Problem> {
        Ok(known(vec![format!("--{boundary}--").into_bytes()]))
    }

    fn shard(&self, id: u64, selection: &Selection, _: Instant) -> Result<Download, Problem> {
        (self.shard)(id, selection)
    }
}

fn of(chunks: Vec<Vec<u8>>) -> Chunks {
    Box::new(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))))
}

/// A download whose size is announced.
fn known(chunks: Vec<Vec<u8>>) -> Download {
    let size = chunks.iter().map(|chunk| u64::try_from(chunk.len()).unwrap()).sum();
    Download { chunks: of(chunks), size: Some(size), cut_ns: Some(1_500_000_000) }
}

/// A download whose size is not known.
fn unknown(chunks: Vec<Vec<u8>>) -> Download {
    Download { chunks: of(chunks), size: None, cut_ns: Some(1_500_000_000) }
}

fn then_fails(chunks: Chunks) -> Chunks {
    Box::new(chunks.chain([Err(BrokenOff::of("000000001-000000001.tsm: block at byte 5 is damaged"))]))
}

/// A running server.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<Stopped>,
}

impl Server {
    async fn of(double: Double) -> Self {
        Self::with(double, Options::default()).await
    }

    async fn with(double: Double, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = oneshot::channel();
        let service = Service::over(double, options);
        // A server whose handle is gone serves until the test ends.
        let stopping = async {
            if stopping.await.is_err() {
                std::future::pending().await
            }
        };
        let stopped = tokio::spawn(serve(listener, service, stopping));
        Self { address, stop, stopped }
    }

    async fn stop(self) -> Stopped {
        self.stop.send(()).unwrap();
        self.stopped.await.unwrap()
    }
}
