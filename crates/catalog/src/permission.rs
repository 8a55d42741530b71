//! What a token may do.
//!
//! Invariant: [`operator_permissions`] is the order in which influxd tests, and so the order that decides which
//! permission a denial names.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::id::Id;

/// What a permission allows to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `read`
    Read,
    /// `write`
    Write,
}

impl Action {
    /// The word in records, requests and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Declares the types with their words, once.
macro_rules! resource_types {
    ($($variant:ident $word:literal,)*) => {
        /// A kind of resource. The first 22 make an operator; `instance` stands for all and cannot be granted by HTTP.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ResourceType {
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl ResourceType {
            /// All, `Instance` last.
            pub const ALL: [Self; 23] = [$(Self::$variant),*];

            /// The word in records, requests and messages.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

resource_types! {
    Authorizations "authorizations",
    Buckets "buckets",
    Dashboards "dashboards",
    Orgs "orgs",
    Sources "sources",
    Tasks "tasks",
    Telegrafs "telegrafs",
    Users "users",
    Variables "variables",
    Scrapers "scrapers",
    Secrets "secrets",
    Labels "labels",
    Views "views",
    Documents "documents",
    NotificationRules "notificationRules",
    NotificationEndpoints "notificationEndpoints",
    Checks "checks",
    Dbrp "dbrp",
    Notebooks "notebooks",
    Annotations "annotations",
    Remotes "remotes",
    Replications "replications",
    Instance "instance",
}

impl ResourceType {
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Serialize for ResourceType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a permission is about: all resources of a kind, those of an organization, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Resource {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// One resource; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Those of one organization; `None` for all.
    #[serde(rename = "orgID", skip_serializing_if = "Option::is_none")]
    pub org_id: Option<Id>,
}

impl Resource {
    /// All resources of a kind.
    pub const fn all(kind: ResourceType) -> Self {
        Self { kind, id: None, org_id: None }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(org) = self.org_id {
            write!(f, "orgs/{org}/")?;
        }
        f.write_str(self.kind.as_str())?;
        self.id.map_or(Ok(()), |id| write!(f, "/{id}"))
    }
}

/// One thing that is allowed, or asked for. Prints as `read:orgs/<org>/buckets/<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Permission {
    /// Read or write.
    pub action: Action,
    /// Of what.
    pub resource: Resource,
}

impl Permission {
    /// Whether one who holds `self` may do `wanted`.
    pub fn allows(&self, wanted: &Self) -> bool {
        if self.action != wanted.action {
            return false;
        }
        let (held, wanted) = (&self.resource, &wanted.resource);
        if held.kind == ResourceType::Instance {
            return true;
        }
        held.kind == wanted.kind
            && match (held.id, held.org_id) {
                (None, None) => true,
                (None, Some(org)) => wanted.org_id == Some(org),
                (Some(id), _) => wanted.id == Some(id),
            }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action.as_str(), self.resource)
    }
}

/// The 44 permissions of an operator: read, then write, of each type before `instance`.
pub fn operator_permissions() -> impl Iterator<Item = Permission> {
    ResourceType::ALL.into_iter().filter(|kind| *kind != ResourceType::Instance).flat_map(|kind| {
        let resource = Resource::all(kind);
        [Action::Read, Action::Write].map(|action| Permission { action, resource })
    })
}

/// A permission as a record holds it. Actions and types are words, so that a word of another version fails nothing.
#[derive(Deserialize)]
pub(crate) struct StoredPermission {
    action: String,
    resource: StoredResource,
}

#[derive(Deserialize)]
struct StoredResource {
    #[serde(rename = "type")]
    kind: String,
    id: Option<Id>,
    #[serde(rename = "orgID")]
    org_id: Option<Id>,
}

impl StoredPermission {
    /// `None` when a word is unknown: such a permission allows nothing that this build could ask for.
    pub(crate) fn known(&self) -> Option<Permission> {
        let action =
            [Action::Read, Action::Write].into_iter().find(|action| action.as_str() == self.action)?;
        let kind = ResourceType::from_word(&self.resource.kind)?;
        Some(Permission {
            action,
            resource: Resource { kind, id: self.resource.id, org_id: self.resource.org_id },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> Id {
        Id::new(value).unwrap()
    }

    fn read(kind: ResourceType, id: Option<Id>, org_id: Option<Id>) -> Permission {
        Permission { action: Action::Read, resource: Resource { kind, id, org_id } }
    }

    #[test]
    fn an_operator_holds_44_permissions_read_before_write() {
        let all: Vec<String> = operator_permissions().map(|permission| permission.to_string()).collect();
        assert_eq!(all.len(), 44);
        assert_eq!(all[..3], ["read:authorizations", "write:authorizations", "read:buckets"]);
        assert_eq!(all[43], "write:replications");
    }

    #[test]
    fn a_permission_prints_its_organization_and_id() {
        use ResourceType::Buckets;
        let printed = |id, org| read(Buckets, id, org).to_string();
        assert_eq!(printed(None, None), "read:buckets");
        assert_eq!(printed(Some(id(1)), None), "read:buckets/0000000000000001");
        assert_eq!(printed(None, Some(id(2))), "read:orgs/0000000000000002/buckets");
        assert_eq!(printed(Some(id(1)), Some(id(2))), "read:orgs/0000000000000002/buckets/0000000000000001");
    }

    #[test]
    fn a_wider_permission_allows_a_narrower_one_and_not_the_reverse() {
        use ResourceType::{Buckets, Instance, Orgs};
        let all = read(Buckets, None, None);
        let of_org = read(Buckets, None, Some(id(2)));
        let one = read(Buckets, Some(id(1)), Some(id(2)));
        assert!(all.allows(&of_org) && all.allows(&one) && of_org.allows(&one));
        assert!(!of_org.allows(&all) && !one.allows(&of_org) && !one.allows(&all));
        assert!(!of_org.allows(&read(Buckets, None, Some(id(3)))));
        // The id alone decides when there is one, as in influxd: ids are unique across organizations.
        assert!(one.allows(&read(Buckets, Some(id(1)), None)));
        assert!(!one.allows(&read(Buckets, Some(id(4)), Some(id(2)))));
        assert!(!all.allows(&read(Orgs, None, None)));
        assert!(read(Instance, None, None).allows(&all));
        assert!(!read(Instance, None, None).allows(&Permission { action: Action::Write, ..all }));
    }
}
