//! Text in quotes as Go's `%q` prints it, in which some messages of influxd hold names.

/// In double quotes, with what cannot be printed escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_printed(c) => quoted.push(c),
            c if c < '\u{80}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c <= '\u{ffff}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// The standard library has the same idea of it as Go, but says so only by escaping. Behind a letter it leaves
/// combining marks as they are, as Go does.
fn is_printed(c: char) -> bool {
    let behind_a_letter: String = ['a', c].iter().collect();
    c == '\'' || !behind_a_letter.escape_debug().any(|c| c == '\\')
}

#[cfg(test)]
mod tests {
    use super::quoted;

    /// The right side was printed by Go 1.26.
    #[test]
    fn quotes_are_those_of_go() {
        for (text, expected) in [
            ("plain name", r#""plain name""#),
            ("it's \"q\" \\ x", r#""it's \"q\" \\ x""#),
            ("\0\x01\x07\x08\t\n\x0b\x0c\r\x1b\x7f", r#""\x00\x01\a\b\t\n\v\f\r\x1b\x7f""#),
            ("é 日 🧊 a\u{301}", "\"é 日 🧊 a\u{301}\""),
            (
                "\u{80}\u{a0}\u{ad}\u{200b}\u{2028}\u{3000}\u{feff}",
                r#""\u0080\u00a0\u00ad\u200b\u2028\u3000\ufeff""#,
            ),
            ("\u{e000}\u{e0001}\u{10ffff}", r#""\ue000\U000e0001\U0010ffff""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
