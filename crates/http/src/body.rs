//! The body of an answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::download::BrokenOff;
use crate::rate::Paced;
use crate::record::{End, Record};
use crate::service::Place;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Bytes in memory or a backup on its way. To be polled inside a tokio runtime.
///
/// An error means that the answer is not complete: a server must break the connection, as hyper does.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// Bytes still to come, if known.
    left: Option<u64>,
    record: Record,
    /// Of a download, which counts as one until this is dropped.
    _place: Option<Place>,
    /// Of the bytes so far, where a digest follows them.
    hasher: Option<Sha256>,
}

enum Content {
    Bytes(Bytes),
    Stream(Paced),
}

impl Body {
    pub(crate) fn bytes(bytes: Bytes, mut record: Record) -> Self {
        let left = len(&bytes);
        record.end = if left == 0 { End::Whole } else { End::ClientGone };
        Self { content: Content::Bytes(bytes), left: Some(left), record, _place: None, hasher: None }
    }

    /// `size`: if given, `paced` must yield exactly as much, or end with an error.
    pub(crate) fn stream(paced: Paced, size: Option<u64>, mut record: Record, place: Option<Place>) -> Self {
        record.end = End::ClientGone;
        Self { content: Content::Stream(paced), left: size, record, _place: place, hasher: None }
    }

    /// The same with a trailer that has the digest of the body (RFC 9530). Of a body without a known size.
    pub(crate) fn with_digest(self) -> Self {
        Self { hasher: Some(Sha256::new()), ..self }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Stream(paced) => paced.poll_chunk(cx),
        }
    }

    fn account(&mut self, chunk: &Bytes) {
        self.record.sent(len(chunk));
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        self.left = self.left.map(|left| left.saturating_sub(len(chunk)));
        if self.left == Some(0) {
            self.record.end = End::Whole;
        }
    }
}

fn digest(hasher: Sha256) -> HeaderMap {
    let value = format!("sha-256=:{}:", BASE64_STANDARD.encode(hasher.finalize()));
    let value = HeaderValue::from_str(&value).ok();
    value.into_iter().map(|value| (CONTENT_DIGEST, value)).collect()
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Poll::Ready(match ready!(self.poll_chunk(cx)) {
            Some(Ok(chunk)) => {
                self.account(&chunk);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(why)) => {
                self.record.end = End::BrokenOff;
                tracing::error!(request_id = self.record.request_id, error = %why, "answer broken off");
                Some(Err(why))
            }
            None => {
                if self.record.end == End::ClientGone {
                    self.record.end = End::Whole;
                }
                self.hasher.take().map(|hasher| Ok(Frame::trailers(digest(hasher))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Stream(_) => "Stream",
        })
    }
}
