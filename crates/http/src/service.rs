//! From a request to an answer: the steps of docs/http.md, 1.1, in order, and the headers that all answers have.
//!
//! Inspection is answered at once. Everything that reads the data directory runs on a blocking thread; a panic there is
//! logged and answered with 500.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use icecore_database::Database;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{Answer, Payload};
use crate::backend::Backend;
use crate::body::Body;
use crate::dispatch::{self, Call};
use crate::lane::{BackgroundHandle, InLane, Lane};
use crate::metrics::{Encoding, Fate};
use crate::problem::{Code, Layout, Problem};
use crate::pump::Pump;
use crate::rate::Paced;
use crate::record::{End, Record};
use crate::route::{self, Door};
use crate::shared::Shared;
use crate::write::Writes;
use crate::{blocking, clock, inspect, url};

/// The version of InfluxDB whose contract is spoken.
pub(crate) const SPOKEN_VERSION: &str = "v2.9.1";
/// Our own.
pub(crate) const ICECORE_VERSION: &str = env!("CARGO_PKG_VERSION");

const BUILD: HeaderName = HeaderName::from_static("x-influxdb-build");
const VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const OWN_VERSION: HeaderName = HeaderName::from_static("x-icecore-version");

const CORS_METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE, PATCH";
const CORS_HEADERS: &str = "Accept, Content-Type, Content-Length, Accept-Encoding, Authorization, User-Agent";

/// Limits of a [`Service`] and of [`serve`](crate::serve).
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the files of a shard are checked before the head of its answer leaves. Damage found in this time is a
    /// status, later damage breaks the body. Clients give up after 10 s of silence.
    pub check_max: Duration,
    /// The JSON in the body of a request; a longer one is refused with 413.
    pub json_max_bytes: usize,
    /// That JSON may take so long to arrive, and with [`serve`](crate::serve) the head of any request.
    pub head_max: Duration,
    /// The body of a write, unpacked; a longer one is refused with 413. influxd knows no limit.
    pub write_max_bytes: usize,
    /// The bodies of all writes in progress, packed and unpacked; at least twice the limit of one. Who finds no room waits.
    pub write_memory_bytes: usize,
    /// How long a write waits for room before it is refused with 503.
    pub write_wait_max: Duration,
    /// How many writes are parsed and stored at once, each on a thread; others wait, without one.
    pub writes_max: usize,
    /// How long nothing may arrive of the body of a write.
    pub body_stall_max: Duration,
    /// How many downloads of backups may go on at once; others wait for one to end.
    pub downloads_max: usize,
    /// How long a download waits for its turn before it is refused with 503.
    pub download_wait_max: Duration,
    /// Bytes a second of all downloads together; 0 is no limit.
    pub download_rate_max: u64,
    /// How long a cut is kept after its last use; what it pins stays on the disk.
    pub cut_lease: Duration,
    /// How many cuts are kept. A new one takes the place of the one that was not used for the longest time; when all are in use
    /// it is refused with 503.
    pub cuts_max: usize,
    /// Whether `/metrics` answers with what is counted, or with 403.
    pub metrics: bool,
    /// Threads of a low priority for downloads: connections that have one are carried there by [`serve`](crate::serve), and
    /// compression and checks take the same priority. `None`: all threads are equal.
    pub background: Option<BackgroundHandle>,
    /// [`serve`](crate::serve): a connection without a request.
    pub idle_max: Duration,
    /// [`serve`](crate::serve): bytes a second that a client has to take of an answer on an average, counted over the time in
    /// which it keeps us waiting; 0 is no limit.
    pub client_speed_min: u64,
    /// [`serve`](crate::serve): how much of that time passes before a client is judged. One that is too slow is cut off.
    pub client_stall_max: Duration,
    /// [`serve`](crate::serve): how long answers may go on after the signal to stop.
    pub drain_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            check_max: Duration::from_millis(1500),
            json_max_bytes: 1 << 20,
            head_max: Duration::from_secs(10),
            write_max_bytes: 128 << 20,
            write_memory_bytes: 256 << 20,
            write_wait_max: Duration::from_secs(10),
            writes_max: 32,
            body_stall_max: Duration::from_secs(60),
            downloads_max: 64,
            download_wait_max: Duration::from_secs(5),
            download_rate_max: 0,
            cut_lease: Duration::from_secs(900),
            cuts_max: 16,
            metrics: true,
            background: None,
            idle_max: Duration::from_secs(180),
            client_speed_min: 1000,
            client_stall_max: Duration::from_secs(60),
            drain_max: Duration::from_secs(30),
        }
    }
}

