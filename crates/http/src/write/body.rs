//! A request body on its way into memory.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Buf as _;

use crate::problem::{Code, Problem};
use crate::write::memory::Held;

/// How much of a body that nobody wants is read, so that the client, who may be sending still, sees the answer: a
/// connection that is closed before can take it away.
const DRAIN_BYTES_MAX: usize = 16 << 20;
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// A body of which a part was read.
pub(crate) struct Arriving<'b, B> {
    body: Pin<&'b mut B>,
    stall_max: Duration,
    is_whole: bool,
}

impl<'b, B> Arriving<'b, B>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// `stall_max`: how long nothing may arrive.
    pub(crate) fn new(body: Pin<&'b mut B>, stall_max: Duration) -> Self {
        Self { body, stall_max, is_whole: false }
    }

    /// Reads until `held` has `len` bytes at least, or all.
    pub(crate) async fn read_until(&mut self, held: &mut Held, len: usize) -> Result<(), Problem> {
        while !self.is_whole && held.bytes.len() < len {
            let Some(mut chunk) = self.next().await? else { return Ok(()) };
            held.make_room(chunk.remaining()).await?;
            while chunk.has_remaining() {
                let piece = chunk.chunk();
                held.bytes.extend_from_slice(piece);
                let len = piece.len();
                chunk.advance(len);
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<B::Data>, Problem> {
        loop {
            let arriving = poll_fn(|cx| self.body.as_mut().poll_frame(cx));
            let Ok(frame) = tokio::time::timeout(self.stall_max, arriving).await else {
                let message = format!("unable to read data: nothing arrived for {:?}", self.stall_max);
                return Err(Problem::new(Code::Invalid, message));
            };
            match frame.transpose() {
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(None) => {
                    self.is_whole = true;
                    return Ok(None);
                }
                Err(error) => {
                    self.is_whole = true;
                    let message = format!("unable to read data: {}", error.into());
                    return Err(Problem::new(Code::Invalid, message));
                }
            }
        }
    }

    /// Throws away what is on its way, within limits.
    pub(crate) async fn drain(&mut self) {
        let draining = async {
            let mut bytes = 0;
            while let (false, Ok(Some(chunk))) = (bytes > DRAIN_BYTES_MAX, self.next().await) {
                bytes += chunk.remaining();
            }
        };
        let started = Instant::now();
        if tokio::time::timeout(DRAIN_MAX, draining).await.is_err() {
            tracing::debug!(waited = ?started.elapsed(), "a body that nobody wants is still arriving");
        }
    }
}
