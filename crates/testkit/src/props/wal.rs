use std::cell::RefCell;

use icecore_tsm::wal::{Entry, frames};
use icecore_tsm::{TimeRange, Values, key};

use super::block::strings::put_literal;

const HEAD_LEN: usize = 5;
const WRITE: u8 = 1;
const DELETE: u8 = 2;

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Any bytes are a log segment, up to the first frame that is damaged; an entry has all that its body has.
///
/// Tried twice: as they are; and with unknown types of entries made known, the last entry made to end where the bytes end,
/// and each body taken for plain bytes and compressed, so that changed bodies reach the decoder.
pub fn wal(bytes: &[u8]) {
    SCRATCH.with_borrow_mut(|(body, mended)| {
        reads(bytes, body);
        mend(bytes, mended);
        let read = reads(mended, body);
        assert_eq!(read, mended.len(), "every frame is whole");
    });
}

/// Reads all frames, and returns where the last ends.
fn reads(segment: &[u8], body: &mut Vec<u8>) -> usize {
    let mut at = 0;
    let names_damage = |error: &icecore_tsm::Error, at| {
        assert!(error.is_damage(), "not about damage: {error}");
        assert_eq!(error.offset().map(|offset| offset.get()), Some(at as u64), "{error}");
    };
    for frame in frames(segment) {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                names_damage(&error, at);
                return at;
            }
        };
        let head = segment.get(at..at + HEAD_LEN).expect("a frame has a head");
        at += HEAD_LEN;
        assert_eq!(frame.at().get(), at as u64, "frames follow each other");
        match frame.decode(body) {
            Ok(entry) => {
                assert_eq!(frame.plain_len(), Some(body.len()));
                assert!(is_body(&entry, head.first().copied(), body), "{entry:?} of {}", body.escape_ascii());
            }
            Err(error) => names_damage(&error, at),
        }
        at += frame.payload().len();
    }
    assert_eq!(at, segment.len(), "all is read");
    at
}

/// Whether the body has what the entry has, and nothing else.
fn is_body(entry: &Entry, kind: Option<u8>, body: &[u8]) -> bool {
    let mut rest = body;
    let is_there = match entry {
        Entry::Write(groups) => {
            kind == Some(WRITE)
                && groups.iter().all(|(key, column)| {
                    assert!(key::split(key).is_some(), "a key has a field");
                    assert!(
                        !column.is_empty() && column.len() == column.values.len(),
                        "as many values as times"
                    );
                    let code = match column.values {
                        Values::Float(_) => 1,
                        Values::Integer(_) => 2,
                        Values::Boolean(_) => 3,
                        Values::String(_) => 4,
                        Values::Unsigned(_) => 5,
                    };
                    let len = u16::try_from(key.len()).expect("a length of two bytes");
                    let count = u32::try_from(column.len()).expect("a number of four bytes");
                    take(&mut rest, &[code])
                        && take(&mut rest, &len.to_be_bytes())
                        && take(&mut rest, key)
                        && take(&mut rest, &count.to_be_bytes())
                        && (0..).zip(&column.times).all(|(at, time)| {
                            take(&mut rest, &time.to_be_bytes()) && take_value(&mut rest, &column.values, at)
                        })
                })
        }
        Entry::Delete { range, keys } if kind == Some(DELETE) => {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            return *range == TimeRange::ALL && lines.eq(keys.iter().map(Vec::as_slice));
        }
        Entry::Delete { range, keys } => {
            take(&mut rest, &range.min().to_be_bytes())
                && take(&mut rest, &range.max().to_be_bytes())
                && keys.iter().all(|key| {
                    let len = u32::try_from(key.len()).expect("a length of four bytes");
                    take(&mut rest, &len.to_be_bytes()) && take(&mut rest, key)
                })
        }
    };
    is_there && rest.is_empty()
}

fn take(rest: &mut &[u8], expected: &[u8]) -> bool {
    let behind = rest.strip_prefix(expected);
    *rest = behind.unwrap_or(rest);
    behind.is_some()
}

fn take_value(rest: &mut &[u8], values: &Values, at: usize) -> bool {
    match values {
        Values::Float(values) => values.get(at).is_some_and(|value| {
            assert!(!value.is_nan(), "no NaN");
            take(rest, &value.to_bits().to_be_bytes())
        }),
        Values::Integer(values) => values.get(at).is_some_and(|value| take(rest, &value.to_be_bytes())),
        Values::Unsigned(values) => values.get(at).is_some_and(|value| take(rest, &value.to_be_bytes())),
        // Every byte but 1 is false.
        Values::Boolean(values) => {
            rest.split_off_first().is_some_and(|byte| Some(*byte == 1) == values.get(at))
        }
        Values::String(values) => values.get(at).is_some_and(|value| {
            let len = u32::try_from(value.len()).expect("a length of four bytes");
            take(rest, &len.to_be_bytes()) && take(rest, value)
        }),
    }
}

/// Takes `log` for entries whose bodies are not compressed.
fn mend(mut log: &[u8], out: &mut Vec<u8>) {
    out.clear();
    while let Some((&[kind, ref len @ ..], rest)) = log.split_first_chunk::<HEAD_LEN>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (body, rest) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        out.push(if matches!(kind, 1..=3) { kind } else { kind % 3 + 1 });
        let head = out.len();
        out.extend_from_slice(&[0; 4]);
        put_literal(body, out);
        let len = u32::try_from(out.len() - head - 4).expect("a body below 4 GiB");
        out.iter_mut().skip(head).zip(len.to_be_bytes()).for_each(|(to, from)| *to = from);
        log = rest;
    }
}
