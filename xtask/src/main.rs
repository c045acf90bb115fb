//! What the maintainers of the workspace run: `cargo xtask <command>`.
//!
//! Nothing here links the library but tests: the checks read files, experiments and benchmarks start programs, and
//! downloads only put files where its readers find them. So this crate builds in seconds.
#![allow(clippy::print_stdout, reason = "a terminal program")]

mod bench;
mod download;
mod experiment;
mod official;
mod reference;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Checks and experiments of the workspace", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check what the compiler does not: arrows between crates, backends in one place, one optimizer step,
    /// no stubs, readable files
    Tidy,
    /// Run the run files of an experiment over several seeds and write one table
    Experiment(experiment::Arguments),
    /// Measure Brew against TextBrewer on PyTorch: speed, memory, the share of the machine's ceiling
    Bench(bench::Arguments),
    /// Fetch a data set or a model into a cache folder, resumed and checked
    Download(download::Arguments),
    /// Write the run files of TextBrewer's tables of results
    Official(official::Arguments),
    /// Write docs/configuration.md from the documentation of the types that read run files
    Reference(reference::Arguments),
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        // Without the backtrace that anyhow's own report adds where RUST_BACKTRACE is set.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let root = workspace_root()?;
    match Arguments::parse().command {
        Command::Tidy => tidy::run(root),
        Command::Experiment(arguments) => experiment::run(root, &arguments),
        Command::Bench(arguments) => bench::run(root, &arguments),
        Command::Download(arguments) => download::run(&arguments),
        Command::Official(arguments) => official::run(root, &arguments),
        Command::Reference(arguments) => reference::run(root, &arguments),
    }
}

fn workspace_root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in a folder of the workspace")
}
