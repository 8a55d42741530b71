//! `/api/v2/setup` (docs/http.md, section 3). Errors in layout A.

use hyper::StatusCode;
use icecore_catalog::to_indented_json;
use icecore_catalog::{Authorization, Id, Onboarded, Status, User};
use serde::Serialize;

use crate::answer::Answer;
use crate::backend::Backend;
use crate::problem::{Layout, Problem};
use crate::shape::{BucketShape, OrgShape};

#[derive(Serialize)]
struct Answer200 {
    allowed: bool,
}

/// Whether a server can be set up.
pub(crate) fn status(backend: &dyn Backend) -> Answer {
    match backend.is_onboarding() {
        Ok(allowed) => Answer::json(StatusCode::OK, to_indented_json(&Answer200 { allowed })),
        Err(problem) => problem.answer(Layout::A),
    }
}

/// Sets a server up.
pub(crate) fn onboard(backend: &dyn Backend, body: Result<&[u8], &Problem>) -> Answer {
    match body.map_err(Problem::clone).and_then(|body| backend.onboard(body)) {
        Ok(body) => Answer::json(StatusCode::CREATED, body),
        Err(problem) => problem.answer(Layout::A),
    }
}

/// What a setup made; the fields in the order of the original, the links sorted.
#[derive(Serialize)]
pub(crate) struct Answer201<'a> {
    user: UserShape<'a>,
    bucket: BucketShape<'a>,
    org: OrgShape<'a>,
    auth: AuthShape<'a>,
}

#[derive(Serialize)]
struct UserShape<'a> {
    links: UserLinks,
    id: Id,
    name: &'a str,
    status: Status,
}

#[derive(Serialize)]
struct UserLinks {
    #[serde(rename = "self")]
    itself: String,
}

#[derive(Serialize)]
struct AuthShape<'a> {
    #[serde(flatten)]
    auth: &'a Authorization,
    links: AuthLinks,
}

#[derive(Serialize)]
struct AuthLinks {
    #[serde(rename = "self")]
    itself: String,
    user: String,
}

impl<'a> Answer201<'a> {
    pub(crate) fn of(onboarded: &'a Onboarded) -> Self {
        let Onboarded { user, bucket, org, auth, .. } = onboarded;
        Self {
            user: user_shape(user),
            bucket: BucketShape::of(bucket, &[]),
            org: OrgShape::of(org),
            auth: AuthShape { auth, links: auth_links(auth, user) },
        }
    }
}

fn user_shape(user: &User) -> UserShape<'_> {
    let links = UserLinks { itself: format!("/api/v2/users/{}", user.id) };
    UserShape { links, id: user.id, name: &user.name, status: user.status }
}

fn auth_links(auth: &Authorization, user: &User) -> AuthLinks {
    AuthLinks {
        itself: format!("/api/v2/authorizations/{}", auth.id),
        user: format!("/api/v2/users/{}", user.id),
    }
}
