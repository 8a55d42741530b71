//! influxd 2.9 and the influx CLI: the real server as a reader of what Icecore wrote, and the real client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Client;
use crate::influxql;
use crate::line_protocol;
use crate::process::{Process, Signal, free_address, run};
use crate::values::Values;

/// Ports are chosen before the server binds them, so another process can be faster.
const STARTS_MAX: usize = 5;

/// A running influxd 2.9.
#[derive(Debug)]
pub struct Influxd {
    process: Process,
    client: Client,
}

impl Influxd {
    /// Starts it over a directory, which may be empty.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(influxd: &Path, dir: &Path) -> Self {
        Self::start_with(influxd, dir, &[])
    }

    /// The same with more flags.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(influxd: &Path, dir: &Path, flags: &[&str]) -> Self {
        let mut logs = String::new();
        for _ in 0..STARTS_MAX {
            match Self::try_start(influxd, dir, flags) {
                Ok(server) => return server,
                Err(log) if log.contains("address already in use") => logs.push_str(&log),
                Err(log) => panic!("influxd does not start:\n{log}"),
            }
        }
        panic!("influxd did not come up in {STARTS_MAX} attempts:\n{logs}");
    }

    /// What it says of a directory that it refuses.
    ///
    /// # Panics
    /// When it comes up.
    pub fn log_of_a_start_that_fails(influxd: &Path, dir: &Path) -> String {
        match Self::try_start(influxd, dir, &[]) {
            Ok(_) => panic!("influxd opens {}", dir.display()),
            Err(log) => log,
        }
    }

    fn try_start(influxd: &Path, dir: &Path, flags: &[&str]) -> Result<Self, String> {
        let client = Client::new(&free_address());
        let mut process = Process::spawn(command(influxd, dir, client.address()).args(flags));
        let up = |_: &str| {
            client.try_send("GET", "/health", &[], &[]).is_ok_and(|a| a.status == 200).then_some(())
        };
        match process.wait_until(up) {
            Some(()) => Ok(Self { process, client }),
            None => Err(process.log()),
        }
    }

    /// A client without credentials.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it by `signal`; gives how it ended and its log.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_by(self, signal: Signal) -> (ExitStatus, String) {
        self.process.end_by(signal)
    }

    /// Stops it gracefully: SIGINT; at SIGTERM it stops at once.
    ///
    /// # Panics
    /// When it does not end with success.
    pub fn stop(self) {
        let (status, log) = self.end_by(Signal::INT);
        assert!(status.success(), "{status}\n{log}");
    }

    /// Ends it by SIGKILL: what it has acknowledged is in its log.
    ///
    /// # Panics
    /// When it had ended by itself.
    pub fn kill(self) {
        let (status, log) = self.process.end_by(Signal::KILL);
        assert_eq!(status.code(), None, "{log}");
    }
}

fn command(influxd: &Path, dir: &Path, address: &str) -> Command {
    let mut command = Command::new(influxd);
    command
        .args(["--reporting-disabled", "--http-bind-address", address])
        .arg("--bolt-path")
        .arg(dir.join("influxd.bolt"))
        .arg("--sqlite-path")
        .arg(dir.join("influxd.sqlite"))
        .arg("--engine-path")
        .arg(dir.join("engine"));
    command
}

/// Starts it over a directory in which it may never come up. The caller ends it.
///
/// # Panics
/// When there is no such program.
pub fn spawn(influxd: &Path, dir: &Path) -> Child {
    command(influxd, dir, &free_address()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What influxd's own export reads from a directory that no server holds. It prints file after file, in the order of
/// their names, and leaves it to the reader that a later value wins.
///
/// # Panics
/// When it fails.
pub fn exported(influxd: &Path, dir: &Path, bucket_id: &str) -> Values {
    let out = dir.join(format!("{bucket_id}.lp"));
    run(Command::new(influxd)
        .args(["inspect", "export-lp", "--bucket-id", bucket_id, "--engine-path"])
        .arg(dir.join("engine"))
        .arg("--output-path")
        .arg(&out));
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    line_protocol::parse_later_wins(&text)
}

/// What `influxd inspect verify-tsm` says of a directory: how many blocks are broken. It ends with success whatever it
/// finds in them.
///
/// # Panics
/// When it fails, as it does for a file that it cannot open.
pub fn verified(influxd: &Path, dir: &Path) -> String {
    let mut verify = Command::new(influxd);
    verify.args(["inspect", "verify-tsm", "--engine-path"]).arg(dir.join("engine"));
    let output = verify.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// The influx CLI, talking to one server with one token.
#[derive(Debug)]
pub struct Cli {
    influx: PathBuf,
    url: String,
    token: String,
    home: TempDir,
}

impl Cli {
    /// A CLI with a configuration of its own.
    pub fn new(influx: &Path, client: &Client, token: &str) -> Self {
        Self {
            influx: influx.to_owned(),
            url: client.url(),
            token: token.to_owned(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs `influx COMMAND ARGUMENTS` and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, command: &[&str], path: Option<&Path>) -> String {
        let mut influx = Command::new(&self.influx);
        influx.env("INFLUX_CONFIGS_PATH", self.home.path().join("configs")).args(command);
        influx.args(["--host", &self.url, "--token", &self.token]).args(path);
        String::from_utf8(run(&mut influx)).unwrap()
    }
}

/// Every value of a bucket as influxd answers it over the network.
///
/// # Panics
/// When it refuses, or answers what cannot be.
pub fn answered(operator: &Client, bucket_id: &str) -> Values {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let bucket: Value =
        serde_json::from_slice(&operator.body_of(&format!("/api/v2/buckets/{bucket_id}"))).unwrap();
    // The organization of an InfluxQL query is that of its token.
    let org_id = text(&bucket["orgID"]);
    let request = serde_json::json!({
        "orgID": org_id, "permissions": [{"action": "read", "resource": {"type": "buckets", "orgID": org_id}}],
    });
    let answer = operator.send("POST", "/api/v2/authorizations", &[], request.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let token = text(&serde_json::from_slice::<Value>(&answer.body).unwrap()["token"]);
    influxql::values(&operator.with_token(&token), &text(&bucket["name"]))
}

/// Sets up a server that never was, with an operator token of the caller's choice.
///
/// # Panics
/// When the server refuses.
pub fn set_up(client: &Client, token: &str) {
    let body = serde_json::json!({
        "username": "admin", "password": "a-password-of-tests", "org": "main", "bucket": "first", "token": token,
    });
    let answer = client.send("POST", "/api/v2/setup", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Makes a bucket that keeps everything, in an organization by its name.
///
/// # Panics
/// When the server refuses.
pub fn create_bucket(client: &Client, org: &str, name: &str) {
    let orgs: Value = serde_json::from_slice(&client.body_of(&format!("/api/v2/orgs?org={org}"))).unwrap();
    let body = serde_json::json!({"orgID": orgs["orgs"][0]["id"], "name": name, "retentionRules": []});
    let answer = client.send("POST", "/api/v2/buckets", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Id by name of the buckets that a token sees.
///
/// # Panics
/// When the server refuses.
pub fn bucket_ids(client: &Client) -> BTreeMap<String, String> {
    let answer = client.get("/api/v2/buckets?limit=100");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| (text(&bucket["name"]), text(&bucket["id"])))
        .collect()
}
