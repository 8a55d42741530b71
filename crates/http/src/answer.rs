//! An answer before it gets the headers that all answers have.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use crate::download::Chunks;
use crate::pump::Making;

/// What an endpoint decided.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// For the log: why the request failed, when that was not the client's doing.
    pub(crate) failure: Option<String>,
}

/// The body of an answer.
pub(crate) enum Payload {
    Bytes(Bytes),
    Stream {
        chunks: Chunks,
        size: Option<u64>,
        making: Making,
        /// Whether the digest of the body follows it.
        has_digest: bool,
    },
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), payload: Payload::Bytes(Bytes::new()), failure: None }
    }

    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    /// The 404 and 405 texts that are not errors of the API.
    pub(crate) fn text(status: StatusCode, body: &'static str) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut answer = Self::empty(status);
        answer.payload = Payload::Bytes(body.into());
        answer.with(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
