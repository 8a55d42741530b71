//! JSON as influxd writes it, byte for byte.
//!
//! Beyond what any encoder does, Go escapes `<`, `>`, `&`, U+2028 and U+2029 in strings, so that JSON can stand inside
//! HTML. Records in the store, manifests and answers all have it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// JSON with one tab per level and no final newline: the layout of the answers of influxd's resource endpoints.
///
/// # Panics
/// When `value` has a map whose keys are not strings, or its `Serialize` fails.
pub fn to_indented_json<T: Serialize>(value: &T) -> Vec<u8> {
    encode(value, PrettyFormatter::with_indent(b"\t"))
}

/// Compact JSON, as in manifests and records.
///
/// # Panics
/// When `value` has a map whose keys are not strings, or its `Serialize` fails.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    encode(value, CompactFormatter)
}

fn encode<T: Serialize, F: Formatter>(value: &T, layout: F) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, HtmlSafe(layout));
    value.serialize(&mut serializer).expect("a plain structure becomes JSON in memory");
    out
}

/// Another layout, with the five characters escaped.
struct HtmlSafe<F>(F);

/// Hands calls through to the layout.
macro_rules! layout {
    ($($name:ident ( $($arg:ident : $type:ty),* ) ;)*) => {
        $(fn $name<W: ?Sized + Write>(&mut self, writer: &mut W $(, $arg: $type)*) -> io::Result<()> {
            self.0.$name(writer $(, $arg)*)
        })*
    };
}

impl<F: Formatter> Formatter for HtmlSafe<F> {
    layout! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            rest = tail.get(found.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn is_escaped(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_characters_are_escaped_beyond_the_usual() {
        let text = "a<b>&c \u{2028}\u{2029} \" \\ \n \u{7} \u{7f} é 🧊";
        let json = String::from_utf8(to_json(&text)).unwrap();
        assert_eq!(json, "\"a\\u003cb\\u003e\\u0026c \\u2028\\u2029 \\\" \\\\ \\n \\u0007 \u{7f} é 🧊\"");
    }

    #[test]
    fn the_indented_layout_has_tabs_and_no_final_newline() {
        let value = serde_json::json!({"allowed": true, "links": {"self": "/a?b=c&d"}, "none": []});
        let expected = "{\n\t\"allowed\": true,\n\t\"links\": {\n\t\t\"self\": \"/a?b=c\\u0026d\"\n\t},\n\t\"none\": []\n}";
        assert_eq!(to_indented_json(&value), expected.as_bytes());
    }

    proptest! {
        #[test]
        fn any_string_is_read_back(text: String) {
            prop_assert_eq!(serde_json::from_slice::<String>(&to_json(&text)).unwrap(), text);
        }
    }
}
