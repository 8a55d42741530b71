//! The `icecore` command: one file per subcommand in `command/`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 4 damage in the data.

mod command;
mod place;

use std::error::Error as StdError;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::{check, export, flush, generate, import, inspect, serve, verify};

/// Storage and backup engine of InfluxDB 2.x.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Flush(flush::Arguments),
    Gen(generate::Arguments),
    Verify(verify::Arguments),
    Check(check::Arguments),
    Inspect(inspect::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .init();
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Flush(arguments) => flush::run(&arguments),
        Command::Gen(arguments) => generate::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("icecore: {}", chain(&failure));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The error and its causes, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
