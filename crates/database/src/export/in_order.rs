//! Pieces of work done on all cores, their output written in the order of the pieces.
//!
//! Workers take the pieces in order, and each hands its output over in parts, through a channel of its own that holds
//! few: who is far ahead waits. The calling thread writes the parts of the first piece, then those of the next. Because
//! pieces are taken in order, the first unwritten one is always with a worker whose channel the caller empties, so that
//! nobody waits for ever.
//!
//! Memory: [`PARTS_MAX`] parts, and those that workers are filling. No lock is held while a part is written.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::rows::FULL;

/// The capacity of a new buffer: room for the line that passes [`FULL`].
const BUFFER: usize = FULL + (4 << 10);

/// Parts that wait to be written, of all pieces together: 64 MiB. Each piece may have two, however many cores there are.
const PARTS_MAX: usize = (64 << 20) / FULL;

/// Pieces begun for each worker: while some wait to be written the worker is at the next.
const PIECES_EACH: usize = 4;

/// What a worker sends of a piece.
enum Message<E> {
    Part(Vec<u8>),
    /// The last message.
    End(Result<u64, E>),
}

/// A piece for a worker, and where its output goes.
struct Task<'p, P, E> {
    piece: &'p P,
    to: Sender<Message<E>>,
}

/// What the threads share.
struct Shared {
    /// Buffers of written parts. The last one is taken first: it may still be in a cache.
    spare: Mutex<Vec<Vec<u8>>>,
    /// Whether nothing more is written.
    stopped: AtomicBool,
}

/// The output of a piece, in lines.
pub(super) struct Lines<'a, E> {
    buffer: Vec<u8>,
    to: &'a Sender<Message<E>>,
    shared: &'a Shared,
}

/// Calls `work` with each piece, on all cores, and `write` with what it put out, in the order of the pieces. Returns the
/// sum of what `work` returned.
///
/// # Errors
/// The first one in the order of the pieces, of `work` or of `write`; what was put out before it is written.
pub(super) fn run<P: Sync, E: Send>(
    pieces: &[P],
    work: impl Fn(&P, &mut Lines<'_, E>) -> Result<u64, E> + Sync,
    write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(pieces.len());
    let shared = Shared { spare: Mutex::default(), stopped: AtomicBool::new(false) };
    let (tasks, taken) = crossbeam_channel::bounded(workers * PIECES_EACH);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (taken, work, shared) = (taken.clone(), &work, &shared);
            scope.spawn(move || taken.iter().for_each(|task| finish(&task, work, shared)));
        }
        drop(taken);
        let outcome = write_in_order(pieces, &tasks, &shared, write);
        shared.stopped.store(true, Ordering::Relaxed);
        drop(tasks);
        outcome
    })
}

/// Does the work of a piece.
fn finish<P, E>(
    task: &Task<'_, P, E>,
    work: impl Fn(&P, &mut Lines<'_, E>) -> Result<u64, E>,
    shared: &Shared,
) {
    if shared.stopped.load(Ordering::Relaxed) {
        return;
    }
    let mut lines = Lines { buffer: shared.take_buffer(), to: &task.to, shared };
    let outcome = work(task.piece, &mut lines);
    shared.send(&task.to, Message::Part(lines.buffer));
    shared.send(&task.to, Message::End(outcome));
}

/// Gives the pieces to the workers and writes what they send.
fn write_in_order<'p, P, E>(
    pieces: &'p [P],
    tasks: &Sender<Task<'p, P, E>>,
    shared: &Shared,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let begun_max = tasks.capacity().unwrap_or(1).max(1);
    let parts_max = (PARTS_MAX / begun_max).max(2);
    let mut pieces = pieces.iter();
    let mut begun: VecDeque<Receiver<Message<E>>> = VecDeque::new();
    let mut sum = 0;
    loop {
        for piece in pieces.by_ref().take(begun_max - begun.len()) {
            let (to, from) = crossbeam_channel::bounded(parts_max);
            begun.push_back(from);
            // There is room for all that are begun. Closed it is only when all workers panicked, and then so are theirs.
            if tasks.send(Task { piece, to }).is_err() {
                break;
            }
        }
        let Some(messages) = begun.pop_front() else { return Ok(sum) };
        let mut ended = false;
        for message in messages {
            match message {
                Message::Part(part) => {
                    write(&part)?;
                    shared.give_back(part);
                }
                Message::End(outcome) => {
                    sum += outcome?;
                    ended = true;
                }
            }
        }
        if !ended {
            return Ok(sum); // the worker panicked, and so will the scope that waits for it
        }
    }
}

