//! What joins the shipped models, batches and distillers.

use std::borrow::Cow;

use brew_data::{Augmenter, Batch, BatchSampler, Collator, DataError, Feature, Targets};
use brew_distillers::{
    Adaptor, AdaptorOutput, BatchSource, Counted, DistillError, EpochBatches, ForwardContext, MASKED_LOGIT,
};
use brew_losses::{FeatureTensor, binary_cross_entropy, cross_entropy, squared_error};
use brew_models::{
    EncoderInput, EncoderOutput, Mode, ModelOutput, OutputRequest, SequenceClassifier, SpanClassifier,
    TokenClassifier,
};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde_json::{Value, json};

use crate::model::{Rows, each_row};

/// Runs a sequence classifier on a batch of text and gives `logits`, `losses` (where the batch has targets: mean
/// cross-entropy of classes, binary cross-entropy of flags, squared error of values), `labels` (classes),
/// `inputs_mask`, and on demand hidden states, attention probabilities and scores, queries, keys and values.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassifierAdaptor;

impl<B: Backend> Adaptor<B, SequenceClassifier<B>, Batch<B>> for ClassifierAdaptor {
    fn adapt(
        &self,
        model: &SequenceClassifier<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        let output = model.forward(encoder_input(batch), request(context), mode(context));
        let logits = output.logits.clone();
        Ok(head_output(output, logits.clone().into(), logits, batch))
    }
}

/// Runs a token classifier on a batch of text and gives what [`ClassifierAdaptor`] gives, for each token:
/// `logits` of `[batch, length, labels]`, `labels` of `[batch · length]`, where −100 is not counted in the
/// loss, and as `logits_mask` the real tokens. Labels at padding, if not −100, count; a batch that has such
/// must come without [`lengths`](Batch::lengths), or the logits there are those of another token.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenClassifierAdaptor;

impl<B: Backend> Adaptor<B, TokenClassifier<B>, Batch<B>> for TokenClassifierAdaptor {
    fn adapt(
        &self,
        model: &TokenClassifier<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        let output = model.forward(encoder_input(batch), request(context), mode(context));
        let logits = output.logits.clone();
        let output = head_output(output, logits.clone().into(), logits.flatten(0, 1), batch);
        Ok(AdaptorOutput { logits_mask: vec![batch.attention_mask.clone()], ..output })
    }
}

/// Runs a span classifier on a batch of questions with their texts and gives what [`ClassifierAdaptor`] gives, with
/// two `logits` of `[batch, length]`, of the start and of the end: at padding [`MASKED_LOGIT`], so that no
/// probability falls there; `losses` is the mean of both cross-entropies, `labels` are the two places, and
/// `logits_mask` the real tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpanAdaptor;

impl<B: Backend> Adaptor<B, SpanClassifier<B>, Batch<B>> for SpanAdaptor {
    fn adapt(
        &self,
        model: &SpanClassifier<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        let output = model.forward(encoder_input(batch), request(context), mode(context));
        let is_padding = batch.attention_mask.clone().equal_elem(0.0);
        let logits = [output.start_logits, output.end_logits]
            .map(|logits| logits.mask_fill(is_padding.clone(), MASKED_LOGIT));
        let mut adapted = encoder_output(output.encoder, batch);
        if let Some(Targets::Spans { starts, ends }) = &batch.targets {
            let [start, end] = logits.clone();
            let loss = cross_entropy(start, starts.clone()) + cross_entropy(end, ends.clone());
            adapted.losses = vec![loss / 2.0];
            adapted.labels = vec![starts.clone(), ends.clone()];
        }
        adapted.logits = logits.map(FeatureTensor::from).into();
        adapted.logits_mask = vec![batch.attention_mask.clone()];
        Ok(adapted)
    }
}

fn request(context: ForwardContext) -> OutputRequest {
    OutputRequest {
        hidden_states: context.wants.hidden,
        attentions: context.wants.attention,
        attention_scores: context.wants.attention_scores,
        queries_keys_values: context.wants.queries_keys_values,
    }
}

fn mode(context: ForwardContext) -> Mode {
    context.dropout.map_or(Mode::Eval, |dropout| Mode::Train { dropout })
}

/// What a model computed, by the names of distillers; `rows` are its logits as `[positions, classes]`.
fn head_output<B: Backend, const D: usize>(
    output: ModelOutput<B, D>,
    logits: FeatureTensor<B>,
    rows: Tensor<B, 2>,
    batch: &Batch<B>,
) -> AdaptorOutput<B> {
    let labels: Vec<_> = batch.classes().into_iter().collect();
    let losses = batch.targets.iter().map(|targets| gold_loss(rows.clone(), targets)).collect();
    AdaptorOutput { logits: vec![logits], labels, losses, ..encoder_output(output.encoder, batch) }
}

