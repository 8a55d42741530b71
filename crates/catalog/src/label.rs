//! Labels: names with properties that users hang on resources. Read only, as part of what they hang on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::record::Stored;

/// A label, as stored and as answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// A snowflake.
    pub id: Id,
    /// The organization it belongs to.
    #[serde(rename = "orgID")]
    pub org_id: Id,
    /// Unique within the organization, whatever the letter case.
    pub name: String,
    /// `color`, `description` and others, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

impl Stored for Label {
    const BUCKET: &'static str = crate::buckets::LABELS;

    fn id(&self) -> Id {
        self.id
    }
}
