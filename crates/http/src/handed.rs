//! Knows when a connection has sent what it was handed.
//!
//! Invariant: bytes count until the last reference to them is gone. hyper drops a chunk when the socket has taken it; another server
//! that keeps or copies chunks is asked for more later or sooner, and loses nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// The chunks of one download that a connection still has.
#[derive(Default)]
pub(crate) struct Handed(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    chunks: usize,
    /// Of who waits until there is none.
    waker: Option<Waker>,
}

impl Handed {
    /// The same bytes, counted.
    pub(crate) fn count(&self, bytes: Bytes) -> Bytes {
        self.0.state().chunks += 1;
        Bytes::from_owner(Counted { bytes, shared: Arc::clone(&self.0) })
    }

    /// Ready when all are gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state();
        if state.chunks == 0 {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counted {
    bytes: Bytes,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.chunks -= 1;
        let waker = if state.chunks == 0 { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_waits_is_woken_once_by_the_last_reference_to_the_last_chunk() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let handed = Handed::default();
        assert!(handed.poll_gone(&mut cx).is_ready());
        let (one, two) = (handed.count(Bytes::from_static(b"one")), handed.count(Bytes::from_static(b"two")));
        assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
        let part = two.slice(1..);
        assert!(handed.poll_gone(&mut cx).is_pending());
        drop((one, two));
        assert!(handed.poll_gone(&mut cx).is_pending(), "a part of the second is still there");
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        drop(part);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(handed.poll_gone(&mut cx).is_ready());
    }
}
