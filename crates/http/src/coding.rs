//! Whether a download is compressed and how hard (docs/http.md, 14.1).
//!
//! | `Gzip-Compression-Level` | zlib level | XFL |
//! |---|---|---|
//! | absent, empty, `default` | 4 | 0 |
//! | `full` | 9 | 2 |
//! | `speedy` | 1 | 4 |
//! | `none` | identity, whatever the client accepts | |

use flate2::Compression;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, HeaderName};

use crate::problem::{Code, Problem};

const LEVEL: HeaderName = HeaderName::from_static("gzip-compression-level");

/// A shorter body is not worth a gzip header.
pub(crate) const GZIP_MIN_BYTES: u64 = 1400;

/// What `Gzip-Compression-Level` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Default,
    Full,
    Speedy,
    None,
}

impl Level {
    /// The four words are exact; any other is refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let word = headers.get(LEVEL).map_or(&b""[..], |value| value.as_bytes());
        match word {
            b"" | b"default" => Ok(Self::Default),
            b"full" => Ok(Self::Full),
            b"speedy" => Ok(Self::Speedy),
            b"none" => Ok(Self::None),
            other => {
                let word: String = String::from_utf8_lossy(other).chars().take(100).collect();
                Err(Problem::new(
                    Code::Invalid,
                    format!(
                        "unknown compression level: {word:?}, valid values: [default, full, speedy, none]"
                    ),
                ))
            }
        }
    }

    /// The gzip setting for a body of `size` bytes; `None` is identity. A size not known yet counts as a large one.
    pub(crate) fn gzip(self, headers: &HeaderMap, size: Option<u64>) -> Option<Compression> {
        let level = match self {
            // 46 MB/s at 0.781 of the size of `fleet` on one core; level 6: 38 at 0.775; the original: 20 to 26 at 0.77.
            Self::Default => Compression::new(4),
            Self::Full => Compression::best(),
            Self::Speedy => Compression::fast(),
            Self::None => return None,
        };
        let worth_it = size.is_none_or(|size| size >= GZIP_MIN_BYTES);
        (worth_it && accepts_gzip(headers)).then_some(level)
    }
}

/// Whether `Accept-Encoding` names `gzip` with a weight above 0. `*` does not name it; a weight that is not a number
/// drops its entry; of several entries the last counts.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(weight_of_gzip)
        .next_back()
        .is_some_and(|weight| weight > 0.0)
}

fn weight_of_gzip(entry: &str) -> Option<f32> {
    let mut parts = entry.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("gzip") {
        return None;
    }
    let mut weight = 1.0;
    for parameter in parts {
        if let Some(text) = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")) {
            weight = text.parse::<f32>().ok().filter(|weight| weight.is_finite())?;
        }
    }
    Some(weight)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn gzip_must_be_named_with_a_weight_above_zero() {
        for (value, accepted) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=1.0, identity; q=0.5", true),
            ("gzip ; q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip;q=high", false),
            ("gzip;q=NaN", false),
            ("*", false),
            ("x-gzip", false),
            ("deflate", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&accepting(value)), accepted, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn the_level_words_are_exact_and_none_wins() {
        let mut headers = accepting("gzip");
        for (word, level) in [
            ("", Level::Default),
            ("default", Level::Default),
            ("full", Level::Full),
            ("speedy", Level::Speedy),
            ("none", Level::None),
        ] {
            headers.insert(LEVEL, HeaderValue::from_str(word).unwrap());
            assert_eq!(Level::of(&headers), Ok(level), "{word}");
            assert_eq!(level.gzip(&headers, Some(1400)).is_none(), word == "none");
            assert_eq!(level.gzip(&headers, Some(1399)), None);
        }
        headers.insert(LEVEL, HeaderValue::from_static("Full"));
        assert_eq!(
            Level::of(&headers).unwrap_err().message,
            "unknown compression level: \"Full\", valid values: [default, full, speedy, none]"
        );
    }
}
