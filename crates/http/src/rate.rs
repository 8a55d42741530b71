//! How fast all downloads together may be.
//!
//! Invariant: over any time they send what the rate allows in it, and at most one piece for each download more. Pieces are a
//! tenth of a second long, so that a slow rate is no silence to a client.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::download::BrokenOff;
use crate::lane::Deferential;
use crate::pump::Pump;

const PIECES_PER_SECOND: u64 = 10;

/// Bytes a second, shared by all downloads.
#[derive(Debug)]
pub(crate) struct Rate {
    bytes_per_second: u64,
    /// When what was taken so far has been sent.
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    /// `None`: no limit.
    pub(crate) fn new(bytes_per_second: u64) -> Option<Arc<Self>> {
        (bytes_per_second > 0).then(|| Arc::new(Self { bytes_per_second, free_at: Mutex::new(None) }))
    }

    fn piece_max(&self) -> usize {
        usize::try_from(self.bytes_per_second / PIECES_PER_SECOND).unwrap_or(usize::MAX).max(1)
    }

    /// Takes so many bytes; when the next ones may be sent.
    fn take(&self, bytes: usize) -> Instant {
        let seconds = bytes as f64 / self.bytes_per_second as f64;
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = free_at.map_or(now, |free_at| free_at.max(now)) + Duration::from_secs_f64(seconds);
        *free_at = Some(next);
        next
    }
}

/// A download that keeps to the rate, if there is one.
pub(crate) struct Paced {
    pump: Pump,
    rate: Option<Arc<Rate>>,
    deferential: Option<Arc<Deferential>>,
    /// When the last chunk was taken.
    taken: Option<Instant>,
    /// Of a chunk, what may not be sent yet.
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `deferential`: how it gives way to writes, if it does.
    pub(crate) fn new(pump: Pump, rate: Option<Arc<Rate>>, deferential: Option<Arc<Deferential>>) -> Self {
        Self { pump, rate, deferential, taken: None, rest: Bytes::new(), pause: None }
    }

    /// As [`Pump::poll_chunk`].
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if let (Some(taken), Some(deferential)) = (self.taken.take(), &self.deferential)
            && let Some(pause) = deferential.pause_after(taken.elapsed())
            && self.pause.is_none()
        {
            self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let chunk = ready!(self.poll_paced(cx));
        self.taken = Some(Instant::now());
        Poll::Ready(chunk)
    }

    fn poll_paced(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let Some(rate) = &self.rate else { return self.pump.poll_chunk(cx) };
        if self.rest.is_empty() {
            match ready!(self.pump.poll_chunk(cx)) {
                Some(Ok(chunk)) => self.rest = chunk,
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(rate.piece_max()));
        self.pause = Some(Box::pin(tokio::time::sleep_until(rate.take(piece.len()))));
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::pump::Making;

    fn download(rate: &Option<Arc<Rate>>) -> Paced {
        let chunks = (0..10_u8).map(|nth| Ok(Bytes::from(vec![nth; 5000])));
        Paced::new(Pump::new(Box::new(chunks), Making::Ahead(1)), rate.clone(), None)
    }

    async fn read(mut paced: Paced) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(chunk) = poll_fn(|cx| paced.poll_chunk(cx)).await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        bytes
    }

    #[tokio::test]
    async fn two_downloads_share_the_rate_and_lose_nothing() {
        let whole: Vec<u8> = (0..10_u8).flat_map(|nth| [nth; 5000]).collect();
        let rate = Rate::new(200_000);
        let started = Instant::now();
        let (first, second) = tokio::join!(read(download(&rate)), read(download(&rate)));
        assert!(first == whole && second == whole);
        let took = started.elapsed().as_millis();
        assert!((400..3000).contains(&took), "100,000 bytes in {took} ms"); // half a second, but for the last pieces
    }

    #[tokio::test]
    async fn without_a_rate_chunks_are_as_they_come() {
        assert!(Rate::new(0).is_none());
        let mut paced = download(&None);
        assert_eq!(poll_fn(|cx| paced.poll_chunk(cx)).await.unwrap().unwrap().len(), 5000);
        assert_eq!(read(paced).await.len(), 45_000);
    }
}
