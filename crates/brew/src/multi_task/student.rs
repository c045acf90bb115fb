use brew_data::Batch;
use brew_distillers::{Adaptor, AdaptorOutput, DistillError, ForwardContext};
use brew_models::SequenceClassifier;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use derive_new::new;

use crate::adaptors::ClassifierAdaptor;

/// A student of several tasks: one encoder and pooler (where the family has one), and a classifier for each task.
///
/// ```
/// use brew::models::{EncoderConfig, SequenceClassifier};
/// use brew::multi_task::MultiTaskClassifier;
/// use brew::random::Key;
/// use brew_testkit::TestBackend;
///
/// let config = EncoderConfig {
///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,
///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
/// };
/// let model = |labels: &[&str], key| {
///     let config = config.clone().with_labels(labels.to_vec());
///     SequenceClassifier::<TestBackend>::new(&config, Key::new(key), &Default::default())
/// };
/// let student = MultiTaskClassifier::new(vec![model(&["neg", "pos"], 1), model(&["a", "b", "c"], 2)]);
/// assert_eq!(student.task(1).classifier.weight.dims(), [8, 3]);
/// let shared = |task: usize| student.task(task).encoder.layers[0].attention.query.weight.id;
/// assert_eq!(shared(1), shared(0));
/// ```
#[derive(Module, Debug)]
pub struct MultiTaskClassifier<B: Backend> {
    /// Encoder and pooler of all tasks, with the first one's classifier.
    first: SequenceClassifier<B>,
    /// The classifiers of the others.
    others: Vec<Linear<B>>,
}

impl<B: Backend> MultiTaskClassifier<B> {
    /// A student with encoder, pooler and classifier of the first model, and of the others the classifiers.
    ///
    /// # Panics
    /// Without any model, and if a classifier is not as wide as the first model.
    pub fn new(models: Vec<SequenceClassifier<B>>) -> Self {
        let mut models = models.into_iter();
        let first = models.next().expect("a student has at least one task");
        let others: Vec<_> = models.map(|model| model.classifier).collect();
        for classifier in &others {
            assert_eq!(classifier.weight.dims()[0], first.classifier.weight.dims()[0], "widths differ");
        }
        Self { first, others }
    }

    /// The model of task `task`, from 0. Its parameters are the student's, ids included: gradients through it
    /// are gradients of the student.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn task(&self, task: usize) -> SequenceClassifier<B> {
        match task.checked_sub(1) {
            None => self.first.clone(),
            Some(other) => self.first.with_classifier(self.others[other].clone()),
        }
    }

    /// The models of all tasks.
    pub fn into_tasks(self) -> Vec<SequenceClassifier<B>> {
        (0..=self.others.len()).map(|task| self.task(task)).collect()
    }
}

/// Runs a [`MultiTaskClassifier`] with the classifier of one task, and gives what [`ClassifierAdaptor`] gives.
#[derive(Debug, Clone, Copy, new)]
pub struct TaskAdaptor {
    /// The task, from 0.
    task: usize,
}

impl<B: Backend> Adaptor<B, MultiTaskClassifier<B>, Batch<B>> for TaskAdaptor {
    fn adapt(
        &self,
        model: &MultiTaskClassifier<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        ClassifierAdaptor.adapt(&model.task(self.task), batch, context)
    }
}

#[cfg(test)]
mod tests {
    use brew_data::{Collator, Feature, Target};
    use brew_distillers::Wants;
    use brew_models::EncoderConfig;
    use brew_random::Key;
    use brew_testkit::TestAutodiffBackend as B;
    use burn::optim::GradientsParams;

    use super::*;

    fn student() -> MultiTaskClassifier<B> {
        let config = EncoderConfig {
            vocab_size: 20,
            hidden_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 16,
            max_position_embeddings: 16,
            ..EncoderConfig::default()
        };
        let models = [2, 3].map(|count| {
            let config = config.clone().with_labels((0..count).map(|label| format!("label {label}")));
            SequenceClassifier::new(&config, Key::new(count as u64), &Default::default())
        });
        MultiTaskClassifier::new(models.to_vec())
    }

    #[test]
    fn a_tasks_batch_moves_what_is_shared_and_its_own_classifier_alone() {
        let student = student();
        let feature = Feature {
            id: 0,
            input_ids: vec![2, 7, 3],
            token_type_ids: vec![0; 3],
            target: Some(Target::Class(1)),
        };
        let batch = Collator::new(0).collate_indices::<B>(&[feature], &[0], &Default::default());
        for (task, labels) in [(0, 2), (1, 3)] {
            let context = ForwardContext::evaluation(Wants::default());
            let output = TaskAdaptor::new(task).adapt(&student, &batch, context).unwrap();
            assert_eq!(output.logits[0].dims(), [1, labels]);
            let gradients = GradientsParams::from_grads(output.losses[0].clone().backward(), &student);
            let has =
                |id| gradients.get::<<B as burn::tensor::backend::AutodiffBackend>::InnerBackend, 2>(id);
            assert!(has(student.first.encoder.layers[0].attention.query.weight.id).is_some());
            assert!(has(student.first.pooler.as_ref().unwrap().dense.weight.id).is_some());
            assert_eq!(has(student.first.classifier.weight.id).is_some(), task == 0);
            assert_eq!(has(student.others[0].weight.id).is_some(), task == 1);
        }
    }

    #[test]
    fn shared_parameters_are_counted_once() {
        let student = student();
        let count = Module::<B>::num_params(&student.task(0));
        assert_eq!(Module::<B>::num_params(&student), count + 8 * 3 + 3);
    }
}
