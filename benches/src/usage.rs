//! What a process takes of memory and of the cores, as the system tells.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often memory is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Of one process while something went on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// On all cores, in user and system mode.
    pub cpu_seconds: f64,
    /// The most memory that is no page of a file, in bytes, at any look.
    pub anonymous_max: u64,
    /// The most memory of the process at any time since its start, pages of files that it has mapped included.
    pub resident_max: u64,
}

/// Looks at a process all the while `work` goes on.
///
/// # Panics
/// When the process ends meanwhile, or the system is not Linux.
pub fn during<T>(process: u32, work: impl FnOnce() -> T) -> (T, Usage) {
    let (is_over, anonymous_max) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = cpu_seconds(process).expect("a running process");
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                anonymous_max.fetch_max(anonymous(process).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(STEP);
            }
        });
        let _over = Over(&is_over);
        work()
    });
    let usage = Usage {
        cpu_seconds: cpu_seconds(process).expect("a running process") - before,
        anonymous_max: anonymous_max.into_inner(),
        resident_max: status(process, "VmHWM:").expect("a running process"),
    };
    (done, usage)
}

/// Set when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The memory of a process that is no page of a file, in bytes, now.
///
/// # Errors
/// When there is no such process.
pub fn anonymous(process: u32) -> io::Result<u64> {
    status(process, "RssAnon:")
}

fn status(process: u32, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other(format!("no {name}")))
}

/// What a process has spent since its start.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(process: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program stands in parentheses and may have some itself; the ticks are 12th and 13th behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
