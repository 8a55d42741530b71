//! The multipart of the metadata, taken apart byte by byte: no part's end is searched with a tolerance.

use crate::http::Answer;

/// One part.
#[derive(Debug)]
pub struct Part {
    /// From after the boundary line to before the empty line.
    pub headers: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// The boundary in a `Content-Type`, as it stands there.
///
/// # Panics
/// When it names none.
pub fn boundary(content_type: &str) -> &str {
    content_type.strip_prefix("multipart/mixed; boundary=").unwrap_or_else(|| panic!("{content_type:?}"))
}

/// The parts of an answer, gzip undone.
///
/// # Panics
/// When it is not the multipart that its header says.
pub fn parts(answer: &Answer) -> Vec<Part> {
    parse(&answer.decoded(), boundary(answer.header("content-type").unwrap()))
}

/// The parts of a body: nothing comes before the first boundary, and nothing after the last.
///
/// # Panics
/// When the bytes are anything else.
pub fn parse(body: &[u8], boundary: &str) -> Vec<Part> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..]).expect("the body begins with the boundary");
    let mut parts = Vec::new();
    while rest != b"--\r\n" {
        rest = rest.strip_prefix(b"\r\n").expect("a line break ends the boundary");
        let (headers, after) = split(rest, b"\r\n\r\n");
        let (content, after) = split(after, delimiter.as_bytes());
        parts.push(Part { headers: String::from_utf8(headers.to_vec()).unwrap(), content: content.to_vec() });
        rest = after;
    }
    parts
}

/// The content of the part called `name`.
///
/// # Panics
/// When there is none.
pub fn content<'a>(parts: &'a [Part], name: &str) -> &'a [u8] {
    let wanted = format!("name=\"{name}\"");
    &parts.iter().find(|part| part.headers.contains(&wanted)).unwrap().content
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut windows = bytes.windows(at.len());
    let position = windows.position(|window| window == at).unwrap_or_else(|| panic!("no {at:?}"));
    (&bytes[..position], &bytes[position + at.len()..])
}
