//! Which endpoint a method and a path mean: the dispatch order of docs/http.md, 1.1. Pure.
//!
//! Two families of routers differ in the edge cases. *Tree* (backup, restore, write, delete, query) redirects another
//! letter case, names the allowed methods and answers in layout H. *Chi* (all others) does none of that.

use hyper::Method;

use crate::problem::Layout;

/// The first fork, before any token is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Health,
    Ready,
    Metrics,
    Ping,
    /// `/write` and `/query` of the 1.x API, with credentials of their own.
    Legacy {
        allow: &'static str,
    },
    /// Profiling, the API's documentation, the user interface: this server has none.
    Absent,
    Api,
}

/// Chooses the door of a decoded path.
pub(crate) fn door(path: &str) -> Door {
    for (root, door) in [
        ("/health", Door::Health),
        ("/ready", Door::Ready),
        ("/metrics", Door::Metrics),
        ("/debug", Door::Absent),
    ] {
        if is_under(path, root) {
            return door;
        }
    }
    match path {
        "/ping" => Door::Ping,
        "/write" => Door::Legacy { allow: "OPTIONS, POST" },
        "/query" => Door::Legacy { allow: "GET, OPTIONS, POST" },
        _ if ["/v1", "/api/v2", "/private/"].iter().any(|api| path.starts_with(api)) => Door::Api,
        _ => Door::Absent,
    }
}

/// Whether the API answers this without a token. The path is compared exactly.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    matches!(
        (method.as_str(), path),
        ("GET", "/api/v2" | "/api/v2/swagger.json")
            | ("GET" | "POST", "/api/v2/setup")
            | ("POST", "/api/v2/signin" | "/api/v2/signout")
    )
}

/// Whether this is a write, which takes a way of its own: its body can be large. Another spelling of the path, or another
/// method, is routed like everything else.
pub(crate) fn is_write(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/api/v2/write"
}

/// Whether this is a download, of which there may be so many at once.
pub(crate) fn is_download(method: &Method, path: &str) -> bool {
    method == Method::GET && path.starts_with("/api/v2/backup/")
}

/// Whether the JSON in the body of a request is read before it is answered.
pub(crate) fn has_json(method: &Method, path: &str) -> bool {
    method == Method::POST && matches!(path, "/api/v2/setup" | "/api/v2/buckets")
}

/// What serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Links,
    SetupStatus,
    Setup,
    Kv,
    Metadata,
    /// The shard's number as text.
    Shard(String),
    Organizations,
    Buckets,
    CreateBucket,
    /// In the contract, but not in this server yet.
    NotServed(Layout),
}

/// The end of the way through the API router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Endpoint(Endpoint),
    /// The path in the spelling that is served.
    Moved(String),
    /// `allow`: `None` in the family that does not say.
    WrongMethod {
        allow: Option<String>,
    },
    Unknown(Layout),
}

#[derive(Clone, Copy)]
enum Target {
    Links,
    SetupStatus,
    Setup,
    Kv,
    Metadata,
    Shard,
    Organizations,
    Buckets,
    CreateBucket,
    H,
    A,
}

