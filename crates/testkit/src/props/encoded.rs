#![expect(clippy::indexing_slicing, reason = "a property panics where it does not hold")]

use std::cell::Cell;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use icecore_backup::encode::{Coding, Crew, Encoded, Failed, Level};

use super::choices::Choices;
use crate::Random;

/// Bytes of a body at most.
const BODY_MAX: usize = 8 << 10;
/// The same of one whose pieces are as long as those of a download: a few of either coding.
const LONG_BODY_MAX: usize = 1200 << 10;
/// Chunks of a body at most, about: a long body of single bytes would be tried for seconds.
const CHUNKS_MAX: usize = 1000;
/// Pieces of a body at most, about.
const PIECES_MAX: usize = 100;
/// Bytes that come once in a period.
const PERIODS: [usize; 8] = [2, 3, 7, 258, 259, 4096, 32_768, 40_000];

pub(super) const CODINGS: [Coding; 6] = [
    Coding::Gzip(Level::Default),
    Coding::Gzip(Level::Full),
    Coding::Gzip(Level::Speedy),
    Coding::Zstd(Level::Default),
    Coding::Zstd(Level::Full),
    Coding::Zstd(Level::Speedy),
];

/// Crews of one to four threads, which are kept: so are the compressors of their threads, whatever these did before.
static CREWS: LazyLock<[Arc<Crew>; 4]> =
    LazyLock::new(|| [1, 2, 3, 4].map(|threads| Arc::new(Crew::new(threads))));

/// A source, as the bytes choose it, reads back from its compressed form by decoders that the encoder does not use: one gzip
/// member and nothing else, or frames of zstd. The form is that of the chunks alone, whoever compresses; an empty one comes out where all
/// before it did. A source that fails, after whatever chunk, is an error at the end, and what came before it is no whole body.
pub fn encoded(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let how = How::new(&mut choices);
    let other = How { crew: choices.below(4), ..how };
    let cuts = [choices.number(), choices.number(), choices.number()].map(usize::from);
    let fails_after = choices.flag().then(|| usize::from(choices.number()));
    let body = body(&mut choices, if how.piece_len.is_some() { BODY_MAX } else { LONG_BODY_MAX });
    let (how, other) = (how.for_body(body.len()), other.for_body(body.len()));
    let coding = how.coding;

    let source = chunks(&body, cuts);
    let (packed, end) = run(source.clone().into_iter().map(Ok), how);
    assert_eq!(end, Ok(()), "a sound source");
    let (again, _) = run(source.clone().into_iter().map(Ok), other);
    assert!(packed == again, "the same chunks give the same bytes");
    assert!(unpacked(&packed, coding).is_some_and(|unpacked| unpacked == body), "reads back");
    if let Coding::Gzip(_) = coding {
        let mut unpacked = Vec::new();
        let read = MultiGzDecoder::new(&packed[..]).read_to_end(&mut unpacked);
        assert!(read.is_ok() && unpacked == body, "also by those who take more members than one");
    }

    let cut = usize::from(choices.number()) * packed.len() / (1 << 16);
    let (read, is_whole) = readable(&packed[..cut], coding);
    assert!(body.starts_with(&read), "the beginning of what is cut off");
    assert!(!is_whole || matches!(coding, Coding::Zstd(_)), "a member that is cut at {cut} has no end");

    if let Some(fails_after) = fails_after {
        let sound = fails_after % (source.len() + 1);
        let sound_len: usize = source.iter().take(sound).map(Bytes::len).sum();
        let failing = source.into_iter().take(sound).map(Ok).chain([Err(Broken("planted".to_owned()))]);
        let (sent, end) = run(failing, how);
        assert_eq!(end, Err(Broken("planted".to_owned())), "after {sound} chunks");
        let (read, is_whole) = readable(&sent, coding);
        assert!(body[..sound_len].starts_with(&read), "the beginning of what came before the failure");
        assert!(!is_whole || sent.is_empty(), "no whole body after {sound} chunks");
    }
}

/// Why a source ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Self {
        Self(failed.to_string())
    }
}

/// How a source is compressed.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) coding: Coding,
    /// Which of the crews.
    crew: u8,
    /// `None`: as long as those of a download.
    piece_len: Option<usize>,
}

