//! A server: accepts connections, speaks HTTP/1 on each, stops without cutting answers short.
//!
//! Invariant: an answer that ends early never looks whole. A connection whose answer broke off, or was cut off when the
//! server had to stop, is reset and not closed, so that a reader that lives by the end of the stream (HTTP/1.0, and
//! with it many a proxy) sees the failure too.

use std::future::{self, Future};
use std::io;
use std::net::SocketAddr;
use std::pin::{self, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::lane::Lane;
use crate::metrics::{Fate, Reason};
use crate::patience::{Patience, Watched};
use crate::service::{Options, Service};
use crate::stall::{Pace, Stall};

/// How systems call a page that cannot be read when they copy it to a socket: a bad sector, or a file that was cut short.
const EFAULT: i32 = 14;
/// After a failed accept, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections whose answers were not finished within [`Options::drain_max`](crate::Options) and were reset.
    pub cut_off_connections: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Answers in progress go on; nothing new is taken.
    Draining,
    CutOff,
}

/// Serves connections of `listener` until `stop` completes; then takes no more, closes idle ones, lets answers in
/// progress go on for [`Options::drain_max`](crate::Options) and resets what is left.
///
/// # Cancel safety
/// A future that is dropped drops all its connections at once.
pub async fn serve(listener: TcpListener, service: Service, stop: impl Future<Output = ()>) -> Stopped {
    let (phase, _) = watch::channel(Phase::Serving);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, service.clone(), phase.subscribe()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    phase.send_replace(Phase::Draining);
    let drained = tokio::time::timeout(service.options().drain_max, all_ended(&mut connections)).await;
    let cut_off_connections = if drained.is_ok() { 0 } else { connections.len() };
    phase.send_replace(Phase::CutOff);
    all_ended(&mut connections).await;
    Stopped { cut_off_connections }
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "connection ended by a panic");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Service,
    mut phase: watch::Receiver<Phase>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch off Nagle's algorithm");
    }
    let (head_max, idle_max) = (service.options().head_max, service.options().idle_max);
    let patience = Patience::new(head_max, idle_max);
    let Options { client_speed_min: speed_min, client_stall_max: window, .. } = *service.options();
    let pace = Pace { window, speed_min };
    let fate: Arc<Fate> = Arc::default();
    let stall = Stall::new(pace, Arc::clone(&fate));
    let socket = TokioIo::new(Watched { stream, patience: patience.clone(), stall });
    let lane = Lane::default();
    let background = service.options().background.clone();
    let service = service.on_connection(lane.clone(), Arc::clone(&fate));
    let mut connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(patience)
        .header_read_timeout(head_max)
        .serve_connection(socket, service);
    loop {
        let outcome;
        let lane = background.is_some().then(|| lane.clone());
        let carried = Carried { connection, peer, phase, lane, fate: Arc::clone(&fate) };
        (Carried { connection, phase, .. }, outcome) = match &background {
            Some(background) if carried.has_download() => {
                match background.runtime.spawn(carried.carry(true)).await {
                    Ok(carried) => carried,
                    Err(error) => return log_panic(Err(error)),
                }
            }
            _ => carried.carry(false).await,
        };
        match outcome {
            Outcome::Moves => {}
            Outcome::Ended { must_reset: false } => return,
            Outcome::Ended { must_reset: true } => {
                let stream = connection.into_parts().io.into_inner().stream;
                if let Err(error) = stream.set_zero_linger() {
                    tracing::warn!(%peer, %error, "cannot reset a connection whose answer is not complete");
                }
                return;
            }
        }
    }
}

/// A connection on its way from threads to threads.
struct Carried {
    connection: http1::Connection<TokioIo<Watched>, Service>,
    peer: SocketAddr,
    phase: watch::Receiver<Phase>,
    /// Where it may move.
    lane: Option<Lane>,
    /// Where it says why it ends.
    fate: Arc<Fate>,
}

enum Outcome {
    /// Other threads are to carry it.
    Moves,
    Ended {
        must_reset: bool,
    },
}

impl Carried {
    fn has_download(&self) -> bool {
        self.lane.as_ref().is_some_and(Lane::has_download)
    }

    /// Carries the connection until it ends, or has a download where it `had_download` none, or the other way round.
    async fn carry(mut self, had_download: bool) -> (Self, Outcome) {
        let must_reset = loop {
            let Self { connection, lane, phase, fate, .. } = &mut self;
            let progress = future::poll_fn(|cx| {
                if let Poll::Ready(ended) = pin::Pin::new(&mut *connection).poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // It has asked to be woken by these threads; the others ask once more.
                let moves = lane.as_ref().is_some_and(|lane| lane.has_download() != had_download);
                if moves { Poll::Ready(None) } else { Poll::Pending }
            });
            tokio::select! {
                ended = progress => match ended {
                    None => return (self, Outcome::Moves),
                    Some(Ok(())) => break false,
                    Some(Err(error)) => {
                        log_end(self.peer, &error);
                        break error.is_user() || cause(&error).is_some();
                    }
                },
                changed = phase.changed() => match *phase.borrow_and_update() {
                    Phase::Serving if changed.is_ok() => {}
                    Phase::Draining if changed.is_ok() => pin::Pin::new(connection).graceful_shutdown(),
                    _ => {
                        fate.set(Reason::Stopped);
                        break true;
                    }
                },
            }
        };
        (self, Outcome::Ended { must_reset })
    }
}

/// What the socket said. When it takes no more, because the client took too little or a page of a mapped file cannot be
/// read, the system would go on to offer the client what it has.
fn cause(error: &hyper::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Clients come and go; only what they cannot have caused is worth more than a debug line. A broken body was logged
/// with its request.
fn log_end(peer: SocketAddr, error: &hyper::Error) {
    let text = std::error::Error::source(error).map(ToString::to_string);
    if cause(error).is_some_and(|cause| cause.raw_os_error() == Some(EFAULT)) {
        tracing::error!(%peer, cause = text, "answer broken off: a page of a mapped file cannot be read");
    } else if error.is_parse() || error.is_timeout() {
        tracing::info!(%peer, %error, cause = text, "connection refused a request");
    } else {
        tracing::debug!(%peer, %error, cause = text, "connection ended early");
    }
}
