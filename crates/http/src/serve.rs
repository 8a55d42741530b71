//! A server: accepts connections, speaks HTTP/1 on each, stops without cutting answers short.
//!
//! Invariant: an answer that ends early never looks whole. A connection whose answer broke off, or was cut off when the
//! server had to stop, is reset and not closed, so that a reader that lives by the end of the stream (HTTP/1.0, and
//! with it many a proxy) sees the failure too.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{self, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    let mut connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(patience)
        .header_read_timeout(head_max)
        .serve_connection(socket, service.on_connection(Arc::clone(&fate)));
    let must_reset = loop {
        tokio::select! {
            ended = &mut connection => match ended {
                Ok(()) => break false,
                Err(error) => {
                    log_end(peer, &error);
                    break error.is_user() || cause(&error).is_some();
                }
            },
            changed = phase.changed() => match *phase.borrow_and_update() {
                Phase::Serving if changed.is_ok() => {}
                Phase::Draining if changed.is_ok() => pin::Pin::new(&mut connection).graceful_shutdown(),
                _ => {
                    fate.set(Reason::Stopped);
                    break true;
                }
            },
        }
    };
    if must_reset {
        let stream = connection.into_parts().io.into_inner().stream;
        if let Err(error) = stream.set_zero_linger() {
            tracing::warn!(%peer, %error, "cannot reset a connection whose answer is not complete");
        }
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