/// The InfluxDB v2 HTTP API over a [`Database`]: a service for hyper (`hyper::service::Service`) and for tower
/// (`tower_service::Service`). Clones share everything.
///
/// It is to be called inside a tokio runtime. A server other than [`serve`](crate::serve) must break the connection
/// when a body ends with an error (hyper does), and should spell header names in title case, as Go does.
///
/// # Cancel safety
/// A future or body that is dropped frees what it holds when the blocking call in progress is done; a setup or a
/// write that has begun is finished.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
    /// Of the connection that this clone serves.
    fate: Arc<Fate>,
    lane: Lane,
}

/// What a download takes until its body is gone.
pub(crate) type Place = (OwnedSemaphorePermit, InLane);

struct Inner {
    backend: Arc<dyn Backend>,
    writes: Writes,
    shared: Arc<Shared>,
    options: Options,
    started: Instant,
    started_ns: i64,
    next_request_id: AtomicU64,
}

impl Service {
    /// Serves `database`.
    pub fn new(database: Arc<Database>, options: Options) -> Self {
        Self::over(database, options)
    }

    pub(crate) fn over(backend: impl Backend, options: Options) -> Self {
        let started_ns = clock::now_ns();
        // Ids go on where an earlier run cannot have been: a log holds each one once.
        let writes = Writes::new(&options);
        let first_id = u64::try_from(started_ns).unwrap_or_default() / 1000;
        Self {
            inner: Arc::new(Inner {
                backend: Arc::new(backend),
                shared: Arc::new(Shared::new(&options, writes.in_progress())),
                writes,
                options,
                started: Instant::now(),
                started_ns,
                next_request_id: AtomicU64::new(first_id),
            }),
            lane: Lane::default(),
            fate: Arc::default(),
        }
    }

    /// For one connection: where it is carried, and where it says why it ends.
    pub(crate) fn on_connection(self, lane: Lane, fate: Arc<Fate>) -> Self {
        Self { lane, fate, ..self }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    async fn respond<B>(self, request: Request<B>) -> Result<Response<Body>, Infallible>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let record = Record {
            request_id: self.inner.next_request_id.fetch_add(1, Ordering::Relaxed),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            started: Instant::now(),
            status: None,
            sent_bytes: 0,
            end: End::ClientGone,
            meter: None,
        };
        let origin = head.headers.get(ORIGIN).cloned();
        let mut place = None;
        let answer = self.answer(head, body, &mut place).await;
        let place = match place.filter(|_| matches!(answer.payload, Payload::Stream { .. })) {
            Some(place) => {
                let lane = self.lane.enter();
                // The cut was made by the usual threads: writers wait for what it flushes. From here on others go on.
                tokio::task::yield_now().await;
                Some((place, lane))
            }
            None => None,
        };
        Ok(self.finish(answer, origin, record, place))
    }

