use super::*;
use crate::client::{Reply, exchange, send};

const OPERATOR: (&str, &str) = ("Authorization", "Token operator");
const NOT_AUTHORIZED: &str = r#"{"code":"unauthorized","message":"unauthorized access"}"#;

async fn server() -> SocketAddr {
    Server::of(Double::empty()).await.address
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Reply {
    send(server().await, "GET", path, headers).await
}

#[tokio::test]
async fn an_unknown_path_is_401_without_a_token_and_404_with_one() {
    for path in ["/api/v2/nothing", "/api/v2/backup/nothing", "/api/v2/", "/v1/x", "/private/x"] {
        let reply = get(path, &[]).await;
        assert_eq!((reply.status, reply.text().as_str()), (401, NOT_AUTHORIZED), "{path}");
        assert_eq!(get(path, &[OPERATOR]).await.status, 404, "{path}");
    }
    assert_eq!(
        get("/api/v2/backup/nothing", &[OPERATOR]).await.text(),
        r#"{"code":"not found","message":"path not found"}"#
    );
    assert_eq!(
        get("/api/v2/nothing", &[OPERATOR]).await.text(),
        "{\n\t\"code\": \"not found\",\n\t\"message\": \"path not found\"\n}"
    );
    assert_eq!(get("/anything", &[]).await.text(), "404 page not found\n");
}

#[tokio::test]
async fn credentials_are_a_known_token_of_an_active_user() {
    for (value, status) in [
        ("Token operator", 404),
        ("bEARER operator", 404),
        ("Token nobody", 401),
        ("Token ", 401),
        ("Basic b3BlcmF0b3I6b3BlcmF0b3I=", 401),
        ("Token eyJhbGciOiJIUzI1NiJ9.e30.x", 401),
    ] {
        assert_eq!(get("/api/v2/nothing", &[("Authorization", value)]).await.status, status, "{value}");
    }
    let cookie = get("/api/v2/nothing", &[("Cookie", "influxdb-oss-session=operator")]).await;
    assert_eq!(cookie.status, 401);
    let orphan = get("/api/v2/nothing", &[("Authorization", "Token orphan")]).await;
    assert_eq!(
        (orphan.status, orphan.text().as_str()),
        (403, r#"{"code":"forbidden","message":"User is inactive"}"#)
    );
}

#[tokio::test]
async fn every_answer_names_the_server_and_success_also_icecore() {
    for (path, headers, status) in [
        ("/health", &[][..], 200),
        ("/ping", &[], 204),
        ("/api/v2", &[], 200),
        ("/x", &[], 404),
        ("/api/v2/x", &[], 401),
        ("/api/v2/backup/kv", &[("Authorization", "Token reader")], 401),
    ] {
        let reply = get(path, headers).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("X-Influxdb-Build"), Some("OSS"));
        assert_eq!(reply.header("X-Influxdb-Version"), Some("v2.9.1"));
        assert!(reply.header("Date").is_some());
        assert_eq!(reply.header("X-Icecore-Version").is_some(), status < 400, "{path}");
        assert!(reply.headers.iter().any(|(name, _)| name == "X-Influxdb-Build"), "spelled as Go spells it");
    }
}

#[tokio::test]
async fn health_is_the_line_of_the_original_with_our_version_as_the_commit() {
    for (method, path) in [("GET", "/health"), ("POST", "/health/deeper"), ("OPTIONS", "/health")] {
        let reply = send(server().await, method, path, &[]).await;
        assert_eq!(
            reply.text(),
            format!(
                "{{\"name\":\"influxdb\", \"message\":\"ready for queries and writes\", \"status\":\"pass\", \
                 \"checks\":[], \"version\": \"v2.9.1\", \"commit\": \"{}\"}}\n",
                reply.header("X-Icecore-Version").unwrap()
            )
        );
        assert_eq!(reply.header("Content-Type"), Some("application/json; charset=utf-8"));
    }
    let head = send(server().await, "HEAD", "/health", &[]).await;
    assert_eq!((head.status, head.rest.len()), (200, 0));
    assert!(head.header("Content-Length").unwrap().parse::<usize>().unwrap() > 100);
}

#[tokio::test]
async fn ready_says_since_when() {
    let text = get("/ready", &[]).await.text();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["status"], "ready");
    assert!(value["started"].as_str().unwrap().ends_with('Z'));
    assert!(value["up"].as_str().unwrap().ends_with('s'));
    assert!(
        text.starts_with("{\n    \"status\": \"ready\",\n    \"started\": \"") && text.ends_with("\"\n}\n"),
        "{text}"
    );
}

#[tokio::test]
async fn ping_answers_get_and_head_only() {
    for method in ["GET", "HEAD"] {
        let reply = send(server().await, method, "/ping", &[]).await;
        assert_eq!((reply.status, reply.rest.len()), (204, 0));
        assert_eq!(reply.header("Vary"), Some("Accept-Encoding"));
        assert_eq!(reply.header("Content-Length"), None);
    }
    let reply = send(server().await, "POST", "/ping", &[]).await;
    assert_eq!((reply.status, reply.text().trim()), (405, "Method Not Allowed"));
}

