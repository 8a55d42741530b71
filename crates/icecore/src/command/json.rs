//! One JSON document, written as its parts become known: nothing is collected.

use std::io::{self, Write};

use serde::Serialize;

/// A document `{"<list>": [ … ], "<name>": … }`, a line for each element.
///
/// A failed write is remembered, and told by [`finish`](Self::finish).
pub(crate) struct Document<W: Write> {
    out: W,
    failed: io::Result<()>,
    is_empty: bool,
}

impl<W: Write> Document<W> {
    /// Begins with the list.
    pub(crate) fn new(mut out: W, list: &str) -> Self {
        let failed = write!(out, "{{\"{list}\":[");
        Self { out, failed, is_empty: true }
    }

    /// The next element of the list.
    pub(crate) fn push(&mut self, element: &impl Serialize) {
        if self.failed.is_ok() {
            self.failed = self.try_push(element);
        }
    }

    fn try_push(&mut self, element: &impl Serialize) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        serde_json::to_writer(&mut self.out, element).map_err(io::Error::from)
    }

    /// Ends the list, and with the last value the document.
    ///
    /// # Errors
    /// The first write that failed.
    pub(crate) fn finish(mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        self.failed?;
        write!(self.out, "\n],\"{name}\":")?;
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"}\n")
    }
}

/// A key as text, where it is UTF-8; otherwise what can be shown of it, and all of it in hexadecimal digits.
#[derive(Debug, Serialize)]
pub(crate) struct Key {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
}

impl Key {
    pub(crate) fn of(key: &[u8]) -> Self {
        match std::str::from_utf8(key) {
            Ok(text) => Self { key: text.to_owned(), key_hex: None },
            Err(_) => {
                let hex = key.iter().map(|byte| format!("{byte:02x}")).collect();
                Self { key: String::from_utf8_lossy(key).into_owned(), key_hex: Some(hex) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_parses_with_any_number_of_elements() {
        for count in 0..3u8 {
            let mut out = Vec::new();
            let mut document = Document::new(&mut out, "list");
            (0..count).for_each(|n| document.push(&n));
            document.finish("end", &true).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["list"].as_array().unwrap().len(), usize::from(count));
            assert_eq!(value["end"], true);
        }
    }

    #[test]
    fn a_key_that_is_not_utf8_is_also_given_in_hex() {
        let key = serde_json::to_string(&[Key::of(b"a"), Key::of(b"a\xff")]).unwrap();
        assert_eq!(key, r#"[{"key":"a"},{"key":"a�","key_hex":"61ff"}]"#);
    }
}