impl How {
    pub(super) fn new(choices: &mut Choices<'_>) -> Self {
        let (coding, crew) = (choices.of(&CODINGS), choices.below(4));
        let piece_len = match usize::from(choices.below(64)) {
            0 => None,
            root => Some(root * root),
        };
        Self { coding, crew, piece_len }
    }

    /// The same in no more pieces than can be tried for a body of this length.
    pub(super) fn for_body(self, len: usize) -> Self {
        Self { piece_len: self.piece_len.map(|piece_len| piece_len.max(len / PIECES_MAX)), ..self }
    }
}

/// Everything that comes out, and how it ends.
pub(super) fn run(
    source: impl Iterator<Item = Result<Bytes, Broken>>,
    how: How,
) -> (Vec<u8>, Result<(), Broken>) {
    let pauses = Cell::new(0_usize);
    let source = source.inspect(|chunk| {
        let is_pause = chunk.as_ref().is_ok_and(Bytes::is_empty);
        pauses.set(pauses.get() + usize::from(is_pause));
    });
    let mut encoded = Encoded::new(source, how.coding, Arc::clone(&CREWS[usize::from(how.crew)]));
    if let Some(len) = how.piece_len {
        encoded = encoded.in_pieces_of(len);
    }
    let (mut sent, mut end) = (Vec::new(), Ok(()));
    for chunk in encoded.by_ref() {
        assert_eq!(end, Ok(()), "nothing follows an error");
        match chunk {
            Ok(chunk) => {
                if chunk.is_empty() {
                    assert_eq!(pauses.replace(pauses.get() - 1), 1, "the source has just paused");
                }
                sent.extend_from_slice(&chunk);
            }
            Err(why) => end = Err(why),
        }
    }
    assert!(encoded.next().is_none(), "it has ended");
    (sent, end)
}

/// What a body in this coding unpacks to, if it is whole and nothing follows.
fn unpacked(packed: &[u8], coding: Coding) -> Option<Vec<u8>> {
    let (read, is_whole) = readable(packed, coding);
    is_whole.then_some(read)
}

/// What can be read of a body, and whether that is a whole one, behind which nothing follows.
pub(super) fn readable(packed: &[u8], coding: Coding) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    let is_whole = match coding {
        Coding::Gzip(_) => {
            let mut decoder = GzDecoder::new(packed);
            decoder.read_to_end(&mut read).is_ok() && decoder.into_inner().is_empty()
        }
        Coding::Zstd(_) => zstd::stream::read::Decoder::with_buffer(packed)
            .and_then(|mut decoder| decoder.read_to_end(&mut read))
            .is_ok(),
    };
    (read, is_whole)
}

/// The bytes that the rest of the choices describe.
fn body(choices: &mut Choices<'_>, len_max: usize) -> Bytes {
    let mut body = Vec::new();
    while !choices.is_empty() && body.len() < len_max {
        let (kind, len, what) = (choices.below(4), usize::from(choices.number()), choices.byte());
        let left = len_max - body.len();
        match kind {
            0 => body.extend_from_slice(choices.take(len % 256)),
            1 => body.resize(body.len() + left.min(len * 32), what),
            2 => body.append(&mut Random::new(u64::from(what)).bytes(left.min(len))),
            _ => {
                let period = PERIODS[usize::from(what) % PERIODS.len()];
                let once = Random::new(u64::from(what)).bytes(period);
                body.extend(once.iter().cycle().take(left.min(len * 4)));
            }
        }
    }
    body.truncate(len_max);
    body.into()
}

/// The body in chunks of these lengths in turns, in which empty ones may be.
fn chunks(body: &Bytes, cuts: [usize; 3]) -> Vec<Bytes> {
    let (mut rest, mut chunks) = (body.clone(), Vec::new());
    let len_min = body.len() / CHUNKS_MAX + 1;
    for cut in cuts.into_iter().cycle() {
        let len = if cut == 0 { 0 } else { (cut * 8).max(len_min) };
        chunks.push(rest.split_to(len.min(rest.len())));
        if cuts == [0; 3] || rest.is_empty() {
            break;
        }
    }
    chunks.push(rest);
    chunks
}
