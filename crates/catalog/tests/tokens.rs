//! Which tokens are known, and what they may do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{fixture, fixture_with};
use icecore_catalog::{Catalog, Id, Status};
use icecore_testkit::fixtures::{self, LAYERS_OPERATOR_TOKEN, OPERATOR_TOKEN};

const ADMIN: &str = "11ad0fb39ac62000";
const SHA256: &str = "$influxdb2-sha256$onbiy-3wWFC4ccU3_NXFsePPfXwXo1pDsa5A3AYBTUc=";
/// SHA-512 of the operator's token, made by another program.
const SHA512: &str = "$influxdb2-sha512$xFM6i3k94EeNvQCSu-lCB5DmNPum-esf5m1wWnr9Sn2jJBtuHDEtlouI6926I5O7wMouWZDJNqJ3-iIeHvwjGw==";

fn denial(catalog: &Catalog, token: &str) -> String {
    catalog.token(token).unwrap().expect("a known token").require_operator().unwrap_err().to_string()
}

#[test]
fn the_operator_token_of_each_fixture_is_found_by_its_hash() {
    for (name, token) in
        [("kitchen-sink", OPERATOR_TOKEN), ("fleet", OPERATOR_TOKEN), ("layers", LAYERS_OPERATOR_TOKEN)]
    {
        let store = fixture(name);
        let operator = store.catalog().token(token).unwrap().unwrap();
        assert_eq!(operator.require_operator(), Ok(()), "{name}");
        assert_eq!(operator.permissions.len(), 44, "{name}");
        let owner = store.catalog().user(operator.user_id.unwrap()).unwrap().unwrap();
        assert_eq!((owner.name.as_str(), owner.status), ("admin", Status::Active), "{name}");
        assert!(store.catalog().organization(operator.org_id).unwrap().is_some(), "{name}");
    }
}

#[test]
fn a_token_that_may_read_buckets_and_an_inactive_one_are_denied_by_their_texts() {
    let model: serde_json::Value = serde_json::from_slice(&fixtures::read("layers/model.json")).unwrap();
    let token = |name: &str| model["tokens"][name].as_str().unwrap().to_owned();
    let catalog = fixture("layers").catalog();
    assert_eq!(denial(&catalog, &token("read buckets")), "read:authorizations is unauthorized");
    assert_eq!(denial(&catalog, &token("inactive")), "token is inactive");
    assert_eq!(catalog.authorizations().unwrap().len(), 3);
}

#[test]
fn an_unknown_token_an_empty_one_and_a_stored_hash_are_nobody() {
    let catalog = fixture("kitchen-sink").catalog();
    for token in ["", "wrong", "fixture-operator-token-012345678", SHA256, "$influxdb2-sha256$", ADMIN] {
        assert_eq!(catalog.token(token).unwrap(), None, "{token}");
    }
}

#[test]
fn a_token_in_the_form_of_a_hash_is_refused_even_when_the_store_holds_it_in_clear() {
    let mut contents = fixture("kitchen-sink").contents();
    let record =
        String::from_utf8(contents.get("authorizationsv1", ADMIN.as_bytes()).unwrap().to_vec()).unwrap();
    for (token, is_known) in [(SHA256, false), ("a$b", true)] {
        contents.put(
            "authorizationsv1",
            ADMIN,
            record.replace("\"hashedToken\"", "\"token\"").replace(SHA256, token),
        );
        contents.put("authorizationindexv1", token, ADMIN);
        let found = common::store_of(&contents).catalog().token(token).unwrap();
        assert_eq!(found.is_some(), is_known, "{token}");
    }
}

#[test]
fn an_index_entry_that_does_not_fit_its_record_opens_nothing() {
    // The index says that `mytoken` is the operator's; the record holds another hash.
    let store = fixture_with("kitchen-sink", "authorizationindexv1", "mytoken", ADMIN.as_bytes());
    assert_eq!(store.catalog().token("mytoken").unwrap(), None);
    let store = fixture_with("kitchen-sink", "authorizationindexv1", "mytoken", b"00000000000000aa");
    assert_eq!(store.catalog().token("mytoken").unwrap(), None, "an entry without a record");
}

#[test]
fn tokens_in_clear_and_by_sha512_work_as_well() {
    let mut contents = fixture("kitchen-sink").contents();
    let record =
        String::from_utf8(contents.get("authorizationsv1", ADMIN.as_bytes()).unwrap().to_vec()).unwrap();

    let clear = record.replace(&format!("\"hashedToken\":\"{SHA256}\""), "\"token\":\"in clear\"");
    contents.put("authorizationsv1", ADMIN, clear);
    contents.put("authorizationindexv1", "in clear", ADMIN);
    let catalog = common::store_of(&contents).catalog();
    assert_eq!(catalog.token("in clear").unwrap().unwrap().require_operator(), Ok(()));
    assert_eq!(catalog.token(OPERATOR_TOKEN).unwrap(), None, "its hash is no longer that of the record");

    contents.put("authorizationsv1", ADMIN, record.replace(SHA256, SHA512));
    contents.put("authorizationhashedindexv1", SHA512, ADMIN);
    let catalog = common::store_of(&contents).catalog();
    assert_eq!(catalog.token(OPERATOR_TOKEN).unwrap().unwrap().id, ADMIN.parse::<Id>().unwrap());
}

#[test]
fn a_damaged_record_or_index_is_named_without_the_token() {
    let store = fixture_with("kitchen-sink", "authorizationsv1", ADMIN, b"{\"id\":");
    let error = store.catalog().token(OPERATOR_TOKEN).unwrap_err().to_string();
    assert!(error.starts_with(&format!("record \"{ADMIN}\" in authorizationsv1")), "{error}");

    let store = fixture_with("kitchen-sink", "authorizationhashedindexv1", SHA256, b"no id");
    let error = store.catalog().token(OPERATOR_TOKEN).unwrap_err().to_string();
    assert!(error.contains("authorizationhashedindexv1") && !error.contains("onbiy"), "{error}");
}
