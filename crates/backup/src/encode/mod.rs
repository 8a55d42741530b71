//! A body as it travels: compressed in pieces on all cores, in order.
//!
//! Invariant: bytes leave in the order of the source. A source that fails leaves the body without its end, wherever it is
//! cut: a gzip member without its last block, a frame of zstd without its last bytes.
//!
//! ```text
//! gzip   | 1f 8b 08 | flags 0 | mtime 0 0 0 0 | XFL by level | OS ff | pieces ... | 03 00 | crc32 4 | size 4 |    one member
//! zstd   | frame ... |     one for each piece, with length and checksum; its end leaves with the next one
//! ```
//!
//! Memory of a stream: twice as many pieces as the crew has threads, each of 256 KiB (gzip) or 512 KiB (zstd), or what that is
//! packed; of more streams, which together have 16 MiB of them, fewer and shorter ones, down to one of 32 KiB that is there only while
//! somebody waits for it. A piece ends with a chunk of the source, so that a stream whose client waits keeps none.
//! Nothing is asked of the source before the head of a gzip member was taken. An empty chunk of the source ends a piece: what came before it
//! leaves, but for the end of a frame of zstd, then an empty chunk, and only then the source is asked again.

mod crew;
mod deflate;
mod framing;
mod tools;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;

use crew::Room;
pub use crew::{Crew, Manners};
use framing::{Framing, Packed};

/// Bytes of pieces that all streams of a crew have together, but for the one that each may wait for.
const PIECES_LEN: usize = 16 << 20;
/// The shortest piece of many streams.
const PIECE_LEN_MIN: usize = 32 << 10;
/// What is left of a chunk goes with the piece if it is no longer: a few bytes would keep the memory of all.
const REST_LEN_MAX: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One gzip member.
    Gzip(Level),
    /// Frames of zstd.
    Zstd(Level),
}

impl Coding {
    /// Bytes that are compressed at once where there are few streams. Shorter pieces compress worse, of longer ones a stream takes
    /// more memory.
    fn piece_len_max(self) -> usize {
        match self {
            Self::Gzip(_) => 256 << 10,
            Self::Zstd(_) => 512 << 10,
        }
    }
}

/// How hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// What suits most.
    #[default]
    Default,
    /// Small rather than fast.
    Full,
    /// Fast rather than small.
    Speedy,
}

/// Why a body cannot be compressed to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Failed {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// The compressed form of a source. After an `Err` nothing follows.
///
/// Dropped, it lets the crew finish the pieces in work, and no others.
#[derive(Debug)]
pub struct Encoded<S, E> {
    source: S,
    coding: Coding,
    piece_len_max: usize,
    crew: Arc<Crew>,
    framing: Framing,
    stage: Stage<E>,
    /// Of the source, not gathered yet.
    chunk: Bytes,
    /// On their way through the crew, oldest first.
    pieces: VecDeque<OnTheWay>,
    ready: VecDeque<Bytes>,
    /// The source said that it may be a while in coming.
    is_paused: bool,
    /// Gone when nobody wants the pieces any more.
    alive: Arc<()>,
}

/// A piece that the crew has, or has done.
#[derive(Debug)]
struct OnTheWay {
    packed: Receiver<Result<Packed, Failed>>,
    _room: Room,
}

#[derive(Debug)]
enum Stage<E> {
    Fresh,
    Running,
    /// The source has ended, well or not; pieces may be on their way.
    Drained(Result<(), E>),
    Done,
}

