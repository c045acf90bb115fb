//! `textbrew`: distil language models from the command line.

mod args;
mod commands;
#[cfg(feature = "ui")]
mod dashboard;
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
    let command = Cli::parse();
    match on_the_pool(|| commands::run(command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            exit_code(&error)
        }
    }
}

/// Runs on a thread of the pool that matrix products and kernels are shared among: one outside it would be put to
/// sleep and woken for each of them. With as much stack as a main thread has.
fn on_the_pool<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    // An error means that there is a pool already.
    let _ = rayon::ThreadPoolBuilder::new().stack_size(8 << 20).build_global();
    rayon::scope(|_| run())
}

/// The error and its causes, each said once: many of the library's messages hold their cause.
fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// 2 where the input is at fault, 1 where the run failed.
fn exit_code(error: &Error) -> ExitCode {
    match error.downcast_ref::<RunError>() {
        Some(error) if error.is_input() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let error = Error::msg("disk full").context("cannot write a: disk full").context("run stopped");
        assert_eq!(explain(&error), "run stopped: cannot write a: disk full");
    }
}
