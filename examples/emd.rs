//! Distils a deep teacher into a shallow student without saying which layer resembles which.
//!
//!     cargo run --example emd
//!
//! BERT-EMD gives every layer a mass and moves the student's masses to the teacher's at the least cost, the
//! cost between two layers being how far their hidden states, and their attention scores, are apart. Beside it
//! stands the same student with soft labels alone.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use std::cell::RefCell;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{DistillationConfig, EmdConfig, ProjectionConfig};
use brew::data::Batch;
use brew::distillers::{BasicDistiller, Callback, CallbackError, EmdDistiller, Hooks, StepReport};
use brew::random::Key;
use burn::module::AutodiffModule;
use shared::{B, Language, accuracy, batches, classifier, teacher, train_on_labels, training};

const CLASSES: usize = 4;

fn main() -> Result<()> {
    let language = Language::new(CLASSES, Key::new(1));
    let test = language.texts(1000, 0.0, Key::new(2));
    let texts = batches(&language.texts(600, 0.33, Key::new(3)))?;
    let large = classifier(4, 32, CLASSES, Key::new(4))?;
    let large = train_on_labels(large, &language.texts(6000, 0.33, Key::new(5)), 3)?;
    let student = || classifier(2, 16, CLASSES, Key::new(6));
    let soft = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };

    let plain = BasicDistiller::<B, _, Batch<B>>::new(
        training(12),
        soft.clone(),
        teacher(&large),
        ClassifierAdaptor,
    )?;
    let plain = plain.train(student()?, &texts, Hooks::new())?.trainable.student.valid();

    // One projection from the student's 16 hidden units to the teacher's 32, for all layers.
    let emd = EmdConfig { proj: Some(ProjectionConfig::linear(16, 32)), ..EmdConfig::default() };
    let distiller =
        EmdDistiller::<B, _, Batch<B>>::new(training(12), soft, emd, teacher(&large), ClassifierAdaptor)?;
    let distances = RefCell::new(Vec::new());
    let hooks = Hooks::new().with_callback(Distances(&distances));
    let matched = distiller.train(student()?, &texts, hooks)?.trainable.student.valid();

    let distances = distances.borrow();
    let (first, last) = (&distances[0], &distances[distances.len() - 1]);
    println!("distance between the layers' hidden states {:.3}, at the end {:.3}", first[0], last[0]);
    println!("distance between their attention scores    {:.3}, at the end {:.3}", first[1], last[1]);
    println!("accuracy on new texts of {CLASSES} classes");
    println!("  teacher of 4 layers             {:5.1} %", accuracy(&large, &test)?);
    println!("  student of 2, soft labels       {:5.1} %", accuracy(&plain, &test)?);
    println!("  student of 2, and EMD           {:5.1} %", accuracy(&matched, &test)?);
    Ok(())
}

/// Keeps the two distances of every report.
struct Distances<'a>(&'a RefCell<Vec<[f64; 2]>>);

impl<M> Callback<M> for Distances<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        let term = |name| report.term(name).map_or(0.0, |term| term.value);
        self.0.borrow_mut().push([term("emd_hidden"), term("emd_attention")]);
        Ok(())
    }
}