impl<S, E> Encoded<S, E>
where
    S: Iterator<Item = Result<Bytes, E>>,
    E: From<Failed>,
{
    /// Compresses `source` with the threads of `crew`.
    pub fn new(source: S, coding: Coding, crew: Arc<Crew>) -> Self {
        Self {
            source,
            coding,
            piece_len_max: coding.piece_len_max(),
            crew,
            framing: Framing::new(coding),
            stage: Stage::Fresh,
            chunk: Bytes::new(),
            pieces: VecDeque::new(),
            ready: VecDeque::new(),
            is_paused: false,
            alive: Arc::new(()),
        }
    }

    /// The same in pieces of another length, at least one byte: for the properties of this repository, which want many pieces of
    /// few bytes.
    #[doc(hidden)]
    #[must_use]
    pub fn in_pieces_of(self, len: usize) -> Self {
        Self { piece_len_max: len.max(1), ..self }
    }

    /// Puts something into `ready`, or is done.
    fn step(&mut self) -> Result<(), E> {
        if let Stage::Fresh = self.stage {
            self.stage = Stage::Running;
            self.ready.push_back(self.framing.head());
            return Ok(());
        }
        self.keep_crew_busy()?;
        if let Some(piece) = self.pieces.pop_front() {
            let lost = |_| Failed::new("a piece was lost: compressing it panicked");
            let packed = piece.packed.recv().map_err(lost)??;
            self.framing.piece(packed, &mut self.ready);
        } else if !self.is_paused
            && let Stage::Drained(outcome) = std::mem::replace(&mut self.stage, Stage::Done)
        {
            outcome?;
            self.ready.push_back(self.framing.end());
        }
        Ok(())
    }

    /// Gives pieces to the crew until it has as many as this stream may have.
    fn keep_crew_busy(&mut self) -> Result<(), Failed> {
        let Share { pieces, piece_len } =
            Share::of(self.crew.threads(), Arc::strong_count(&self.crew), self.piece_len_max);
        while self.pieces.len() < pieces && matches!(self.stage, Stage::Running) && !self.is_paused {
            // The one that is waited for needs none.
            let Some(room) = self.crew.room(piece_len, self.pieces.is_empty()) else { break };
            let piece = self.gather(piece_len);
            if !piece.is_empty() {
                self.pack(piece, room)?;
            }
        }
        Ok(())
    }

    /// The next piece of the source: so long, and what is left of the last chunk if that is not much; a short one where the source
    /// ends or pauses.
    fn gather(&mut self, piece_len: usize) -> Vec<u8> {
        let mut piece = Vec::with_capacity(piece_len);
        while piece.len() < piece_len {
            if self.chunk.is_empty() {
                match self.source.next() {
                    Some(Ok(chunk)) if chunk.is_empty() => {
                        self.is_paused = true;
                        break;
                    }
                    Some(Ok(chunk)) => self.chunk = chunk,
                    ended => {
                        self.stage = Stage::Drained(ended.map_or(Ok(()), |chunk| chunk.map(drop)));
                        break;
                    }
                }
            }
            let wanted = self.chunk.len().min(piece_len - piece.len());
            piece.extend_from_slice(&self.chunk.split_to(wanted));
        }
        if self.chunk.len() <= REST_LEN_MAX.min(piece_len) {
            piece.reserve_exact(self.chunk.len());
            piece.extend_from_slice(&std::mem::take(&mut self.chunk));
        }
        piece
    }

    fn pack(&mut self, input: Vec<u8>, room: Room) -> Result<(), Failed> {
        let (done, packed) = sync_channel(1);
        let (coding, alive) = (self.coding, Arc::downgrade(&self.alive));
        self.crew.run(move |tools| {
            if alive.strong_count() > 0 {
                // Nobody waits any more when the client has just gone.
                drop(done.send(Packed::of(&input, coding, tools)));
            }
        })?;
        self.pieces.push_back(OnTheWay { packed, _room: room });
        Ok(())
    }
}

/// What a stream has on its way.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    pieces: usize,
    piece_len: usize,
}

impl Share {
    /// Pieces for all threads, as long as there are few streams. `holders` of the crew are its streams, and who made it.
    fn of(threads: usize, holders: usize, piece_len_max: usize) -> Self {
        let fair = PIECES_LEN / holders.max(1);
        // Two, so that one is compressed while the other is sent.
        let piece_len = (fair / 2).clamp(PIECE_LEN_MIN.min(piece_len_max), piece_len_max);
        Self { pieces: (fair / piece_len).clamp(1, 2 * threads), piece_len }
    }
}

