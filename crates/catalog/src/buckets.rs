//! Names of the Bolt buckets of influxd 2.9 (`docs/formats/kv-buckets.md`, section 2).
//!
//! Invariant: [`ALL`] is what a fresh server creates, in byte order; no bucket holds another.

pub(crate) const AUTHORIZATIONS: &str = "authorizationsv1";
pub(crate) const AUTHORIZATION_INDEX: &str = "authorizationindexv1";
pub(crate) const AUTHORIZATION_HASHED_INDEX: &str = "authorizationhashedindexv1";
pub(crate) const BUCKETS: &str = "bucketsv1";
pub(crate) const BUCKET_INDEX: &str = "bucketindexv1";
pub(crate) const IDS: &str = "idsv1";
pub(crate) const LABELS: &str = "labelsv1";
pub(crate) const LABEL_MAPPINGS: &str = "labelmappingsv1";
pub(crate) const MIGRATIONS: &str = "migrationsv1";
pub(crate) const ORGANIZATIONS: &str = "organizationsv1";
pub(crate) const ORGANIZATION_INDEX: &str = "organizationindexv1";
pub(crate) const SOURCES: &str = "sourcesv1";
pub(crate) const STORAGE_METADATA: &str = "v1_tsm1_metadata";
pub(crate) const USERS: &str = "usersv1";
pub(crate) const USER_INDEX: &str = "userindexv1";
pub(crate) const USER_PASSWORDS: &str = "userspasswordv1";
pub(crate) const USER_RESOURCES: &str = "userresourcemappingsv1";
pub(crate) const USER_RESOURCES_BY_USER: &str = "userresourcemappingsbyuserindexv1";

pub(crate) const ALL: [&str; 54] = [
    AUTHORIZATION_HASHED_INDEX,
    AUTHORIZATION_INDEX,
    AUTHORIZATIONS,
    BUCKET_INDEX,
    BUCKETS,
    "checkindexv1",
    "checksv1",
    "dashboardcellviewsv1",
    "dashboardsv2",
    "dbrpbyorganddbindexv1",
    "dbrpbyorgv1",
    "dbrpdefaultv1",
    "dbrpv1",
    IDS,
    "keyvaluelogindexv1",
    "keyvaluelogv1",
    "labelindexv1",
    LABEL_MAPPINGS,
    LABELS,
    "legacy/authorizationPasswordv1",
    "legacy/authorizationindexv1",
    "legacy/authorizationsv1",
    MIGRATIONS,
    "notificationEndpointIndexv1",
    "notificationEndpointv1",
    "notificationRulev1",
    "onboardingv1",
    ORGANIZATION_INDEX,
    ORGANIZATIONS,
    "orgsdashboardsv1",
    "remotesv2",
    "replicationsv2",
    "scraperv2",
    "secretsv1",
    SOURCES,
    "taskIndexsv1",
    "taskRunsv1",
    "tasksv1",
    "telegrafPluginsv1",
    "telegrafbyorgindexv1",
    "telegrafv1",
    "templates/documents/content",
    "templates/documents/meta",
    USER_INDEX,
    USER_RESOURCES_BY_USER,
    USER_RESOURCES,
    USER_PASSWORDS,
    USERS,
    "v1_pkger_stacks",
    "v1_pkger_stacks_index",
    STORAGE_METADATA,
    "variableorgsv1",
    "variablesindexv1",
    "variablesv1",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_names_ascend() {
        assert!(super::ALL.is_sorted_by(|left, right| left < right));
    }
}
