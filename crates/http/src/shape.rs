//! How organizations and buckets look in answers (docs/http.md, sections 4 and 5): the fields in the order of the
//! original, the links sorted.

use icecore_catalog::{Bucket, BucketKind, Id, Label, Organization, Time};
use serde::Serialize;

const SECOND_NS: i64 = 1_000_000_000;

#[derive(Serialize)]
pub(crate) struct BucketShape<'a> {
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
    labels: &'a [Label],
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
pub(crate) struct OrgShape<'a> {
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

impl<'a> BucketShape<'a> {
    pub(crate) fn of(bucket: &'a Bucket, labels: &'a [Label]) -> Self {
        let (retention_ns, length_ns) = (bucket.retention_period_ns, bucket.shard_group_duration_ns);
        let rule = (retention_ns > 0 || length_ns > 0).then(|| RetentionRule {
            kind: "expire",
            every_seconds: whole_seconds(retention_ns),
            shard_group_duration_seconds: whole_seconds(length_ns),
        });
        let (id, org_id) = (bucket.id, bucket.org_id);
        Self {
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
            labels,
        }
    }
}

/// The nearest number of seconds.
fn whole_seconds(ns: i64) -> i64 {
    let rest = ns % SECOND_NS;
    ns / SECOND_NS + (rest * 2) / SECOND_NS
}

impl<'a> OrgShape<'a> {
    pub(crate) fn of(org: &'a Organization) -> Self {
        let Organization { id, name, .. } = org;
        let links = OrgLinks {
            buckets: format!("/api/v2/buckets?org={name}"),
            dashboards: format!("/api/v2/dashboards?org={name}"),
            labels: format!("/api/v2/orgs/{id}/labels"),
            logs: format!("/api/v2/orgs/{id}/logs"),
            members: format!("/api/v2/orgs/{id}/members"),
            owners: format!("/api/v2/orgs/{id}/owners"),
            secrets: format!("/api/v2/orgs/{id}/secrets"),
            itself: format!("/api/v2/orgs/{id}"),
            tasks: format!("/api/v2/tasks?org={name}"),
        };
        Self { links, org }
    }
}

#[cfg(test)]
mod tests {
    use super::whole_seconds;

    #[test]
    fn a_retention_is_rounded_to_seconds() {
        for (ns, seconds) in
            [(0, 0), (499_999_999, 0), (500_000_000, 1), (1_499_999_999, 1), (i64::MAX, 9_223_372_037)]
        {
            assert_eq!(whole_seconds(ns), seconds, "{ns}");
        }
    }
}
