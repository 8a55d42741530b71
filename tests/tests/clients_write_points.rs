//! The Python client, the Node client and the influx CLI write points, and every value of them is read back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use icecore_tests::http::Client;
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{Cli, bucket_ids, set_up};
use icecore_tests::process::Signal;
use icecore_tests::values::Values;
use icecore_tests::workload::{EXTREMES_NS, MONDAY_NS, WEEK_NS, Workload};
use icecore_tests::{line_protocol, peers, process};

const TOKEN: &str = "an-operator-token-of-tests";

/// What is in the bucket after `write` wrote to a server that is killed then.
fn written(write: impl FnOnce(&Client)) -> Values {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    set_up(server.client(), TOKEN);
    let client = server.client().with_token(TOKEN);
    let bucket = bucket_ids(&client)["first"].clone();
    write(&client);
    let (_, log) = server.end_by(Signal::KILL);
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Values::from_tsv(&icecore::export(dir.path(), &bucket, "tsv"))
}

fn run(program: &Path, script: &str, client: &Client) {
    let arguments = [&client.url(), TOKEN, "main", "first"];
    process::run(Command::new(program).arg(peers::own(script)).args(arguments));
}

/// 5,000 points of ten series, as the scripts number them.
fn batch(series: impl Fn(i64) -> String) -> String {
    let mut lines = String::new();
    for n in 0..5000 {
        writeln!(lines, "{} v={n}i {}", series(n % 10), MONDAY_NS + n * 1_000_000_000).unwrap();
    }
    lines
}

#[test]
fn the_python_client_writes_points() {
    let Some(python) = peers::python() else { return };
    let found = written(|client| run(&python, "python/write.py", client));
    let expected = "py\\ point,dc=x,host=a\\ b\\,c\\=d f=-0,i=-7i,b=true,s=\"two\nlines, \\\"quoted\\\" \\\\\" 1704067200000000001\n\
                    py\\ point f=1e300 1704675723456789000\n\
                    py_dict,t=1 u=5i,v=2.5 1704067200000000000\n\
                    py_line,t=a u=18446744073709551615u 1704067200000000000\n\
                    py_line,t=b u=0u 1704153600000000000\n";
    let expected = expected.to_owned() + &batch(|n| format!("py_batch,n={n}"));
    found.assert_equal(&line_protocol::parse(&expected), "from Python");
}

#[test]
fn the_node_client_writes_points() {
    let Some(node) = peers::node() else { return };
    let found = written(|client| run(&node, "node/write.js", client));
    let expected = "node\\ point,default=yes,host=a\\ b\\,c\\=d f=-1.25,i=-9007199254740991i,u=18446744073709551615u,b=false,s=\"two\nlines, \\\"quoted\\\" \\\\\" 1704067200000000001\n\
                    node_ms f=0.5 1704675723456000000\n\
                    node_ms,t=a f=1 1704067200001000000\n";
    let expected = expected.to_owned() + &batch(|n| format!("node_batch,default=yes,n={n}"));
    found.assert_equal(&line_protocol::parse(&expected), "from Node");
}

#[test]
fn the_influx_cli_writes_points() {
    let Some(influx) = peers::influx() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut workload = Workload::new(31);
    let (mut first, second) = (workload.lines(MONDAY_NS, 4000), workload.lines(MONDAY_NS + WEEK_NS, 4000));
    // The CLI sends a file line by line; it does not know that a string may have two.
    first = first.replace("two\nlines\n", "one line");
    let second = second.replace("two\nlines\n", "one line");
    EXTREMES_NS.into_iter().for_each(|time_ns| workload.line("no_tags", time_ns, &mut first));
    let first = first.replace("two\nlines\n", "one line");
    let csv = "#datatype measurement,tag,double,long,dateTime:RFC3339\nm,host,f,i,time\n\
               csv,a,1.5,7,2024-01-08T01:02:03.000000004Z\ncsv,b,2.5,8,2024-01-08T01:02:03Z\n";
    let found = written(|client| {
        let cli = Cli::new(&influx, client, TOKEN);
        let write = |flags: &[&str], file: &str| {
            let to = ["write", "--org", "main", "--bucket", "first", "--file", file];
            cli.run(&[&to[..], flags].concat(), None);
        };
        write(&[], &file("first.lp", &first));
        write(&["--compression", "none"], &file("second.lp", &second));
        write(
            &["--precision", "s"],
            &file("seconds.lp", "cli_s,t=a f=1 1704067200\ncli_s,t=a f=2 1704067201\n"),
        );
        write(&["--format", "csv"], &file("points.csv", csv));
    });
    let mut expected = line_protocol::parse_later_wins(&(first + &second));
    let more = "cli_s,t=a f=1 1704067200000000000\ncli_s,t=a f=2 1704067201000000000\n\
                csv,host=a f=1.5,i=7i 1704675723000000004\ncsv,host=b f=2.5,i=8i 1704675723000000000\n";
    expected.extend(line_protocol::parse(more));
    found.assert_equal(&expected, "from the CLI");
}