/// What an encoder computed, by the names of distillers.
fn encoder_output<B: Backend>(output: EncoderOutput<B>, batch: &Batch<B>) -> AdaptorOutput<B> {
    let features = |list: Vec<Tensor<B, 4>>| list.into_iter().map(FeatureTensor::from).collect();
    AdaptorOutput {
        hidden: output.hidden_states,
        attention: features(output.attentions),
        attention_scores: features(output.attention_scores),
        queries: output.queries,
        keys: output.keys,
        values: output.values,
        inputs_mask: Some(batch.attention_mask.clone()),
        ..AdaptorOutput::default()
    }
}

/// A head's loss on what is known of its `[positions, classes]` logits.
///
/// # Panics
/// For places of answers, which are not of one row.
fn gold_loss<B: Backend>(rows: Tensor<B, 2>, targets: &Targets<B>) -> Tensor<B, 1> {
    match targets.clone() {
        Targets::Classes(classes) => cross_entropy(rows, classes),
        Targets::Flags { flags, known } => binary_cross_entropy(rows, flags, known),
        Targets::Values { values, known } => squared_error(rows.squeeze_dim(1), values, known),
        Targets::Spans { .. } => panic!("places of answers are the target of a head over tokens' places"),
    }
}

/// Gives a teacher of the inner backend the student's batches.
#[derive(Debug, Clone, Copy, Default)]
pub struct InnerAdaptor<A>(
    /// The adaptor of the teacher itself.
    pub A,
);

impl<B, M, A> Adaptor<B::InnerBackend, M, Batch<B>> for InnerAdaptor<A>
where
    B: AutodiffBackend,
    A: Adaptor<B::InnerBackend, M, Batch<B::InnerBackend>>,
{
    fn adapt(
        &self,
        model: &M,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B::InnerBackend>, DistillError> {
        self.0.adapt(model, &batch.inner(), context)
    }
}

pub(crate) fn encoder_input<B: Backend>(batch: &Batch<B>) -> EncoderInput<B> {
    EncoderInput {
        input_ids: batch.input_ids.clone(),
        attention_mask: batch.attention_mask.clone(),
        token_type_ids: batch.token_type_ids.clone(),
        lengths: batch.lengths.clone(),
    }
}

/// The examples of a batch: the number of each in its file, from 0, and its token ids.
pub(crate) fn describe<B: Backend>(batch: &Batch<B>) -> Value {
    let ids: Vec<i64> = batch.input_ids.to_data().iter::<i64>().collect();
    let mask: Vec<f32> = batch.attention_mask.to_data().iter::<f32>().collect();
    let length = batch.length().max(1);
    let rows = batch.ids.iter().zip(ids.chunks(length).zip(mask.chunks(length)));
    let examples = rows.map(|(id, (tokens, mask))| {
        let real: Vec<i64> =
            tokens.iter().zip(mask).filter(|(_, mask)| **mask != 0.0).map(|(token, _)| *token).collect();
        json!({ "example": id, "token_ids": real })
    });
    Value::Array(examples.collect())
}

/// Tokenized examples as batches on a device, in a new order each epoch.
#[derive(Debug, Clone)]
pub struct TextBatches<B: Backend> {
    features: Vec<Feature>,
    sampler: BatchSampler,
    augmenter: Option<Augmenter>,
    collator: Collator,
    device: B::Device,
}

impl<B: Backend> TextBatches<B> {
    /// Batches of `features` in the order of `sampler`.
    pub fn new(features: Vec<Feature>, sampler: BatchSampler, collator: Collator, device: B::Device) -> Self {
        Self { features, sampler, augmenter: None, collator, device }
    }

    /// The same batches with their texts changed, each epoch in its own way.
    pub fn with_augmenter(self, augmenter: Augmenter) -> Self {
        Self { augmenter: Some(augmenter), ..self }
    }
}

impl<B: Backend> BatchSource<Batch<B>> for TextBatches<B> {
    fn batches_per_epoch(&self) -> usize {
        self.sampler.batches_per_epoch()
    }

    fn epoch(&self, epoch: usize, skip: usize) -> EpochBatches<'_, Batch<B>> {
        let order = self.sampler.epoch(epoch as u64);
        Box::new(order.into_iter().skip(skip).map(move |indices| {
            let mut features: Vec<Cow<'_, Feature>> =
                indices.iter().map(|&index| Cow::Borrowed(&self.features[index])).collect();
            if let Some(augmenter) = &self.augmenter {
                for feature in &mut features {
                    *feature = Cow::Owned(augmenter.augment(feature, epoch as u64));
                }
            }
            let features: Vec<&Feature> = features.iter().map(Cow::as_ref).collect();
            let batch = self.collator.collate(&features, &self.device);
            let tokens = features.iter().map(|feature| feature.len()).sum();
            Ok(Counted { batch, examples: indices.len(), tokens })
        }))
    }

    fn describe(&self, batch: &Batch<B>) -> Value {
        describe(batch)
    }
}