#[tokio::test]
async fn the_links_are_those_that_are_served() {
    let reply = get("/api/v2", &[]).await;
    assert_eq!(
        reply.text(),
        "{\"backup\":\"/api/v2/backup\",\"buckets\":\"/api/v2/buckets\",\"orgs\":\"/api/v2/orgs\",\
         \"setup\":\"/api/v2/setup\",\"system\":{\"health\":\"/health\"},\"write\":\"/api/v2/write\"}\n"
    );
}

#[tokio::test]
async fn options_is_answered_before_authentication_and_by_origin() {
    let server = server().await;
    let reply = send(server, "OPTIONS", "/api/v2/backup/kv", &[]).await;
    assert_eq!((reply.status, reply.text().as_str()), (405, ""));
    let reply = send(server, "OPTIONS", "/api/v2/backup/kv", &[("Origin", "https://a.example")]).await;
    assert_eq!((reply.status, reply.rest.len()), (204, 0));
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("https://a.example"));
    assert_eq!(reply.header("Access-Control-Allow-Methods"), Some("POST, GET, OPTIONS, PUT, DELETE, PATCH"));
    assert_eq!(
        reply.header("Access-Control-Allow-Headers"),
        Some("Accept, Content-Type, Content-Length, Accept-Encoding, Authorization, User-Agent")
    );
    let reply = send(server, "GET", "/api/v2/backup/kv", &[("Origin", "https://a.example")]).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("https://a.example"));
}

