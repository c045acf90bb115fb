//! What was computed since the last report, summed on the device.

use std::time::Instant;

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::checkpoint::Position;
use crate::{Counted, DistillError, LossTerms, StepReport, TermReport};

/// A micro-batch whose gradient is in its group's.
pub(crate) struct Computed<B: AutodiffBackend, T> {
    pub(crate) batch: T,
    examples: usize,
    tokens: usize,
    total: Option<Tensor<B::InnerBackend, 1>>,
    terms: Vec<Sums<B>>,
    temperature: Option<f64>,
}

impl<B: AutodiffBackend, T> Computed<B, T> {
    pub(crate) fn new(item: Counted<T>, terms: &LossTerms<B>, total: Option<Tensor<B, 1>>) -> Self {
        let values = terms.terms().iter().map(|term| {
            let value = term.value.clone().inner();
            let weighted = value.clone().mul_scalar(term.weight);
            Sums { name: term.name.clone(), value, weighted, weight: term.weight, count: 1 }
        });
        Self {
            batch: item.batch,
            examples: item.examples,
            tokens: item.tokens,
            terms: values.collect(),
            total: total.map(Tensor::inner),
            temperature: terms.temperature(),
        }
    }
}

/// Running sums since the last report, kept on the device until they are read.
pub(crate) struct Window<B: AutodiffBackend> {
    first_step: usize,
    is_touched: bool,
    batches: usize,
    examples: usize,
    tokens: usize,
    started: Instant,
    total: Option<Tensor<B::InnerBackend, 1>>,
    terms: Vec<Sums<B>>,
    /// Sum and number.
    temperature: (f64, usize),
}

/// Sums of one term; not every batch has every term.
struct Sums<B: AutodiffBackend> {
    name: String,
    value: Tensor<B::InnerBackend, 1>,
    weighted: Tensor<B::InnerBackend, 1>,
    weight: f64,
    count: usize,
}

/// The means over a window.
pub(crate) struct Means {
    pub(crate) loss: f64,
    pub(crate) terms: Vec<TermReport>,
    temperature: Option<f64>,
}

impl<B: AutodiffBackend> Window<B> {
    /// A window that begins after `step`.
    pub(crate) fn new(step: usize) -> Self {
        Self {
            first_step: step,
            is_touched: false,
            batches: 0,
            examples: 0,
            tokens: 0,
            started: Instant::now(),
            total: None,
            terms: Vec::new(),
            temperature: (0.0, 0),
        }
    }

    /// Whether no step was taken since the last report.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_touched
    }

    pub(crate) fn add<T>(&mut self, computed: Computed<B, T>) {
        self.is_touched = true;
        // A batch of which no term counts was not trained on.
        let Some(total) = computed.total else { return };
        self.total = Some(match self.total.take() {
            Some(sum) => sum + total,
            None => total,
        });
        for term in computed.terms {
            match self.terms.iter_mut().find(|one| one.name == term.name) {
                Some(one) => {
                    one.value = one.value.clone() + term.value;
                    one.weighted = one.weighted.clone() + term.weighted;
                    one.weight += term.weight;
                    one.count += 1;
                }
                None => self.terms.push(term),
            }
        }
        if let Some(temperature) = computed.temperature {
            self.temperature.0 += temperature;
            self.temperature.1 += 1;
        }
        self.batches += 1;
        self.examples += computed.examples;
        self.tokens += computed.tokens;
    }

    /// Reads the means back, all at once.
    pub(crate) fn means(self) -> Means {
        let pairs = self.terms.iter().flat_map(|term| [term.value.clone(), term.weighted.clone()]);
        let sums: Vec<_> = self.total.iter().cloned().chain(pairs).collect();
        let read: Vec<f64> = match sums.is_empty() {
            true => Vec::new(),
            false => Tensor::cat(sums, 0).into_data().iter::<f64>().collect(),
        };
        let mut read = read.into_iter();
        // Nothing was summed where no batch had a loss.
        let mut next = || read.next().unwrap_or_default();
        let loss = next() / self.batches.max(1) as f64;
        let mut terms = Vec::with_capacity(self.terms.len());
        for term in self.terms {
            let count = term.count as f64;
            let (value, weighted) = (next() / count, next() / count);
            terms.push(TermReport { name: term.name, value, weight: term.weight / count, weighted });
        }
        let (temperature, count) = self.temperature;
        Means { loss, terms, temperature: (count > 0).then(|| temperature / count as f64) }
    }

    /// Reads the means back and starts the next window.
    pub(crate) fn report(
        &mut self,
        total_steps: usize,
        position: Position,
        lr: f64,
        grad_norm: f64,
    ) -> Result<StepReport, DistillError> {
        let done = std::mem::replace(self, Self::new(position.step));
        let (first_step, started) = (done.first_step, done.started);
        let (examples, tokens) = (done.examples, done.tokens);
        let Means { loss, terms, temperature } = done.means();
        if !loss.is_finite() {
            return Err(DistillError::NotFinite {
                value: loss,
                from: first_step + 1,
                to: position.step,
                terms: shown(&terms),
            });
        }
        Ok(StepReport {
            step: position.step,
            total_steps,
            epoch: position.epoch,
            loss,
            terms,
            temperature,
            lr,
            grad_norm,
            examples,
            tokens,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// Each term with its value.
pub(crate) fn shown(terms: &[TermReport]) -> String {
    terms.iter().map(|term| format!("{} {}", term.name, term.value)).collect::<Vec<_>>().join(", ")
}
