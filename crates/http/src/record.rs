//! One line in the log for each request, written when its answer has been handed over or dropped.
//!
//! Never in it: headers, the query (the 1.x API has passwords there), bodies.

use std::fmt;
use std::time::Instant;

use hyper::{Method, StatusCode};

use crate::metrics::Meter;

/// What is known of a request so far; dropping it writes the line.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) request_id: u64,
    pub(crate) method: Method,
    /// As sent, with its escapes: it has no control characters.
    pub(crate) path: String,
    pub(crate) started: Instant,
    pub(crate) status: Option<StatusCode>,
    pub(crate) sent_bytes: u64,
    pub(crate) end: End,
    /// Of a download.
    pub(crate) meter: Option<Meter>,
}

impl Record {
    /// So many bytes of the body were handed to the connection.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
        if let Some(meter) = &self.meter {
            meter.sent(bytes);
        }
    }
}

/// How far the answer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it was handed to the connection.
    Whole,
    /// We broke it off.
    BrokenOff,
    /// The connection dropped it before the end.
    ClientGone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::BrokenOff => "broken off",
            Self::ClientGone => "client gone",
        })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.end(self.end, self.started.elapsed());
        }
        tracing::info!(
            request_id = self.request_id,
            method = %self.method,
            path = %self.path,
            status = self.status.map(|status| status.as_u16()),
            bytes = self.sent_bytes,
            duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            end = %self.end,
            "request"
        );
    }
}
