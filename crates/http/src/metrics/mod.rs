//! What is counted of downloads, for `/metrics` (docs/http.md, section 2).
//!
//! Invariant: a download is an answer of 200 or 206 that is streamed. From its head on it is in progress; it ends once, whole or
//! for one reason. What it costs is an atomic addition for each chunk, and a lock at its end.
//!
//! | metric | |
//! |---|---|
//! | `icecore_backup_sent_bytes_total` | by encoding: of bodies, as they were handed to connections, also of those that ended early |
//! | `icecore_backup_download_seconds` | by encoding: of whole downloads, from the request to the last byte |
//! | `icecore_backup_aborted_total` | by encoding and reason: that ended early |
//! | `icecore_backup_downloads` | in progress |
//! | `icecore_backup_cuts` | that are kept |
//! | `icecore_backup_pinned_bytes` | of the TSM files that kept cuts and downloads in progress hold, each file once |

mod fate;
mod meter;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use fate::{Fate, Reason};
pub(crate) use meter::Meter;

/// From what a small shard takes to a large one over a slow line.
const SECONDS: [f64; 9] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0];

type Label = (&'static str, &'static str);
type ByEncoding = [Label; 1];
type ByReason = [Label; 2];

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Zstd];

    /// Of a `Content-Encoding`.
    pub(crate) fn of(content_encoding: Option<&[u8]>) -> Self {
        match content_encoding {
            Some(b"gzip") => Self::Gzip,
            Some(b"zstd") => Self::Zstd,
            _ => Self::Identity,
        }
    }

    fn label(self) -> Label {
        (
            "encoding",
            match self {
                Self::Identity => "identity",
                Self::Gzip => "gzip",
                Self::Zstd => "zstd",
            },
        )
    }
}

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    sent_bytes: Family<ByEncoding, Counter>,
    seconds: Family<ByEncoding, Histogram>,
    aborted: Family<ByReason, Counter>,
    downloads: Gauge,
    cuts: Gauge,
    pinned_bytes: Gauge,
}

impl Metrics {
    /// With every series at 0, so that its first increase is seen as one.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("icecore_backup"),
            sent_bytes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            aborted: Family::default(),
            downloads: Gauge::default(),
            cuts: Gauge::default(),
            pinned_bytes: Gauge::default(),
        };
        for encoding in Encoding::ALL {
            let _ = metrics.sent_bytes.get_or_create(&[encoding.label()]);
            let _ = metrics.seconds.get_or_create(&[encoding.label()]);
            for reason in Reason::ALL {
                let _ = metrics.aborted.get_or_create(&[encoding.label(), reason.label()]);
            }
        }
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, sent_bytes, seconds, aborted, downloads, cuts, pinned_bytes } = self;
        registry.register(
            "sent_bytes",
            "Bytes of downloads of backups as they were handed to connections, also of those that ended early",
            sent_bytes.clone(),
        );
        registry.register(
            "download_seconds",
            "Seconds from the request to the last byte of downloads of backups that were sent whole",
            seconds.clone(),
        );
        registry.register(
            "aborted",
            "Downloads of backups that ended early, and why: the client left or took too little, a file could not be read or is damaged, the server stopped",
            aborted.clone(),
        );
        registry.register("downloads", "Downloads of backups in progress", downloads.clone());
        registry.register("cuts", "Cuts that are kept for later downloads", cuts.clone());
        registry.register(
            "pinned_bytes",
            "Bytes of the TSM files that kept cuts and downloads in progress hold, each file once",
            pinned_bytes.clone(),
        );
    }

    /// A download that begins.
    pub(crate) fn begin(&self, encoding: Encoding, fate: std::sync::Arc<Fate>) -> Meter {
        Meter::new(self, encoding, fate)
    }

    /// The text of Prometheus, version 0.0.4. What is held now is told by the caller.
    pub(crate) fn text(&self, cuts: usize, pinned_bytes: u64) -> Result<String, std::fmt::Error> {
        self.cuts.set(i64::try_from(cuts).unwrap_or(i64::MAX));
        self.pinned_bytes.set(i64::try_from(pinned_bytes).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
