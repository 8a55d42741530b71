//! Whether a download is compressed, how, and how hard (docs/http.md, 14.1 and 14.5).
//!
//! | `Gzip-Compression-Level` | | XFL |
//! |---|---|---|
//! | absent, empty | | 0 |
//! | `default` | gzip rather than zstd | 0 |
//! | `full` | the same | 2 |
//! | `speedy` | the same | 4 |
//! | `none` | identity, whatever the client accepts | |
//!
//! `Accept-Encoding` is read as RFC 9110 has it, but for what the original does where the RFC leaves a choice: a named
//! coding is used even if identity has a greater weight, and `*` names nothing unless identity is refused.

use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, HeaderName};
use icecore_backup::encode::{Coding, Level};

use crate::problem::{Code, Problem};

const LEVEL: HeaderName = HeaderName::from_static("gzip-compression-level");

/// A shorter body is not worth a header.
pub(crate) const CODED_MIN_BYTES: u64 = 1400;

/// What a request says of compression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ask {
    /// `None`: identity, and nothing else.
    level: Option<Level>,
    /// Whether the header for gzip named it.
    names_level: bool,
    accepts: Accepts,
}

/// Weights of `Accept-Encoding`; `None` for what it does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Accepts {
    gzip: Option<f32>,
    zstd: Option<f32>,
    identity: Option<f32>,
    /// `*`
    others: Option<f32>,
}

impl Ask {
    /// The words for the level are exact; any other is refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let word = headers.get(LEVEL).map_or(&b""[..], |value| value.as_bytes());
        let level = match word {
            b"" | b"default" => Some(Level::Default),
            b"full" => Some(Level::Full),
            b"speedy" => Some(Level::Speedy),
            b"none" => None,
            other => {
                let word: String = String::from_utf8_lossy(other).chars().take(100).collect();
                return Err(Problem::new(
                    Code::Invalid,
                    format!(
                        "unknown compression level: {word:?}, valid values: [default, full, speedy, none]"
                    ),
                ));
            }
        };
        Ok(Self { level, names_level: !word.is_empty(), accepts: Accepts::of(headers) })
    }

    /// Whether the answer is the same whatever the client accepts.
    pub(crate) fn is_identity(&self) -> bool {
        self.level.is_none()
    }

    /// Whether a body of any size may be compressed.
    pub(crate) fn may_compress(&self) -> bool {
        self.choose(None) != Ok(None)
    }

    /// The coding of a body of `size` bytes; `None` is identity. A size not known yet counts as a large one.
    ///
    /// # Errors
    /// `NotAcceptable` when the client refuses identity and everything else.
    pub(crate) fn choose(&self, size: Option<u64>) -> Result<Option<Coding>, Problem> {
        let Some(level) = self.level else { return Ok(None) };
        let accepts = &self.accepts;
        let takes_identity = accepts.identity.or(accepts.others).is_none_or(|weight| weight > 0.0);
        if takes_identity && size.is_some_and(|size| size < CODED_MIN_BYTES) {
            return Ok(None);
        }
        let unnamed = if takes_identity { None } else { accepts.others };
        let weight = |named: Option<f32>| named.or(unnamed).filter(|weight| *weight > 0.0);
        match (weight(accepts.gzip), weight(accepts.zstd)) {
            (Some(gzip), Some(zstd)) if zstd > gzip && !self.names_level => Ok(Some(Coding::Zstd(level))),
            (Some(_), _) => Ok(Some(Coding::Gzip(level))),
            (None, Some(_)) => Ok(Some(Coding::Zstd(level))),
            (None, None) if takes_identity => Ok(None),
            (None, None) => Err(Problem::new(
                Code::NotAcceptable,
                "Accept-Encoding refuses identity, and accepts neither gzip nor zstd",
            )),
        }
    }
}

impl Accepts {
    /// Of several entries for a coding the last counts; a weight that is not a number drops its entry.
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut accepts = Self::default();
        for (name, weight) in values.flat_map(|value| value.split(',')).filter_map(weighted) {
            let slot = match &*name.to_ascii_lowercase() {
                "gzip" => &mut accepts.gzip,
                "zstd" => &mut accepts.zstd,
                "identity" => &mut accepts.identity,
                "*" => &mut accepts.others,
                _ => continue,
            };
            *slot = Some(weight);
        }
        accepts
    }
}

