//! Organizations and buckets (docs/http.md, sections 4 and 5). Errors in layout A.
//!
//! Order of checks: parameters or body, what the body alone shows, permission, the rest.

use hyper::StatusCode;
use icecore_catalog::{
    Action, BucketFilter, BucketRequest, Id, LabeledBucket, NewBucket, Organization, OrganizationFilter,
    Resource, ResourceType, to_indented_json,
};
use serde::{Deserialize as _, Serialize};

use crate::answer::Answer;
use crate::backend::{Backend, Caller};
use crate::database::bucket_problem;
use crate::paging::{Links, Paging};
use crate::problem::{Code, Layout, Problem};
use crate::shape::{BucketShape, OrgShape};
use crate::url;

const ORGANIZATIONS: &str = "/api/v2/orgs";
const BUCKETS: &str = "/api/v2/buckets";

#[derive(Serialize)]
struct OrganizationList<'a> {
    links: OrganizationLinks,
    orgs: Vec<OrgShape<'a>>,
}

#[derive(Serialize)]
struct OrganizationLinks {
    #[serde(rename = "self")]
    itself: &'static str,
}

#[derive(Serialize)]
struct BucketList<'a> {
    links: Links,
    buckets: Vec<BucketShape<'a>>,
}

pub(crate) fn organizations(backend: &dyn Backend, query: Option<&str>, caller: &Caller) -> Answer {
    answer(StatusCode::OK, || {
        let paging = Paging::of(query)?;
        // An id that is none is as good as not given.
        let id = |name| given(query, name).and_then(|text| text.parse().ok());
        let filter = OrganizationFilter { id: id("orgID"), name: given(query, "org"), user_id: id("userID") };
        let found = backend.organizations(&filter, &paging.page, &caller.authorization)?;
        Ok(to_indented_json(&organization_list(&found)))
    })
}

fn organization_list(found: &[Organization]) -> OrganizationList<'_> {
    let links = OrganizationLinks { itself: ORGANIZATIONS };
    OrganizationList { links, orgs: found.iter().map(OrgShape::of).collect() }
}

pub(crate) fn buckets(backend: &dyn Backend, query: Option<&str>, caller: &Caller) -> Answer {
    answer(StatusCode::OK, || {
        let paging = Paging::of(query)?;
        let org_id = given_id(query, "orgID")?;
        let filter = BucketFilter {
            id: given_id(query, "id")?,
            name: given(query, "name"),
            org_id,
            org: given(query, "org"),
        };
        let found = backend.buckets(&filter, &paging.page, &caller.authorization)?;
        let links = paging.links(BUCKETS, &parameters(&filter), found.len());
        Ok(to_indented_json(&bucket_list(links, &found)))
    })
}

fn bucket_list(links: Links, found: &[LabeledBucket]) -> BucketList<'_> {
    let shapes = found.iter().map(|found| BucketShape::of(&found.bucket, &found.labels));
    BucketList { links, buckets: shapes.collect() }
}

/// The parameters of a filter as they stand in links: the name under another one.
fn parameters(filter: &BucketFilter) -> Vec<(&'static str, String)> {
    let BucketFilter { id, name, org_id, org } = filter;
    let text = |id: &Option<Id>| id.map(|id| id.to_string());
    let all = [("id", text(id)), ("bucket", name.clone()), ("orgID", text(org_id)), ("org", org.clone())];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

pub(crate) fn create_bucket(backend: &dyn Backend, body: Result<&[u8], &Problem>, caller: &Caller) -> Answer {
    answer(StatusCode::CREATED, || {
        let new = new_bucket(body.map_err(Problem::clone)?)?;
        let resource = Resource { kind: ResourceType::Buckets, id: None, org_id: Some(new.org_id) };
        caller.require(Action::Write, resource)?;
        let made = backend.create_bucket(&new)?;
        Ok(to_indented_json(&BucketShape::of(&made, &[])))
    })
}

/// The first JSON value of the body, an object in which the last of equal names counts. What follows is not looked at.
fn new_bucket(body: &[u8]) -> Result<NewBucket, Problem> {
    let mut body = serde_json::Deserializer::from_slice(body);
    let request = serde_json::Map::deserialize(&mut body)
        .and_then(|object| serde_json::from_value::<BucketRequest>(object.into()))
        .map_err(|error| Problem::new(Code::Invalid, format!("failed to unmarshal json: {error}")))?;
    request.check().map_err(bucket_problem)
}

fn answer(status: StatusCode, body: impl FnOnce() -> Result<Vec<u8>, Problem>) -> Answer {
    match body() {
        Ok(body) => Answer::json(status, body),
        Err(problem) => problem.answer(Layout::A),
    }
}

/// A parameter that is there and not empty.
pub(crate) fn given(query: Option<&str>, name: &str) -> Option<String> {
    url::query_value(query, name).filter(|value| !value.is_empty())
}

/// An id that is given.
pub(crate) fn given_id(query: Option<&str>, name: &str) -> Result<Option<Id>, Problem> {
    let id = given(query, name).map(|text| text.parse()).transpose();
    id.map_err(|error: icecore_catalog::IdError| Problem::new(Code::Invalid, error.to_string()))
}
