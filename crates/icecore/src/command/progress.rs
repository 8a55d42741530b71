//! How far long work has come: a bar in a terminal, a line every few seconds elsewhere, on standard error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::human;

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// Counts bytes of a total that may be unknown.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    told: Instant,
    done: u64,
    total: Option<u64>,
}

impl Progress {
    /// Of so many bytes; `None` where nobody knows.
    pub(crate) fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        Self { what, bar, told: Instant::now(), done: 0, total }
    }

    /// So many bytes more are done.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &self.bar {
            Some(bar) => bar.inc(bytes),
            None if self.told.elapsed() >= PAUSE => {
                self.told = Instant::now();
                let done = human::Bytes(self.done);
                match self.total {
                    Some(total) => eprintln!("{}: {done} of {}", self.what, human::Bytes(total)),
                    None => eprintln!("{}: {done}", self.what),
                }
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{msg} {spinner} {bytes}, {bytes_per_sec}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(what)
}
