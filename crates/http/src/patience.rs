//! How long a connection may keep us waiting for a request: long between requests, short within the head of one.
//!
//! hyper knows one limit, which it starts when it begins to wait. Here the limit that it sleeps on moves closer when
//! the first byte arrives: an idle connection of a client is kept, one that dribbles a head is not.
//!
//! | wait | from | limit |
//! |---|---|---|
//! | first head of a connection | it was accepted | `head_max` |
//! | later head, no byte yet | the answer before it | `idle_max` |
//! | later head, begun | its first byte | `head_max` |

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::stall::Stall;

/// The limit of the wait in progress; shared by the socket, which sees bytes, and hyper's timer.
#[derive(Clone)]
pub(crate) struct Patience {
    wait: Arc<Mutex<Wait>>,
    head_max: Duration,
    idle_max: Duration,
}

#[derive(Clone, Copy)]
enum Wait {
    Accepted(Instant),
    /// The limit stands, whatever arrives.
    First(Instant),
    Idle(Instant),
    Head(Instant),
}

impl Patience {
    /// For a connection that was accepted just now.
    pub(crate) fn new(head_max: Duration, idle_max: Duration) -> Self {
        let wait = Arc::new(Mutex::new(Wait::Accepted(Instant::now() + head_max)));
        Self { wait, head_max, idle_max }
    }

    /// Changes the wait; its limit afterwards.
    fn change(&self, to: impl FnOnce(Wait) -> Wait) -> Instant {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        *wait = to(*wait);
        let (Wait::Accepted(limit) | Wait::First(limit) | Wait::Idle(limit) | Wait::Head(limit)) = *wait;
        limit
    }

    fn bytes_arrived(&self) {
        let begun = Wait::Head(Instant::now() + self.head_max);
        self.change(|wait| if let Wait::Idle(_) = wait { begun } else { wait });
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until((Instant::now() + duration).into_std())
    }

    /// hyper begins to wait for a head. Its own idea of the limit is not used.
    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let idle = Wait::Idle(Instant::now() + self.idle_max);
        let limit =
            self.change(|wait| if let Wait::Accepted(limit) = wait { Wait::First(limit) } else { idle });
        Box::pin(HeadSleep { sleep: Box::pin(tokio::time::sleep_until(limit)), patience: self.clone() })
    }
}

/// Ends when the limit is reached, wherever it has moved to since. hyper polls it after each read that did not
/// complete a head.
struct HeadSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
    patience: Patience,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.patience.change(|wait| wait);
        if self.sleep.deadline() != limit {
            self.sleep.as_mut().reset(limit);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl Sleep for HeadSleep {}

/// A socket that reports arriving bytes, and that fails when a client takes too little of what is sent.
pub(crate) struct Watched {
    pub(crate) stream: TcpStream,
    pub(crate) patience: Patience,
    pub(crate) stall: Stall,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.patience.bytes_arrived();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stall.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.stall.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