#[tokio::test]
async fn another_letter_case_is_redirected_with_its_query() {
    let reply = get("/api/v2/backup/SHARDS/7?since=2026-01-01T00:00:00Z&x=%22", &[OPERATOR]).await;
    assert_eq!(reply.status, 301);
    assert_eq!(reply.header("Location"), Some("/api/v2/backup/shards/7?since=2026-01-01T00:00:00Z&x=%22"));
    assert_eq!(reply.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(
        reply.text(),
        "<a href=\"/api/v2/backup/shards/7?since=2026-01-01T00:00:00Z&amp;x=%22\">Moved Permanently</a>.\n\n"
    );
    let reply = get("/api/v2/backup/KV", &[]).await;
    assert_eq!(reply.status, 401, "the token comes first");
    let reply = send(server().await, "POST", "/api/v2/Write", &[OPERATOR]).await;
    assert_eq!(reply.status, 404, "the mount point itself is exact");
    let reply = send(server().await, "POST", "/api/v2/restore/KV", &[OPERATOR]).await;
    assert_eq!((reply.status, reply.header("Location")), (308, Some("/api/v2/restore/kv")));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones_on_backup_and_nothing_on_setup() {
    let server = server().await;
    for method in ["POST", "HEAD", "DELETE"] {
        let reply = send(server, method, "/api/v2/backup/shards/1", &[OPERATOR]).await;
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, OPTIONS")));
        let length = reply.header("Content-Length");
        assert_eq!(length, Some("61"), "{method}");
    }
    let reply = send(server, "PUT", "/api/v2/setup", &[OPERATOR]).await;
    assert_eq!((reply.status, reply.header("Allow"), reply.rest.len()), (405, None, 0));
}

#[tokio::test]
async fn what_is_not_served_yet_is_501_after_authentication() {
    let server = server().await;
    for (method, path) in [
        ("POST", "/api/v2/query"),
        ("POST", "/api/v2/delete"),
        ("POST", "/api/v2/restore/kv"),
        ("POST", "/api/v2/orgs"),
        ("GET", "/api/v2/users"),
    ] {
        assert_eq!(send(server, method, path, &[]).await.status, 401, "{path}");
        let reply = send(server, method, path, &[OPERATOR]).await;
        assert_eq!(
            (reply.status, reply.header("X-Platform-Error-Code")),
            (501, Some("not implemented")),
            "{path}"
        );
    }
    for path in ["/write?db=x&u=me&p=operator", "/query?u=me&p=operator"] {
        assert_eq!(send(server, "POST", path, &[]).await.status, 501, "{path}");
    }
}

#[tokio::test]
async fn the_old_write_path_asks_for_credentials_before_anything_else() {
    let server = server().await;
    assert_eq!(send(server, "OPTIONS", "/write", &[]).await.text(), NOT_AUTHORIZED);
    let reply = send(server, "POST", "/write?u=me&p=wrong", &[]).await;
    assert_eq!(reply.text(), r#"{"code":"unauthorized","message":"Unauthorized"}"#);
    let reply = send(server, "OPTIONS", "/write", &[OPERATOR]).await;
    assert_eq!((reply.status, reply.header("Allow")), (200, Some("OPTIONS, POST")));
    let reply = send(server, "PUT", "/query", &[OPERATOR]).await;
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, OPTIONS, POST")));
}

#[tokio::test]
async fn a_panic_is_an_answer_that_names_it_and_the_server_goes_on() {
    let server = server().await;
    for _ in 0..2 {
        let reply = send(server, "GET", "/api/v2/backup/kv?x=1", &[OPERATOR]).await;
        assert_eq!(reply.status, 500);
        assert_eq!(
            reply.text(),
            "{\"code\":\"internal error\",\"message\":\"a panic has occurred: \
             /api/v2/backup/kv?x=1: the \\u003cstore\\u003e is gone\"}"
        );
    }
}

#[tokio::test]
async fn backup_checks_in_the_order_of_the_contract() {
    let reader = ("Authorization", "Token reader");
    let bogus = ("Gzip-Compression-Level", "bogus");
    let asks = |path: &'static str, headers: Vec<(&'static str, &'static str)>| async move {
        let reply = get(path, &headers).await;
        (reply.status, reply.text(), reply.header("Vary").map(str::to_owned))
    };
    let vary = Some("Accept-Encoding".to_owned());
    let (status, text, varies) = asks("/api/v2/backup/shards/abc?since=x", vec![reader, bogus]).await;
    assert!(status == 400 && text.contains("bogus") && varies.is_none(), "{status} {text}");
    let (status, text, varies) = asks("/api/v2/backup/shards/abc?since=x", vec![reader]).await;
    assert!(status == 400 && text.contains("shard id: \\\"abc\\\"") && varies == vary, "{status} {text}");
    let (status, text, varies) = asks("/api/v2/backup/shards/9?since=x", vec![reader]).await;
    assert!(status == 400 && text.contains("since: \\\"x\\\"") && varies == vary, "{status} {text}");
    let (status, text, varies) = asks("/api/v2/backup/shards/9", vec![reader]).await;
    assert!(
        status == 401 && text.contains("read:authorizations is unauthorized") && varies == vary,
        "{text}"
    );
    let (status, text, varies) = asks("/api/v2/backup/shards/9", vec![OPERATOR]).await;
    assert!(status == 404 && text.contains("\"shard 9 not found\"") && varies == vary, "{text}");
    let (_, _, varies) =
        asks("/api/v2/backup/shards/9", vec![OPERATOR, ("Gzip-Compression-Level", "none")]).await;
    assert_eq!(varies, None);
    let (status, text, _) = asks("/api/v2/backup/metadata", vec![("Authorization", "Token inactive")]).await;
    assert!(status == 401 && text.contains("token is inactive"), "{text}");
    let (status, text, varies) = asks("/api/v2/backup/kv", vec![reader, bogus]).await;
    assert!(
        status == 401 && text.contains("read:authorizations") && varies.is_none(),
        "kv knows no levels: {text}"
    );
}

#[tokio::test]
async fn since_and_id_reach_the_backend_as_numbers() {
    let double = Double::new(|id, asked| {
        let Selection { since, always_list, deletes } = asked;
        Err(Problem::new(Code::Conflict, format!("{id} {since:?} {always_list} {deletes:?}")))
    });
    let server = Server::of(double).await.address;
    for (path, expected) in [
        ("/api/v2/backup/shards/18446744073709551615", "18446744073709551615 None false Apply"),
        ("/api/v2/backup/shards/%37?since=&files=1", "7 None true Apply"),
        ("/api/v2/backup/shards/7?since=1970-01-01T01:00:00.000000005+01:00", "7 Some(5) false Apply"),
        ("/api/v2/backup/shards/7?since=1970-01-01T00%3A00%3A00", "7 Some(0) false Apply"),
        ("/api/v2/backup/shards/7?tombstones=keep", "7 None false Keep"),
    ] {
        let reply = send(server, "GET", path, &[OPERATOR]).await;
        assert!(reply.status == 422 && reply.text().contains(expected), "{path}: {}", reply.text());
    }
    let reply = send(server, "GET", "/api/v2/backup/shards/7?tombstones=drop", &[OPERATOR]).await;
    assert!(
        reply.status == 400 && reply.text().contains("tombstones: \\\"drop\\\" is neither"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn setup_takes_a_body_of_limited_size_without_a_token() {
    let running = server().await;
    let status = send(running, "GET", "/api/v2/setup", &[]).await;
    assert_eq!((status.status, status.text().as_str()), (200, "{\n\t\"allowed\": true\n}"));
    let chunked =
        b"POST /api/v2/setup HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(exchange(running, chunked).await.status, 201);
    let status = send(running, "GET", "/api/v2/setup", &[]).await;
    assert_eq!(status.text(), "{\n\t\"allowed\": false\n}");
    let options = Options { json_max_bytes: 10, ..Options::default() };
    let small = Server::with(Double::empty(), options).await.address;
    let long = b"POST /api/v2/setup HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n\r\n01234567890";
    let reply = exchange(small, long).await;
    assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (413, Some("request too large")));
    assert!(reply.text().starts_with("{\n\t\"code\""), "layout A");
}

#[tokio::test]
async fn the_service_is_also_a_tower_service() {
    let mut service = Service::over(Double::empty(), Options::default());
    let request = hyper::Request::get("/health").body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let reply = tower_service::Service::call(&mut service, request).await.unwrap();
    assert_eq!(reply.status(), 200);
}