/// The logits of every feature, in their order: evaluation without dropout, texts of similar length
/// together.
///
/// # Errors
/// A `batch_size` of 0.
pub fn classify<B: Backend>(
    model: &SequenceClassifier<B>,
    features: &[Feature],
    batch_size: usize,
    collator: Collator,
    device: &B::Device,
) -> Result<Vec<Vec<f32>>, DataError> {
    each_row(features, batch_size, collator, device, |batch| {
        let output = model.forward(encoder_input(batch), OutputRequest::default(), Mode::Eval);
        vec![Rows::of(output.logits, None)]
    })
}

/// The index of the largest value; the first of equal ones.
pub fn argmax(logits: &[f32]) -> usize {
    logits.iter().enumerate().fold(0, |best, (index, &value)| if value > logits[best] { index } else { best })
}

/// Softmax of one row of logits.
pub fn probabilities(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

#[cfg(test)]
mod tests {
    use brew_distillers::Wants;
    use brew_models::EncoderConfig;
    use brew_random::Key;

    use super::*;

    #[test]
    fn the_adaptor_gives_what_is_wanted_and_no_more() {
        type B = brew_testkit::TestBackend;
        let config = EncoderConfig {
            vocab_size: 20,
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 16,
            max_position_embeddings: 16,
            ..EncoderConfig::default()
        };
        let device = Default::default();
        let model = SequenceClassifier::<B>::new(&config, Key::new(1), &device);
        let features = [3, 5].map(|length| Feature {
            id: length as u64,
            input_ids: vec![2; length],
            token_type_ids: vec![0; length],
            target: None,
        });
        let batch = Collator::new(0).collate_indices::<B>(&features, &[0, 1], &device);
        let adapt =
            |wants| ClassifierAdaptor.adapt(&model, &batch, ForwardContext::evaluation(wants)).unwrap();
        let all = adapt(Wants {
            hidden: true,
            attention: true,
            attention_scores: true,
            queries_keys_values: true,
            others: false,
        });
        assert_eq!((all.hidden.len(), all.attention.len(), all.attention_scores.len()), (3, 2, 2));
        for list in [&all.queries, &all.keys, &all.values] {
            assert_eq!(list.len(), 2);
            assert!(list.iter().all(|feature| feature.dims() == [2, 5, 8]));
        }
        // The adaptor's scores make its attention.
        let FeatureTensor::D4(scores) = all.attention_scores[1].clone() else { panic!("not by head") };
        let FeatureTensor::D4(attention) = all.attention[1].clone() else { panic!("not by head") };
        let mask = (batch.attention_mask.clone() - 1.0).mul_scalar(1e9).reshape([2, 1, 1, 5]);
        let expected = burn::tensor::activation::softmax(scores + mask, 3);
        let [found, expected] =
            [attention, expected].map(|x| x.into_data().iter::<f32>().collect::<Vec<_>>());
        brew_testkit::assert_close(&found, &expected, 1e-5, 1e-6, "attention");

        let none = adapt(Wants::default());
        assert!(none.hidden.is_empty() && none.attention.is_empty() && none.attention_scores.is_empty());
        assert!(none.queries.is_empty() && none.keys.is_empty() && none.values.is_empty());
    }

    #[test]
    fn argmax_takes_the_first_of_the_largest() {
        assert_eq!(argmax(&[0.5, 2.0, 2.0, -1.0]), 1);
        assert_eq!(argmax(&[-3.0]), 0);
    }

    #[test]
    fn probabilities_sum_to_one_even_for_large_logits() {
        let row = probabilities(&[1000.0, 1000.0, 0.0]);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((row[0] - 0.5).abs() < 1e-6, "{row:?}");
    }
}
