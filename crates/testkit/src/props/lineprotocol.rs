use std::fmt::Write as _;

use icecore_lineprotocol::{LEN_MAX, LineError, Parser, Precision, TIME_MAX, TIME_MIN, Value};

const NOW_NS: i64 = 1_700_000_001_123_456_789;
const IN_FRONT: &[u8] = b"front,tag=a f=1 1\n";

/// What a line says, without its parser.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    key: Vec<u8>,
    time_ns: i64,
    fields: Vec<(Vec<u8>, Owned)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    /// Bits: −0.0 is not 0.0.
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(Vec<u8>),
}

/// Any bytes are points and bad lines, the same whatever the parser has seen and whatever lines stand in front; a point
/// written as a line is that point again.
///
/// The first byte chooses the precision.
pub fn lineprotocol(bytes: &[u8]) {
    let Some((choice, batch)) = bytes.split_first() else { return };
    let precision = match choice % 4 {
        0 => Precision::Nanoseconds,
        1 => Precision::Microseconds,
        2 => Precision::Milliseconds,
        _ => Precision::Seconds,
    };
    let mut parser = Parser::new();
    let lines = parse(&mut parser, batch, precision);
    places(batch, &lines);
    for (_, line) in &lines {
        if let Ok(point) = line {
            plausible(point, precision);
            written_again(&mut parser, point);
        }
    }
    let behind = [IN_FRONT, batch].concat();
    let shifted = parse(&mut parser, &behind, precision);
    assert_eq!(shifted.len(), lines.len() + 1, "one more line");
    for ((offset, line), (shifted_offset, shifted)) in lines.iter().zip(shifted.iter().skip(1)) {
        assert_eq!(offset + IN_FRONT.len(), *shifted_offset, "the same place");
        match (line, shifted) {
            (Ok(point), Ok(again)) => assert_eq!(point, again, "the same point"),
            (Err(error), Err(again)) => assert_eq!(error.to_string(), again.to_string(), "the same message"),
            _ => panic!("a point and a bad line"),
        }
    }
}

type Lines<'b> = Vec<(usize, Result<Point, LineError<'b>>)>;

/// All lines of a batch, each with its place.
fn parse<'b>(parser: &mut Parser, batch: &'b [u8], precision: Precision) -> Lines<'b> {
    let mut found = Vec::new();
    let mut lines = parser.lines(batch, precision, NOW_NS);
    while let Some(line) = lines.next_line() {
        found.push(match line {
            Err(error) => (error.offset, Err(error)),
            Ok(line) => {
                let fields =
                    line.fields().map(|field| (field.key.to_vec(), Owned::from(field.value))).collect();
                (line.offset(), Ok(Point { key: line.key().to_vec(), time_ns: line.time_ns(), fields }))
            }
        });
    }
    found
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Float(value) => Self::Float(value.to_bits()),
            Value::Integer(value) => Self::Integer(value),
            Value::Unsigned(value) => Self::Unsigned(value),
            Value::Boolean(value) => Self::Boolean(value),
            Value::String(value) => Self::String(value.to_vec()),
        }
    }
}

/// Lines follow each other, and a bad one stands where it says.
fn places(batch: &[u8], lines: &Lines<'_>) {
    assert!(lines.is_sorted_by(|(a, _), (b, _)| a < b), "lines follow each other");
    for (offset, line) in lines {
        let text = batch.get(*offset..).expect("a line inside the batch");
        assert!(
            !matches!(text.first(), None | Some(b' ' | b'\t' | 0 | b'#')),
            "a line starts behind white space"
        );
        if let Err(error) = line {
            assert!(text.starts_with(error.line), "a bad line stands where it says");
        }
    }
}

fn plausible(point: &Point, precision: Precision) {
    assert!(!point.fields.is_empty(), "a point has a field");
    assert!((TIME_MIN..=TIME_MAX).contains(&point.time_ns), "a time in the range");
    assert_eq!(precision.truncate(point.time_ns), point.time_ns, "whole units");
    let longest = point.fields.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    assert!(point.key.len() + "#!~#".len() + longest <= LEN_MAX, "keys fit into a file");
    assert!(point.fields.iter().all(|(_, value)| match value {
        Owned::Float(bits) => f64::from_bits(*bits).is_finite(),
        _ => true,
    }));
}

fn written_again(parser: &mut Parser, point: &Point) {
    let Some(text) = written(point) else { return };
    let again = parse(parser, &text, Precision::Nanoseconds);
    assert_eq!(again, [(0, Ok(point.clone()))], "{}", text.escape_ascii());
}

/// The point as a line; `None` when it cannot be one: the field's name is empty or has a backslash, which cannot be
/// escaped, or there is a newline, of which it depends on everything in front whether it ends the line.
fn written(point: &Point) -> Option<Vec<u8>> {
    let mut text = point.key.clone();
    let mut separator = b' ';
    for (key, value) in &point.fields {
        text.push(separator);
        separator = b',';
        let start = text.len();
        for byte in key {
            if matches!(byte, b',' | b'=' | b' ') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        if key.is_empty() || key.contains(&b'\\') || point.key.len() + 4 + text.len() - start > LEN_MAX {
            return None;
        }
        text.push(b'=');
        write_value(value, &mut text);
    }
    text.extend_from_slice(format!(" {}", point.time_ns).as_bytes());
    (!text.contains(&b'\n')).then_some(text)
}

fn write_value(value: &Owned, text: &mut Vec<u8>) {
    let mut number = String::new();
    match value {
        Owned::Float(bits) => write!(number, "{:e}", f64::from_bits(*bits)),
        Owned::Integer(value) => write!(number, "{value}i"),
        Owned::Unsigned(value) => write!(number, "{value}u"),
        Owned::Boolean(value) => write!(number, "{value}"),
        Owned::String(value) => {
            text.push(b'"');
            for byte in value {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(*byte);
            }
            write!(number, "\"")
        }
    }
    .expect("a string takes any text");
    text.extend_from_slice(number.as_bytes());
}
