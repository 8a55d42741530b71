//! `/api/v2/setup` (docs/http.md, section 3). Errors in layout A.

use hyper::StatusCode;
use icecore_catalog::to_indented_json;
use icecore_catalog::{Authorization, Bucket, BucketKind, Id, Onboarded, Organization, Status, Time, User};
use serde::Serialize;

use crate::answer::Answer;
use crate::backend::Backend;
use crate::problem::{Layout, Problem};

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
struct BucketShape<'a> {
    id: Id,
    #[serde(rename = "orgID")]
    org_id: Id,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    name: &'a str,
    #[serde(rename = "rp", skip_serializing_if = "str::is_empty")]
    retention_policy: &'a str,
    #[serde(rename = "retentionRules")]
    retention_rules: Vec<RetentionRule>,
    #[serde(rename = "createdAt")]
    created_at: Time,
    #[serde(rename = "updatedAt")]
    updated_at: Time,
    links: BucketLinks,
    labels: [(); 0],
}

#[derive(Serialize)]
struct RetentionRule {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "everySeconds")]
    every_seconds: i64,
    #[serde(rename = "shardGroupDurationSeconds")]
    shard_group_duration_seconds: i64,
}

#[derive(Serialize)]
struct BucketLinks {
    labels: String,
    members: String,
    org: String,
    owners: String,
    #[serde(rename = "self")]
    itself: String,
    write: String,
}

#[derive(Serialize)]
struct OrgShape<'a> {
    links: OrgLinks,
    #[serde(flatten)]
    org: &'a Organization,
}

#[derive(Serialize)]
struct OrgLinks {
    buckets: String,
    dashboards: String,
    labels: String,
    logs: String,
    members: String,
    owners: String,
    secrets: String,
    #[serde(rename = "self")]
    itself: String,
    tasks: String,
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
            bucket: bucket_shape(bucket),
            org: OrgShape { links: org_links(org), org },
            auth: AuthShape { auth, links: auth_links(auth, user) },
        }
    }
}

fn user_shape(user: &User) -> UserShape<'_> {
    let links = UserLinks { itself: format!("/api/v2/users/{}", user.id) };
    UserShape { links, id: user.id, name: &user.name, status: user.status }
}

fn bucket_shape(bucket: &Bucket) -> BucketShape<'_> {
    const SECOND_NS: i64 = 1_000_000_000;
    let has_rule = bucket.retention_period_ns != 0 || bucket.shard_group_duration_ns != 0;
    let rule = has_rule.then_some(RetentionRule {
        kind: "expire",
        every_seconds: bucket.retention_period_ns / SECOND_NS,
        shard_group_duration_seconds: bucket.shard_group_duration_ns / SECOND_NS,
    });
    let (id, org_id) = (bucket.id, bucket.org_id);
    BucketShape {
        id,
        org_id,
        kind: if bucket.kind == BucketKind::System { "system" } else { "user" },
        description: &bucket.description,
        name: &bucket.name,
        retention_policy: &bucket.retention_policy,
        retention_rules: rule.into_iter().collect(),
        created_at: bucket.created_at,
        updated_at: bucket.updated_at,
        links: BucketLinks {
            labels: format!("/api/v2/buckets/{id}/labels"),
            members: format!("/api/v2/buckets/{id}/members"),
            org: format!("/api/v2/orgs/{org_id}"),
            owners: format!("/api/v2/buckets/{id}/owners"),
            itself: format!("/api/v2/buckets/{id}"),
            write: format!("/api/v2/write?org={org_id}&bucket={id}"),
        },
        labels: [],
    }
}

fn org_links(org: &Organization) -> OrgLinks {
    let Organization { id, name, .. } = org;
    OrgLinks {
        buckets: format!("/api/v2/buckets?org={name}"),
        dashboards: format!("/api/v2/dashboards?org={name}"),
        labels: format!("/api/v2/orgs/{id}/labels"),
        logs: format!("/api/v2/orgs/{id}/logs"),
        members: format!("/api/v2/orgs/{id}/members"),
        owners: format!("/api/v2/orgs/{id}/owners"),
        secrets: format!("/api/v2/orgs/{id}/secrets"),
        itself: format!("/api/v2/orgs/{id}"),
        tasks: format!("/api/v2/tasks?org={name}"),
    }
}

fn auth_links(auth: &Authorization, user: &User) -> AuthLinks {
    AuthLinks {
        itself: format!("/api/v2/authorizations/{}", auth.id),
        user: format!("/api/v2/users/{}", user.id),
    }
}
