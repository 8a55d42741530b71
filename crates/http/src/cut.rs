//! `?cut=`: of which state of the data a request wants to know (docs/http.md, 14.5).
//!
//! | value | meaning |
//! |---|---|
//! | absent, empty | the state now |
//! | `new` | the state now, which is kept under the name that the answer states in `Icecore-Cut` |
//! | 32 hex digits | the state of all shards that a download of the metadata was told to keep |
//! | a time | the state of this shard that a download of it was told to keep |

use icecore_backup::{CutError, CutName};
use icecore_database::ShardId;

use crate::problem::{Code, Problem};
use crate::{since, url};

const NAME: &str = "cut";
const NEW: &str = "new";
const DIGITS: usize = 32;

/// What the query of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Now,
    New,
    Kept(CutName),
}

impl Ask {
    pub(crate) fn of_shard(query: Option<&str>, id: u64) -> Result<Self, Problem> {
        let value = url::query_value(query, NAME);
        match value.as_deref() {
            None | Some("") => Ok(Self::Now),
            Some(NEW) => Ok(Self::New),
            Some(name) if is_hex(name) => Ok(Self::Kept(CutName::All(name.to_owned()))),
            Some(time) => match since::parse(Some(time)) {
                Ok(Some(cut_ns)) => Ok(Self::Kept(CutName::Shard(ShardId(id), cut_ns))),
                _ => Err(refusal(time, "neither \"new\" nor the Icecore-Cut of an earlier answer")),
            },
        }
    }

    /// The metadata of a cut is sent by the request that makes it, and only then.
    pub(crate) fn of_metadata(query: Option<&str>) -> Result<Self, Problem> {
        match url::query_value(query, NAME).as_deref() {
            None | Some("") => Ok(Self::Now),
            Some(NEW) => Ok(Self::New),
            Some(other) => Err(refusal(other, "not \"new\": the metadata of a cut is sent once")),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn refusal(value: &str, why: &str) -> Problem {
    let quoted: String = value.chars().take(100).collect();
    Problem::new(Code::Invalid, format!("cut: {quoted:?} is {why}"))
}

/// A cut that is gone is no shard that is gone: clients pass over a 404.
pub(crate) fn problem(error: CutError) -> Problem {
    let code = match error {
        CutError::Unknown => Code::Invalid,
        CutError::Full(_) => Code::Unavailable,
    };
    Problem::new(code, format!("cut: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_named_by_digits_or_by_a_time() {
        let of_shard = |query: &str| Ask::of_shard(Some(query), 7);
        assert_eq!(Ask::of_shard(None, 7), Ok(Ask::Now));
        assert_eq!(of_shard("since=2026-01-01T00:00:00Z&cut="), Ok(Ask::Now));
        assert_eq!(of_shard("cut=new"), Ok(Ask::New));
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(of_shard(&format!("cut={digits}")), Ok(Ask::Kept(CutName::All(digits.to_owned()))));
        let time = Ask::Kept(CutName::Shard(ShardId(7), 1_500_000_000));
        assert_eq!(of_shard("cut=1970-01-01T00:00:01.500000000Z"), Ok(time));
        for wrong in ["New", "0123", "0123456789ABCDEF0123456789ABCDEF", "yesterday"] {
            let problem = of_shard(&format!("cut={wrong}")).expect_err(wrong);
            assert_eq!(problem.code, Code::Invalid);
            assert!(problem.message.contains(&format!("{wrong:?}")), "{}", problem.message);
        }
    }

    #[test]
    fn metadata_has_no_cut_but_a_new_one() {
        assert_eq!(Ask::of_metadata(None), Ok(Ask::Now));
        assert_eq!(Ask::of_metadata(Some("cut=new")), Ok(Ask::New));
        assert!(Ask::of_metadata(Some("cut=0123456789abcdef0123456789abcdef")).is_err());
    }
}
