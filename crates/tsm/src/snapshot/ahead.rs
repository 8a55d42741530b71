//! Checks the files of a backup before it begins, on all cores.
//!
//! Invariant: of each file, the parts before the first that was not checked are sound; a check that stops goes on from there.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use blake3::hazmat::ChainingValue;

use super::member::Member;
use crate::error::{Error, Result};
use crate::file::check::{Checker, Part};
use crate::file::window::Window;
use crate::format::sums::Sums;

/// Files are checked by one thread up to so many bytes: starting another takes longer.
const ALONE_MAX: u64 = 4 << 20;

/// A part of the file of a member.
struct Task {
    member: usize,
    part: Part,
    /// Whether nobody knows the digest of the file.
    is_new: bool,
}

/// The sums of the pages of a part, under the number of its task.
type PageSums = BTreeMap<usize, Vec<ChainingValue>>;

/// [Prepares](Member::prepare) all `members`, in their order, on at most so many threads, until all are done or `until` has come. Returns
/// whether all are.
///
/// # Errors
/// As [`Member::prepare`], for the first member with damage.
pub fn prepare_all(members: &mut [Member], until: Instant, threads: usize) -> Result<bool> {
    let unchecked = members.iter().filter(|member| member.is_unchecked()).map(|member| member.file().size());
    if threads > 1 && unchecked.sum::<u64>() > ALONE_MAX {
        check(members, until, threads)?;
    }
    for member in members {
        if !member.prepare(Some(until))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check(members: &mut [Member], until: Instant, threads: usize) -> Result<()> {
    let mut tasks = Vec::new();
    for (nth, member) in members.iter().enumerate().filter(|(_, member)| member.is_unchecked()) {
        if Instant::now() >= until {
            break;
        }
        let parts = Checker::parts(member.file()).map_err(|error| member.note(error))?;
        let is_new = member.file().known_digest().is_none();
        tasks.extend(parts.into_iter().map(|part| Task { member: nth, part, is_new }));
    }
    let noted = |(nth, error)| match tasks.get::<usize>(nth).and_then(|task| members.get(task.member)) {
        Some(member) => member.note(error),
        None => error,
    };
    let (done, mut sums) = run(&tasks, members, until, threads).map_err(noted)?;
    let mut pages = Vec::new();
    for (nth, Task { member, part, .. }) in tasks.iter().enumerate().take(done) {
        let Some(member) = members.get_mut(*member) else { continue };
        pages.extend(sums.remove(&nth).into_iter().flatten());
        member.pass(part)?;
        if part.is_last() {
            let pages = std::mem::take(&mut pages);
            if !pages.is_empty() {
                member.file().set_digest(Sums::of_pages(member.file().size(), pages)?.root())?;
            }
        }
    }
    Ok(())
}

/// Does the tasks in their order. Returns how many were done, and what they found; or the first that found damage.
fn run(
    tasks: &[Task],
    members: &[Member],
    until: Instant,
    threads: usize,
) -> std::result::Result<(usize, PageSums), (usize, Error)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut window, mut of) = (Window::default(), None);
        let mut found = PageSums::new();
        while Instant::now() < until {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some((task, member)) =
                tasks.get(nth).and_then(|task| Some((task, members.get(task.member)?)))
            else {
                break;
            };
            if of.replace(task.member) != Some(task.member) {
                window.forget();
            }
            match task.run(member, &mut window) {
                Ok(sums) => drop(found.insert(nth, sums)),
                Err(error) => {
                    next.store(tasks.len(), Ordering::Relaxed); // nobody begins another
                    return Err((nth, error));
                }
            }
        }
        Ok(found)
    };
    let mut all = thread::scope(|scope| {
        // Where the system gives no thread, there are fewer.
        let start =
            |_| thread::Builder::new().name("icecore-check".to_owned()).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads.min(tasks.len())).filter_map(start).collect();
        let mut all = vec![work()];
        all.extend(others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))));
        all
    });
    all.sort_by_key(|found| found.as_ref().map_or_else(|(nth, _)| *nth, |_| usize::MAX));
    let found = all.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    Ok((next.into_inner().min(tasks.len()), found.into_iter().flatten().collect()))
}

impl Task {
    fn run(&self, member: &Member, window: &mut Window) -> Result<Vec<ChainingValue>> {
        self.part.check(member.file(), window)?;
        if self.is_new { self.part.page_sums(member.file(), window) } else { Ok(Vec::new()) }
    }
}
