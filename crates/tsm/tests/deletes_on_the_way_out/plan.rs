//! The length is known when the blocks that are cut were read, and no others; those that are copied are checked before they
//! leave.

use std::fs;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use icecore_disk::RealDisk;
use icecore_testkit::disk::{Action, Call, Hooked, Verdict};
use icecore_tsm::Error;

use super::shard::{Fate, OneFile, bytes, member};

fn an_hour() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(3600))
}

#[test]
fn a_plan_reads_the_blocks_that_are_cut_and_no_others() {
    let shard = OneFile::new();
    let reads: Arc<Mutex<Vec<Range<u64>>>> = Arc::default();
    let disk = Hooked::new(RealDisk, {
        let reads = Arc::clone(&reads);
        move |call: &Call<'_>| {
            if call.action == Action::Read {
                reads.lock().unwrap().push(call.offset..call.offset + call.len);
            }
            Verdict::Go
        }
    });
    let snapshot = shard.open(&disk).snapshot().unwrap();
    reads.lock().unwrap().clear();
    let mut member = member(&snapshot);
    assert_eq!(member.size(), None);
    assert!(member.plan(None).unwrap());
    let size = member.size().unwrap();
    let mut read = reads.lock().unwrap().clone();
    read.sort_by_key(|read| read.start);
    let cut: Vec<_> =
        shard.blocks().into_iter().filter(|(_, fate)| *fate == Fate::Cut).map(|(place, _)| place).collect();
    assert_eq!(read, cut);
    assert_eq!(bytes(&mut member).len() as u64, size);
}

/// What arrives of a member before the error that ends it.
fn sent(shard: &OneFile) -> (Vec<u8>, Error) {
    let snapshot = shard.snapshot();
    let mut sent = Vec::new();
    for chunk in member(&snapshot).chunks().unwrap() {
        match chunk {
            Ok(chunk) => sent.extend_from_slice(&chunk),
            Err(error) => return (sent, error),
        }
    }
    panic!("the damage was not noticed");
}

#[test]
fn a_damaged_block_that_is_copied_never_leaves() {
    let shard = OneFile::new();
    let sound = bytes(&mut member(&shard.snapshot()));
    let blocks = shard.blocks();
    for nth in [0, 49, 51, 777, blocks.len() - 1] {
        let (place, fate) = &blocks[nth];
        assert_eq!(*fate, Fate::Copied);
        shard.damage(place);
        let opened = shard.open(&RealDisk);
        // Ahead, if there is time, it is an error of the preparation; the plan has not touched it.
        let mut ahead = member(&opened.snapshot().unwrap());
        assert!(ahead.plan(None).unwrap());
        let error = ahead.prepare(an_hour()).unwrap_err();
        assert_eq!(error.offset().unwrap().get(), place.start);
        assert!(opened.snapshot().is_err(), "the shard remembers it");
        // Without time for that it ends the bytes.
        let (sent, error) = sent(&shard);
        assert!(error.is_damage() && error.path() == Some(&*shard.tsm()), "{error}");
        assert_eq!(error.offset().unwrap().get(), place.start);
        assert!(sent.len() < sound.len() && sound.starts_with(&sent), "what left is sound");
        shard.damage(place); // flips it back
    }
    assert_eq!(bytes(&mut member(&shard.snapshot())), sound);
}

#[test]
fn a_copied_block_that_is_another_than_the_index_says_is_noticed() {
    let shard = OneFile::new();
    let blocks = shard.blocks();
    // Two blocks of one length and different times, each with its checksum, change places.
    let copied = || blocks.iter().filter(|(_, fate)| *fate == Fate::Copied).map(|(place, _)| place.clone());
    let pair = copied().flat_map(|one| copied().skip(1).map(move |other| (one.clone(), other)));
    let is_fit = |(one, other): &(Range<u64>, Range<u64>)| {
        one.start < other.start && one.end - one.start == other.end - other.start
    };
    let (one, other) = pair.into_iter().find(is_fit).unwrap();
    let mut file = fs::read(shard.tsm()).unwrap();
    let range =
        |place: &Range<u64>| usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
    let (first, second) = (file[range(&one)].to_vec(), file[range(&other)].to_vec());
    assert_ne!(first, second);
    file[range(&one)].copy_from_slice(&second);
    file[range(&other)].copy_from_slice(&first);
    fs::write(shard.tsm(), file).unwrap();
    let (_, error) = sent(&shard);
    assert!(error.to_string().contains("a block is not what the index says of it"), "{error}");
    assert_eq!(error.offset().unwrap().get(), one.start);
}

#[test]
fn a_damaged_block_that_is_cut_is_an_error_of_the_plan_and_one_that_is_gone_is_none() {
    let shard = OneFile::new();
    let sound = bytes(&mut member(&shard.snapshot()));
    let place = |wanted| shard.blocks().into_iter().filter(|(_, fate)| *fate == wanted).nth(20).unwrap().0;
    let cut = place(Fate::Cut);
    shard.damage(&cut);
    let opened = shard.open(&RealDisk);
    let error = member(&opened.snapshot().unwrap()).plan(None).unwrap_err();
    assert_eq!(error.offset().unwrap().get(), cut.start);
    assert!(opened.snapshot().is_err(), "the shard remembers it");
    shard.damage(&cut);
    shard.damage(&place(Fate::Gone));
    assert_eq!(bytes(&mut member(&shard.snapshot())), sound);
}

#[test]
fn what_was_sent_whole_has_its_length_and_digest_at_once() {
    let shard = OneFile::new();
    let snapshot = shard.snapshot();
    let mut first = member(&snapshot);
    assert_eq!(first.size(), None);
    let sent = bytes(&mut first);
    let mut second = member(&snapshot);
    assert_eq!(second.size(), Some(sent.len() as u64));
    assert_eq!(second.digest().unwrap(), blake3::hash(&sent));
    assert_eq!(bytes(&mut second), sent);
    // Half of it is not the whole.
    let snapshot = shard.snapshot();
    let mut half = member(&snapshot).chunks().unwrap();
    half.next().unwrap().unwrap();
    drop(half);
    assert_eq!(member(&snapshot).size(), None);
}

#[test]
fn a_plan_stops_when_the_time_is_up_and_goes_on() {
    let shard = OneFile::new();
    let expected = bytes(&mut member(&shard.snapshot()));
    let snapshot = shard.snapshot();
    let mut member = member(&snapshot);
    assert!(!member.plan(Some(Instant::now())).unwrap());
    assert_eq!(member.size(), None);
    member.plan_on(1).unwrap();
    assert!(member.plan(an_hour()).unwrap());
    assert_eq!(member.size(), Some(expected.len() as u64));
    assert_eq!(bytes(&mut member), expected);
}

#[test]
fn a_plan_in_steps_is_the_plan() {
    let shard = OneFile::new();
    let snapshot = shard.snapshot();
    let mut member = member(&snapshot);
    let mut steps = 1;
    while !member.plan_step(1).unwrap() {
        assert_eq!(member.size(), None);
        steps += 1;
    }
    let cut = shard.blocks().iter().filter(|(_, fate)| *fate == Fate::Cut).count();
    assert!(steps >= cut, "{steps} steps for {cut} blocks");
    assert!(member.plan_step(1).unwrap(), "it stays done");
    assert_eq!(bytes(&mut member), bytes(&mut super::shard::member(&shard.snapshot())));
}
