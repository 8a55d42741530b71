//! What goes wrong with a request, and its two forms on the wire (docs/http.md, 1.3 and 1.4).
//!
//! Invariant: the body has exactly the members `code` and `message`, and `X-Platform-Error-Code` repeats the code.
//!
//! ```text
//! H   {"code":"not found","message":"shard 99 not found"}                  no newline
//! A   {\n\t"code": "not found",\n\t"message": "path not found"\n}          tabs, no final newline
//! ```

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use icecore_catalog::{to_indented_json, to_json};
use serde::Serialize;

use crate::answer::Answer;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-platform-error-code");

/// The codes that clients know. Their decoders are closed enums: no new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Internal,
    NotImplemented,
    NotFound,
    Conflict,
    Invalid,
    Unavailable,
    Forbidden,
    Unauthorized,
    MethodNotAllowed,
    NotAcceptable,
    AnotherState,
    BehindTheEnd,
    RequestTooLarge,
    Unprocessable,
}

impl Code {
    /// The one place where kinds become words and statuses.
    fn wire(self) -> (&'static str, StatusCode) {
        match self {
            Self::Internal => ("internal error", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotImplemented => ("not implemented", StatusCode::NOT_IMPLEMENTED),
            Self::NotFound => ("not found", StatusCode::NOT_FOUND),
            Self::Conflict => ("conflict", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Invalid => ("invalid", StatusCode::BAD_REQUEST),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::MethodNotAllowed => ("method not allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::NotAcceptable => ("invalid", StatusCode::NOT_ACCEPTABLE), // the original has no word for it
            Self::AnotherState => ("invalid", StatusCode::PRECONDITION_FAILED), // nor for this
            Self::BehindTheEnd => ("invalid", StatusCode::RANGE_NOT_SATISFIABLE), // nor for this
            Self::RequestTooLarge => ("request too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Unprocessable => ("unprocessable entity", StatusCode::UNPROCESSABLE_ENTITY),
        }
    }
}

/// Which of the two layouts an endpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Compact: authentication, backup, restore, write, delete, query.
    H,
    /// Indented with tabs: setup, organizations, buckets, authorizations, users, sessions, DBRP, unknown paths.
    A,
}

/// Why a request is refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What the log gets instead of the message.
    pub(crate) detail: Option<String>,
}

#[derive(Serialize)]
struct Wire<'a> {
    code: &'a str,
    message: &'a str,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None }
    }

    pub(crate) fn internal(message: impl ToString) -> Self {
        Self::new(Code::Internal, message.to_string())
    }

    /// For those who have not shown a token: `detail`, with paths of this machine in it, is for the log.
    pub(crate) fn hidden(message: &str, detail: String) -> Self {
        Self { detail: Some(detail), ..Self::new(Code::Internal, message) }
    }

    /// No usable credentials. One text for all causes, so that nothing can be learned by trying.
    pub(crate) fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "unauthorized access")
    }

    pub(crate) fn path_not_found() -> Self {
        Self::new(Code::NotFound, "path not found")
    }

    /// The answer in the layout of the endpoint.
    pub(crate) fn answer(&self, layout: Layout) -> Answer {
        let (code, status) = self.code.wire();
        let wire = Wire { code, message: &self.message };
        let body = match layout {
            Layout::H => to_json(&wire),
            Layout::A => to_indented_json(&wire),
        };
        let mut answer = Answer::json(status, body).with(ERROR_CODE, HeaderValue::from_static(code));
        if self.code == Code::Internal {
            answer.failure = Some(self.detail.as_ref().unwrap_or(&self.message).clone());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Payload;

    fn body(problem: &Problem, layout: Layout) -> String {
        let Payload::Bytes(bytes) = problem.answer(layout).payload else { panic!("an error is streamed") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_two_layouts_differ_in_white_space_only() {
        let problem = Problem::new(Code::NotFound, "shard 99 not found");
        assert_eq!(body(&problem, Layout::H), r#"{"code":"not found","message":"shard 99 not found"}"#);
        assert_eq!(
            body(&problem, Layout::A),
            "{\n\t\"code\": \"not found\",\n\t\"message\": \"shard 99 not found\"\n}"
        );
    }

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        let problem = Problem::new(Code::Invalid, "a<b>&\"c\\\n\u{1}\u{2028}é");
        assert_eq!(
            body(&problem, Layout::H),
            "{\"code\":\"invalid\",\"message\":\"a\\u003cb\\u003e\\u0026\\\"c\\\\\\n\\u0001\\u2028é\"}"
        );
    }

    #[test]
    fn a_conflict_is_a_422_and_a_denied_permission_a_401() {
        assert_eq!(Code::Conflict.wire().1, 422);
        assert_eq!(Code::Unauthorized.wire().1, 401);
    }
}
