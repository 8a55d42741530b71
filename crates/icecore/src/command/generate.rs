//! `icecore gen`: line protocol that is the same whenever it is asked for.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::progress::Progress;
use super::{Failure, doing};

/// Print a reproducible workload as line protocol
///
/// Every series gets a point at each step, as agents send them. Equal arguments give equal bytes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Series: hosts that report
    #[arg(long, default_value_t = 1000)]
    series: u64,
    /// Points of each series
    #[arg(long, default_value_t = 10)]
    points: u64,
    /// Fields of each point
    #[arg(long, default_value_t = 10)]
    fields: u32,
    /// What the values look like
    #[arg(long, value_enum, default_value = "walk")]
    shape: Shape,
    /// Share of points, from 0 to 1, whose time lies up to 100 steps back
    #[arg(long, default_value_t = 0.0)]
    out_of_order: f64,
    /// Time of the first step, nanoseconds since 1970
    #[arg(long, default_value_t = 1_700_000_000_000_000_000)]
    start: i64,
    /// Nanoseconds between steps
    #[arg(long, default_value_t = 10_000_000_000)]
    step: i64,
    /// Another number gives other values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Floats of two decimals that change a little from point to point
    Walk,
    /// Floats of all digits
    Random,
    /// One float
    Constant,
    /// Integers that grow
    Counter,
    /// Unsigned integers
    Unsigned,
    /// True and false
    Boolean,
    /// Words
    String,
    /// One field of each shape after the other
    Mixed,
}

const EACH: [Shape; 7] = [
    Shape::Walk,
    Shape::Random,
    Shape::Constant,
    Shape::Counter,
    Shape::Unsigned,
    Shape::Boolean,
    Shape::String,
];

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.output.display().to_string();
    let out: Box<dyn Write> = match name.as_str() {
        "-" => Box::new(io::stdout().lock()),
        _ => Box::new(File::create(&arguments.output).map_err(doing(name.clone()))?),
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    match write(arguments, &mut out).and_then(|()| out.flush()) {
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(doing(name)),
    }
}

fn write(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    let mut progress = Progress::new("gen", None);
    let mut line = Vec::new();
    for step in 0..arguments.points {
        for series in 0..arguments.series {
            line.clear();
            put_line(arguments, series, step, &mut line)?;
            out.write_all(&line)?;
            progress.add(line.len() as u64);
        }
    }
    Ok(())
}

fn put_line(arguments: &Arguments, series: u64, step: u64, line: &mut Vec<u8>) -> io::Result<()> {
    let point = mixed(mixed(arguments.seed, series), step);
    write!(line, "cpu,host=host-{series:07},rack=r{:03},zone=z{}", series / 40 % 1000, series % 3)?;
    for field in 0..arguments.fields {
        let shape = match arguments.shape {
            Shape::Mixed => EACH.get(field as usize % EACH.len()).copied().unwrap_or(Shape::Walk),
            shape => shape,
        };
        let separator = if field == 0 { ' ' } else { ',' };
        write!(line, "{separator}{}_{field}=", name(shape))?;
        put_value(shape, mixed(point, u64::from(field)), step, line)?;
    }
    let behind = if fraction(mixed(point, u64::MAX)) < arguments.out_of_order { point % 100 } else { 0 };
    let steps = i64::try_from(step).unwrap_or(i64::MAX).saturating_sub(i64::try_from(behind).unwrap_or(0));
    let time = arguments.start.saturating_add(steps.saturating_mul(arguments.step));
    writeln!(line, " {time}")
}

/// A field keeps its type whatever the shape of others.
fn name(shape: Shape) -> &'static str {
    match shape {
        Shape::Walk => "usage",
        Shape::Random => "noise",
        Shape::Constant => "limit",
        Shape::Counter => "count",
        Shape::Unsigned => "bytes",
        Shape::Boolean => "up",
        Shape::String => "state",
        Shape::Mixed => "mixed",
    }
}

fn put_value(shape: Shape, random: u64, step: u64, line: &mut Vec<u8>) -> io::Result<()> {
    const WORDS: [&str; 5] = ["idle", "running", "waiting for io", "stopped", "said \\\"no\\\""];
    match shape {
        Shape::Walk => write!(line, "{:.2}", 50.0 + (step as f64 / 10.0).sin() * 40.0 + fraction(random)),
        Shape::Random => write!(line, "{}", fraction(random) * 100.0),
        Shape::Constant => write!(line, "100.5"),
        Shape::Counter => write!(line, "{}i", step * 1000 + random % 1000),
        Shape::Unsigned => write!(line, "{}u", random >> 24),
        Shape::Boolean => write!(line, "{}", !random.is_multiple_of(8)),
        Shape::String | Shape::Mixed => {
            let word = usize::try_from(random % 5).ok().and_then(|at| WORDS.get(at)).unwrap_or(&"");
            write!(line, "\"{word}\"")
        }
    }
}

/// Two numbers to one that looks random (the finish of splitmix64).
fn mixed(a: u64, b: u64) -> u64 {
    let sum = a.wrapping_add(b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let sum = (sum ^ (sum >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let sum = (sum ^ (sum >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    sum ^ (sum >> 31)
}

/// From 0 to below 1, of 53 bits.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(shape: Shape) -> Arguments {
        Arguments {
            series: 3,
            points: 4,
            fields: 8,
            shape,
            out_of_order: 0.5,
            start: 1_700_000_000_000_000_000,
            step: 10,
            seed: 7,
            output: PathBuf::new(),
        }
    }

    #[test]
    fn equal_arguments_give_equal_lines_that_are_points() {
        for shape in EACH.into_iter().chain([Shape::Mixed]) {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            write(&arguments(shape), &mut first).unwrap();
            write(&arguments(shape), &mut second).unwrap();
            assert_eq!(first, second);
            let mut parser = icecore_lineprotocol::Parser::new();
            let mut lines = parser.lines(&first, icecore_lineprotocol::Precision::Nanoseconds, 0);
            let mut points = 0;
            while let Some(line) = lines.next_line() {
                assert_eq!(line.unwrap().fields().count(), 8);
                points += 1;
            }
            assert_eq!(points, 12);
        }
    }
}