impl<S, E> Iterator for Encoded<S, E>
where
    S: Iterator<Item = Result<Bytes, E>>,
    E: From<Failed>,
{
    type Item = Result<Bytes, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                if !bytes.is_empty() {
                    return Some(Ok(bytes));
                }
            } else if let Stage::Done = self.stage {
                return None;
            } else if self.is_paused && self.pieces.is_empty() {
                self.is_paused = false;
                return Some(Ok(Bytes::new()));
            } else if let Err(error) = self.step() {
                self.stage = Stage::Done;
                self.pieces.clear();
                return Some(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use flate2::bufread::GzDecoder;

    use super::*;

    const PIECE_LEN: usize = 256 << 10;
    const CODINGS: [Coding; 6] = [
        Coding::Gzip(Level::Default),
        Coding::Gzip(Level::Full),
        Coding::Gzip(Level::Speedy),
        Coding::Zstd(Level::Default),
        Coding::Zstd(Level::Full),
        Coding::Zstd(Level::Speedy),
    ];

    /// Bytes that compress to about a half, each 16 of them unlike the others.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state & 0x0f) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn a_stream_has_pieces_for_all_threads_and_one_of_many_has_a_short_one() {
        let share = |threads, holders, piece_len_max| {
            let Share { pieces, piece_len } = Share::of(threads, holders, piece_len_max);
            (pieces, piece_len >> 10)
        };
        assert_eq!(share(2, 2, 256 << 10), (4, 256), "one alone");
        assert_eq!(share(2, 2, 512 << 10), (4, 512));
        assert_eq!(share(2, 9, 256 << 10), (4, 256), "eight");
        assert_eq!(share(2, 9, 512 << 10), (3, 512));
        assert_eq!(share(2, 64, 512 << 10), (2, 128));
        assert_eq!(share(2, 256, 512 << 10), (2, 32));
        assert_eq!(share(2, 1001, 512 << 10), (1, 32));
        assert_eq!(share(64, 2, 256 << 10), (32, 256));
        assert_eq!(Share::of(1, usize::MAX, usize::MAX), Share { pieces: 1, piece_len: 32 << 10 });
        assert_eq!(Share::of(1, usize::MAX, 7), Share { pieces: 1, piece_len: 7 });
    }

    fn chunks(body: &[u8], len: usize) -> impl Iterator<Item = Result<Bytes, Failed>> {
        body.chunks(len).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>().into_iter()
    }

    fn encoded(body: &[u8], chunk_len: usize, coding: Coding, threads: usize) -> Vec<Bytes> {
        let crew = Arc::new(Crew::new(threads));
        Encoded::new(chunks(body, chunk_len), coding, crew).collect::<Result<_, _>>().expect("a sound source")
    }

    /// Unpacks a whole body, behind which nothing follows.
    #[expect(clippy::panic_in_result_fn, reason = "an assertion is what tests are for")]
    fn unpacked(body: &[u8], coding: Coding) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match coding {
            Coding::Gzip(_) => {
                let mut decoder = GzDecoder::new(body);
                decoder.read_to_end(&mut bytes)?;
                assert!(decoder.into_inner().is_empty(), "one member and nothing else");
            }
            Coding::Zstd(_) => {
                zstd::stream::read::Decoder::with_buffer(body)?.read_to_end(&mut bytes)?;
            }
        }
        Ok(bytes)
    }

    #[test]
    fn every_size_reads_back_whatever_the_chunks_and_the_threads() {
        for coding in CODINGS {
            for len in [0, 1, 1400, PIECE_LEN - 1, PIECE_LEN, PIECE_LEN + 1, 9 * PIECE_LEN + 77] {
                let body = noise(len);
                for (chunk_len, threads) in [(700, 1), (PIECE_LEN, 3), (10_000_000, 2)] {
                    let packed = encoded(&body, chunk_len, coding, threads).concat();
                    let unpacked = unpacked(&packed, coding).expect("a whole body");
                    assert!(
                        unpacked == body,
                        "{len} bytes in chunks of {chunk_len}, {threads} threads, {coding:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_same_source_gives_the_same_bytes() {
        let body = noise(5 * PIECE_LEN + 5);
        for coding in CODINGS {
            let once = encoded(&body, 70_000, coding, 1).concat();
            assert!(once == encoded(&body, 70_000, coding, 4).concat(), "{coding:?}");
        }
    }

    #[test]
    fn the_header_is_the_one_of_the_original_and_comes_before_the_source_is_asked() {
        for (level, xfl) in [(Level::Speedy, 4), (Level::Default, 0), (Level::Full, 2)] {
            let asked = std::iter::from_fn(|| -> Option<Result<Bytes, Failed>> { panic!("asked") });
            let mut encoded = Encoded::new(asked, Coding::Gzip(level), Arc::new(Crew::new(1)));
            let head = encoded.next().expect("a header").expect("a header");
            assert_eq!(&head[..], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 0xff]);
        }
    }

    #[test]
    fn a_source_that_fails_leaves_the_body_open() {
        for coding in CODINGS {
            // Where the failure comes with the end of a piece, too: there a frame of zstd ends.
            for len in [4 * PIECE_LEN, 4 * PIECE_LEN + 1, 1, 0] {
                let body = noise(len);
                let source = chunks(&body, 1000).chain([Err(Failed::new("disk"))]);
                let mut encoded = Encoded::new(source, coding, Arc::new(Crew::new(2)));
                let mut sent = Vec::new();
                let why = loop {
                    match encoded.next() {
                        Some(Ok(bytes)) => sent.extend_from_slice(&bytes),
                        Some(Err(why)) => break why,
                        None => panic!("ended well"),
                    }
                };
                assert_eq!(why.to_string(), "disk");
                assert!(encoded.next().is_none(), "nothing follows");
                let read = unpacked(&sent, coding);
                assert!(read.is_err() || sent.is_empty(), "{len} bytes, {coding:?}");
            }
        }
    }

    /// Endless; counts what it gave.
    fn endless(given: &Arc<AtomicUsize>) -> impl Iterator<Item = Result<Bytes, Failed>> + use<> {
        let (given, chunk) = (Arc::clone(given), Bytes::from(noise(PIECE_LEN)));
        std::iter::repeat_with(move || {
            given.fetch_add(1, Ordering::SeqCst);
            Ok(chunk.clone())
        })
    }

    #[test]
    fn as_much_is_in_memory_as_the_crew_has_work_for() {
        let (given, crew) = (Arc::new(AtomicUsize::new(0)), Arc::new(Crew::new(2)));
        let mut encoded = Encoded::new(endless(&given), Coding::Gzip(Level::Speedy), crew);
        encoded.next();
        let mut taken = 1;
        while taken < 20 {
            encoded.next().unwrap().unwrap();
            assert!(given.load(Ordering::SeqCst) <= taken + 2 * 2, "{given:?} chunks for {taken}");
            // The last part of a piece.
            taken += usize::from(encoded.ready.is_empty());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_came_before_an_empty_chunk_leaves_before_the_source_is_asked_again() {
        for coding in CODINGS {
            for len in [0, 1, 64, PIECE_LEN, 3 * PIECE_LEN + 5] {
                let body = noise(len);
                let asked_again = std::iter::once_with(|| panic!("asked"));
                let source = chunks(&body, 1000).chain([Ok(Bytes::new())]).chain(asked_again);
                let mut encoded = Encoded::new(source, coding, Arc::new(Crew::new(2)));
                let mut sent = Vec::new();
                loop {
                    let chunk = encoded.next().expect("not the end").expect("a sound source");
                    if chunk.is_empty() {
                        break;
                    }
                    sent.extend_from_slice(&chunk);
                }
                let mut read = Vec::new();
                let end = match coding {
                    Coding::Gzip(_) => GzDecoder::new(&sent[..]).read_to_end(&mut read).map(drop),
                    Coding::Zstd(_) => zstd::stream::read::Decoder::with_buffer(&sent[..])
                        .and_then(|mut decoder| decoder.read_to_end(&mut read).map(drop)),
                };
                let is_all = read == body;
                assert!(
                    body.starts_with(&read) && (end.is_err() || sent.is_empty()),
                    "{len} bytes, {coding:?}"
                );
                assert!(
                    is_all || matches!(coding, Coding::Zstd(_)) && !sent.is_empty(),
                    "{len} bytes, {coding:?}"
                );
            }
        }
    }

    #[test]
    fn a_piece_ends_with_a_chunk_and_what_is_left_of_a_long_one_begins_the_next() {
        let gathered = |chunk_len: usize, piece_len| {
            let body = noise(4 * PIECE_LEN);
            let mut encoded =
                Encoded::new(chunks(&body, chunk_len), Coding::Gzip(Level::Default), Arc::new(Crew::new(1)));
            let piece = encoded.gather(piece_len);
            assert!(body.starts_with(&piece));
            let next = encoded.gather(piece_len);
            assert!(body[piece.len()..].starts_with(&next));
            (piece.len(), next.len(), encoded.chunk.len())
        };
        assert_eq!(gathered(100_000, PIECE_LEN), (300_000, 300_000, 0));
        assert_eq!(gathered(REST_LEN_MAX, PIECE_LEN), (PIECE_LEN, PIECE_LEN, 0));
        assert_eq!(gathered(4 * PIECE_LEN, PIECE_LEN), (PIECE_LEN, PIECE_LEN, 2 * PIECE_LEN));
        assert_eq!(gathered(19, 10), (19, 19, 0), "twice as long at most");
        assert_eq!(gathered(21, 10), (10, 11, 0));
    }

    #[test]
    fn many_streams_that_nobody_takes_from_hold_one_short_piece_each() {
        let (given, crew) = (Arc::new(AtomicUsize::new(0)), Arc::new(Crew::new(2)));
        let chunk = Bytes::from(noise(PIECE_LEN_MIN));
        let source = || {
            let (given, chunk) = (Arc::clone(&given), chunk.clone());
            std::iter::repeat_with(move || {
                given.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Failed>(chunk.clone())
            })
        };
        let coding = |nth| CODINGS[nth % CODINGS.len()];
        let mut streams: Vec<_> =
            (0..1000).map(|nth| Encoded::new(source(), coding(nth), Arc::clone(&crew))).collect();
        for stream in &mut streams {
            while stream.next().unwrap().unwrap().len() < 100 {}
        }
        assert_eq!(given.load(Ordering::SeqCst), streams.len());
        assert!(streams.iter().all(|stream| stream.pieces.is_empty() && stream.chunk.is_empty()));
    }

    #[test]
    fn where_others_have_taken_all_room_a_stream_goes_on_piece_by_piece() {
        let crew = Arc::new(Crew::new(2));
        let others = crew.room(PIECES_LEN, false).expect("nobody has any");
        let given = Arc::new(AtomicUsize::new(0));
        let mut encoded = Encoded::new(endless(&given), Coding::Gzip(Level::Speedy), Arc::clone(&crew));
        encoded.next();
        let mut taken = 0;
        while taken < 20 {
            assert!(!encoded.next().unwrap().unwrap().is_empty());
            taken += usize::from(encoded.ready.is_empty());
            assert!(given.load(Ordering::SeqCst) <= taken + 1, "{given:?} chunks for {taken}");
        }
        drop(others);
        encoded.next();
        assert_eq!(encoded.pieces.len(), 3);
        drop(encoded);
        assert!(crew.room(PIECES_LEN, false).is_some(), "what is gone takes no room");
    }

    #[test]
    fn what_nobody_waits_for_is_not_compressed() {
        let crew = Arc::new(Crew::new(1));
        let (release, held) = sync_channel::<()>(0);
        crew.run(move |_| assert!(held.recv().is_err(), "released")).unwrap(); // the one thread is busy
        let given = Arc::new(AtomicUsize::new(0));
        let mut encoded = Encoded::new(endless(&given), Coding::Zstd(Level::Full), Arc::clone(&crew));
        encoded.keep_crew_busy().unwrap();
        encoded.stage = Stage::Running;
        encoded.keep_crew_busy().unwrap();
        assert_eq!(encoded.pieces.len(), 2);
        let pieces = std::mem::take(&mut encoded.pieces);
        drop(encoded);
        drop(release);
        for piece in pieces {
            piece.packed.recv().expect_err("skipped");
        }
    }
}
