//! Carries a blocking download into an asynchronous body.
//!
//! Invariant: no thread waits for a client. A batch is made on a blocking thread, which is given back before the batch
//! is sent; at most one batch waits while the next is made. A client that stalls holds these two and what the source
//! has pinned; one that leaves frees them all, at once or when the batch in the making is done.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinError, JoinHandle};

use crate::download::{BrokenOff, Chunks};

/// A download on its way to one client. To be polled inside a tokio runtime.
pub(crate) struct Pump {
    source: Source,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    batch_bytes: usize,
}

enum Source {
    Idle(Chunks),
    Working(JoinHandle<Batch>),
    Failed(BrokenOff),
    /// As `Failed`; the server had the chance to flush what came before.
    FailedAndFlushed(BrokenOff),
    Ended,
}

/// Chunks, and the source as it is after them.
struct Batch {
    chunks: Vec<Bytes>,
    source: Source,
}

impl Pump {
    /// `batch_bytes`: how much is made at once; a batch passes it by less than one chunk.
    pub(crate) fn new(chunks: Chunks, batch_bytes: usize) -> Self {
        Self { source: Source::Idle(chunks), waiting: VecDeque::new(), waiting_bytes: 0, batch_bytes }
    }

    /// The next chunk, never an empty one; after an error only the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            let progress = self.poll_source(cx);
            if let Some(chunk) = self.waiting.pop_front() {
                self.waiting_bytes -= chunk.len();
                return Poll::Ready(Some(Ok(chunk)));
            }
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Ended => return Poll::Ready(None),
                Source::Failed(why) => {
                    // A server that learns of the failure drops what it still buffers, the head of the answer perhaps.
                    // Waiting for one turn lets it write: then the client sees an answer that breaks off.
                    self.source = Source::FailedAndFlushed(why);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Source::FailedAndFlushed(why) => return Poll::Ready(Some(Err(why))),
                unfinished => self.source = unfinished,
            }
            ready!(progress);
        }
    }

    /// Starts the next batch when less than one waits, and takes over a finished one.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting_bytes < self.batch_bytes {
            self.source = match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Idle(chunks) => {
                    let limit = self.batch_bytes;
                    Source::Working(tokio::task::spawn_blocking(move || Batch::make(chunks, limit)))
                }
                other => other,
            };
        }
        if let Source::Working(task) = &mut self.source {
            let batch = ready!(Pin::new(task).poll(cx)).unwrap_or_else(Batch::lost);
            self.waiting_bytes += batch.chunks.iter().map(Bytes::len).sum::<usize>();
            self.waiting.extend(batch.chunks);
            self.source = batch.source;
        }
        Poll::Ready(())
    }
}

impl Batch {
    fn make(mut source: Chunks, limit: usize) -> Self {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while bytes < limit {
            match source.next() {
                // What follows may be a while in coming.
                Some(Ok(chunk)) if chunk.is_empty() && !chunks.is_empty() => break,
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    bytes += chunk.len();
                    chunks.push(chunk);
                }
                Some(Err(why)) => return Self { chunks, source: Source::Failed(why) },
                None => return Self { chunks, source: Source::Ended },
            }
        }
        Self { chunks, source: Source::Idle(source) }
    }

    /// The source panicked, or the runtime is going down.
    fn lost(error: JoinError) -> Self {
        Self { chunks: Vec::new(), source: Source::Failed(BrokenOff::of(error)) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Counts what it gave, and is counted as long as it lives.
    struct Source {
        given: Arc<AtomicUsize>,
        end: Result<usize, usize>,
        _alive: Arc<()>,
    }

    impl Iterator for Source {
        type Item = Result<Bytes, BrokenOff>;

        fn next(&mut self) -> Option<Self::Item> {
            let given = self.given.fetch_add(1, Ordering::SeqCst);
            match self.end {
                Ok(end) if given == end => None,
                Err(end) if given == end => Some(Err(BrokenOff::of("disk"))),
                _ => Some(Ok(Bytes::from(vec![given.to_le_bytes()[0]; 1000]))),
            }
        }
    }

    fn pump(end: Result<usize, usize>, batch: usize) -> (Pump, Arc<AtomicUsize>, Arc<()>) {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let source = Source { given: Arc::clone(&given), end, _alive: Arc::clone(&alive) };
        (Pump::new(Box::new(source), batch), given, alive)
    }

    async fn next(pump: &mut Pump) -> Option<Result<Bytes, BrokenOff>> {
        poll_fn(|cx| pump.poll_chunk(cx)).await
    }

    #[tokio::test]
    async fn every_chunk_arrives_in_order_whatever_the_batch() {
        for batch in [1, 999, 1000, 2500, 1_000_000] {
            let (mut pump, _, alive) = pump(Ok(50), batch);
            for expected in 0..50 {
                assert_eq!(next(&mut pump).await.unwrap().unwrap(), vec![expected; 1000]);
            }
            assert!(next(&mut pump).await.is_none());
            assert_eq!(Arc::strong_count(&alive), 1, "the source is gone when it ended");
        }
    }

    #[tokio::test]
    async fn what_came_before_an_empty_chunk_is_sent_before_the_source_is_asked_again() {
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let chunks = [&b""[..], b"abc", b"d", b"", b"ef"].map(|chunk| Ok(Bytes::from(chunk)));
        let waiting = std::iter::once_with(move || {
            waits.recv().unwrap();
            Ok(Bytes::from("g"))
        });
        let mut pump = Pump::new(Box::new(chunks.into_iter().chain([Ok(Bytes::new())]).chain(waiting)), 1000);
        for expected in ["abc", "d", "ef"] {
            assert_eq!(next(&mut pump).await.unwrap().unwrap(), expected);
        }
        go_on.send(()).unwrap();
        assert_eq!(next(&mut pump).await.unwrap().unwrap(), "g");
        assert!(next(&mut pump).await.is_none());
    }

    #[tokio::test]
    async fn an_error_comes_after_the_chunks_before_it() {
        let (mut pump, _, _) = pump(Err(7), 2500);
        for _ in 0..7 {
            next(&mut pump).await.unwrap().unwrap();
        }
        assert_eq!(next(&mut pump).await.unwrap().unwrap_err().to_string(), "disk");
        assert!(next(&mut pump).await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_panics_is_an_error() {
        let chunks = std::iter::from_fn(|| -> Option<Result<Bytes, BrokenOff>> { panic!("out of order") });
        let error = next(&mut Pump::new(Box::new(chunks), 1)).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
    }

    #[tokio::test]
    async fn a_client_that_stalls_stops_the_source_after_two_batches_and_keeps_no_thread() {
        let (mut pump, given, alive) = pump(Ok(1000), 10_000);
        next(&mut pump).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(given.load(Ordering::SeqCst) <= 20, "{given:?}");
        drop(pump);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(Arc::strong_count(&alive), 1, "a client that leaves frees the source");
    }
}
