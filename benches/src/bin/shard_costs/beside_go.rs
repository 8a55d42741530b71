//! `Shard::write` beside `BenchmarkEngine_WritePoints` of tsm1: 5,000 points of 5,000 series with one float, the same in every batch.
//!
//! On a disk each batch is synced. On a file system in memory the calls are the same and a sync costs nothing: what is left is
//! the work of the engine. The points of the Go engine are parsed before it is measured, and so is our batch; making the
//! batch of keys and values is shown beside it.

use std::path::Path;
use std::process::Command;

use icecore_benches::table::{Table, median, spread};
use icecore_tests::process::run;
use icecore_tsm::{Batch, Value};

use crate::points::{BATCH_POINTS, open, real, seconds};

const NAME: &str = "BenchmarkEngine_WritePoints/tsi1_5000";

/// Runs both by turns; milliseconds a batch.
pub(crate) fn table(source: &Path, dirs: [&Path; 2], batches: usize, rounds: usize) -> Table {
    let built = tempfile::tempdir().expect("a directory");
    let program = built.path().join("tsm1.test");
    let mut build = Command::new("go");
    build.args(["test", "-c", "-o"]).arg(&program).arg("./tsdb/engine/tsm1/").current_dir(source);
    run(&mut build);
    let [mut go, mut ours]: [[Vec<f64>; 2]; 2] = Default::default();
    let mut filling = Vec::new();
    for _ in 0..rounds {
        for (dir, (go, ours)) in dirs.into_iter().zip(go.iter_mut().zip(&mut ours)) {
            go.push(of_go(&program, source, dir, batches));
            let (fill, write) = of_ours(dir, batches);
            ours.push(write);
            filling.push(fill);
        }
    }
    let mut table = Table::new([
        "5,000 points, ms",
        "on a disk, synced",
        "in memory, sync is free",
        "of the Go engine's",
    ]);
    let ms = |numbers: &[f64]| spread(numbers, |ms| format!("{ms:.3}"));
    let middle = |numbers: &[f64]| median(numbers.iter().copied());
    let [go_disk, go_memory] = &go;
    let [disk, memory] = &ours;
    table.push(vec![NAME.to_owned(), ms(go_disk), ms(go_memory), String::new()]);
    let share = |ours: f64| format!("{:.2}", ours / middle(go_memory));
    table.push(vec!["Shard::write".to_owned(), ms(disk), ms(memory), share(middle(memory))]);
    let with_batch = middle(memory) + middle(&filling);
    table.push(vec!["Batch::point".to_owned(), String::new(), ms(&filling), String::new()]);
    table.push(vec!["both".to_owned(), String::new(), format!("{with_batch:.3}"), share(with_batch)]);
    table
}

fn of_go(program: &Path, source: &Path, dir: &Path, batches: usize) -> f64 {
    let mut command = Command::new(program);
    command
        .env("TMPDIR", dir.canonicalize().expect("a directory"))
        .current_dir(source.join("tsdb/engine/tsm1"));
    command.args(["-test.run", "^$", "-test.bench", &format!("^{}$", NAME.replace('/', "$/^"))]);
    command.args(["-test.benchtime", &format!("{batches}x")]);
    let text = String::from_utf8_lossy(&run(&mut command)).into_owned();
    // BenchmarkEngine_WritePoints/tsi1_5000-2   200   3300000 ns/op …
    let words: Vec<&str> = text.split_whitespace().collect();
    let ns = words
        .windows(2)
        .find(|pair| pair.last() == Some(&"ns/op"))
        .and_then(|pair| pair.first()?.parse::<f64>().ok());
    ns.unwrap_or_else(|| panic!("no figure in\n{text}")) / 1e6
}

/// Milliseconds to fill a batch, and to write it.
fn of_ours(dir: &Path, batches: usize) -> (f64, f64) {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let shard = open(&real(), dir.path());
    let keys: Vec<String> = (0..BATCH_POINTS).map(|host| format!("cpu,host={host}")).collect();
    let (mut filling, mut writing) = (0.0, 0.0);
    let mut batch = Batch::new();
    for _ in 0..batches {
        filling += seconds(|| {
            batch.clear();
            for key in &keys {
                let field = [(&b"value"[..], Value::Float(1.2))];
                batch.point(key.as_bytes(), 3, 1_700_000_000_000_000_000, field).expect("a point");
            }
        })
        .0;
        writing += seconds(|| shard.write(&mut batch).expect("a write")).0;
    }
    (filling * 1e3 / batches as f64, writing * 1e3 / batches as f64)
}
