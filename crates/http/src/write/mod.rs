//! `POST /api/v2/write` (docs/http.md, section 9). Errors in layout H.
//!
//! Order of checks: token, precision, a bucket is named, gzip header, organization, bucket, permission, body, lines,
//! storage. What the head of a request decides is decided before its body is read.
//!
//! Invariant: nobody waits for a client with a thread, a lock or a turn. A body is read into memory that is granted as it
//! arrives; only a whole one gets one of the turns to write, and only these block.

mod body;
mod gunzip;
mod memory;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, EXPECT};
use hyper::http::request::Parts;
use hyper::{StatusCode, Uri};
use icecore_catalog::{Action, Id, Permission, Resource, ResourceType};
use icecore_database::Precision;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::backend::{Backend, Caller};
use crate::blocking;
use crate::dispatch::authenticate;
use crate::lists::{given, given_id};
use crate::problem::{Code, Layout, Problem};
use crate::service::Options;
use crate::{credentials, url};
use body::Arriving;
use memory::{Held, Memory};

/// What all writes share.
#[derive(Debug)]
pub(crate) struct Writes {
    memory: Memory,
    turns: Arc<Semaphore>,
    turns_max: usize,
    stall_max: Duration,
}

/// What the head of a request asks for.
struct Asked {
    precision: Precision,
    is_gzip: bool,
    /// Told after the first bytes of a gzip body were looked at.
    bucket: Result<Id, Problem>,
}

/// How many writes are being parsed and stored.
#[derive(Clone, Debug)]
pub(crate) struct InProgress {
    turns: Arc<Semaphore>,
    turns_max: usize,
}

impl InProgress {
    pub(crate) fn count(&self) -> usize {
        self.turns_max.saturating_sub(self.turns.available_permits())
    }
}

impl Writes {
    /// As so many writes that are being parsed and stored.
    #[cfg(test)]
    pub(crate) async fn take_turns(&self, count: usize) -> tokio::sync::OwnedSemaphorePermit {
        let count = u32::try_from(count).unwrap();
        Arc::clone(&self.turns).acquire_many_owned(count).await.unwrap()
    }

    pub(crate) fn in_progress(&self) -> InProgress {
        InProgress { turns: Arc::clone(&self.turns), turns_max: self.turns_max }
    }

    pub(crate) fn new(options: &Options) -> Self {
        let Options { write_memory_bytes, write_max_bytes, write_wait_max, .. } = *options;
        let turns_max = options.writes_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            memory: Memory::new(write_memory_bytes, write_max_bytes, write_wait_max),
            turns: Arc::new(Semaphore::new(turns_max)),
            turns_max,
            stall_max: options.body_stall_max,
        }
    }

    /// # Cancel safety
    /// A write that has got its turn is carried out; before that nothing was written.
    pub(crate) async fn answer<B>(&self, backend: &Arc<dyn Backend>, head: Parts, body: B) -> Answer
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let body = pin!(body);
        let mut arriving = Arriving::new(body, self.stall_max);
        let waits_to_send = head.headers.contains_key(EXPECT);
        let uri = head.uri.clone();
        let asking = Arc::clone(backend);
        let asked = blocking::run(&uri, move || ask(&*asking, &head)).await.and_then(|asked| asked);
        let is_asked = asked.is_ok();
        let written = match asked {
            Ok(asked) => self.take(backend, &uri, asked, &mut arriving).await,
            Err(problem) => Err(problem),
        };
        match written {
            Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
            Err(problem) => {
                if is_asked || !waits_to_send {
                    arriving.drain().await;
                }
                problem.answer(Layout::H)
            }
        }
    }

    async fn take<B>(
        &self,
        backend: &Arc<dyn Backend>,
        uri: &Uri,
        asked: Asked,
        arriving: &mut Arriving<'_, B>,
    ) -> Result<(), Problem>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Asked { precision, is_gzip, bucket } = asked;
        let mut held = self.memory.hold();
        if is_gzip {
            arriving.read_until(&mut held, gunzip::HEADER_LEN).await?;
            if !gunzip::begins_a_member(&held.bytes) {
                return Err(gunzip::no_header());
            }
        }
        let bucket = bucket?;
        arriving.read_until(&mut held, usize::MAX).await?;
        let plain = self.memory.hold();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::new(Code::Unavailable, "the server is stopping"))?;
        let (backend, runtime) = (Arc::clone(backend), Handle::current());
        let write = move || {
            let _turn = turn;
            let batch = if is_gzip { unpacked(held, plain, &runtime)? } else { held };
            backend.write(bucket, precision, &batch.bytes)
        };
        blocking::run(uri, write).await.and_then(|written| written)
    }
}

fn unpacked(packed: Held, mut plain: Held, runtime: &Handle) -> Result<Held, Problem> {
    gunzip::unpack(&packed.bytes, &mut plain, runtime)?;
    Ok(plain)
}

/// Blocks on disk.
fn ask(backend: &dyn Backend, head: &Parts) -> Result<Asked, Problem> {
    let caller = authenticate(backend, credentials::token(&head.headers))?;
    let query = head.uri.query();
    let precision = given(query, "precision").map_or(Ok(Precision::default()), |text| text.parse());
    let precision =
        precision.map_err(|unknown: icecore_database::UnknownPrecision| invalid(unknown.to_string()))?;
    let bucket = given(query, "bucket").ok_or_else(|| Problem::new(Code::NotFound, "bucket not found"))?;
    let encoding = head.headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let is_gzip = matches!(encoding, b"gzip" | b"x-gzip");
    Ok(Asked { precision, is_gzip, bucket: writable(backend, query, &bucket, &caller) })
}

/// The bucket that is named, if the caller may write to it.
fn writable(
    backend: &dyn Backend,
    query: Option<&str>,
    bucket: &str,
    caller: &Caller,
) -> Result<Id, Problem> {
    let org = url::query_value(query, "org").unwrap_or_default();
    let org_id = given_id(query, "orgID")?.or_else(|| org.parse().ok());
    if org_id.is_none() && org.is_empty() {
        return Err(invalid("Please provide either orgID or org"));
    }
    let bucket = backend.bucket(org_id, &org, bucket)?;
    let resource = Resource { kind: ResourceType::Buckets, id: Some(bucket.id), org_id: Some(bucket.org_id) };
    let wanted = Permission { action: Action::Write, resource };
    caller.authorization.require(&wanted).map_err(|denied| {
        let message = match denied {
            icecore_catalog::Denied::Inactive => format!("insufficient permissions for write: {denied}"),
            _ => "insufficient permissions for write".to_owned(),
        };
        Problem::new(Code::Forbidden, message)
    })?;
    Ok(bucket.id)
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(Code::Invalid, message)
}
