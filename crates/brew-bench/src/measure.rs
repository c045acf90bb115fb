//! What is measured, and how.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::backend::Backend;
use serde::Serialize;

use crate::task::Times;

/// How many of a model's outputs are told, for the other side to compare with its own.
const TOLD: usize = 16;

/// What the program prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) brew: &'static str,
    pub(crate) backend: &'static str,
    pub(crate) parts: Vec<Part>,
}

/// What was measured of one part of a task.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Of each time, in order.
    pub(crate) seconds: Vec<f64>,
    /// Examples, or floating-point operations of a product, each time.
    pub(crate) items: usize,
    /// Some of what was computed.
    pub(crate) check: Vec<f64>,
}

impl Part {
    /// `check` may be all that was computed: the first numbers are told.
    pub(crate) fn new(name: impl Into<String>, seconds: Vec<f64>, items: usize, check: Vec<f64>) -> Self {
        let told = check.len().min(TOLD);
        Self { name: name.into(), seconds, items, check: check[..told].to_vec() }
    }
}

/// The seconds of each time after the ones that do not count, and what the last gave.
pub(crate) fn measure<B: Backend, T>(
    times: Times,
    device: &B::Device,
    mut work: impl FnMut() -> Result<T>,
) -> Result<(Vec<f64>, T)> {
    let mut seconds = Vec::with_capacity(times.iterations);
    let mut result = None;
    for time in 0..times.warmup + times.iterations {
        // Whatever the last one holds is given back before the clock starts.
        drop(result.take());
        let started = Instant::now();
        let given = work()?;
        B::sync(device)?;
        if time >= times.warmup {
            seconds.push(started.elapsed().as_secs_f64());
        }
        result = Some(given);
    }
    result.map(|result| (seconds, result)).ok_or_else(|| anyhow::anyhow!("iterations = 0"))
}
