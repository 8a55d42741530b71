//! The key of a TSM file: series key and field, joined.
//!
//! ```text
//! composite | series key (measurement,tag=value,…; escaped) | #!~# | field (not escaped) |
//! ```
//!
//! Order everywhere is the byte order of the composite, which is not the order of (series, field): bytes below `#`
//! may follow a series key that is a prefix of another.

/// Between series key and field.
pub const SEPARATOR: &[u8] = b"#!~#";

/// The longest composite key that a TSM index can hold.
pub const LEN_MAX: usize = u16::MAX as usize;

/// Splits a composite key at the first separator, as influxd does; `None` when it has none.
///
/// A measurement or tag value that contains `#!~#` is therefore split at the wrong place, there and here.
pub fn split(composite: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = composite.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)?;
    Some((composite.get(..at)?, composite.get(at + SEPARATOR.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_counts() {
        assert_eq!(split(b"cpu,host=a#!~#user"), Some((&b"cpu,host=a"[..], &b"user"[..])));
        assert_eq!(split(b"m#!~#"), Some((&b"m"[..], &b""[..])));
        assert_eq!(split(b"m#!~#f#!~#g"), Some((&b"m"[..], &b"f#!~#g"[..])));
        assert_eq!(split(b"m#!~"), None);
    }
}
