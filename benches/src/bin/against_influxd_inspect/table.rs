//! The rows of the tables.

use icecore_benches::table::spread;

use crate::process::{Run, median_cpu};

/// Name, seconds of the runs, seconds on all cores, and what follows from them.
pub(crate) fn row<const N: usize>(name: String, runs: &[Run], rest: [String; N]) -> Vec<String> {
    let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    let cpu = format!("{:.2}", median_cpu(runs));
    [name, spread(&seconds, |seconds| format!("{seconds:.3}")), cpu].into_iter().chain(rest).collect()
}

/// How many times as fast as the peer.
pub(crate) fn ratio(peer: Option<f64>, seconds: f64) -> String {
    peer.map_or_else(String::new, |peer| format!("{:.2}", peer / seconds))
}
