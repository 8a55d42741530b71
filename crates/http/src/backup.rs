//! The three downloads of a backup (docs/http.md, section 14). Errors in layout H.
//!
//! Order of checks, after authentication: compression level, shard id, `since`, `cut`, operator, the cut and the shard exist, its files
//! are sound as far as could be checked in time. From the level on answers vary with `Accept-Encoding`, unless the
//! level is `none`; `/kv` knows no compression at all.

use std::sync::Arc;
use std::time::Instant;

use hyper::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, TE, TRAILER,
    VARY,
};
use hyper::{HeaderMap, StatusCode};
use icecore_backup::encode::{Coding, Encoded};
use icecore_backup::{Boundary, CutName, Deletes, Selection};
use icecore_database::{Cut, ShardId};

use crate::answer::{Answer, Payload};
use crate::backend::{Backend, Caller, WantedShard};
use crate::clock;
use crate::coding::Ask;
use crate::conditions::{Conditions, Verdict};
use crate::cut;
use crate::download::{Chunks, Download, Exact, First};
use crate::problem::{Code, Layout, Problem};
use crate::pump::Making;
use crate::range::{self, Part};
use crate::shared::Shared;
use crate::since;
use crate::url;

const CUT: HeaderName = HeaderName::from_static("icecore-cut");
const LEASE: HeaderName = HeaderName::from_static("icecore-lease");
const OCTETS: &str = "application/octet-stream";

/// Made ahead of an identity body: slices of mapped files, which cost no memory of their own.
const IDENTITY_BATCH_BYTES: usize = 1 << 20;
/// What a request for a download carries.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) caller: &'a Caller,
    pub(crate) shared: &'a Arc<Shared>,
    /// When the head of the answer has to leave.
    pub(crate) until: Instant,
}

pub(crate) fn kv(backend: &dyn Backend, request: Request<'_>) -> Answer {
    let download = operator(request).and_then(|()| backend.kv());
    let sent = download.and_then(|download| send(download, OCTETS, None, request));
    sent.unwrap_or_else(|problem| problem.answer(Layout::H))
}

pub(crate) fn metadata(backend: &dyn Backend, request: Request<'_>) -> Answer {
    compressible(request, |ask| {
        operator(request)?;
        let boundary = boundary()?;
        let cut = cut::Ask::of_metadata(request.query)?;
        let (name, download) = match cut {
            cut::Ask::New => {
                let (cut, download) = backend.cut(&boundary)?;
                let name = CutName::all(&random()?);
                let CutName::All(digits) = &name else {
                    return Err(Problem::internal("a cut without a name"));
                };
                let digits = header(digits)?;
                keep(request, name, cut)?;
                (Some(digits), download)
            }
            _ => (None, backend.metadata(&boundary)?),
        };
        let coding = ask.choose(download.size)?;
        let answer = send(download, &format!("multipart/mixed; boundary={boundary}"), coding, request)?;
        Ok(match name {
            Some(name) => leased(answer.with(CUT, name), request),
            None => answer,
        })
    })
}

pub(crate) fn shard(backend: &dyn Backend, request: Request<'_>, id: &str) -> Answer {
    compressible(request, |ask| {
        let id = shard_id(id)?;
        let selection = selection(request.query)?;
        let cut = cut::Ask::of_shard(request.query, id)?;
        operator(request)?;
        let names_cut = cut != cut::Ask::Now;
        let cut = match cut {
            cut::Ask::Now => None,
            cut::Ask::New => {
                let (cut, cut_ns) = backend.cut_shard(id)?;
                Some(keep(request, CutName::Shard(ShardId(id), cut_ns), cut)?)
            }
            cut::Ask::Kept(name) => {
                Some(request.shared.cuts.find(&name, Instant::now()).map_err(cut::problem)?)
            }
        };
        // Who looks at the bytes, as a compressor and a digest do, reads them without a map (design D3).
        let copied = ask.may_compress() || takes_trailers(request.headers);
        let conditions = Conditions::of(request.headers);
        // What is compressed has no parts, and no tag that could be asked for before.
        let (range, early) = match ask.may_compress() {
            true => (range::Ask::default(), Conditions::default()),
            false => (range::Ask::of(request.headers, names_cut), conditions.clone()),
        };
        let (until, nice) = (request.until, request.shared.nice());
        let pins = Arc::clone(&request.shared.pins);
        let download = backend.shard(&WantedShard {
            id,
            selection,
            cut,
            pins,
            copied,
            range,
            conditions: early,
            until,
            nice,
        })?;
        let coding = ask.choose(download.size)?;
        let answer = match conditions.verdict(download.tag.as_deref().filter(|_| coding.is_none())) {
            Verdict::Wanted => send(download, OCTETS, coding, request)?,
            Verdict::Known => known(&download, coding)?,
            Verdict::Another => return Err(another(&download, coding)),
        };
        Ok(if names_cut { leased(answer, request) } else { answer })
    })
}