impl<E> Lines<'_, E> {
    /// Where to append lines.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Says that the buffer ends with a whole line: hands it over when it is [`FULL`].
    pub(super) fn end_line(&mut self) {
        if self.buffer.len() >= FULL {
            let next = self.shared.take_buffer();
            let part = std::mem::replace(&mut self.buffer, next);
            self.shared.send(self.to, Message::Part(part));
        }
    }

    /// Whether nothing more is written, because of a failure elsewhere: the rest of the work can be left.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Sends, and waits when the channel is full. Nobody listens any more after a failure.
    fn send<E>(&self, to: &Sender<Message<E>>, message: Message<E>) {
        if to.send(message).is_err() {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    fn take_buffer(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Keeps a buffer for the next one who needs it, but for those that a very long line has blown up.
    fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= 2 * BUFFER {
            buffer.clear();
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    /// Runs `work` for the numbers below `count`. Returns the outcome and what was written.
    fn collect(
        count: usize,
        work: impl Fn(&usize, &mut Lines<'_, String>) -> Result<u64, String> + Sync,
    ) -> (Result<u64, String>, String) {
        let pieces: Vec<usize> = (0..count).collect();
        let mut out = Vec::new();
        let outcome = run(&pieces, work, |part| {
            out.extend_from_slice(part);
            Ok(())
        });
        (outcome, String::from_utf8(out).unwrap())
    }

    fn put(text: &str, lines: &mut Lines<'_, String>) {
        lines.buffer().extend_from_slice(text.as_bytes());
        lines.end_line();
    }

    fn long_line(piece: usize) -> String {
        format!("{piece}{}\n", "-".repeat(FULL / 2))
    }

    #[test]
    fn the_output_is_in_the_order_of_the_pieces_whichever_is_done_first() {
        let (outcome, out) = collect(300, |piece, lines| {
            std::thread::sleep(Duration::from_micros(*piece as u64 * 7919 % 500));
            (0..*piece % 4).for_each(|_| put(&long_line(*piece), lines));
            Ok(*piece as u64)
        });
        let expected: String = (0..300).map(|piece| long_line(piece).repeat(piece % 4)).collect();
        assert_eq!(outcome, Ok(299 * 300 / 2));
        assert!(out == expected);
    }

    #[test]
    fn without_pieces_nothing_is_written() {
        assert_eq!(collect(0, |_, _| Err("called".to_owned())), (Ok(0), String::new()));
    }

    #[test]
    fn the_first_failure_in_order_counts_and_all_before_it_is_written() {
        let (outcome, out) = collect(100, |piece, lines| {
            put(&format!("{piece}\n"), lines);
            if *piece == 20 {
                std::thread::sleep(Duration::from_millis(20)); // others fail before
            }
            if *piece >= 20 { Err(format!("failed at {piece}")) } else { Ok(1) }
        });
        assert_eq!(outcome, Err("failed at 20".to_owned()));
        assert_eq!(out, (0..=20).map(|piece| format!("{piece}\n")).collect::<String>());
    }

    #[test]
    fn a_failure_to_write_ends_the_work() {
        let pieces = [(); 10_000];
        let begun = AtomicUsize::new(0);
        let outcome = run(
            &pieces,
            |(), lines: &mut Lines<'_, String>| {
                begun.fetch_add(1, Ordering::Relaxed);
                while !lines.is_stopped() {
                    put(&long_line(0), lines);
                }
                Ok(1)
            },
            |_| Err("full".to_owned()),
        );
        assert_eq!(outcome, Err("full".to_owned()));
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        assert!(begun.into_inner() <= workers * (PIECES_EACH + 1));
    }

    #[test]
    fn who_is_far_ahead_waits() {
        let (waiting, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let pieces: Vec<usize> = (0..10).collect();
        let work = |piece: &usize, lines: &mut Lines<'_, String>| {
            if *piece == 0 {
                // Until the others get no further.
                let mut before = usize::MAX;
                while before != waiting.load(Ordering::SeqCst) {
                    before = waiting.load(Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                }
                most.store(before, Ordering::SeqCst);
            }
            for _ in 0..40 {
                waiting.fetch_add(FULL, Ordering::SeqCst);
                put(&long_line(*piece), lines);
                put(&long_line(*piece), lines);
            }
            Ok(1)
        };
        let mut written = 0;
        let outcome = run(&pieces, work, |part| {
            written += part.len();
            Ok(())
        });
        assert_eq!((outcome, written), (Ok(10), 10 * 80 * long_line(1).len()));
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        assert!(most.into_inner() <= (PARTS_MAX.max(2 * workers * PIECES_EACH) + 2 * workers) * FULL);
    }

    #[test]
    fn a_panic_of_the_work_is_a_panic_here() {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            collect(100, |piece, lines| {
                put("line\n", lines);
                assert!(*piece != 7, "as planned");
                Ok(1)
            })
        }));
        assert!(panicked.is_err());
    }
}