/// A path, `{}` standing for one segment, and its methods.
type Row = (&'static str, &'static [(&'static str, Target)]);

const TREE_ROOTS: [&str; 5] =
    ["/api/v2/backup", "/api/v2/restore", "/api/v2/write", "/api/v2/delete", "/api/v2/query"];

const TREE: [Row; 13] = [
    ("/api/v2/backup/kv", &[("GET", Target::Kv)]),
    ("/api/v2/backup/metadata", &[("GET", Target::Metadata)]),
    ("/api/v2/backup/shards/{}", &[("GET", Target::Shard)]),
    ("/api/v2/restore/kv", &[("POST", Target::H)]),
    ("/api/v2/restore/sql", &[("POST", Target::H)]),
    ("/api/v2/restore/bucketMetadata", &[("POST", Target::A)]),
    ("/api/v2/restore/bucket-metadata", &[("POST", Target::A)]),
    ("/api/v2/restore/buckets/{}", &[("POST", Target::H)]),
    ("/api/v2/restore/bucket/{}", &[("POST", Target::H)]),
    ("/api/v2/restore/shards/{}", &[("POST", Target::H)]),
    ("/api/v2/write", &[("POST", Target::H)]),
    ("/api/v2/delete", &[("POST", Target::H)]),
    ("/api/v2/query", &[("POST", Target::H)]),
];

const LIST: &[(&str, Target)] = &[("GET", Target::A), ("POST", Target::A)];
const ITEM: &[(&str, Target)] = &[("GET", Target::A), ("PATCH", Target::A), ("DELETE", Target::A)];

const CHI: [Row; 17] = [
    ("/api/v2", &[("GET", Target::Links)]),
    ("/api/v2/setup", &[("GET", Target::SetupStatus), ("POST", Target::Setup)]),
    ("/api/v2/signin", &[("POST", Target::A)]),
    ("/api/v2/signout", &[("POST", Target::A)]),
    ("/api/v2/swagger.json", &[("GET", Target::A)]),
    ("/api/v2/me", &[("GET", Target::A)]),
    ("/api/v2/orgs", &[("GET", Target::Organizations), ("POST", Target::A)]),
    ("/api/v2/orgs/{}", ITEM),
    ("/api/v2/buckets", &[("GET", Target::Buckets), ("POST", Target::CreateBucket)]),
    ("/api/v2/buckets/{}", ITEM),
    ("/api/v2/authorizations", LIST),
    ("/api/v2/authorizations/{}", ITEM),
    ("/api/v2/users", LIST),
    ("/api/v2/users/{}", ITEM),
    ("/api/v2/users/{}/password", &[("POST", Target::A)]),
    ("/api/v2/dbrps", LIST),
    ("/api/v2/dbrps/{}", ITEM),
];

/// The layout in which a path answers what happens outside its endpoints.
pub(crate) fn layout(path: &str) -> Layout {
    let is_tree = TREE_ROOTS.iter().any(|root| is_under(path, root));
    if is_tree || !path.starts_with("/api/v2") { Layout::H } else { Layout::A }
}

/// Finds the endpoint of a decoded path.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    if TREE_ROOTS.iter().any(|root| is_under(path, root)) {
        in_tree(method, path)
    } else {
        in_chi(method, path)
    }
}

fn in_tree(method: &Method, path: &str) -> Found {
    if let Some(endpoint) = served(&TREE, method, path) {
        return Found::Endpoint(endpoint);
    }
    let segments = cleaned(path);
    let moved = TREE
        .iter()
        .filter(|(_, methods)| methods.iter().any(|(name, _)| name == method))
        .find_map(|(pattern, _)| respelled(pattern, &segments));
    if let Some(path) = moved {
        return Found::Moved(path);
    }
    match methods(&TREE, path) {
        Some(methods) => {
            let mut allow: Vec<&str> = methods.iter().map(|(name, _)| *name).chain(["OPTIONS"]).collect();
            allow.sort_unstable();
            Found::WrongMethod { allow: Some(allow.join(", ")) }
        }
        None => Found::Unknown(Layout::H),
    }
}

fn in_chi(method: &Method, path: &str) -> Found {
    match served(&CHI, method, path) {
        Some(endpoint) => Found::Endpoint(endpoint),
        None if methods(&CHI, path).is_some() => Found::WrongMethod { allow: None },
        None => Found::Unknown(Layout::A),
    }
}

fn served(table: &[Row], method: &Method, path: &str) -> Option<Endpoint> {
    let (_, target) = methods(table, path)?.iter().find(|(name, _)| name == method)?;
    Some(match target {
        Target::Links => Endpoint::Links,
        Target::SetupStatus => Endpoint::SetupStatus,
        Target::Setup => Endpoint::Setup,
        Target::Kv => Endpoint::Kv,
        Target::Metadata => Endpoint::Metadata,
        Target::Shard => Endpoint::Shard(path.rsplit('/').next().unwrap_or_default().to_owned()),
        Target::Organizations => Endpoint::Organizations,
        Target::Buckets => Endpoint::Buckets,
        Target::CreateBucket => Endpoint::CreateBucket,
        Target::H => Endpoint::NotServed(Layout::H),
        Target::A => Endpoint::NotServed(Layout::A),
    })
}

fn methods(table: &[Row], path: &str) -> Option<&'static [(&'static str, Target)]> {
    let matches = |pattern: &str| {
        pattern.split('/').count() == path.split('/').count()
            && pattern.split('/').zip(path.split('/')).all(|(p, s)| p == s || (p == "{}" && !s.is_empty()))
    };
    table.iter().find(|(pattern, _)| matches(pattern)).map(|(_, methods)| *methods)
}

/// The segments without empty ones, `.` and `..`.
fn cleaned(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    segments
}

