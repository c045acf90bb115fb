//! Distils a teacher into a student that learns which of the teacher's states belongs to which text.
//!
//!     cargo run --example crd
//!
//! Contrastive representation distillation keeps, for each training text, a vector of the student's last state and
//! one of the teacher's, both behind heads that are trained. The student's vector of a text is to be told, beside
//! the teacher's, from those of other texts of another class. Beside it stands the same student with soft labels
//! alone.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use std::cell::RefCell;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{CrdConfig, DistillationConfig, NegativesFrom, ProjectionGroup};
use brew::data::Batch;
use brew::distillers::{BasicDistiller, Callback, CallbackError, CrdDistiller, CrdInputs, Hooks, StepReport};
use brew::random::Key;
use burn::module::AutodiffModule;
use shared::{B, Language, accuracy, batches, classifier, teacher, train_on_labels, training};

const CLASSES: usize = 4;

fn main() -> Result<()> {
    let language = Language::new(CLASSES, Key::new(1));
    let test = language.texts(1000, 0.0, Key::new(2));
    let texts = language.texts(600, 0.33, Key::new(3));
    let data = batches(&texts)?;
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
    let plain = plain.train(student()?, &data, Hooks::new())?.trainable.student.valid();

    // The student's states have 16 numbers, the teacher's 32; both heads map to 32.
    let crd = CrdConfig {
        feature_dim: 32,
        negatives: 256,
        negatives_from: NegativesFrom::DifferentClass,
        head: ProjectionGroup { lr: Some(1e-2), ..ProjectionGroup::default() },
        ..CrdConfig::default()
    };
    let inputs =
        CrdInputs::new([16, 32], texts.iter().map(|text| text.id), |batch: &Batch<B>| batch.ids.clone())
            .with_classes(texts.iter().map(|text| text.class()));
    let distiller = CrdDistiller::new(training(12), soft, crd, inputs, teacher(&large), ClassifierAdaptor)?;
    let losses = RefCell::new(Vec::new());
    let hooks = Hooks::new().with_callback(Losses(&losses));
    let matched = distiller.train(student()?, &data, hooks)?.trainable.student.valid();

    let losses = losses.borrow();
    println!("contrastive loss {:.2}, at the end {:.2}", losses[0], losses[losses.len() - 1]);
    println!("accuracy on new texts of {CLASSES} classes");
    println!("  teacher of 4 layers             {:5.1} %", accuracy(&large, &test)?);
    println!("  student of 2, soft labels       {:5.1} %", accuracy(&plain, &test)?);
    println!("  student of 2, and CRD           {:5.1} %", accuracy(&matched, &test)?);
    Ok(())
}

/// Keeps the contrastive loss of every report.
struct Losses<'a>(&'a RefCell<Vec<f64>>);

impl<M> Callback<M> for Losses<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.0.borrow_mut().extend(report.term("crd_loss").map(|term| term.value));
        Ok(())
    }
}
