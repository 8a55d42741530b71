//! Batches made to be expensive. Each has some megabytes; were any step not linear, the test would not end.

use icecore_lineprotocol::{Errors, Parser, Precision};

const LEN: usize = 4 << 20;

/// Points and bad lines of a batch.
fn counts(batch: &[u8]) -> (usize, usize) {
    let mut parser = Parser::new();
    let mut lines = parser.lines(batch, Precision::Nanoseconds, 0);
    let mut errors = Errors::default();
    let mut points = 0;
    while let Some(line) = lines.next_line() {
        match line {
            Ok(line) => points += usize::from(line.fields().len() > 0),
            Err(error) => errors.push(&error),
        }
    }
    (points, errors.len())
}

fn repeated(head: &str, piece: &str) -> Vec<u8> {
    let mut batch = head.as_bytes().to_vec();
    batch.extend_from_slice(piece.repeat((LEN - batch.len()) / piece.len()).as_bytes());
    batch
}

#[test]
fn long_lines_end() {
    for (head, piece) in [
        ("", "m"),
        ("", "\\"),
        ("", "\""),
        ("", "#"),
        ("", " "),
        ("m,", "t"),
        ("m,t=", "="),
        ("m,t=", "\\ "),
        ("m,t=a", ",t=a"),
        ("m ", "\\"),
        ("m f=\"", "\\"),
        ("m f=\"", "a,b=\" \\"),
        ("m f=", "9"),
        ("m f=0.", "0"),
        ("m f=1e", "9"),
        ("m f=", "-"),
        ("m f=t", "t"),
        ("m f=1", ",\\="),
        ("m f=1 ", "9"),
        ("m f=1 5", " "),
    ] {
        let (points, errors) = counts(&repeated(head, piece));
        assert!(points + errors <= 1, "{head}{piece}…");
    }
}

#[test]
fn a_line_of_many_fields_is_a_point() {
    assert_eq!(counts(&repeated("m f=1", ",f=1")), (1, 0));
    assert_eq!(counts(&repeated("m f=1", ",\\f=\"a\"b")), (1, 0));
}

#[test]
fn many_tags_in_the_worst_order_are_too_many() {
    let tags: String = (0..LEN / 12).rev().map(|index| format!(",t{index:08}=v")).collect();
    assert_eq!(counts(format!("m{tags} f=1").as_bytes()), (0, 1));
    let few: String = (0..5000).rev().map(|index| format!(",t{index:08}=v")).collect();
    assert_eq!(counts(format!("m{few} f=1").as_bytes()), (1, 0));
}

#[test]
fn many_lines_end() {
    assert_eq!(counts(&repeated("", "m f=1\n")), (LEN / 6, 0));
    assert_eq!(counts(&repeated("", "a\n")), (0, LEN / 2));
    assert_eq!(counts(&repeated("", "\n")), (0, 0));
    assert_eq!(counts(&repeated("", "#\"\n")), (0, 0));
    // Each quote behind the string opens another, which takes the newline and the start of the next line.
    assert_eq!(counts(&repeated("", "m f=\"a\" \"\n")), (0, LEN / 20));
}
