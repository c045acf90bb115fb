//! Distils three small teachers, each trained on texts of its own, into one student.
//!
//!     cargo run --example multi_teacher
//!
//! The student learns the mean of their logits, weighted by how well each does on held-out texts, and
//! resembles the best of them inside: its match names the teacher whose hidden state it compares. Beside it
//! stands the same student with the best teacher alone.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{DistillationConfig, IntermediateMatch};
use brew::data::Batch;
use brew::distillers::{Ensemble, GeneralDistiller, Hooks, MultiTeacherDistiller, Teacher};
use brew::random::Key;
use burn::module::AutodiffModule;
use burn_flex::Flex;
use shared::{B, Language, accuracy, batches, classifier, teacher, train_on_labels, training};

const CLASSES: usize = 4;

fn main() -> Result<()> {
    let language = Language::new(CLASSES, Key::new(1));
    let texts = batches(&language.texts(2000, 0.33, Key::new(2)))?;
    let dev = language.texts(4000, 0.0, Key::new(3));
    let test = language.texts(2000, 0.0, Key::new(4));

    let (mut teachers, mut weights) = (Vec::new(), Vec::new());
    for (layers, key) in [(1, Key::new(10)), (2, Key::new(11)), (1, Key::new(12))] {
        let own_texts = language.texts(3000, 0.33, key.purpose("texts"));
        let model = train_on_labels(classifier(layers, 32, CLASSES, key)?, &own_texts, 4)?;
        weights.push(accuracy(&model, &dev)?);
        teachers.push(model);
    }
    let best = (0..3).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap_or(0);

    // Layer 1 of the student, 16 wide, is to resemble layer 1 of a teacher, 32 wide.
    let distillation = |teacher| {
        let one = IntermediateMatch::hidden(1, 1, "hidden_mse").with_projection(16, 32).with_teacher(teacher);
        let matches = vec![IntermediateMatch { weight: 0.1, ..one }];
        DistillationConfig {
            temperature: 2.0,
            intermediate_matches: matches,
            ..DistillationConfig::default()
        }
    };
    let student = || classifier(1, 16, CLASSES, Key::new(20));

    let alone = GeneralDistiller::<B, _, Batch<B>>::new(
        training(10),
        distillation(0),
        teacher(&teachers[best]),
        ClassifierAdaptor,
    )?;
    let alone = alone.train(student()?, &texts, Hooks::new())?.trainable.student.valid();

    let members: Vec<Box<dyn Teacher<Flex, Batch<B>>>> =
        teachers.iter().map(|model| Box::new(teacher(model)) as _).collect();
    let ensemble = Ensemble::weighted(members, weights)?;
    let all = MultiTeacherDistiller::new(training(10), distillation(best), ensemble, ClassifierAdaptor)?;
    let all = all.train(student()?, &texts, Hooks::new())?.trainable.student.valid();

    println!("accuracy on new texts of {CLASSES} classes");
    for (index, model) in teachers.iter().enumerate() {
        println!("  teacher {index}                       {:5.1} %", accuracy(model, &test)?);
    }
    println!("  student of teacher {best} alone      {:5.1} %", accuracy(&alone, &test)?);
    println!("  student of all, weighted        {:5.1} %", accuracy(&all, &test)?);
    Ok(())
}
