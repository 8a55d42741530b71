//! All records of a setup, in the order in which influxd makes the things they describe.

use super::Onboarded;
use super::request::Valid;
use crate::authorization::Authorization;
use crate::buckets;
use crate::contents::Record;
use crate::error::Result;
use crate::id::{Id, Snowflakes};
use crate::json::to_json;
use crate::meta::{self, Data};
use crate::permission::operator_permissions;
use crate::random::{Random, bytes};
use crate::record::{Bucket, BucketKind, Organization, Status, User};
use crate::time::Time;
use crate::token;

const PASSWORD_COST: u32 = 10;
const HOUR_NS: i64 = 3_600 * 1_000_000_000;
/// Name, description and retention of the buckets that each organization gets.
const SYSTEM_BUCKETS: [(&str, &str, i64); 2] = [
    ("_tasks", "System bucket for task logs", 72 * HOUR_NS),
    ("_monitoring", "System bucket for monitoring logs", 168 * HOUR_NS),
];

pub(super) fn make(
    request: &Valid<'_>,
    mut meta: Data,
    now_ns: i64,
    random: &mut dyn Random,
    hash_tokens: bool,
) -> Result<Onboarded> {
    let now = Time::from_ns(now_ns);
    let mut ids = Snowflakes::at(now_ns, random)?;
    let mut records = Records::default();

    let user = User {
        id: ids.draw(),
        name: request.username.to_owned(),
        oauth_id: String::new(),
        status: Status::Active,
    };
    records.user(&user);
    if let Some(password) = request.password {
        records.password(&user, &hash_password(password, bytes(random)?));
    }

    let org = Organization {
        id: Id::random(random)?,
        name: request.org.to_owned(),
        description: String::new(),
        created_at: now,
        updated_at: now,
    };
    records.organization(&org);
    records.owner(&user, "orgs", org.id);
    records.owner(&user, "instance", Id::ONE);

    for (name, description, retention_ns) in SYSTEM_BUCKETS {
        let system =
            new_bucket(&org, BucketKind::System, (name, description), retention_ns, Id::random(random)?, now);
        records.bucket(&system, &mut meta);
    }
    let bucket = new_bucket(
        &org,
        BucketKind::User,
        (request.bucket, ""),
        request.retention_ns,
        Id::random(random)?,
        now,
    );
    records.bucket(&bucket, &mut meta);
    records.put(buckets::STORAGE_METADATA, meta::KEY, meta.to_bytes());

    let token = match request.token {
        Some(token) => token.to_owned(),
        None => token::generate(random)?,
    };
    let auth = operator(&user, &org, &token, ids.draw(), now, hash_tokens);
    records.authorization(&auth, &token);
    Ok(Onboarded { user, org, bucket, auth, records: records.0 })
}

fn new_bucket(
    org: &Organization,
    kind: BucketKind,
    (name, description): (&str, &str),
    retention_ns: i64,
    id: Id,
    now: Time,
) -> Bucket {
    Bucket {
        id,
        org_id: org.id,
        kind,
        name: name.to_owned(),
        description: description.to_owned(),
        retention_policy: String::new(),
        retention_period_ns: retention_ns,
        shard_group_duration_ns: meta::normalised_shard_group_duration_ns(0, retention_ns),
        created_at: now,
        updated_at: now,
    }
}

fn operator(user: &User, org: &Organization, token: &str, id: Id, now: Time, hash: bool) -> Authorization {
    Authorization {
        id,
        hashed_token: hash.then(|| token::sha256(token)),
        token: Some(token.to_owned()),
        status: Status::Active,
        description: format!("{}'s Token", user.name),
        org_id: org.id,
        user_id: Some(user.id),
        permissions: operator_permissions().collect(),
        created_at: now,
        updated_at: now,
    }
}

/// bcrypt as Go's library writes it: version `2a`.
fn hash_password(password: &str, salt: [u8; 16]) -> String {
    bcrypt::hash_with_salt(password, PASSWORD_COST, salt)
        .expect("cost 10 is between 4 and 31, the only thing that can be wrong")
        .format_for_version(bcrypt::Version::TwoA)
}

/// Records and the index entries that make them visible.
#[derive(Default)]
struct Records(Vec<Record>);

impl Records {
    fn put(&mut self, bucket: &'static str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push(Record { bucket, key: key.into(), value: value.into() });
    }

    fn user(&mut self, user: &User) {
        self.put(buckets::USERS, user.id.key(), to_json(user));
        self.put(buckets::USER_INDEX, user.name.as_str(), user.id.key());
    }

    fn password(&mut self, user: &User, hash: &str) {
        self.put(buckets::USER_PASSWORDS, user.id.key(), hash);
    }

    fn organization(&mut self, org: &Organization) {
        self.put(buckets::ORGANIZATIONS, org.id.key(), to_json(org));
        self.put(buckets::ORGANIZATION_INDEX, org.name.trim(), org.id.key());
    }

    fn bucket(&mut self, bucket: &Bucket, meta: &mut Data) {
        self.0.extend(bucket.records());
        meta.add_database(bucket.id.to_string(), bucket.retention_period_ns, bucket.shard_group_duration_ns);
    }

    fn owner(&mut self, user: &User, resource: &'static str, id: Id) {
        let mapping = Mapping {
            user_id: user.id,
            user_type: "owner",
            mapping_type: "user",
            resource_type: resource,
            resource_id: id,
        };
        let key = format!("{id}{}", user.id);
        self.put(buckets::USER_RESOURCES, key.as_str(), to_json(&mapping));
        self.put(buckets::USER_RESOURCES_BY_USER, format!("{}/{key}", user.id), key);
    }

    /// The record of `auth`: with its hash, if it has one, and with the token in clear otherwise.
    fn authorization(&mut self, auth: &Authorization, token: &str) {
        let (index, key) = match &auth.hashed_token {
            Some(hash) => (buckets::AUTHORIZATION_HASHED_INDEX, hash.as_str()),
            None => (buckets::AUTHORIZATION_INDEX, token),
        };
        let in_clear = auth.hashed_token.is_none().then(|| token.to_owned());
        let stored = Authorization { token: in_clear, ..auth.clone() };
        self.put(index, key, auth.id.key());
        self.put(buckets::AUTHORIZATIONS, auth.id.key(), to_json(&stored));
    }
}

/// Who owns a resource.
#[derive(serde::Serialize)]
struct Mapping {
    #[serde(rename = "userID")]
    user_id: Id,
    #[serde(rename = "userType")]
    user_type: &'static str,
    #[serde(rename = "mappingType")]
    mapping_type: &'static str,
    #[serde(rename = "resourceType")]
    resource_type: &'static str,
    #[serde(rename = "resourceID")]
    resource_id: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_influxd_hashed_it() {
        // From the fixture `kitchen-sink`, user `admin`.
        let stored = "$2a$10$XeCTg8npJYS4Gx3Ll9cNeuYmAQO7beLVJzaeUGClVLXEAST0vwGkO";
        let salt = stored.parse::<bcrypt::HashParts>().unwrap().get_salt_raw();
        assert_eq!(hash_password("adminpassword", salt), stored);
    }
}
