//! Carries a blocking download into an asynchronous body.
//!
//! Invariant: no thread waits for a client. A batch is made on a blocking thread, which is given back before the batch
//! is sent. A client that stalls holds what [`Making`] allows and what the source has pinned; one that leaves frees it all, at once
//! or when the batch in the making is done.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::download::{BrokenOff, Chunks};
use crate::handed::Handed;

/// When the batches of a download are made. A batch passes its size by less than one chunk.
pub(crate) enum Making {
    /// So many bytes while those before are sent: of slices of mapped files, which cost no memory of their own.
    Ahead(usize),
    /// In memory, when the connection has sent what was made before, so that a slow client holds what is left of one batch; and in turns
    /// with other downloads. A turn lasts as long as a batch is made, whatever becomes of it: of clients who stall none has one.
    InTurns(Arc<Turns>),
}

/// What downloads share that are made in memory: their number decides how long a batch is.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Arc<Semaphore>,
    /// Of all downloads together.
    bytes: usize,
}

/// The shortest batch in memory, which is a short piece of a body that is compressed.
const BATCH_BYTES_MIN: usize = 20 << 10;
/// The longest one: a longer piece saves nothing any more.
const BATCH_BYTES_MAX: usize = 256 << 10;

impl Turns {
    /// So many batches are made at once; all batches together have so many bytes, unless they are the shortest ones.
    pub(crate) fn new(count: usize, bytes: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(count)), bytes }
    }

    /// The length of a batch now; each download holds its turns, and so does who made them.
    fn limit(self: &Arc<Self>) -> usize {
        (self.bytes / Arc::strong_count(self)).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX)
    }
}

/// A download on its way to one client. To be polled inside a tokio runtime.
pub(crate) struct Pump {
    source: Source,
    making: Making,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    handed: Handed,
}

enum Source {
    Idle(Chunks),
    Working(Work),
    Failed(BrokenOff),
    /// As `Failed`; the server had the chance to flush what came before.
    FailedAndFlushed(BrokenOff),
    Ended,
}

/// A batch in the making, or one that waits for its turn: that one is not made if this is dropped.
struct Work(JoinHandle<Batch>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Chunks, and the source as it is after them.
struct Batch {
    chunks: Vec<Bytes>,
    source: Source,
}

impl Pump {
    pub(crate) fn new(chunks: Chunks, making: Making) -> Self {
        let (waiting, handed) = (VecDeque::new(), Handed::default());
        Self { source: Source::Idle(chunks), making, waiting, waiting_bytes: 0, handed }
    }

    /// The next chunk, never an empty one; after an error only the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            let progress = self.poll_source(cx);
            if let Some(chunk) = self.waiting.pop_front() {
                self.waiting_bytes -= chunk.len();
                return Poll::Ready(Some(Ok(match self.making {
                    Making::Ahead(_) => chunk,
                    Making::InTurns(_) => self.handed.count(chunk),
                })));
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

    /// Starts the next batch when it is time for it, and takes over a finished one.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Source::Idle(_) = self.source {
            ready!(self.poll_wanted(cx));
            self.source = match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Idle(chunks) => Source::Working(Work::begin(chunks, &self.making)),
                other => other,
            };
        }
        if let Source::Working(Work(task)) = &mut self.source {
            let batch = ready!(Pin::new(task).poll(cx)).unwrap_or_else(Batch::lost);
            self.waiting_bytes += batch.chunks.iter().map(Bytes::len).sum::<usize>();
            self.waiting.extend(batch.chunks);
            self.source = batch.source;
        }
        Poll::Ready(())
    }

    /// Ready when the next batch is to be made.
    fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.making {
            Making::Ahead(bytes) if self.waiting_bytes < bytes => Poll::Ready(()),
            Making::InTurns(_) if self.waiting.is_empty() => self.handed.poll_gone(cx),
            _ => Poll::Pending, // there is a chunk to be taken first
        }
    }
}

impl Work {
    /// What waits for a turn is a task and not this download: who is called has to take it, and a download is not asked while its
    /// connection is busy.
    fn begin(chunks: Chunks, making: &Making) -> Self {
        let (limit, turns) = match making {
            Making::Ahead(limit) => return Self(make(chunks, *limit, ())),
            Making::InTurns(turns) => (turns.limit(), Arc::clone(&turns.turns)),
        };
        if let Ok(turn) = Arc::clone(&turns).try_acquire_owned() {
            return Self(make(chunks, limit, turn));
        }
        Self(tokio::spawn(async move {
            // It is never closed.
            let turn = turns.acquire_owned().await;
            make(chunks, limit, turn).await.unwrap_or_else(Batch::lost)
        }))
    }
}

