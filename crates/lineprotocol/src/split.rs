//! Where a line ends.
//!
//! A line ends at a newline that is neither escaped nor inside a string. To tell strings, influxd counts `=` and `,`
//! from the first bare space on; this count is apart from the one made when the fields are parsed (`careful`), and the
//! two can disagree. A line without a quote and without a backslash needs no count.

use memchr::{memchr2, memchr3};

/// The end of the line that starts at `start`: the place of its newline, or the end of the batch.
pub(crate) fn line_end(batch: &[u8], start: usize) -> usize {
    let rest = batch.get(start..).unwrap_or_default();
    match memchr3(b'\n', b'"', b'\\', rest) {
        None => batch.len(),
        Some(at) if rest.get(at) == Some(&b'\n') => start + at,
        Some(_) => counted_end(batch, start),
    }
}

/// The length of the whole lines at the front of a text that goes on: behind the last newline that ends a line. 0 when there
/// is none; the end of the text is none, since what follows may belong to its last line.
///
/// ```
/// let read = b"m a=1\nm s=\"two\nlines\"\nm b=";
/// assert_eq!(icecore_lineprotocol::whole_lines(read), read.len() - b"m b=".len());
/// ```
pub fn whole_lines(text: &[u8]) -> usize {
    let mut len = 0;
    loop {
        let end = line_end(text, len);
        if end >= text.len() {
            return len;
        }
        len = end + 1;
    }
}

fn counted_end(batch: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut in_fields = false;
    let mut equals = 0usize;
    let mut commas = 0usize;
    while let Some(byte) = batch.get(at) {
        match byte {
            b'\n' => return at,
            b'\\' => at += 1, // the next byte goes with it, a newline too
            b' ' => in_fields = true,
            b'=' if in_fields => equals += 1,
            b',' if in_fields => commas += 1,
            b'"' if equals > commas => at = closing_quote(batch, at + 1),
            _ => {}
        }
        at += 1;
    }
    batch.len()
}

/// The quote that ends a string, or the end of the batch.
fn closing_quote(batch: &[u8], mut at: usize) -> usize {
    while let Some(rest) = batch.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            None => break,
            Some(found) if rest.get(found) == Some(&b'"') => return at + found,
            Some(found) => at += found + 2,
        }
    }
    batch.len()
}
