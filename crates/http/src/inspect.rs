//! `/health`, `/ready`, `/ping`, `/metrics` and the list of links: no token, no disk (docs/http.md, section 2).

use std::time::Duration;

use hyper::header::{HeaderValue, VARY};
use hyper::{Method, StatusCode};

use crate::answer::Answer;
use crate::clock;
use crate::problem::{Code, Layout, Problem};
use crate::service::{ICECORE_VERSION, SPOKEN_VERSION};
use crate::shared::Shared;

/// One line, with the spaces of the original: there are clients that match it as text.
pub(crate) fn health() -> Answer {
    let body = format!(
        "{{\"name\":\"influxdb\", \"message\":\"ready for queries and writes\", \"status\":\"pass\", \"checks\":[], \
         \"version\": \"{SPOKEN_VERSION}\", \"commit\": \"{ICECORE_VERSION}\"}}\n"
    );
    Answer::json(StatusCode::OK, body)
}

pub(crate) fn ready(started_ns: i64, up: Duration) -> Answer {
    let started = clock::rfc3339(started_ns);
    let up = clock::go_duration(up);
    let body = format!(
        "{{\n    \"status\": \"ready\",\n    \"started\": \"{started}\",\n    \"up\": \"{up}\"\n}}\n"
    );
    Answer::json(StatusCode::OK, body)
}

pub(crate) fn ping(method: &Method) -> Answer {
    let answer = if method == Method::GET || method == Method::HEAD {
        Answer::empty(StatusCode::NO_CONTENT)
    } else {
        Answer::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
    };
    answer.with(VARY, HeaderValue::from_static("Accept-Encoding"))
}

/// As the original states it; names that need no escaping have none.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=values";

pub(crate) fn metrics(shared: &Shared) -> Answer {
    match shared.metrics_text() {
        Ok(text) => Answer::typed(StatusCode::OK, METRICS_TYPE, text),
        Err(error) => Problem::internal(error).answer(Layout::H),
    }
}

/// What the original answers when its metrics are switched off.
pub(crate) fn metrics_disabled() -> Answer {
    Problem::new(Code::Forbidden, "metrics disabled").answer(Layout::H)
}

/// The links that this server serves, sorted.
pub(crate) fn links() -> Answer {
    let body = concat!(
        r#"{"backup":"/api/v2/backup","buckets":"/api/v2/buckets","orgs":"/api/v2/orgs","#,
        r#""setup":"/api/v2/setup","system":{"health":"/health"},"write":"/api/v2/write"}"#,
        "\n"
    );
    Answer::json(StatusCode::OK, body)
}
