//! Distils two teachers of different tasks into one student with a shared body and a head for each.
//!
//!     cargo run --example multi_task
//!
//! The large task is the topic of a text (four classes), the small one its mood (two); topic and mood follow
//! from the same words. `tau` 0.5 draws the small task more often than its share of the batches. A batch
//! post-processor hides some of the words from both sides, so that the teachers are asked about new texts.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use anyhow::Result;
use brew::config::{DistillationConfig, TrainingConfig};
use brew::data::{Batch, Feature, metrics};
use brew::distillers::{
    Adaptor, AdaptorOutput, BatchSource, DistillError, ForwardContext, Hooks, MultiTaskDistiller,
    ProcessedBatches, Task, TaskBatches,
};
use brew::losses::cross_entropy;
use brew::random::Key;
use burn::module::{AutodiffModule, Module};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use shared::{
    B, Language, VOCABULARY, accuracy, batches, classifier, gold, teacher, train_on_labels, training,
};

const TOPICS: usize = 4;
const MOODS: usize = 2;
/// Stands for a word that is hidden.
const HIDDEN_WORD: u32 = shared::START;

/// A body, the mean of a text's words behind a layer, and a head for each task.
#[derive(Module, Debug)]
struct Student<B: Backend> {
    words: Embedding<B>,
    body: Linear<B>,
    heads: Vec<Linear<B>>,
}

impl<B: Backend> Student<B> {
    fn new(width: usize, device: &B::Device) -> Self {
        let head = |classes| LinearConfig::new(width, classes).init(device);
        Self {
            words: EmbeddingConfig::new(VOCABULARY, width).init(device),
            body: LinearConfig::new(width, width).init(device),
            heads: vec![head(TOPICS), head(MOODS)],
        }
    }

    fn logits(&self, batch: &Batch<B>, task: usize) -> Tensor<B, 2> {
        let mask = batch.attention_mask.clone();
        let lengths = mask.clone().sum_dim(1);
        let words = self.words.forward(batch.input_ids.clone()) * mask.unsqueeze_dim(2);
        let mean = words.sum_dim(1).squeeze_dim::<2>(1) / lengths;
        self.heads[task].forward(self.body.forward(mean).tanh())
    }
}

/// The student with the head of a task.
fn head(task: usize) -> impl Adaptor<B, Student<B>, Batch<B>> {
    move |student: &Student<B>, batch: &Batch<B>, _: ForwardContext| {
        let logits = student.logits(batch, task);
        let losses =
            batch.classes().into_iter().map(|labels| cross_entropy(logits.clone(), labels)).collect();
        Ok::<_, DistillError>(AdaptorOutput { losses, ..AdaptorOutput::from_logits(logits) })
    }
}

/// Hides a tenth of the words, chosen by the batch's texts: a post-processor must be a function of the batch.
fn hide_words(batch: Batch<B>) -> Result<Batch<B>, DistillError> {
    let mut stream = batch.ids.iter().fold(Key::new(5), |key, &id| key.index(id)).stream();
    let [texts, length] = batch.input_ids.dims();
    let hidden: Vec<bool> = (0..texts * length).map(|_| stream.chance(0.1)).collect();
    let hidden = Tensor::from_data(TensorData::new(hidden, [texts, length]), &batch.input_ids.device());
    Ok(Batch { input_ids: batch.input_ids.clone().mask_fill(hidden, HIDDEN_WORD), ..batch })
}

fn main() -> Result<()> {
    let device = Default::default();
    let (topics, moods) = (Language::new(TOPICS, Key::new(1)), Language::new(MOODS, Key::new(2)));
    let train = [topics.texts(2400, 0.33, Key::new(3)), moods.texts(300, 0.33, Key::new(4))];
    let test = [topics.texts(1000, 0.0, Key::new(5)), moods.texts(1000, 0.0, Key::new(6))];
    // The teachers have seen more of their tasks than the student will.
    let teachers = [
        train_on_labels(classifier(2, 32, TOPICS, Key::new(7))?, &topics.texts(5000, 0.33, Key::new(8)), 3)?,
        train_on_labels(classifier(2, 32, MOODS, Key::new(9))?, &moods.texts(5000, 0.33, Key::new(10)), 3)?,
    ];

    // Trains the same student for as many steps, by what it is to learn from. Burn draws its weights.
    B::seed(&device, 12);
    let new = Student::<B>::new(32, &device);
    let train = |distillation: DistillationConfig, hide: bool| -> Result<Vec<f64>> {
        let sources = train.iter().map(|texts| {
            let texts = batches(texts)?;
            Ok(if hide {
                Box::new(ProcessedBatches::new(texts, hide_words)) as _
            } else {
                Box::new(texts) as _
            })
        });
        let sources: Vec<Box<dyn BatchSource<Batch<B>>>> = sources.collect::<Result<_>>()?;
        let drawn = TaskBatches::new(sources, 0.5, Key::new(11))?;
        let tasks = vec![
            Task::new("topic", teacher(&teachers[0]), head(0)),
            Task::new("mood", teacher(&teachers[1]), head(1)),
        ];
        let steps = TrainingConfig { num_steps: Some(800), ..training(1) };
        let distiller = MultiTaskDistiller::new(steps, distillation, tasks)?;
        let student = distiller.train(new.clone(), &drawn, Hooks::new())?.trainable.student.valid();
        (0..2).map(|task| right(&student, &test[task], task)).collect()
    };
    let labels =
        DistillationConfig { kd_loss_weight: 0.0, hard_label_weight: 1.0, ..DistillationConfig::default() };
    let soft = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };
    let rows = [
        ("student, labels", train(labels, false)?),
        ("student, soft labels", train(soft.clone(), false)?),
        ("student, soft labels of changed texts", train(soft, true)?),
    ];
    println!("accuracy on new texts                     topic     mood");
    let of = |task: usize| accuracy(&teachers[task], &test[task]);
    println!("  {:<38}{:6.1} % {:6.1} %", "teachers", of(0)?, of(1)?);
    for (what, accuracies) in rows {
        println!("  {what:<38}{:6.1} % {:6.1} %", accuracies[0], accuracies[1]);
    }
    Ok(())
}

/// The share of texts that the student gives the right class of a task, in percent.
fn right(student: &Student<Flex>, texts: &[Feature], task: usize) -> Result<f64> {
    let batch = shared::collator().collate(&texts.iter().collect::<Vec<_>>(), &Default::default());
    let classes = student.logits(&batch, task).argmax(1).into_data();
    let predicted: Vec<usize> = classes.iter::<i64>().map(|class| class as usize).collect();
    Ok(100.0 * metrics::accuracy(&predicted, &gold(texts))?)
}
