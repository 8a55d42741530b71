//! Programs run from start to end, with the time that takes.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use icecore_benches::{table, usage};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::Contestant;
use crate::lines::Lines;

/// Where standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    Null,
    /// A pipe, at whose end the lines are hashed.
    Lines,
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Time on all cores, where the system tells. Other work on the machine changes it less.
    pub(crate) cpu_seconds: Option<f64>,
    /// What came through the pipe.
    pub(crate) lines: Lines,
}

/// Builds our program with the cargo and in the target directory of this one, so that it is never an old one.
///
/// # Panics
/// When it does not build.
pub(crate) fn build_icecore() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let profile_dir = own.parent().expect("a program is in a directory");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "icecore", "--bin", "icecore", "--target-dir"])
        .arg(profile_dir.parent().expect("a profile is in a target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "icecore does not build");
    profile_dir.with_file_name("release").join("icecore")
}

/// How programs are run.
pub(crate) struct Runs<'a> {
    pub(crate) rounds: usize,
    /// Called before each run.
    pub(crate) prepare: &'a dyn Fn(),
}

impl Runs<'_> {
    /// All contestants one after the other, in rounds: a change in the load of the machine hits all of them. The runs of
    /// each.
    pub(crate) fn in_turns(&self, contestants: &[Contestant], sink: Sink) -> Vec<Vec<Run>> {
        let mut runs = vec![Vec::new(); contestants.len()];
        for _ in 0..self.rounds.max(1) {
            for (contestant, runs) in contestants.iter().zip(&mut runs) {
                runs.push(self.run(contestant, sink));
            }
        }
        runs
    }

    /// Runs a contestant to its end.
    ///
    /// # Panics
    /// When it fails; says what it printed to standard error.
    pub(crate) fn run(&self, contestant: &Contestant, sink: Sink) -> Run {
        (self.prepare)();
        run(contestant, sink)
    }
}

fn run(contestant: &Contestant, sink: Sink) -> Run {
    let mut log = tempfile::tempfile().expect("a temporary file");
    let mut command = (contestant.command)();
    command.stdin(Stdio::null()).stderr(log.try_clone().expect("a descriptor"));
    match sink {
        Sink::Null => command.stdout(File::options().write(true).open("/dev/null").expect("/dev/null")),
        Sink::Lines => command.stdout(Stdio::piped()),
    };
    let start = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let lines = child.stdout.take().map(|pipe| Lines::read(pipe).expect("a pipe can be read"));
    let ended = waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let seconds = start.elapsed().as_secs_f64();
    ended.expect("a child can be awaited");
    // The system keeps it until the process is waited for.
    let cpu_seconds = usage::cpu_seconds(child.id()).ok();
    let status = child.wait().expect("a child can be awaited");
    if !status.success() {
        let mut text = String::new();
        let read = log.rewind().and_then(|()| log.read_to_string(&mut text));
        panic!("{command:?}: {status} ({read:?} bytes of log)\n{text}");
    }
    Run { seconds, cpu_seconds, lines: lines.unwrap_or_default() }
}

/// The time that as many runs stay below as above.
pub(crate) fn median(runs: &[Run]) -> f64 {
    table::median(runs.iter().map(|run| run.seconds))
}

/// The same of the time on all cores.
pub(crate) fn median_cpu(runs: &[Run]) -> f64 {
    table::median(runs.iter().map(|run| run.cpu_seconds.unwrap_or(f64::NAN)))
}
