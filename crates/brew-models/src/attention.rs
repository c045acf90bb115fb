//! Multi-head self-attention.

use brew_kernels::{DropoutMask, attention, softmax};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::fused::{LayerNorm, linear};
use crate::init::Builder;
use crate::packing::{Layout, Rows};
use crate::{Architecture, EncoderConfig, ModelError, OutputRequest};

/// Self-attention with its output layer, residual and LayerNorm.
///
/// `softmax(Q·Kᵀ/√d + mask)·V` (Vaswani et al., "Attention is all you need", 2017).
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    /// `[hidden, hidden]`.
    pub query: Linear<B>,
    /// `[hidden, hidden]`.
    pub key: Linear<B>,
    /// `[hidden, hidden]`.
    pub value: Linear<B>,
    /// Over the joined heads.
    pub output: Linear<B>,
    /// After the residual.
    pub layer_norm: LayerNorm<B>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    probs_dropout: f64,
    #[module(skip)]
    hidden_dropout: f64,
}

/// What a forward pass keeps of a layer's attention; `None` what is not asked for.
pub(crate) struct AttentionFeatures<B: Backend> {
    /// `[batch, heads, length, length]`.
    pub(crate) probabilities: Option<Tensor<B, 4>>,
    /// `[batch, heads, length, length]`, before the mask.
    pub(crate) scores: Option<Tensor<B, 4>>,
    /// `[batch, length, hidden]`, not scaled.
    pub(crate) queries: Option<Tensor<B, 3>>,
    /// `[batch, length, hidden]`.
    pub(crate) keys: Option<Tensor<B, 3>>,
    /// `[batch, length, hidden]`.
    pub(crate) values: Option<Tensor<B, 3>>,
}