fn weighted(entry: &str) -> Option<(&str, f32)> {
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next()?;
    let mut weight = 1.0;
    for parameter in parts {
        if let Some(text) = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")) {
            weight = text.parse::<f32>().ok().filter(|weight| weight.is_finite())?;
        }
    }
    Some((name, weight))
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

    const GZIP: Coding = Coding::Gzip(Level::Default);
    const ZSTD: Coding = Coding::Zstd(Level::Default);

    fn chosen(accept: &str, size: Option<u64>) -> Result<Option<Coding>, Code> {
        Ask::of(&accepting(accept)).unwrap().choose(size).map_err(|problem| problem.code)
    }

    #[test]
    fn gzip_must_be_named_with_a_weight_above_zero() {
        for (value, coding) in [
            ("gzip", Some(GZIP)),
            ("GZIP", Some(GZIP)),
            ("deflate, gzip;q=0.5", Some(GZIP)),
            ("gzip;q=1.0, identity; q=0.5", Some(GZIP)),
            ("gzip;q=0.5, identity", Some(GZIP)),
            ("gzip ; q=0.001", Some(GZIP)),
            ("gzip;q=0", None),
            ("gzip;q=0.0", None),
            ("gzip;q=high", None),
            ("gzip;q=NaN", None),
            ("gzip, gzip;q=0", None),
            ("*", None),
            ("x-gzip", None),
            ("deflate", None),
            ("", None),
        ] {
            assert_eq!(chosen(value, None), Ok(coding), "{value}");
        }
        assert_eq!(Ask::of(&HeaderMap::new()).unwrap().choose(None), Ok(None));
    }

    #[test]
    fn zstd_is_for_those_who_prefer_it_or_accept_no_gzip() {
        for (value, coding) in [
            ("zstd", Some(ZSTD)),
            ("gzip, zstd", Some(GZIP)),
            ("zstd, gzip", Some(GZIP)),
            ("zstd;q=1, gzip;q=0.9", Some(ZSTD)),
            ("gzip;q=0, zstd;q=0.1", Some(ZSTD)),
            ("zstd;q=0, gzip", Some(GZIP)),
            ("zstd;q=0", None),
            ("br, zstd;q=0.3, *;q=0.1", Some(ZSTD)),
        ] {
            assert_eq!(chosen(value, None), Ok(coding), "{value}");
        }
        let mut headers = accepting("zstd, gzip;q=0.1");
        headers.insert(LEVEL, HeaderValue::from_static("speedy"));
        let ask = Ask::of(&headers).unwrap();
        assert_eq!(ask.choose(None), Ok(Some(Coding::Gzip(Level::Speedy))), "a level of gzip asks for gzip");
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        let ask = Ask::of(&headers).unwrap();
        assert_eq!(ask.choose(None), Ok(Some(Coding::Zstd(Level::Speedy))), "and is no reason to refuse");
    }

    #[test]
    fn who_refuses_identity_gets_what_else_is_accepted_or_a_refusal() {
        for (value, coding) in [
            ("identity;q=0, gzip", Ok(Some(GZIP))),
            ("identity;q=0, *", Ok(Some(GZIP))),
            ("identity;q=0, *, gzip;q=0", Ok(Some(ZSTD))),
            ("*;q=0, zstd", Ok(Some(ZSTD))),
            ("*;q=0, identity", Ok(None)),
            ("*;q=0, identity;q=0.1", Ok(None)),
            ("identity;q=0", Err(Code::NotAcceptable)),
            ("identity;q=0, deflate", Err(Code::NotAcceptable)),
            ("*;q=0", Err(Code::NotAcceptable)),
        ] {
            assert_eq!(chosen(value, Some(10)), coding, "{value}, also of a small body");
            assert_eq!(chosen(value, None), coding, "{value}");
        }
    }

    #[test]
    fn the_level_words_are_exact_and_none_wins() {
        let mut headers = accepting("gzip, identity;q=0.5");
        for (word, level) in [
            ("", Some(Level::Default)),
            ("default", Some(Level::Default)),
            ("full", Some(Level::Full)),
            ("speedy", Some(Level::Speedy)),
            ("none", None),
        ] {
            headers.insert(LEVEL, HeaderValue::from_str(word).unwrap());
            let ask = Ask::of(&headers).unwrap();
            assert_eq!(ask.choose(Some(1400)), Ok(level.map(Coding::Gzip)), "{word}");
            assert_eq!(ask.choose(Some(1399)), Ok(None));
            assert_eq!((ask.is_identity(), ask.may_compress()), (word == "none", word != "none"));
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity;q=0"));
        assert_eq!(Ask::of(&headers).unwrap().choose(None), Ok(None), "none is stronger");
        headers.insert(LEVEL, HeaderValue::from_static("Full"));
        assert_eq!(
            Ask::of(&headers).unwrap_err().message,
            "unknown compression level: \"Full\", valid values: [default, full, speedy, none]"
        );
    }
}
