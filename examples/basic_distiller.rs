//! Trains a teacher on labels and distils its predictions into a smaller student.
//!
//!     cargo run --example basic_distiller
//!
//! The teacher has seen many labelled texts, the student sees few, and a third of all labels is drawn at
//! random. The same student is trained twice on its few texts: on their labels, and on what the teacher says
//! of them, which tells it of every class how likely it is.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::DistillationConfig;
use brew::data::Batch;
use brew::distillers::{BasicDistiller, BasicTrainer, Hooks};
use brew::random::Key;
use burn::module::AutodiffModule;
use shared::{B, Language, accuracy, batches, classifier, teacher, training};

const CLASSES: usize = 4;

fn main() -> Result<()> {
    let language = Language::new(CLASSES, Key::new(1));
    let many = language.texts(6000, 0.33, Key::new(2));
    let few = language.texts(600, 0.33, Key::new(3));
    let test = language.texts(1000, 0.0, Key::new(4));

    let large = BasicTrainer::new(training(3), ClassifierAdaptor)
        .train(classifier(2, 48, CLASSES, Key::new(5))?, &batches(&many)?, Hooks::new())?
        .trainable
        .student
        .valid();

    // The same weights to start from, the same texts, as many steps.
    let small = || classifier(1, 16, CLASSES, Key::new(6));
    let on_labels = BasicTrainer::new(training(15), ClassifierAdaptor)
        .train(small()?, &batches(&few)?, Hooks::new())?
        .trainable
        .student
        .valid();

    let distillation = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };
    let distiller = BasicDistiller::<B, _, Batch<B>>::new(
        training(15),
        distillation,
        teacher(&large),
        ClassifierAdaptor,
    )?;
    let distilled = distiller.train(small()?, &batches(&few)?, Hooks::new())?.trainable.student.valid();

    println!("accuracy on new texts of {CLASSES} classes");
    for (what, model) in [
        (format!("teacher, labels of {} texts", many.len()), &large),
        (format!("student, labels of {} texts", few.len()), &on_labels),
        (format!("student, soft labels of {} texts", few.len()), &distilled),
    ] {
        println!("  {what:<34}{:5.1} %", accuracy(model, &test)?);
    }
    Ok(())
}
