//! The token of a request (docs/http.md, 1.5 and 11). There are no sessions: a cookie is no credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::url;

/// `Token` or `Bearer` in any letter case, one space, and the rest of the line.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let known = ["token", "bearer"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    known.then(|| token.to_owned())
}

/// The candidate for a token in a request of the 1.x API: query `p` beside `u`; `Token [user:]<token>` in exactly this
/// case; the password of HTTP Basic.
pub(crate) fn legacy_token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let from_query = url::query_value(query, "u").filter(|user| !user.is_empty());
    if let (Some(_), Some(password)) = (from_query, url::query_value(query, "p")) {
        return Some(password);
    }
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    match scheme {
        "Token" => Some(rest.split_once(':').map_or(rest, |(_, token)| token).to_owned()),
        "Basic" => {
            let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            pair.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_rest_is_the_token() {
        for (value, expected) in [
            ("Token abc", Some("abc")),
            ("tOKEN abc", Some("abc")),
            ("Bearer a b", Some("a b")),
            ("Token  abc", Some(" abc")),
            ("Token", None),
            ("Basic YWJj", None),
            ("Tokenabc", None),
        ] {
            assert_eq!(token(&headers(value)).as_deref(), expected, "{value}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn the_old_api_takes_its_token_from_three_places() {
        let none = HeaderMap::new();
        assert_eq!(legacy_token(&none, Some("db=x&u=me&p=secret")).as_deref(), Some("secret"));
        assert_eq!(legacy_token(&none, Some("db=x&p=secret")), None);
        assert_eq!(legacy_token(&headers("Token abc"), None).as_deref(), Some("abc"));
        assert_eq!(legacy_token(&headers("Token me:abc"), None).as_deref(), Some("abc"));
        assert_eq!(legacy_token(&headers("token abc"), None), None);
        assert_eq!(legacy_token(&headers("Bearer abc"), None), None);
        assert_eq!(legacy_token(&headers("Basic bWU6YTpi"), None).as_deref(), Some("a:b"));
        assert_eq!(legacy_token(&headers("Basic !"), None), None);
    }
}
