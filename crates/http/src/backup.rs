//! The three downloads of a backup (docs/http.md, section 14). Errors in layout H.
//!
//! Order of checks, after authentication: compression level, shard id, `since`, operator, the shard exists, its files
//! are sound as far as could be checked in time. From the level on answers vary with `Accept-Encoding`, unless the
//! level is `none`; `/kv` knows no compression at all.

use std::sync::Arc;
use std::time::Instant;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode};
use icecore_backup::encode::{Coding, Crew, Encoded};
use icecore_backup::{Boundary, Deletes, Selection};

use crate::answer::{Answer, Payload};
use crate::backend::{Backend, Caller, WantedShard};
use crate::clock;
use crate::coding::Ask;
use crate::download::{Download, Exact};
use crate::problem::{Code, Layout, Problem};
use crate::since;
use crate::url;

const CUT: HeaderName = HeaderName::from_static("icecore-cut");
const OCTETS: &str = "application/octet-stream";

/// Made ahead of an identity body: slices of mapped files, which cost no memory of their own.
const IDENTITY_BATCH_BYTES: usize = 1 << 20;
/// Made ahead of a compressed body, in memory.
const CODED_BATCH_BYTES: usize = 128 << 10;

/// What a request for a download carries.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) caller: &'a Caller,
    /// Who compresses.
    pub(crate) crew: &'a Arc<Crew>,
    /// When the head of the answer has to leave.
    pub(crate) until: Instant,
}

pub(crate) fn kv(backend: &dyn Backend, request: Request<'_>) -> Answer {
    let download = operator(request).and_then(|()| backend.kv());
    let sent = download.and_then(|download| send(download, OCTETS, None, request.crew));
    sent.unwrap_or_else(|problem| problem.answer(Layout::H))
}

pub(crate) fn metadata(backend: &dyn Backend, request: Request<'_>) -> Answer {
    compressible(request, |ask| {
        operator(request)?;
        let boundary = boundary()?;
        let download = backend.metadata(&boundary)?;
        let coding = ask.choose(download.size)?;
        send(download, &format!("multipart/mixed; boundary={boundary}"), coding, request.crew)
    })
}

pub(crate) fn shard(backend: &dyn Backend, request: Request<'_>, id: &str) -> Answer {
    compressible(request, |ask| {
        let id = shard_id(id)?;
        let selection = selection(request.query)?;
        operator(request)?;
        let copied = ask.may_compress();
        let download = backend.shard(&WantedShard { id, selection, copied, until: request.until })?;
        let coding = ask.choose(download.size)?;
        send(download, OCTETS, coding, request.crew)
    })
}

/// Runs an endpoint whose answers depend on the compression that the request asks for.
fn compressible(request: Request<'_>, endpoint: impl FnOnce(Ask) -> Result<Answer, Problem>) -> Answer {
    let ask = match Ask::of(request.headers) {
        Ok(ask) => ask,
        Err(problem) => return problem.answer(Layout::H),
    };
    let answer = endpoint(ask).unwrap_or_else(|problem| problem.answer(Layout::H));
    if ask.is_identity() {
        return answer;
    }
    answer.with(VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn operator(request: Request<'_>) -> Result<(), Problem> {
    request.caller.must_operate()
}

/// `?since=`, and two of our own: `?files=1`, the list of live files even when no file is sent (design D6), and
/// `?tombstones=keep`, deletes beside the files and not applied to them (D5).
fn selection(query: Option<&str>) -> Result<Selection, Problem> {
    let since = since::parse(url::query_value(query, "since").as_deref())?;
    let always_list = url::query_value(query, "files").is_some_and(|value| value == "1");
    let deletes = match url::query_value(query, "tombstones").as_deref() {
        None | Some("" | "apply") => Deletes::Apply,
        Some("keep") => Deletes::Keep,
        Some(other) => {
            let quoted: String = other.chars().take(100).collect();
            return Err(Problem::new(
                Code::Invalid,
                format!("tombstones: {quoted:?} is neither \"apply\" nor \"keep\""),
            ));
        }
    };
    Ok(Selection { since, always_list, deletes })
}

/// Digits only: no sign.
fn shard_id(text: &str) -> Result<u64, Problem> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let quoted: String = text.chars().take(100).collect();
        Problem::new(Code::Invalid, format!("shard id: {quoted:?} is not a number from 0 to {}", u64::MAX))
    })
}

fn boundary() -> Result<Boundary, Problem> {
    let mut random = [0; 30];
    getrandom::fill(&mut random).map_err(|error| {
        Problem::internal(format!("no random bytes for the boundary of the parts: {error}"))
    })?;
    Ok(Boundary::new(&random))
}

fn send(
    download: Download,
    content_type: &str,
    coding: Option<Coding>,
    crew: &Arc<Crew>,
) -> Result<Answer, Problem> {
    let chunks = match download.size {
        Some(size) => Box::new(Exact::new(download.chunks, size)),
        None => download.chunks,
    };
    let mut answer = Answer::empty(StatusCode::OK);
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).map_err(Problem::internal)?);
    if let Some(cut_ns) = download.cut_ns {
        let cut = clock::rfc3339_ns(cut_ns);
        answer.headers.insert(CUT, HeaderValue::from_str(&cut).map_err(Problem::internal)?);
    }
    answer.payload = match coding {
        None => Payload::Stream { chunks, size: download.size, batch_bytes: IDENTITY_BATCH_BYTES },
        Some(coding) => {
            let name = match coding {
                Coding::Gzip(_) => "gzip",
                Coding::Zstd(_) => "zstd",
            };
            answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            let chunks = Box::new(Encoded::new(chunks, coding, Arc::clone(crew)));
            Payload::Stream { chunks, size: None, batch_bytes: CODED_BATCH_BYTES }
        }
    };
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_id_is_digits_only() {
        assert_eq!(shard_id("0"), Ok(0));
        assert_eq!(shard_id("18446744073709551615"), Ok(u64::MAX));
        for text in ["abc", "", "+1", "-1", "1.0", "0x1", "18446744073709551616", "１"] {
            let problem = shard_id(text).expect_err(text);
            assert_eq!(problem.code, Code::Invalid);
            assert!(problem.message.contains(&format!("{text:?}")), "{}", problem.message);
        }
    }
}
