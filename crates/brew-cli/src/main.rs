//! `textbrew`: distil language models from the command line.

mod args;
mod commands;
mod memory;
mod progress;

use std::process::ExitCode;

use anyhow::Error;
use brew::RunError;
use clap::Parser;

use crate::args::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::keep_pages();
    progress::log_to_stderr();
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit_code(&error)
        }
    }
}

/// 2 where the input is at fault, 1 where the run failed.
fn exit_code(error: &Error) -> ExitCode {
    match error.downcast_ref::<RunError>() {
        Some(error) if error.is_input() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
