//! Tokens: their stored form, and how new ones look.
//!
//! Invariant: a stored hash is never accepted as a token, so that one who reads a backup cannot use what is in it.
//!
//! ```text
//! stored    $influxdb2-sha256$<base64url with padding of SHA-256(token)>     written since 2.9, without salt
//!           $influxdb2-sha512$<base64url with padding of SHA-512(token)>     read
//! new       base64url with padding of 64 random bytes: 88 characters
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256, Sha512};

use crate::error::Result;
use crate::random::{Random, bytes};

const NEW_TOKEN_BYTES: usize = 64;

/// The form in which new hashes are stored.
pub(crate) fn sha256(token: &str) -> String {
    format!("$influxdb2-sha256${}", URL_SAFE.encode(Sha256::digest(token)))
}

fn sha512(token: &str) -> String {
    format!("$influxdb2-sha512${}", URL_SAFE.encode(Sha512::digest(token)))
}

/// Every form in which the hash of a token may be stored, the usual one first.
pub(crate) fn stored_forms(token: &str) -> [String; 2] {
    [sha256(token), sha512(token)]
}

/// A new random token.
pub(crate) fn generate(random: &mut dyn Random) -> Result<String> {
    Ok(URL_SAFE.encode(bytes::<NEW_TOKEN_BYTES>(random)?))
}

/// Whether a text has the form of a stored hash (`$name$…`). Such a token is refused, whatever the store holds.
pub fn is_stored_form(token: &str) -> bool {
    token.strip_prefix('$').and_then(|rest| rest.split_once('$')).is_some_and(|(name, _)| !name.is_empty())
}

/// Whether a text is a JSON Web Token: three parts between dots, of which the first two are JSON objects in base64url.
/// influxd takes such a token for one signed by a key, knows no keys, and refuses it.
pub fn is_jwt(token: &str) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else { return false };
    [header, claims].into_iter().all(|part| is_json_object(part))
}

fn is_json_object(part: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(part)
        .is_ok_and(|json| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).is_ok())
}

/// Compares without stopping at the first difference.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |acc, (l, r)| acc | (l ^ r)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_the_one_seen_in_a_real_store() {
        assert_eq!(sha256("mytoken"), "$influxdb2-sha256$GhfqNWkgTWxBFHlMpz-iV0V_wGEpKMe_AkgBZZt326g=");
        assert!(is_stored_form(&sha256("mytoken")) && is_stored_form(&sha512("mytoken")));
    }

    #[test]
    fn only_a_name_between_dollars_is_a_stored_form() {
        for plain in ["", "$", "$$", "$$x", "$x", "x$y$z", "fixture-operator-token-0123456789"] {
            assert!(!is_stored_form(plain), "{plain}");
        }
        assert!(is_stored_form("$x$"));
    }

    #[test]
    fn a_web_token_is_told_from_a_text_with_dots() {
        // {"alg":"HS256","typ":"JWT"} . {"sub":"x"} . signature
        assert!(is_jwt("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4In0.c2ln"));
        for plain in ["", "a.b.c", "a.b", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0", "..", "e30.W10.x"] {
            assert!(!is_jwt(plain), "{plain}");
        }
    }

    #[test]
    fn a_new_token_has_88_characters() {
        let mut ones = |buffer: &mut [u8]| {
            buffer.fill(0xff);
            Ok(())
        };
        let token = generate(&mut ones).unwrap();
        assert_eq!((token.len(), token.ends_with("_w==")), (88, true));
    }

    #[test]
    fn comparison_sees_length_and_content() {
        assert!(same("abc", "abc") && same("", ""));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
    }
}