/// The path as the pattern spells it, if it differs from it in letter case or slashes only.
fn respelled(pattern: &str, segments: &[&str]) -> Option<String> {
    let mut path = String::new();
    let mut rest = segments.iter();
    for expected in pattern.split('/').skip(1) {
        let segment = rest.next()?;
        if expected != "{}" && !expected.eq_ignore_ascii_case(segment) {
            return None;
        }
        path.push('/');
        path.push_str(if expected == "{}" { segment } else { expected });
    }
    rest.next().is_none().then_some(path)
}

fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Found {
        find(&Method::GET, path)
    }

    #[test]
    fn the_doors_are_tried_in_the_order_of_the_contract() {
        for (path, expected) in [
            ("/health", Door::Health),
            ("/health/x", Door::Health),
            ("/healthy", Door::Absent),
            ("/ready", Door::Ready),
            ("/metrics/a/b", Door::Metrics),
            ("/debug/pprof", Door::Absent),
            ("/ping", Door::Ping),
            ("/ping/", Door::Absent),
            ("/write", Door::Legacy { allow: "OPTIONS, POST" }),
            ("/query", Door::Legacy { allow: "GET, OPTIONS, POST" }),
            ("/docs", Door::Absent),
            ("/", Door::Absent),
            ("/api/v2", Door::Api),
            ("/api/v2x", Door::Api),
            ("/API/v2/backup/kv", Door::Absent),
            ("/v1/x", Door::Api),
            ("/private/x", Door::Api),
            ("/private", Door::Absent),
        ] {
            assert_eq!(door(path), expected, "{path}");
        }
    }

    #[test]
    fn tree_routers_redirect_another_spelling() {
        for (path, to) in [
            ("/api/v2/backup/KV", "/api/v2/backup/kv"),
            ("/api/v2/backup/Shards/12", "/api/v2/backup/shards/12"),
            ("/api/v2/backup/kv/", "/api/v2/backup/kv"),
            ("/api/v2/backup//kv", "/api/v2/backup/kv"),
            ("/api/v2/backup/x/../kv", "/api/v2/backup/kv"),
            ("/api/v2/backup/shards/A%b", "/api/v2/backup/shards/A%b"),
        ] {
            match get(path) {
                Found::Moved(found) => assert_eq!(found, to),
                Found::Endpoint(Endpoint::Shard(id)) => assert!(to.ends_with(&id)),
                other => panic!("{path}: {other:?}"),
            }
        }
        assert_eq!(get("/api/v2/backup/shards/"), Found::Unknown(Layout::H));
        assert_eq!(get("/api/v2/backup/../../../etc"), Found::Unknown(Layout::H));
        assert_eq!(get("/api/v2/BACKUP/kv"), Found::Unknown(Layout::A));
        assert_eq!(get("/api/v2/Setup"), Found::Unknown(Layout::A));
    }

    #[test]
    fn a_wrong_method_names_the_right_ones_in_tree_routers_only() {
        let allowed = |method: Method, path| find(&method, path);
        let get_only = Found::WrongMethod { allow: Some("GET, OPTIONS".to_owned()) };
        assert_eq!(allowed(Method::POST, "/api/v2/backup/kv"), get_only);
        assert_eq!(allowed(Method::HEAD, "/api/v2/backup/shards/1"), get_only);
        assert_eq!(
            allowed(Method::GET, "/api/v2/restore/kv"),
            Found::WrongMethod { allow: Some("OPTIONS, POST".to_owned()) }
        );
        assert_eq!(allowed(Method::PUT, "/api/v2/setup"), Found::WrongMethod { allow: None });
        assert_eq!(allowed(Method::HEAD, "/api/v2/orgs/1"), Found::WrongMethod { allow: None });
    }

    #[test]
    fn what_the_contract_has_and_this_server_not_yet_is_not_an_unknown_path() {
        for (method, path, layout) in [
            ("POST", "/api/v2/delete", Layout::H),
            ("POST", "/api/v2/query", Layout::H),
            ("POST", "/api/v2/restore/kv", Layout::H),
            ("POST", "/api/v2/restore/shards/7", Layout::H),
            ("POST", "/api/v2/restore/bucketMetadata", Layout::A),
            ("POST", "/api/v2/orgs", Layout::A),
            ("GET", "/api/v2/buckets/0000000000000001", Layout::A),
            ("PATCH", "/api/v2/orgs/0000000000000001", Layout::A),
            ("POST", "/api/v2/users/0000000000000001/password", Layout::A),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(find(&method, path), Found::Endpoint(Endpoint::NotServed(layout)), "{path}");
        }
    }
}
