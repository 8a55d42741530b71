//! Lists, new buckets and writes that are refused: what a real influxd 2.9.1 answered over the same data directory, byte
//! for byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::net::SocketAddr;

use client::{Reply, exchange};
use icecore_database::Mode;
use icecore_testkit::fixtures;
use serde_json::Value;

const RECORDING: &str = include_str!("influxd-2.9.1.tsv");

struct Exchange {
    fixture: &'static str,
    who: &'static str,
    method: &'static str,
    target: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    answer: String,
}

fn recorded() -> impl Iterator<Item = Exchange> {
    RECORDING.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [fixture, who, method, target, body, status, code, answer] = fields[..] else { panic!("{line}") };
        Exchange {
            fixture,
            who,
            method,
            target,
            body: serde_json::from_str(body).unwrap(),
            status: status.parse().unwrap(),
            code,
            answer: serde_json::from_str(answer).unwrap(),
        }
    })
}

fn token(fixture: &str, who: &str) -> Option<String> {
    let model = || -> Value { serde_json::from_slice(&fixtures::read("layers/model.json")).unwrap() };
    match (fixture, who) {
        ("kitchen-sink", "operator") => Some(fixtures::OPERATOR_TOKEN.to_owned()),
        ("layers", "operator") => Some(fixtures::LAYERS_OPERATOR_TOKEN.to_owned()),
        ("layers", "reader") => Some(model()["tokens"]["read buckets"].as_str().unwrap().to_owned()),
        ("layers", "inactive") => Some(model()["tokens"]["inactive"].as_str().unwrap().to_owned()),
        ("layers", "nobody") => None,
        other => panic!("{other:?}"),
    }
}

async fn ask(to: SocketAddr, asked: &Exchange) -> Reply {
    let Exchange { method, target, body, .. } = asked;
    let token = token(asked.fixture, asked.who)
        .map(|token| format!("Authorization: Token {token}\r\n"))
        .unwrap_or_default();
    let len = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}");
    exchange(to, format!("{head}Content-Length: {len}\r\n\r\n{body}").as_bytes()).await
}

/// Why our answer is another one on purpose (docs/http.md, 19 no. 22), with what it is.
fn better(asked: &Exchange) -> Option<(u16, &'static str)> {
    let is_retention = asked.status == 500 && asked.answer.contains("retention policy duration must be");
    is_retention.then_some((422, "unprocessable entity"))
}

/// A new bucket has another id, and was made at another time.
fn without_id_and_times(text: &str) -> String {
    let mut answer: Value = serde_json::from_str(text).unwrap();
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), answer["createdAt"].as_str().unwrap().ends_with('Z')), (16, true));
    let times = ["createdAt", "updatedAt"].map(|name| answer[name].take().as_str().unwrap().to_owned());
    times.iter().fold(text.replace(&id, "<id>"), |text, time| text.replace(time, "<time>"))
}

#[tokio::test]
async fn every_answer_is_the_recorded_one() {
    let mut current: Option<(&str, tempfile::TempDir, SocketAddr)> = None;
    let mut counts = [0; 3];
    for asked in recorded() {
        let server = match &current {
            Some((fixture, _, server)) if *fixture == asked.fixture => *server,
            _ => {
                let dir = fixtures::unpack(asked.fixture);
                let server = server::start(dir.path(), Mode::ReadWrite).await;
                current = Some((asked.fixture, dir, server));
                server
            }
        };
        let reply = ask(server, &asked).await;
        let name = format!("{} {} {} {}", asked.who, asked.method, asked.target, asked.body);
        let (status, code) = better(&asked).unwrap_or((asked.status, asked.code));
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert_eq!(reply.header("X-Platform-Error-Code").unwrap_or("-"), code, "{name}");
        if status == 204 {
            assert_eq!(reply.rest, b"", "{name}");
        } else {
            assert_eq!(reply.header("Content-Type"), Some("application/json; charset=utf-8"), "{name}");
        }
        let (text, expected) = (reply.text(), &asked.answer);
        if status == 201 {
            assert_eq!(without_id_and_times(&text), without_id_and_times(expected), "{name}");
            counts[0] += 1;
        } else if expected.contains("failed to unmarshal json: ") {
            // The rest is the words of a JSON parser.
            let message = serde_json::from_str::<Value>(&text).unwrap()["message"].take();
            assert!(message.as_str().unwrap().starts_with("failed to unmarshal json: "), "{name}: {text}");
            counts[1] += 1;
        } else if better(&asked).is_some() {
            assert_eq!(text, expected.replace("internal error", "unprocessable entity"), "{name}");
        } else {
            assert_eq!(text, *expected, "{name}");
            counts[2] += 1;
        }
    }
    assert_eq!(counts, [5, 9, 179], "made, refused by the parser, equal to the last byte");
}