    /// `place`: where a download keeps its own.
    async fn answer<B>(&self, head: Parts, body: B, place: &mut Option<OwnedSemaphorePermit>) -> Answer
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Some(path) = url::decode_path(head.uri.path()) else {
            return Problem::new(Code::Invalid, "the path has a broken escape").answer(Layout::H);
        };
        match route::door(&path) {
            Door::Health => return inspect::health(),
            Door::Ready => return inspect::ready(self.inner.started_ns, self.inner.started.elapsed()),
            Door::Metrics if self.inner.options.metrics => return self.metrics(&head).await,
            Door::Metrics => return inspect::metrics_disabled(),
            Door::Ping => return inspect::ping(&head.method),
            Door::Absent => return Answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Door::Api if head.method == Method::OPTIONS => return preflight(&head.headers),
            Door::Api | Door::Legacy { .. } => {}
        }
        if route::is_write(&head.method, &path) {
            return self.inner.writes.answer(&self.inner.backend, head, body).await;
        }
        if route::is_download(&head.method, &path) {
            match self.inner.shared.place().await {
                Ok(free) => *place = Some(free),
                Err(problem) => return problem.answer(Layout::H),
            }
        }
        let body =
            if route::has_json(&head.method, &path) { self.read(body).await } else { Ok(Bytes::new()) };
        let until = Instant::now() + self.inner.options.check_max;
        let shared = Arc::clone(&self.inner.shared);
        self.answer_blocking(Call { head, path, body, shared, until }).await
    }

    /// What `/metrics` answers.
    #[cfg(test)]
    pub(crate) fn metrics_text(&self) -> String {
        self.inner.shared.metrics_text().expect("memory takes all")
    }

    async fn metrics(&self, head: &Parts) -> Answer {
        let shared = Arc::clone(&self.inner.shared);
        let answered = blocking::run(&head.uri, move || inspect::metrics(&shared)).await;
        answered.unwrap_or_else(|problem| problem.answer(Layout::H))
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, Problem>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Options { json_max_bytes: max, head_max, .. } = self.inner.options;
        let Ok(read) = tokio::time::timeout(head_max, Limited::new(body, max).collect()).await else {
            return Err(Problem::new(
                Code::Invalid,
                format!("the request body did not arrive within {head_max:?}"),
            ));
        };
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
                Code::RequestTooLarge,
                format!("the request body is longer than the {max} bytes allowed here"),
            )),
            Err(error) => {
                Err(Problem::new(Code::Invalid, format!("the request body could not be read: {error}")))
            }
        }
    }

    async fn answer_blocking(&self, call: Call) -> Answer {
        let uri = call.head.uri.clone();
        let layout = route::layout(&call.path);
        let backend = Arc::clone(&self.inner.backend);
        let answered = blocking::run(&uri, move || dispatch::answer(&*backend, &call)).await;
        answered.unwrap_or_else(|problem| problem.answer(layout))
    }

    /// Adds the headers of all answers and ties the body to the log.
    fn finish(
        &self,
        answer: Answer,
        origin: Option<HeaderValue>,
        mut record: Record,
        place: Option<Place>,
    ) -> Response<Body> {
        let Answer { status, mut headers, payload, failure } = answer;
        if let Some(failure) = failure {
            tracing::error!(request_id = record.request_id, error = failure, "request failed");
        }
        headers.insert(BUILD, HeaderValue::from_static("OSS"));
        headers.insert(VERSION, HeaderValue::from_static(SPOKEN_VERSION));
        if !status.is_client_error() && !status.is_server_error() {
            // Errors are those of the original to the last header.
            headers.insert(OWN_VERSION, HeaderValue::from_static(ICECORE_VERSION));
        }
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        record.status = Some(status);
        let body = match payload {
            Payload::Bytes(bytes) if record.method == Method::HEAD => {
                if status != StatusCode::NO_CONTENT {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                }
                Body::bytes(Bytes::new(), record)
            }
            Payload::Bytes(bytes) => Body::bytes(bytes, record),
            Payload::Stream { chunks, size, making, has_digest } => {
                let encoding = Encoding::of(headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes));
                let Shared { metrics, rate, deferential, .. } = &*self.inner.shared;
                record.meter = Some(metrics.begin(encoding, Arc::clone(&self.fate)));
                let paced = Paced::new(Pump::new(chunks, making), rate.clone(), deferential.clone());
                let body = Body::stream(paced, size, record, place);
                if has_digest { body.with_digest() } else { body }
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// `OPTIONS` on the API: answered before any token is looked at.
fn preflight(headers: &HeaderMap) -> Answer {
    if !headers.contains_key(ORIGIN) {
        return Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    Answer::empty(StatusCode::NO_CONTENT)
        .with(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(CORS_METHODS))
        .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(CORS_HEADERS))
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B> hyper::service::Service<Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<B>) -> Answering {
        Box::pin(self.clone().respond(request))
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        Box::pin(self.clone().respond(request))
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
