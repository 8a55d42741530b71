//! How long a server takes to come up again.

use std::path::Path;
use std::time::Instant;

use icecore_benches::table::Table;
use icecore_benches::usage;

use crate::Arguments;
use crate::contestant::{Kind, Running};

/// Seconds from the start of the process until it answers.
pub(crate) struct Restart {
    after_kill: f64,
    after_stop: f64,
    /// Seconds from the signal to the end of the process.
    stop: f64,
    /// Bytes, when it is up again.
    anonymous: u64,
}

impl Restart {
    /// Kills it, starts it, stops it, starts it and stops it.
    pub(crate) fn of(kind: Kind, running: Running, arguments: &Arguments, dir: &Path) -> Self {
        running.kill();
        let (after_kill, running) = timed(|| kind.start_again(arguments, dir));
        let (stop, ()) = timed(|| running.stop());
        let (after_stop, running) = timed(|| kind.start_again(arguments, dir));
        let anonymous = usage::anonymous(running.id()).expect("a running process");
        running.stop();
        Self { after_kill, after_stop, stop, anonymous }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}

pub(crate) fn print(restarts: &[(Kind, Restart)]) {
    if restarts.is_empty() {
        return;
    }
    let mut table = Table::new([
        "server",
        "start after SIGKILL, s",
        "stop, s",
        "start after it, s",
        "anonymous memory then, MB",
    ]);
    for (kind, restart) in restarts {
        let seconds = |seconds: f64| format!("{seconds:.2}");
        table.push(vec![
            kind.name().to_owned(),
            seconds(restart.after_kill),
            seconds(restart.stop),
            seconds(restart.after_stop),
            format!("{:.0}", restart.anonymous as f64 / 1e6),
        ]);
    }
    print!("\n{table}");
}