impl<B: Backend> SelfAttention<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            query: builder.linear(&format!("{path}.query"))?,
            key: builder.linear(&format!("{path}.key"))?,
            value: builder.linear(&format!("{path}.value"))?,
            output: builder.linear(&format!("{path}.output"))?,
            layer_norm: builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps)?,
            heads: config.num_attention_heads,
            probs_dropout: config.attention_probs_dropout_prob,
            // DistilBERT drops nothing here.
            hidden_dropout: match config.architecture {
                Architecture::DistilBert => 0.0,
                _ => config.hidden_dropout_prob,
            },
        })
    }

    /// The output of all rows or of each sequence's first, which attends to all of them, and what is asked for of
    /// what leads to it: of the first rows alone, nothing.
    ///
    /// # Shapes
    /// - `x`: `[rows, hidden]`, output: the same, or `[batch, hidden]`
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        layout: &Layout<B>,
        request: OutputRequest,
        rows: Rows,
        dropout: &mut Dropout,
    ) -> (Tensor<B, 2>, AttentionFeatures<B>) {
        let [_, hidden] = x.dims();
        let key = linear(&self.key, x.clone());
        let value = linear(&self.value, x.clone());
        let x = match rows {
            Rows::All => x,
            Rows::First => layout.first(x),
        };
        let query = linear(&self.query, x.clone());
        let padded = |rows: &Tensor<B, 2>| {
            let keep = |rows: &Tensor<B, 2>| layout.unpack(rows.clone());
            request.queries_keys_values.then(|| keep(rows).reshape([layout.batch, layout.length, hidden]))
        };
        let mut features = AttentionFeatures {
            probabilities: None,
            scores: None,
            queries: padded(&query),
            keys: padded(&key),
            values: padded(&value),
        };
        let mask = dropout.next(self.probs_dropout);
        let shows_weights = request.attentions || request.attention_scores;
        let fused = match &layout.sequences {
            Some(sequences) if !shows_weights => attention(query, key, value, sequences, self.heads, mask),
            _ => Err([query, key, value]),
        };
        let context =
            fused.unwrap_or_else(|inputs| self.attend(inputs, layout, request, rows, mask, &mut features));
        let output = linear(&self.output, context);
        (self.layer_norm.end(output, x, dropout, self.hidden_dropout), features)
    }

    /// The context of the rows, by way of the padded batch.
    fn attend(
        &self,
        inputs: [Tensor<B, 2>; 3],
        layout: &Layout<B>,
        request: OutputRequest,
        rows: Rows,
        mask: Option<DropoutMask>,
        features: &mut AttentionFeatures<B>,
    ) -> Tensor<B, 2> {
        let (batch, length) = (layout.batch, layout.length);
        let [_, hidden] = inputs[0].dims();
        let head_size = hidden / self.heads;
        let by_head = |rows| layout.unpack(rows).reshape([batch, length, self.heads, head_size]);
        let [query, key, value] = inputs;
        // Scaling the queries touches rows·hidden numbers, the scores batch·heads·length².
        let scale = 1.0 / (head_size as f64).sqrt();
        let query = query.mul_scalar(scale);
        let query = match rows {
            Rows::All => by_head(query),
            Rows::First => query.reshape([batch, 1, self.heads, head_size]),
        };
        let query = query.swap_dims(1, 2);
        let scores = query.matmul(by_head(key).permute([0, 2, 3, 1]));
        features.scores = request.attention_scores.then(|| scores.clone());
        let mut probabilities = softmax(scores + layout.mask.clone());
        if let Some(mask) = mask {
            probabilities = brew_kernels::dropout(probabilities, mask);
        }
        features.probabilities = request.attentions.then(|| probabilities.clone());
        let context = probabilities.matmul(by_head(value).swap_dims(1, 2)).swap_dims(1, 2);
        match rows {
            Rows::All => layout.pack(context.reshape([batch * length, hidden])),
            Rows::First => context.reshape([batch, hidden]),
        }
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::{EncoderInput, Mode, ModelOutput, SequenceClassifier, from_state_dict, tiny};

    const LENGTHS: [usize; 2] = [5, 3];

    fn forward<B: Backend>(lengths: Option<Vec<usize>>) -> (SequenceClassifier<B>, ModelOutput<B>) {
        let device = Default::default();
        let model: SequenceClassifier<B> =
            from_state_dict(&tiny::config(), tiny::weights().into_iter().collect(), &device).unwrap();
        let input = EncoderInput {
            input_ids: Tensor::from_ints([[2, 5, 7, 3, 4], [2, 9, 3, 0, 0]], &device),
            attention_mask: Tensor::from_floats([[1.0; 5], [1.0, 1.0, 1.0, 0.0, 0.0]], &device),
            token_type_ids: Tensor::from_ints([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], &device),
            lengths,
        };
        let output = model.forward(input, OutputRequest::ALL, Mode::Eval);
        (model, output)
    }

    fn values<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    /// Worked from each layer's input, number by number.
    #[test]
    fn scores_and_what_they_are_made_of_are_those_of_the_formula() {
        for lengths in [None, Some(LENGTHS.to_vec())] {
            let (model, output) = forward::<TestBackend>(lengths);
            for (number, layer) in model.encoder.layers.iter().enumerate() {
                let x = output.encoder.hidden_states[number].clone();
                let attention = &layer.attention;
                let lists = [
                    ("queries", &attention.query, &output.encoder.queries),
                    ("keys", &attention.key, &output.encoder.keys),
                    ("values", &attention.value, &output.encoder.values),
                ];
                for (what, linear, list) in lists {
                    let expected = linear.forward(x.clone());
                    for (row, count) in LENGTHS.into_iter().enumerate() {
                        let real = |x: &Tensor<_, 3>| values(x.clone().slice([row..row + 1, 0..count]));
                        let what = format!("{what} of layer {number}, text {row}");
                        assert_close(&real(&list[number]), &real(&expected), 1e-5, 1e-6, &what);
                    }
                    assert!(values(list[number].clone()).iter().all(|value| value.is_finite()));
                }
                let queries = values(attention.query.forward(x.clone()));
                let keys = values(attention.key.forward(x));
                let scores = values(output.encoder.attention_scores[number].clone());
                let probabilities = values(output.encoder.attentions[number].clone());
                assert!(scores.iter().all(|score| score.is_finite()));
                for (row, count) in LENGTHS.into_iter().enumerate() {
                    for (head, query) in (0..2).flat_map(|head| (0..count).map(move |query| (head, query))) {
                        let at = |token: usize| (row * 5 + token) * 8 + head * 4;
                        let by_hand: Vec<f32> = (0..count)
                            .map(|key| {
                                (0..4).map(|d| queries[at(query) + d] * keys[at(key) + d]).sum::<f32>()
                            })
                            // √d of a head of width 4.
                            .map(|product| product / 2.0)
                            .collect();
                        let start = ((row * 2 + head) * 5 + query) * 5;
                        let what = format!("layer {number}, text {row}, head {head}, query {query}");
                        assert_close(&scores[start..start + count], &by_hand, 1e-5, 1e-5, &what);
                        let sum: f32 = by_hand.iter().map(|score| score.exp()).sum();
                        let by_hand: Vec<f32> = by_hand.iter().map(|score| score.exp() / sum).collect();
                        assert_close(&probabilities[start..start + count], &by_hand, 1e-5, 1e-6, &what);
                    }
                }
            }
        }
    }

    /// The gradient of a loss on what is kept is that of the same loss on what the layers make of their
    /// inputs.
    #[test]
    fn gradients_flow_through_what_is_kept() {
        type B = TestAutodiffBackend;
        let weigh = |name: &str, number: usize, shape: Vec<usize>| {
            let key = brew_random::Key::new(9).purpose(name).index(number as u64);
            TensorData::new(key.normal(shape.iter().product(), 0.1), shape)
        };
        let loss = |number: usize, scores: Tensor<B, 4>, tokens: [Tensor<B, 3>; 3]| {
            let device = Default::default();
            // The tokens of the first text only, which has no padding.
            let weights = Tensor::from_data(weigh("scores", number, vec![1, 2, 5, 5]), &device);
            let mut sum = (scores.slice([0..1, 0..2]) * weights).sum();
            for (name, feature) in ["queries", "keys", "values"].into_iter().zip(tokens) {
                let weights = Tensor::from_data(weigh(name, number, vec![1, 5, 8]), &device);
                sum = sum + (feature.narrow(0, 0, 1) * weights).sum();
            }
            sum
        };
        let gradients = |lengths: Option<Vec<usize>>, of_kept: bool| {
            let (model, output) = forward::<B>(lengths);
            let mut sum = Tensor::zeros([1], &Default::default());
            for (number, layer) in model.encoder.layers.iter().enumerate() {
                if of_kept {
                    let tokens = [&output.encoder.queries, &output.encoder.keys, &output.encoder.values]
                        .map(|list| list[number].clone());
                    sum = sum + loss(number, output.encoder.attention_scores[number].clone(), tokens);
                    continue;
                }
                let attention = &layer.attention;
                let tokens = [&attention.query, &attention.key, &attention.value]
                    .map(|linear| linear.forward(output.encoder.hidden_states[number].clone()));
                let [query, key] =
                    [0, 1].map(|index| tokens[index].clone().reshape([2, 5, 2, 4]).swap_dims(1, 2));
                sum = sum + loss(number, query.matmul(key.transpose()).div_scalar(2.0), tokens);
            }
            tiny::gradients(&model, &sum.backward())
        };
        let expected = gradients(None, false);
        for lengths in [None, Some(LENGTHS.to_vec())] {
            let found = gradients(lengths, true);
            assert_eq!(found.len(), expected.len());
            assert!(found.contains_key("encoder.layers.2.attention.value.weight"));
            for (path, gradient) in &found {
                assert_close(gradient, &expected[path], 1e-5, 1e-5, path);
            }
        }
    }
}
