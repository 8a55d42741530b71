//! Authentication, then routing: the part of a request that may block.
//!
//! Order: requests that need no token; the token and its owner; the router. So an unknown path without a token is 401.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{ALLOW, HeaderValue, LOCATION, VARY};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use icecore_catalog::is_jwt;

use crate::answer::Answer;
use crate::backend::{Backend, Caller};
use crate::problem::{Code, Layout, Problem};
use crate::route::{self, Door, Endpoint, Found};
use crate::shared::Shared;
use crate::{backup, credentials, inspect, lists, setup, url};

/// A request that came through the door of the API or of its 1.x part.
pub(crate) struct Call {
    pub(crate) head: Parts,
    /// Decoded.
    pub(crate) path: String,
    /// Read where [`route::has_json`] says so; else empty.
    pub(crate) body: Result<Bytes, Problem>,
    pub(crate) shared: Arc<Shared>,
    /// When the head of the answer has to leave.
    pub(crate) until: Instant,
}

/// Blocks on disk.
pub(crate) fn answer(backend: &dyn Backend, call: &Call) -> Answer {
    if let Door::Legacy { allow } = route::door(&call.path) {
        return legacy(backend, call, allow);
    }
    if route::is_open(&call.head.method, &call.path) {
        return open(backend, call);
    }
    match authenticate(backend, credentials::token(&call.head.headers)) {
        Ok(caller) => api(backend, call, &caller),
        Err(problem) => problem.answer(Layout::H),
    }
}

pub(crate) fn authenticate(backend: &dyn Backend, token: Option<String>) -> Result<Caller, Problem> {
    // A web token is recognised by its form and refused: there is no key to check it with.
    let token = token.filter(|token| !is_jwt(token)).ok_or_else(Problem::unauthorized)?;
    let caller = backend.caller(&token)?.ok_or_else(Problem::unauthorized)?;
    if !caller.user_is_active {
        return Err(Problem::new(Code::Forbidden, "User is inactive"));
    }
    Ok(caller)
}

fn open(backend: &dyn Backend, call: &Call) -> Answer {
    match route::find(&call.head.method, &call.path) {
        Found::Endpoint(Endpoint::Links) => inspect::links(),
        Found::Endpoint(Endpoint::SetupStatus) => setup::status(backend),
        Found::Endpoint(Endpoint::Setup) => setup::onboard(backend, call.body.as_deref()),
        _ => not_served(call, Layout::A),
    }
}

fn api(backend: &dyn Backend, call: &Call, caller: &Caller) -> Answer {
    let Call { head, path, shared, until, .. } = call;
    let request =
        backup::Request { headers: &head.headers, query: head.uri.query(), caller, shared, until: *until };
    match route::find(&head.method, path) {
        Found::Endpoint(Endpoint::Kv) => backup::kv(backend, request),
        Found::Endpoint(Endpoint::Metadata) => backup::metadata(backend, request),
        Found::Endpoint(Endpoint::Shard(id)) => backup::shard(backend, request, &id),
        Found::Endpoint(Endpoint::Organizations) => lists::organizations(backend, head.uri.query(), caller),
        Found::Endpoint(Endpoint::Buckets) => lists::buckets(backend, head.uri.query(), caller),
        Found::Endpoint(Endpoint::CreateBucket) => {
            lists::create_bucket(backend, call.body.as_deref(), caller)
        }
        Found::Endpoint(Endpoint::NotServed(layout)) => not_served(call, layout),
        Found::Endpoint(Endpoint::Links | Endpoint::SetupStatus | Endpoint::Setup) => open(backend, call),
        Found::Moved(path) => moved(&head.method, &path, head.uri.query()),
        Found::WrongMethod { allow: Some(allow) } => wrong_method(&allow),
        Found::WrongMethod { allow: None } => Answer::empty(StatusCode::METHOD_NOT_ALLOWED),
        Found::Unknown(layout) => Problem::path_not_found().answer(layout),
    }
}

/// `/write` and `/query` of the 1.x API: credentials first, whatever the method.
fn legacy(backend: &dyn Backend, call: &Call, allow: &'static str) -> Answer {
    let token = credentials::legacy_token(&call.head.headers, call.head.uri.query());
    let had_credentials = token.is_some();
    let method = &call.head.method;
    let answer = match authenticate(backend, token) {
        Err(problem) if problem.code == Code::Unauthorized && had_credentials => {
            return Problem::new(Code::Unauthorized, "Unauthorized").answer(Layout::H);
        }
        Err(problem) => return problem.answer(Layout::H),
        Ok(_) if method == Method::OPTIONS => {
            Answer::empty(StatusCode::OK).with(ALLOW, HeaderValue::from_static(allow))
        }
        Ok(_) if allow.split(", ").any(|name| name == method) => not_served(call, Layout::H),
        Ok(_) => wrong_method(allow),
    };
    answer.with(VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn not_served(call: &Call, layout: Layout) -> Answer {
    let message = format!("{} {} is not implemented by this server", call.head.method, call.path);
    Problem::new(Code::NotImplemented, message).answer(layout)
}

fn wrong_method(allow: &str) -> Answer {
    let answer = Problem::new(Code::MethodNotAllowed, format!("allow: {allow}")).answer(Layout::H);
    match HeaderValue::from_str(allow) {
        Ok(allow) => answer.with(ALLOW, allow),
        Err(error) => Problem::internal(error).answer(Layout::H),
    }
}

/// 301 and a line of HTML for `GET`; 308, which keeps method and body, for the others.
fn moved(method: &Method, path: &str, query: Option<&str>) -> Answer {
    let mut to = url::encode_path(path);
    if let Some(query) = query {
        to.push('?');
        to.push_str(query);
    }
    let location = match HeaderValue::from_str(&to) {
        Ok(location) => location,
        Err(error) => return Problem::new(Code::Invalid, error.to_string()).answer(Layout::H),
    };
    let answer = if method == Method::GET {
        let html = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", escape_html(&to));
        Answer::typed(StatusCode::MOVED_PERMANENTLY, "text/html; charset=utf-8", html)
    } else {
        Answer::empty(StatusCode::PERMANENT_REDIRECT)
    };
    answer.with(LOCATION, location)
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
