//! How slowly a client may take an answer.
//!
//! Invariant: only the time in which the client keeps us from writing counts; a source that is slow is not held against it.
//! In each window of such time a connection takes at least `speed_min` bytes a second on an average, or it ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::metrics::{Fate, Reason};

/// What a client has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long it is watched before it is judged.
    pub(crate) window: Duration,
    /// Bytes a second; 0 waits for ever.
    pub(crate) speed_min: u64,
}

/// Watches the writes of one connection.
pub(crate) struct Stall {
    pace: Pace,
    /// Learns that the client was too slow.
    fate: Arc<Fate>,
    /// Since when nothing can be written.
    blocked_since: Option<Instant>,
    /// In this window, before that.
    blocked: Duration,
    /// Written in this window.
    bytes: u64,
    end: Pin<Box<Sleep>>,
}

impl Stall {
    pub(crate) fn new(pace: Pace, fate: Arc<Fate>) -> Self {
        let end = Box::pin(tokio::time::sleep(pace.window));
        Self { pace, fate, blocked_since: None, blocked: Duration::ZERO, bytes: 0, end }
    }

    /// What becomes of a write whose outcome is `poll`.
    pub(crate) fn judge(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.pace.speed_min == 0 {
            return poll;
        }
        match &poll {
            Poll::Ready(Ok(len)) => {
                if let Some(since) = self.blocked_since.take() {
                    self.blocked += since.elapsed();
                }
                self.bytes += *len as u64;
                self.end_window(self.blocked);
                poll
            }
            Poll::Ready(Err(_)) => poll,
            Poll::Pending => {
                let left = self.pace.window.saturating_sub(self.blocked);
                if self.blocked_since.is_none() {
                    let now = Instant::now();
                    self.blocked_since = Some(now);
                    self.end.as_mut().reset(now + left);
                }
                if self.end.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if self.is_slow() {
                    self.fate.set(Reason::TooSlow);
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the client takes too little");
                    return Poll::Ready(Err(error));
                }
                // Enough came before it was blocked: the next window begins.
                self.end_window(self.pace.window);
                self.blocked_since = None;
                self.judge(cx, Poll::Pending)
            }
        }
    }

    fn end_window(&mut self, blocked: Duration) {
        if blocked >= self.pace.window {
            self.blocked = Duration::ZERO;
            self.bytes = 0;
        }
    }

    fn is_slow(&self) -> bool {
        let wanted = u128::from(self.pace.speed_min) * self.pace.window.as_millis() / 1000;
        u128::from(self.bytes) < wanted
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const PACE: Pace = Pace { window: Duration::from_secs(10), speed_min: 100 };

    async fn blocked_for(stall: &mut Stall, time: Duration) -> Option<io::Error> {
        let blocked = poll_fn(|cx| stall.judge(cx, Poll::Pending));
        tokio::time::timeout(time, blocked).await.ok().and_then(Result::err)
    }

    async fn wrote(stall: &mut Stall, len: usize) {
        let written = poll_fn(|cx| stall.judge(cx, Poll::Ready(Ok(len)))).await;
        assert_eq!(written.expect("what was written is written"), len);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_after_a_window() {
        let mut stall = Stall::new(PACE, Arc::default());
        let started = Instant::now();
        let error = blocked_for(&mut stall, Duration::from_secs(60)).await.expect("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_enough_is_served_and_one_that_takes_less_is_not() {
        let mut stall = Stall::new(PACE, Arc::default());
        for _ in 0..100 {
            assert!(blocked_for(&mut stall, Duration::from_secs(2)).await.is_none());
            wrote(&mut stall, 260).await;
        }
        let mut stall = Stall::new(PACE, Arc::default());
        let mut seconds = 0;
        while blocked_for(&mut stall, Duration::from_secs(2)).await.is_none() {
            wrote(&mut stall, 150).await;
            seconds += 2;
            assert!(seconds < 60, "75 bytes a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_we_have_nothing_to_write_does_not_count() {
        let mut stall = Stall::new(PACE, Arc::default());
        for _ in 0..20 {
            wrote(&mut stall, 1).await;
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert!(blocked_for(&mut stall, Duration::from_millis(400)).await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_least_speed_a_client_may_wait() {
        let mut stall = Stall::new(Pace { speed_min: 0, ..PACE }, Arc::default());
        assert!(blocked_for(&mut stall, Duration::from_secs(100_000)).await.is_none());
    }
}