/// The client has what it would be sent.
fn known(download: &Download, coding: Option<Coding>) -> Result<Answer, Problem> {
    described(Answer::empty(StatusCode::NOT_MODIFIED), download, coding)
}

/// The client goes on with something else than what it would be sent.
fn another(download: &Download, coding: Option<Coding>) -> Problem {
    let why = match (&download.tag, coding) {
        (Some(tag), None) => format!("If-Match does not name the shard as it is now: {tag}"),
        _ => "If-Match names a tag, and a compressed body has none".to_owned(),
    };
    Problem::new(Code::AnotherState, why)
}

/// Keeps a cut, and sees to it that it is freed.
fn keep(request: Request<'_>, name: CutName, cut: Arc<Cut>) -> Result<Arc<Cut>, Problem> {
    let kept = request.shared.cuts.keep(name, cut, Instant::now()).map_err(cut::problem)?;
    request.shared.sweep();
    Ok(kept)
}

/// Says how long a cut is kept after this answer.
fn leased(answer: Answer, request: Request<'_>) -> Answer {
    answer.with(LEASE, HeaderValue::from(request.shared.cuts.lease().as_secs()))
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
    Ok(Boundary::new(&random()?))
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn send(
    download: Download,
    content_type: &str,
    coding: Option<Coding>,
    request: Request<'_>,
) -> Result<Answer, Problem> {
    let mut answer = described(Answer::empty(StatusCode::OK), &download, coding)?;
    let Download { chunks, size, part, .. } = download;
    let (chunks, size) = match part {
        Part::Whole => (chunks, size),
        Part::Some { start, end, of } => {
            answer.status = StatusCode::PARTIAL_CONTENT;
            answer = answer.with(CONTENT_RANGE, header(&format!("bytes {start}-{}/{of}", end - 1))?);
            // What is behind the part is not asked for; of what goes to the end, the end has to come.
            let chunks = if end < of { Box::new(First::new(chunks, end - start)) } else { chunks };
            (chunks, Some(end - start))
        }
        Part::Unsatisfiable { of } => {
            let problem =
                Problem::new(Code::BehindTheEnd, format!("the range lies behind the {of} bytes there are"));
            return Ok(problem.answer(Layout::H).with(CONTENT_RANGE, header(&format!("bytes */{of}"))?));
        }
    };
    let chunks: Chunks = match size {
        Some(size) => Box::new(Exact::new(chunks, size)),
        None => chunks,
    };
    answer = answer.with(CONTENT_TYPE, header(content_type)?);
    // Trailers stand behind chunks, and the digest is that of a whole body.
    let has_digest = part == Part::Whole && takes_trailers(request.headers);
    if has_digest {
        answer = answer.with(TRAILER, HeaderValue::from_static("Content-Digest"));
    }
    let size = size.filter(|_| !has_digest);
    let turns = Arc::clone(&request.shared.turns);
    answer.payload = match coding {
        None => {
            let making = match has_digest {
                true => Making::InTurns(turns),
                false => Making::Ahead(IDENTITY_BATCH_BYTES),
            };
            Payload::Stream { chunks, size, making, has_digest }
        }
        Some(coding) => {
            let name = match coding {
                Coding::Gzip(_) => "gzip",
                Coding::Zstd(_) => "zstd",
            };
            answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            let chunks = Box::new(Encoded::new(chunks, coding, Arc::clone(&request.shared.crew)));
            let making = Making::InTurns(turns);
            Payload::Stream { chunks, size: None, making, has_digest }
        }
    };
    Ok(answer)
}

/// The moment of a download, and its tag if it leaves as it is.
fn described(mut answer: Answer, download: &Download, coding: Option<Coding>) -> Result<Answer, Problem> {
    if let Some(cut_ns) = download.cut_ns {
        answer = answer.with(CUT, header(&clock::rfc3339_ns(cut_ns))?);
    }
    if let (Some(tag), None) = (&download.tag, coding) {
        answer = answer.with(ETAG, header(tag)?).with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    Ok(answer)
}

/// Whether `TE` has `trailers`, which a connection announces to its neighbour alone.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

fn header(value: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(value).map_err(Problem::internal)
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
