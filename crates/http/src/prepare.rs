//! Checks a download before its head leaves, and lets the head go when the time is up.
//!
//! Invariant: the caller waits until `until` plus [`PATIENCE`] and no longer, whatever the disk does. What is found in
//! that time decides the status and the size; what is found later, the end of the body. So the check runs on a thread
//! of its own, which hands the source over when it is done; if nobody wants it any more, it is dropped there.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::download::BrokenOff;
use crate::lane;
use crate::problem::Problem;

/// A check looks at the clock now and then only: it may be late by this much.
const PATIENCE: Duration = Duration::from_millis(300);

/// A source of chunks that can be checked ahead.
pub(crate) trait Prepare: Iterator<Item = Result<Bytes, BrokenOff>> + Send + 'static {
    /// Checks until all is checked or `until` has come.
    fn prepare(&mut self, until: Instant) -> Result<(), Problem>;
}

/// A source after the time for its check.
pub(crate) enum Prepared<S> {
    InTime(S),
    /// Its size is not known.
    Late(Late<S>),
}

/// Prepares `source` for as long as there is time, on a thread of this priority.
pub(crate) fn in_time<S: Prepare>(mut source: S, until: Instant, nice: u8) -> Result<Prepared<S>, Problem> {
    let (done, ready) = sync_channel(1);
    let check = move || {
        lane::lower(nice);
        let checked = source.prepare(until).map(|()| source);
        // Nobody waits any more: the client has gone.
        drop(done.send(checked));
    };
    thread::Builder::new()
        .name("icecore-check".to_owned())
        .spawn(check)
        .map_err(|error| Problem::internal(format!("no thread to check the files of the shard: {error}")))?;
    let wait = (until + PATIENCE).saturating_duration_since(Instant::now());
    match ready.recv_timeout(wait) {
        Ok(checked) => Ok(Prepared::InTime(checked?)),
        // Late, or the thread panicked: the next call of `Late` learns which.
        Err(_) => Ok(Prepared::Late(Late::Checking(ready))),
    }
}

/// A source that is still being checked.
pub(crate) enum Late<S> {
    Checking(Receiver<Result<S, Problem>>),
    Checked(S),
    Failed,
}

impl<S: Prepare> Iterator for Late<S> {
    type Item = Result<Bytes, BrokenOff>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Self::Checking(ready) = self {
            let checked = ready.recv().map_err(|_| BrokenOff::of("the check of the files panicked"));
            match checked.and_then(|checked| checked.map_err(|problem| BrokenOff::of(problem.message))) {
                Ok(source) => *self = Self::Checked(source),
                Err(why) => {
                    *self = Self::Failed;
                    return Some(Err(why));
                }
            }
        }
        match self {
            Self::Checked(source) => source.next(),
            Self::Checking(_) | Self::Failed => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic_in_result_fn, reason = "panics are planted, and assertions are what tests are for")]
mod tests {
    use super::*;
    use crate::download::Chunks;

    struct Slow {
        takes: Duration,
        outcome: Result<(), Problem>,
        chunks: u8,
    }

    impl Prepare for Slow {
        fn prepare(&mut self, _: Instant) -> Result<(), Problem> {
            thread::sleep(self.takes);
            assert!(self.chunks < 100, "planted");
            self.outcome.clone()
        }
    }

    impl Iterator for Slow {
        type Item = Result<Bytes, BrokenOff>;

        fn next(&mut self) -> Option<Self::Item> {
            self.chunks = self.chunks.checked_sub(1)?;
            Some(Ok(Bytes::from(vec![self.chunks])))
        }
    }

    const LATE: Duration = Duration::from_millis(700);

    fn run(
        takes: Duration,
        outcome: Result<(), Problem>,
        chunks: u8,
    ) -> Result<(Vec<u8>, Option<u64>, String), Problem> {
        let started = Instant::now();
        let prepared = in_time(Slow { takes, outcome, chunks }, started + Duration::from_millis(50), 0)?;
        let (source, size): (Chunks, _) = match prepared {
            Prepared::InTime(source) => {
                let size = Some(u64::from(source.chunks));
                (Box::new(source), size)
            }
            Prepared::Late(late) => (Box::new(late), None),
        };
        assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
        let (mut sent, mut end) = (Vec::new(), String::new());
        for chunk in source {
            assert_eq!(end, "", "nothing follows an error");
            match chunk {
                Ok(chunk) => sent.extend(&chunk[..]),
                Err(why) => end = why.to_string(),
            }
        }
        Ok((sent, size, end))
    }

    #[test]
    fn what_is_checked_in_time_has_a_size_or_is_refused() {
        assert_eq!(run(Duration::ZERO, Ok(()), 3), Ok((vec![2, 1, 0], Some(3), String::new())));
        let problem = Problem::internal("damaged");
        assert_eq!(run(Duration::ZERO, Err(problem.clone()), 3), Err(problem));
    }

    #[test]
    fn what_is_late_begins_without_a_size_and_ends_with_what_was_found() {
        assert_eq!(run(LATE, Ok(()), 3), Ok((vec![2, 1, 0], None, String::new())));
        assert_eq!(run(LATE, Err(Problem::internal("damaged")), 3), Ok((vec![], None, "damaged".to_owned())));
    }

    #[test]
    fn a_check_that_panics_is_an_error_of_the_body() {
        let (sent, size, end) = run(Duration::ZERO, Ok(()), 200).unwrap();
        assert_eq!((sent, size, end.as_str()), (vec![], None, "the check of the files panicked"));
    }
}
