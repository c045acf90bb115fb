//! Brew's side of the rows of `cargo xtask bench` that are no whole run: `brew-bench SPEC.json` does the task that the
//! file describes, on the default backend, and prints a [`Report`] as JSON.
//!
//! It uses the library as its users do. The file is the one that the peer's side reads, `xtask/peer/bench.py`, which
//! measures the same.
#![allow(clippy::print_stdout, reason = "a terminal program")]

mod losses;
mod measure;
mod model;
mod product;
mod task;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use brew::{BackendJob, BackendKind, dispatch};
use burn::tensor::backend::{AutodiffBackend, BackendTypes};

use measure::Report;
use task::Task;

// As the `textbrew` program; the benchmark sets the same options of it in the environment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // On a thread of the pool, as the `textbrew` program.
    match rayon::scope(|_| run()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String> {
    let path = std::env::args_os().nth(1).context("give the file that describes the task: SPEC.json")?;
    let task = Task::read(Path::new(&path))?;
    let backend = BackendKind::first().context("this build has no backend")?;
    Ok(serde_json::to_string(&measured(backend, task)?)?)
}

/// Does a task on a backend.
fn measured(backend: BackendKind, task: Task) -> Result<Report> {
    let parts = dispatch(backend, Job(task))?;
    Ok(Report { brew: env!("CARGO_PKG_VERSION"), backend: backend.name(), parts })
}

struct Job(Task);

impl BackendJob for Job {
    type Output = Result<Vec<measure::Part>>;

    fn run<B: AutodiffBackend>(self, device: <B as BackendTypes>::Device) -> Self::Output {
        match self.0 {
            Task::Forward(spec) => model::forward::<B::InnerBackend>(&spec, &device),
            Task::Step(spec) => model::step::<B>(&spec, &device),
            Task::Losses(spec) => losses::losses::<B>(&spec, &device),
            Task::Tokenize(spec) => text::tokenize::<B::InnerBackend>(&spec, &device),
            Task::Infer(spec) => text::infer::<B::InnerBackend>(&spec, &device),
            Task::Export(spec) => model::export::<B::InnerBackend>(&spec, &device),
            Task::Products(spec) => product::products::<B::InnerBackend>(&spec, &device),
        }
    }
}