/// Makes a batch on a blocking thread, and then drops `turn`.
fn make(chunks: Chunks, limit: usize, turn: impl Send + 'static) -> JoinHandle<Batch> {
    spawn_blocking(move || {
        let batch = Batch::make(chunks, limit);
        drop(turn);
        batch
    })
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

    /// Chunks of the shortest one.
    const A_BATCH: usize = BATCH_BYTES_MIN.div_ceil(1000);

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

    fn pump(end: Result<usize, usize>, making: Making) -> (Pump, Arc<AtomicUsize>, Arc<()>) {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let source = Source { given: Arc::clone(&given), end, _alive: Arc::clone(&alive) };
        (Pump::new(Box::new(source), making), given, alive)
    }

    /// For batches of so many bytes, whoever has them.
    fn turns(count: usize) -> Arc<Turns> {
        Arc::new(Turns::new(count, 0))
    }

    fn free(turns: &Turns) -> usize {
        turns.turns.available_permits()
    }

    /// Of batches of so many bytes.
    fn ways(batch: usize) -> [Making; 2] {
        [Making::Ahead(batch), Making::InTurns(Arc::new(Turns::new(1, batch)))]
    }

    async fn next(pump: &mut Pump) -> Option<Result<Bytes, BrokenOff>> {
        poll_fn(|cx| pump.poll_chunk(cx)).await
    }

    /// Time for whatever would happen.
    async fn a_while() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn every_chunk_arrives_in_order_whatever_the_batch() {
        for making in [1, 999, 1000, 2500, 1_000_000].into_iter().flat_map(ways) {
            let (mut pump, _, alive) = pump(Ok(50), making);
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
        let mut pump = Pump::new(
            Box::new(chunks.into_iter().chain([Ok(Bytes::new())]).chain(waiting)),
            Making::Ahead(1000),
        );
        for expected in ["abc", "d", "ef"] {
            let sent = tokio::time::timeout(Duration::from_secs(20), next(&mut pump)).await;
            assert_eq!(sent.expect("handed on").unwrap().unwrap(), expected);
        }
        go_on.send(()).unwrap();
        assert_eq!(next(&mut pump).await.unwrap().unwrap(), "g");
        assert!(next(&mut pump).await.is_none());
    }

    #[tokio::test]
    async fn an_error_comes_after_the_chunks_before_it() {
        for making in ways(2500) {
            let (mut pump, _, _) = pump(Err(7), making);
            for _ in 0..7 {
                next(&mut pump).await.unwrap().unwrap();
            }
            assert_eq!(next(&mut pump).await.unwrap().unwrap_err().to_string(), "disk");
            assert!(next(&mut pump).await.is_none());
        }
    }

    #[tokio::test]
    async fn a_source_that_panics_is_an_error_and_gives_its_turn_back() {
        let turns = turns(1);
        for making in [Making::Ahead(1), Making::InTurns(Arc::clone(&turns))] {
            let chunks =
                std::iter::from_fn(|| -> Option<Result<Bytes, BrokenOff>> { panic!("out of order") });
            let error = next(&mut Pump::new(Box::new(chunks), making)).await.unwrap().unwrap_err();
            assert!(error.to_string().contains("out of order"), "{error}");
        }
        assert_eq!(free(&turns), 1);
    }

    #[tokio::test]
    async fn a_client_that_stalls_stops_the_source_after_two_batches_and_keeps_no_thread() {
        let (mut pump, given, alive) = pump(Ok(1000), Making::Ahead(10_000));
        next(&mut pump).await.unwrap().unwrap();
        a_while().await;
        assert!(given.load(Ordering::SeqCst) <= 20, "{given:?}");
        drop(pump);
        a_while().await;
        assert_eq!(Arc::strong_count(&alive), 1, "a client that leaves frees the source");
    }

    #[test]
    fn the_more_downloads_are_made_in_turns_the_shorter_is_a_batch() {
        let turns = Arc::new(Turns::new(1, 8 << 20));
        let limit = |downloads: usize| {
            let _held = vec![Arc::clone(&turns); downloads];
            turns.limit()
        };
        assert_eq!(
            [1, 31, 63, 255, 10_000].map(limit),
            [256 << 10, 256 << 10, 128 << 10, 32 << 10, 20 << 10]
        );
    }

    #[tokio::test]
    async fn what_is_made_in_turns_is_made_when_all_before_it_was_sent() {
        let (mut pump, given, alive) = pump(Ok(1000), Making::InTurns(turns(1)));
        for batch in 1..4 {
            let mut kept = Vec::new();
            for _ in 0..A_BATCH {
                kept.push(next(&mut pump).await.unwrap().unwrap());
            }
            let no_more = tokio::time::timeout(Duration::from_millis(20), next(&mut pump)).await;
            assert!(no_more.is_err(), "a chunk beyond those that the connection has");
            assert_eq!(given.load(Ordering::SeqCst), batch * A_BATCH);
            drop(kept);
        }
        drop(pump);
        a_while().await;
        assert_eq!(Arc::strong_count(&alive), 1, "a client that leaves frees the source");
    }

    #[tokio::test]
    async fn beside_many_clients_that_stall_another_gets_all() {
        let turns = turns(2);
        let mut stalled = Vec::new();
        for _ in 0..50 {
            let (mut pump, given, _) = pump(Ok(1000), Making::InTurns(Arc::clone(&turns)));
            let kept = next(&mut pump).await.unwrap().unwrap();
            stalled.push((pump, kept, given));
        }
        let (mut pump, ..) = pump(Ok(200), Making::InTurns(Arc::clone(&turns)));
        for expected in 0..200 {
            assert_eq!(next(&mut pump).await.unwrap().unwrap(), vec![expected; 1000]);
        }
        assert!(next(&mut pump).await.is_none());
        assert_eq!(free(&turns), 2);
        assert!(stalled.iter().all(|(.., given)| given.load(Ordering::SeqCst) == A_BATCH));
    }

    #[tokio::test]
    async fn a_turn_that_comes_while_nobody_asks_is_taken_and_who_leaves_gives_up_his_place() {
        let turns = turns(1);
        let only = Arc::clone(&turns.turns).try_acquire_owned().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let (mut pump, given, alive) = pump(Ok(1000), Making::InTurns(Arc::clone(&turns)));
            let asked = tokio::time::timeout(Duration::from_millis(5), next(&mut pump)).await;
            assert!(asked.is_err(), "there is no turn");
            waiting.push((pump, given, alive));
        }
        let (left, ..) = waiting.remove(0);
        drop(left);
        drop(only);
        a_while().await;
        assert_eq!(free(&turns), 1, "the turns went on without the two that wait");
        assert!(waiting.iter().all(|(_, given, _)| given.load(Ordering::SeqCst) == A_BATCH));
    }
}
