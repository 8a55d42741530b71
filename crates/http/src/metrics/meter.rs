//! One download, counted.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{ByReason, Encoding, Fate, Metrics, Reason};
use crate::record::End;

/// Counts a download from its head to its end.
#[derive(Debug)]
pub(crate) struct Meter {
    encoding: Encoding,
    fate: Arc<Fate>,
    sent_bytes: Counter,
    seconds: Histogram,
    aborted: Family<ByReason, Counter>,
    downloads: Gauge,
}

impl Meter {
    pub(super) fn new(metrics: &Metrics, encoding: Encoding, fate: Arc<Fate>) -> Self {
        metrics.downloads.inc();
        Self {
            encoding,
            fate,
            sent_bytes: metrics.sent_bytes.get_or_create(&[encoding.label()]).clone(),
            seconds: metrics.seconds.get_or_create(&[encoding.label()]).clone(),
            aborted: metrics.aborted.clone(),
            downloads: metrics.downloads.clone(),
        }
    }

    /// So many bytes more were handed to the connection.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.inc_by(bytes);
    }

    /// It has ended so, this long after its request.
    pub(crate) fn end(self, end: End, took: Duration) {
        self.downloads.dec();
        let reason = match end {
            End::Whole => return self.seconds.observe(took.as_secs_f64()),
            End::BrokenOff => Reason::BrokenSource,
            End::ClientGone => self.fate.reason(),
        };
        self.aborted.get_or_create(&[self.encoding.label(), reason.label()]).inc();
    }
}
