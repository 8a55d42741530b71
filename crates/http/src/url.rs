//! Percent-encoding of paths and queries.

/// The path with its escapes undone. `None`: an escape is broken or the result is not UTF-8.
pub(crate) fn decode_path(path: &str) -> Option<String> {
    decode(path, false)
}

/// The first value of `name` in a query; `None` if it is absent. An undecodable value is handed out as it stands,
/// so that whoever parses it can quote it.
pub(crate) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let matches = decode(key, true).is_some_and(|key| key == name);
        matches.then(|| decode(value, true).unwrap_or_else(|| value.to_owned()))
    })
}

/// A path fit for a `Location` header: what a path may not hold literally is escaped.
pub(crate) fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A query of these pairs, escaped as Go escapes it.
pub(crate) fn encode_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (key, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        encode_part(&mut query, key);
        query.push('=');
        encode_part(&mut query, value);
    }
    query
}

fn encode_part(query: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b' ' => query.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => query.push(char::from(byte)),
            byte => query.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_of_several_values_counts() {
        assert_eq!(query_value(Some("a=1&since=x%3A+y&since=z"), "since").as_deref(), Some("x: y"));
        assert_eq!(query_value(Some("since"), "since").as_deref(), Some(""));
        assert_eq!(query_value(Some("sinc=1"), "since"), None);
        assert_eq!(query_value(None, "since"), None);
    }

    #[test]
    fn a_broken_escape_is_kept_for_the_message() {
        assert_eq!(query_value(Some("since=%zz"), "since").as_deref(), Some("%zz"));
        assert_eq!(decode_path("/a%2"), None);
        assert_eq!(decode_path("/%ff"), None);
    }

    proptest! {
        #[test]
        fn any_path_survives_encoding(path in ".*") {
            prop_assert_eq!(decode_path(&encode_path(&path)), Some(path));
        }

        #[test]
        fn any_query_survives_encoding(key in ".*", value in ".*") {
            let query = encode_query([("", "x"), (&key, &value)]);
            prop_assume!(!key.is_empty());
            prop_assert_eq!(query_value(Some(&query), &key), Some(value));
        }

        #[test]
        fn any_text_decodes_or_is_refused(text in ".*") {
            let _ = decode_path(&text);
            let _ = query_value(Some(&text), "since");
        }
    }
}
