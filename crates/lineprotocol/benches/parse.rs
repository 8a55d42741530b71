//! Batches of 5,000 lines, parsed and every field looked at: bytes per second.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_lineprotocol::{Parser, Precision, Value};

const LINES: u64 = 5000;
const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// A number without a pattern, the same in every run (splitmix64).
fn noise(index: u64) -> u64 {
    let mut bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The lines of one batch, each made of its number and of a source of noise.
fn batch(line: impl Fn(&mut String, u64, &mut dyn FnMut(u64) -> u64)) -> String {
    let mut text = String::new();
    for index in 0..LINES {
        let mut drawn = index << 8;
        let mut below = |limit| {
            drawn += 1;
            noise(drawn) % limit
        };
        line(&mut text, index, &mut below);
        text.push('\n');
    }
    text
}

/// `{base}{index}` with a time of 19 digits behind it.
fn time(text: &mut String, index: u64) {
    write!(text, " {}", NOW_NS.cast_unsigned() + index / 100 * 10_000_000_000)
        .expect("a string takes any text");
}

/// Ten tags in the order that the Time Series Benchmark Suite has them, ten small integers.
fn devops() -> String {
    batch(|text, index, below| {
        write!(
            text,
            "cpu,hostname=host_{},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu15.10,arch=x86,\
             team=SF,service={},service_version={},service_environment=test usage_user={}i",
            index % 100,
            below(100),
            below(20),
            below(2),
            below(100)
        )
        .expect("a string takes any text");
        for name in ["system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"] {
            write!(text, ",usage_{name}={}i", below(100)).expect("a string takes any text");
        }
        time(text, index);
    })
}

/// Tags in order, five floats of up to 16 digits, as Telegraf sends them.
fn agent() -> String {
    batch(|text, index, below| {
        write!(text, "cpu,cpu=cpu{},host=server-{:03}.example.org ", index % 8, index % 100)
            .expect("a string takes any text");
        for name in ["usage_guest", "usage_idle", "usage_iowait", "usage_system", "usage_user"] {
            let value = below(1 << 53) as f64 / (1u64 << 53) as f64 * 100.0;
            let comma = if name == "usage_guest" { "" } else { "," };
            write!(text, "{comma}{name}={value}").expect("a string takes any text");
        }
        time(text, index);
    })
}

/// Short lines: one tag, two floats of few digits.
fn sensor() -> String {
    batch(|text, index, below| {
        write!(
            text,
            "weather,station={} temperature={}.{},humidity=0.{}",
            index % 1000,
            below(40),
            below(10),
            below(100)
        )
        .expect("a string takes any text");
        time(text, index);
    })
}

/// Strings with escapes, commas and spaces.
fn log() -> String {
    batch(|text, index, below| {
        write!(
            text,
            r#"syslog,app=nginx,host=web{} status={}i,message="GET /item/{} HTTP/1.1, agent=\"curl/8\", took {} ms""#,
            index % 20,
            200 + below(4) * 100,
            below(100_000),
            below(1000)
        )
        .expect("a string takes any text");
        time(text, index);
    })
}

/// Escapes in measurement, tags and field keys: none of the short ways apply.
fn escaped() -> String {
    batch(|text, index, below| {
        write!(
            text,
            r"disk\ io,mount\ point=C:\\ Data\,{},host=a read\ bytes={}i",
            index % 20,
            below(100_000)
        )
        .expect("a string takes any text");
        time(text, index);
    })
}

/// Every line is refused.
fn broken() -> String {
    batch(|text, index, below| {
        write!(text, "cpu,host=server{} usage={},idle=", index % 20, below(100))
            .expect("a string takes any text");
    })
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, text) in [
        ("devops: 10 tags out of order, 10 integers", devops()),
        ("agent: 2 tags, 5 floats of 16 digits", agent()),
        ("sensor: 1 tag, 2 short floats", sensor()),
        ("log: strings with escapes", log()),
        ("escaped keys", escaped()),
        ("broken", broken()),
    ] {
        let mut parser = Parser::new();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut lines = parser.lines(black_box(text.as_bytes()), Precision::Nanoseconds, NOW_NS);
                let mut sum = 0u64;
                while let Some(line) = lines.next_line() {
                    let Ok(line) = line else { continue };
                    sum ^= line.key().len() as u64 ^ line.time_ns().cast_unsigned();
                    for field in line.fields() {
                        sum ^= field.key.len() as u64
                            ^ match field.value {
                                Value::Float(value) => value.to_bits(),
                                Value::Integer(value) => value.cast_unsigned(),
                                Value::Unsigned(value) => value,
                                Value::Boolean(value) => u64::from(value),
                                Value::String(value) => value.len() as u64,
                            };
                    }
                }
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
