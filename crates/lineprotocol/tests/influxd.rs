//! What influxd 2.9.1 makes of batches (`influxd-2.9.1.txt` says how that was found out), made here too.

use icecore_lineprotocol::{Errors, Field, LEN_MAX, Parser, Precision, Reason, Value};

const TABLE: &str = include_str!("influxd-2.9.1.txt");
/// The time now when the table was made.
const NOW_NS: i64 = 1_700_000_001_123_456_789;

/// A byte for each `%xx`.
fn decode(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn encode(bytes: &[u8], keep_space: bool) -> String {
    let byte = |byte: &u8| match byte {
        b'%' => "%25".to_owned(),
        b' ' if keep_space => " ".to_owned(),
        b'!'..=b'~' => char::from(*byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    bytes.iter().map(byte).collect()
}

fn field(field: Field<'_>) -> String {
    let value = match field.value {
        Value::Float(value) => format!("f:{:016x}", value.to_bits()),
        Value::Integer(value) => format!("i:{value}"),
        Value::Unsigned(value) => format!("u:{value}"),
        Value::Boolean(value) => format!("b:{value}"),
        Value::String(value) => format!("s:{}", encode(value, false)),
    };
    format!(" {}={value}", encode(field.key, false))
}

/// What the table has below a batch.
fn outcome(parser: &mut Parser, batch: &[u8], precision: Precision) -> Vec<String> {
    let mut rows = Vec::new();
    let mut errors = Errors::default();
    let mut lines = parser.lines(batch, precision, NOW_NS);
    while let Some(line) = lines.next_line() {
        match line {
            Ok(line) => {
                let fields: String = line.fields().map(field).collect();
                rows.push(format!("point {} {}{fields}", encode(line.key(), false), line.time_ns()));
            }
            Err(error) if matches!(error.reason, Reason::Unreadable(_)) => rows.push("refused".to_owned()),
            Err(error) => errors.push(&error),
        }
    }
    if !errors.is_empty() {
        rows.push(format!("error {}", encode(errors.as_str().as_bytes(), true)));
    }
    rows
}

#[test]
fn batches_are_taken_as_influxd_takes_them() {
    let mut parser = Parser::new();
    let mut cases = 0;
    for case in TABLE.split("\n\n").filter(|case| case.contains("\nin ")) {
        let (note, case) = case.split_once("\nin ").expect("a case has a batch");
        let mut rows = case.lines();
        let batch = rows.next().unwrap_or_default();
        let (precision, batch) = batch.split_once(' ').unwrap_or((batch, ""));
        let precision = precision.parse().expect("a known precision");
        let expected: Vec<_> = rows.collect();
        assert_eq!(outcome(&mut parser, &decode(batch), precision), expected, "{note}\n{batch}");
        cases += 1;
    }
    assert_eq!(cases, 224);
}

fn only_error(line: &[u8]) -> Option<String> {
    let mut parser = Parser::new();
    let mut lines = parser.lines(line, Precision::Nanoseconds, NOW_NS);
    lines.next_line().expect("one line").err().map(|error| error.reason.to_string())
}

#[test]
fn keys_of_65535_bytes_are_taken_and_longer_ones_are_not() {
    let too_long = |len: usize| Some(format!("max key length exceeded: {len} > 65535"));
    let text =
        |head: &str, filler: &str, count: usize, tail: &str| [head, &filler.repeat(count), tail].concat();
    let cases = [
        // series key, separator and field
        (text("", "m", 65_530, " f=1 5"), None),
        (text("", "m", 65_531, " f=1 5"), too_long(65_536)),
        (text("", "m", 65_535, " f=1 5"), too_long(65_540)),
        (text("m ", "f", 65_530, "=1 5"), None),
        (text("m ", "f", 65_531, "=1 5"), too_long(65_536)),
        // the name of a field counts with its escapes
        (text("m ", "\\,", 32_765, "=1 5"), None),
        (text("m ", "\\,", 32_766, "=1 5"), too_long(65_537)),
        // the series key alone is named before the fields, and after the tags
        (text("", "m", 65_536, " f=x"), too_long(65_536)),
        (text("m,t=", "v", 65_532, " f=1"), too_long(65_536)),
        (text("m,u=1,t=", "v", 65_532, " f=1"), too_long(65_540)),
        (text("", "m", 65_536, ",time=a f=1"), Some("cannot use reserved tag key \"time\"".into())),
        (text("", "m", 65_536, ""), Some("missing fields".into())),
        // the field is named after what is wrong with any value, and before the timestamp
        (text("m g=1,", "f", 65_531, "=1x x"), Some("invalid number".into())),
        (text("m g=1,", "f", 65_531, "=1 x"), too_long(65_536)),
    ];
    for (line, expected) in cases {
        assert_eq!(only_error(line.as_bytes()), expected, "{}…", &line[..12]);
    }
    assert_eq!(LEN_MAX, 65_535);
}

#[test]
fn numbers_that_go_misreads_are_what_they_say() {
    let zeros = |count| "0".repeat(count);
    for number in [format!("12345{}e-2000", zeros(2000)), format!("0.{}12345e200005", zeros(200_000))] {
        let line = format!("m f={number}");
        let mut parser = Parser::new();
        let mut lines = parser.lines(line.as_bytes(), Precision::Nanoseconds, NOW_NS);
        let line = lines.next_line().expect("one line").expect("a point");
        assert_eq!(line.fields().next().map(|field| field.value), Some(Value::Float(12345.0)));
    }
}

#[test]
fn the_first_unreadable_value_is_named_with_its_line() {
    let batch = b"m f=1\n  m f=1,a\\\\=\"x=y,z\",b\\\\=\"x=y,z\",c=2 5\nm f=2";
    let mut parser = Parser::new();
    let mut lines = parser.lines(batch, Precision::Nanoseconds, NOW_NS);
    assert!(lines.next_line().expect("three lines").is_ok());
    let error = lines.next_line().expect("three lines").expect_err("no point");
    assert_eq!(error.offset, 8);
    assert_eq!(
        error.to_string(),
        "unable to parse 'm f=1,a\\\\=\"x=y,z\",b\\\\=\"x=y,z\",c=2 5': unreadable value: field-key=a\\\\=\"x"
    );
    assert!(lines.next_line().expect("three lines").is_ok());
    assert!(lines.next_line().is_none());
}
