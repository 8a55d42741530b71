//! Which part of a list a query asks for, and the links to the parts around it (docs/http.md, 1.7 and 5).

use std::collections::BTreeMap;

use icecore_catalog::Page;
use serde::Serialize;

use crate::problem::{Code, Problem};
use crate::url;

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;

/// The parameters of a page as they were given.
#[derive(Debug)]
pub(crate) struct Paging {
    limit: i64,
    /// Negative ones count as 0, and stand in links as they are.
    offset: i64,
    /// Not looked at, but kept in links.
    sort_by: Option<String>,
    pub(crate) page: Page,
}

/// Links from one page to its neighbours.
#[derive(Debug, Serialize)]
pub(crate) struct Links {
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<String>,
    #[serde(rename = "self")]
    itself: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Paging {
    /// Parameters are looked at in the order of the original; an empty one is as good as none.
    pub(crate) fn of(query: Option<&str>) -> Result<Self, Problem> {
        let given = |name| url::query_value(query, name).filter(|value| !value.is_empty());
        let offset =
            given("offset").map_or(Ok(0), |text| text.parse()).map_err(|_| invalid("offset is invalid"))?;
        let after = given("after").map(|text| text.parse()).transpose();
        let after = after.map_err(|error| invalid(format!("decoding after: {error}")))?;
        let limit = given("limit").map_or(Ok(LIMIT_DEFAULT), |text| text.parse());
        let limit = limit.map_err(|_| invalid("limit is invalid"))?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(invalid(format!("limit must be between 1 and {LIMIT_MAX}")));
        }
        let descending = match given("descending").as_deref() {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(_) => return Err(invalid("descending is invalid")),
        };
        let page = Page {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            offset: usize::try_from(offset.max(0)).unwrap_or(usize::MAX),
            after,
            descending,
        };
        Ok(Self { limit, offset, sort_by: given("sortBy"), page })
    }

    /// The links of a page with `count` entries; `filter` has the other parameters of its query. A full page has a next
    /// one, whether or not there is more.
    pub(crate) fn links(&self, path: &str, filter: &[(&'static str, String)], count: usize) -> Links {
        let link = |offset: i64| format!("{path}?{}", self.query(filter, offset));
        Links {
            prev: (self.offset > 0).then(|| link(self.offset.saturating_sub(self.limit).max(0))),
            itself: link(self.offset),
            next: (count >= self.page.limit).then(|| link(self.offset.saturating_add(self.limit))),
        }
    }

    /// Sorted by keys, without empty values.
    fn query(&self, filter: &[(&'static str, String)], offset: i64) -> String {
        let mut pairs: BTreeMap<&str, String> = filter.iter().cloned().collect();
        pairs.insert("descending", self.page.descending.to_string());
        pairs.insert("limit", self.limit.to_string());
        pairs.insert("offset", offset.to_string());
        pairs.extend(self.page.after.map(|after| ("after", after.to_string())));
        pairs.extend(self.sort_by.clone().map(|key| ("sortBy", key)));
        url::encode_query(pairs.iter().map(|(key, value)| (*key, value.as_str())))
    }
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(Code::Invalid, message)
}
