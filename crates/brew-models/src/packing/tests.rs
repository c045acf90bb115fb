use std::collections::HashMap;

use brew_random::Key;
use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

use super::*;
use crate::dropout::Dropout;
use crate::names::parameter_specs;
use crate::{
    Architecture, EncoderInput, Head, Mode, ModelOutput, OutputRequest, SequenceClassifier, from_state_dict,
    tiny,
};

/// The second text has no token at all, the third fills the batch.
const LENGTHS: [usize; 4] = [2, 0, 7, 5];
const LENGTH: usize = 7;
const HEADS: usize = 2;
const HIDDEN: usize = 8;
const LABELS: usize = 3;

fn model<B: Backend>() -> SequenceClassifier<B> {
    model_of(Architecture::Bert)
}

fn model_of<B: Backend>(architecture: Architecture) -> SequenceClassifier<B> {
    let config = tiny::config_of(architecture);
    let weights = tiny::weights_of(&config, Head::SequenceClassification);
    from_state_dict(&config, weights.into_iter().collect(), &Default::default()).unwrap()
}

fn ids(sequence: usize) -> Vec<i64> {
    (0..LENGTHS[sequence]).map(|place| 2 + ((5 * sequence + 3 * place) % 11) as i64).collect()
}

fn ints<B: Backend>(values: Vec<i64>, shape: [usize; 2]) -> Tensor<B, 2, Int> {
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

/// These sequences padded to one length, the second half of each in the second segment.
fn input<B: Backend>(sequences: &[usize], length: usize, with_lengths: bool) -> EncoderInput<B> {
    input_of(Architecture::Bert, sequences, length, with_lengths)
}

/// The same for a family, whose padding may be another token.
fn input_of<B: Backend>(
    architecture: Architecture,
    sequences: &[usize],
    length: usize,
    with_lengths: bool,
) -> EncoderInput<B> {
    let padding = tiny::config_of(architecture).pad_token_id.unwrap() as i64;
    let shape = [sequences.len(), length];
    let (mut all, mut mask, mut segments) = (Vec::new(), Vec::new(), Vec::new());
    for &sequence in sequences {
        let count = LENGTHS[sequence];
        all.extend(ids(sequence).into_iter().chain(std::iter::repeat_n(padding, length - count)));
        mask.extend((0..length).map(|place| if place < count { 1.0f32 } else { 0.0 }));
        segments.extend((0..length).map(|place| i64::from(place < count && place >= count / 2)));
    }
    EncoderInput {
        input_ids: ints(all, shape),
        attention_mask: Tensor::from_data(TensorData::new(mask, shape), &Default::default()),
        token_type_ids: ints(segments, shape),
        lengths: with_lengths.then(|| sequences.iter().map(|&sequence| LENGTHS[sequence]).collect()),
    }
}

fn draw(name: &str, number: usize, sequence: usize, len: usize) -> Vec<f32> {
    Key::new(31).purpose(name).index(number as u64).index(sequence as u64).normal(len, 0.1)
}

/// Weights of a loss, 0 at padding: those of `width` numbers a token, for these sequences.
fn by_token(name: &str, number: usize, sequences: &[usize], length: usize, width: usize) -> Vec<f32> {
    let of_sequence = |&sequence: &usize| {
        let mut weights = draw(name, number, sequence, LENGTHS[sequence] * width);
        weights.resize(length * width, 0.0);
        weights
    };
    sequences.iter().flat_map(of_sequence).collect()
}

/// As [`by_token`], of a number for each head, query and key.
fn by_pair(name: &str, number: usize, sequences: &[usize], length: usize) -> Vec<f32> {
    let mut weights = Vec::new();
    for &sequence in sequences {
        let count = LENGTHS[sequence];
        let drawn = draw(name, number, sequence, HEADS * count * count);
        for head in 0..HEADS {
            for (query, key) in (0..length).flat_map(|query| (0..length).map(move |key| (query, key))) {
                let is_real = query < count && key < count;
                weights.push(if is_real { drawn[(head * count + query) * count + key] } else { 0.0 });
            }
        }
    }
    weights
}

/// A scalar of every output at real tokens, and of the logits of every sequence with a token.
fn loss<B: Backend>(output: ModelOutput<B>, sequences: &[usize], length: usize) -> Tensor<B, 1> {
    let device = Default::default();
    let rows = sequences.len();
    let draw_logits = |&sequence: &usize| match LENGTHS[sequence] {
        0 => vec![0.0; LABELS],
        _ => draw("logits", 0, sequence, LABELS),
    };
    let weights = sequences.iter().flat_map(draw_logits).collect::<Vec<_>>();
    let mut sum =
        (output.logits * Tensor::from_data(TensorData::new(weights, [rows, LABELS]), &device)).sum();
    let of_tokens = [
        ("hidden", output.encoder.hidden_states),
        ("queries", output.encoder.queries),
        ("keys", output.encoder.keys),
        ("values", output.encoder.values),
    ];
    for (name, list) in of_tokens {
        for (number, feature) in list.into_iter().enumerate() {
            let width = feature.dims()[2];
            let weights = by_token(name, number, sequences, length, width);
            let weights = TensorData::new(weights, [rows, length, width]);
            sum = sum + (feature * Tensor::from_data(weights, &device)).sum();
        }
    }
    for (name, list) in
        [("attention", output.encoder.attentions), ("scores", output.encoder.attention_scores)]
    {
        for (number, feature) in list.into_iter().enumerate() {
            let weights = by_pair(name, number, sequences, length);
            let weights = TensorData::new(weights, [rows, HEADS, length, length]);
            sum = sum + (feature * Tensor::from_data(weights, &device)).sum();
        }
    }
    sum
}

/// The loss of these sequences in one batch, and the gradient of every parameter.
fn gradients<B: AutodiffBackend>(
    architecture: Architecture,
    sequences: &[usize],
    length: usize,
    with_lengths: bool,
) -> (f32, HashMap<String, Vec<f32>>) {
    let model = model_of::<B>(architecture);
    let input = input_of(architecture, sequences, length, with_lengths);
    let loss = loss(model.forward(input, OutputRequest::ALL, Mode::Eval), sequences, length);
    let gradients = loss.backward();
    let found = tiny::gradients(&model, &gradients);
    assert_eq!(
        found.len(),
        parameter_specs(&tiny::config_of(architecture), Some(Head::SequenceClassification)).len(),
        "a parameter has no gradient"
    );
    (loss.into_data().iter::<f32>().next().unwrap(), found)
}

fn check_gradients<B: AutodiffBackend>(architecture: Architecture) {
    let gradients = |sequences: &[usize], length, with_lengths| {
        gradients::<B>(architecture, sequences, length, with_lengths)
    };
    let (packed, of_packed) = gradients(&[0, 1, 2, 3], LENGTH, true);
    let (padded, of_padded) = gradients(&[0, 1, 2, 3], LENGTH, false);
    assert_close(&[packed], &[padded], 1e-5, 1e-5, "loss");
    let mut alone = 0.0;
    let mut of_alone: HashMap<String, Vec<f32>> = HashMap::new();
    for sequence in [0, 2, 3] {
        let (loss, found) = gradients(&[sequence], LENGTHS[sequence], false);
        alone += loss;
        for (path, values) in found {
            let sum = of_alone.entry(path).or_insert_with(|| vec![0.0; values.len()]);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
    assert_close(&[packed], &[alone], 1e-5, 1e-5, "loss of each sequence alone");
    assert_eq!(of_packed.len(), of_padded.len());
    for (path, values) in &of_packed {
        // Of the largest entry, for the others are differences of such.
        let largest = values.iter().fold(1.0f32, |most, value| most.max(value.abs()));
        let tolerance = 1e-5 * f64::from(largest);
        assert_close(values, &of_padded[path], 0.0, tolerance, path);
        assert_close(values, &of_alone[path], 0.0, tolerance, &format!("{path}, each sequence alone"));
    }
}

#[test]
fn gradients_are_those_of_the_padded_batch_and_of_each_sequence_alone() {
    for architecture in Architecture::ALL {
        check_gradients::<TestAutodiffBackend>(architecture);
        check_gradients::<Autodiff<Flex>>(architecture);
    }
}

fn check_values<B: Backend>(architecture: Architecture) {
    let model = model_of::<B>(architecture);
    let forward = |sequences: &[usize], length: usize, with_lengths: bool| {
        let input = input_of(architecture, sequences, length, with_lengths);
        model.forward(input, OutputRequest::ALL, Mode::Eval)
    };
    let values = |data: TensorData| data.iter::<f32>().collect::<Vec<f32>>();
    let packed = forward(&[0, 1, 2, 3], LENGTH, true);
    let padded = forward(&[0, 1, 2, 3], LENGTH, false);
    // The sequence without a token as well.
    assert_close(&values(packed.logits.to_data()), &values(padded.logits.to_data()), 1e-5, 1e-5, "logits");
    for (row, count) in LENGTHS.into_iter().enumerate().filter(|&(_, count)| count > 0) {
        let alone = forward(&[row], count, false);
        let logits = packed.logits.clone().narrow(0, row, 1);
        assert_close(&values(logits.into_data()), &values(alone.logits.into_data()), 1e-5, 1e-5, "logits");
        for (number, alone) in alone.encoder.hidden_states.into_iter().enumerate() {
            for whole in [&packed, &padded] {
                let part = whole.encoder.hidden_states[number].clone().slice([row..row + 1, 0..count]);
                let what = format!("hidden state {number} of sequence {row}");
                assert_close(&values(part.into_data()), &values(alone.to_data()), 1e-5, 1e-5, &what);
            }
        }
        for (number, alone) in alone.encoder.attentions.into_iter().enumerate() {
            let rows = packed.encoder.attentions[number].clone().slice([row..row + 1, 0..HEADS, 0..count]);
            let to_tokens = rows.clone().narrow(3, 0, count);
            let what = format!("attention {number} of sequence {row}");
            assert_close(&values(to_tokens.into_data()), &values(alone.to_data()), 1e-5, 1e-5, &what);
            if count < LENGTH {
                let to_padding = values(rows.narrow(3, count, LENGTH - count).into_data());
                assert!(
                    to_padding.iter().all(|&value| value == 0.0),
                    "{what} reaches padding: {to_padding:?}"
                );
            }
        }
    }
    let all = packed.encoder.hidden_states.into_iter().flat_map(|hidden| values(hidden.into_data()));
    let all =
        all.chain(packed.encoder.attentions.into_iter().flat_map(|attention| values(attention.into_data())));
    assert!(all.into_iter().all(f32::is_finite));
}

#[test]
fn values_are_those_of_the_padded_batch_and_of_each_sequence_alone() {
    for architecture in Architecture::ALL {
        check_values::<TestBackend>(architecture);
        check_values::<Flex>(architecture);
    }
}

/// Logits and the gradients of a sum of them, when they alone are asked for and when hidden states are, too.
fn check_first_rows<B: AutodiffBackend>(architecture: Architecture) {
    let model = model_of::<B>(architecture);
    let with = |request: OutputRequest, sequences: &[usize], has_lengths: bool| {
        let input = input_of(architecture, sequences, LENGTH, has_lengths);
        let logits = model.forward(input, request, Mode::Eval).logits;
        let weights = Key::new(6).normal(logits.shape().num_elements(), 1.0);
        let weights = Tensor::from_data(TensorData::new(weights, logits.shape()), &Default::default());
        let found = tiny::gradients(&model, &(logits.clone() * weights).sum().backward());
        (logits.into_data().iter::<f32>().collect::<Vec<f32>>(), found)
    };
    // With a sequence without a token there is no kernel for attention.
    for sequences in [&[0, 1, 2, 3][..], &[0, 2, 3]] {
        for has_lengths in [true, false] {
            let (logits, found) = with(OutputRequest::default(), sequences, has_lengths);
            let whole = OutputRequest { hidden_states: true, ..OutputRequest::default() };
            let (expected_logits, expected) = with(whole, sequences, has_lengths);
            assert_close(&logits, &expected_logits, 1e-5, 1e-5, "logits");
            assert_eq!(found.len(), expected.len());
            for (path, values) in &found {
                let largest = values.iter().fold(1.0f32, |most, value| most.max(value.abs()));
                assert_close(values, &expected[path], 0.0, 1e-5 * f64::from(largest), path);
            }
        }
    }
}

#[test]
fn a_last_layer_of_first_rows_gives_the_logits_and_gradients_of_one_of_all_rows() {
    for architecture in Architecture::ALL {
        check_first_rows::<TestAutodiffBackend>(architecture);
        check_first_rows::<Autodiff<Flex>>(architecture);
    }
}

#[test]
fn a_classifier_that_is_asked_for_logits_alone_computes_first_rows_alone() {
    let rows = |request| {
        let input = input_of(Architecture::Bert, &[0, 2, 3], LENGTH, true);
        let model = model_of::<Flex>(Architecture::Bert);
        model.forward(input, request, Mode::Eval).encoder.last_hidden.dims()[0]
    };
    assert_eq!(rows(OutputRequest::default()), 3);
    assert_eq!(rows(OutputRequest::ALL), [0, 2, 3].map(|sequence| LENGTHS[sequence]).iter().sum::<usize>());
}

/// Which row stands at a padding position changes no bit of the output nor of any gradient.
#[test]
fn nothing_flows_through_padding() {
    type B = TestAutodiffBackend;
    let device = Default::default();
    let lengths = [2, 4, 1];
    let forward = |change: &dyn Fn(usize) -> i64| {
        let mask: Vec<f32> =
            lengths.iter().flat_map(|&count| (0..4).map(move |place| f32::from(place < count))).collect();
        let mask = Tensor::from_data(TensorData::new(mask, [3, 4]), &device);
        let mut layout = Layout::<B>::new(mask.clone(), Some(&lengths));
        let packing = layout.packing.as_mut().unwrap();
        let mut positions: Vec<i64> = packing.positions.to_data().iter::<i64>().collect();
        for (at, is_real) in mask.into_data().iter::<f32>().enumerate() {
            if is_real == 0.0 {
                positions[at] = change(at);
            }
        }
        packing.positions = Tensor::from_data(TensorData::new(positions, [12]), &device);
        let layer = &model::<B>().encoder.layers[0];
        let x = Key::new(4).normal(7 * HIDDEN, 1.0);
        let x = Tensor::<B, 2>::from_data(TensorData::new(x, [7, HIDDEN]), &device).require_grad();
        let (output, _) = layer.forward(
            x.clone(),
            &layout,
            OutputRequest::default(),
            Rows::All,
            &mut Dropout::new(Mode::Eval),
        );
        let weights = Tensor::from_data(TensorData::new(draw("x", 0, 0, 7 * HIDDEN), [7, HIDDEN]), &device);
        let gradients = (output.clone() * weights).sum().backward();
        let of_key = layer.attention.key.weight.val().grad(&gradients).unwrap();
        (output.into_data(), x.grad(&gradients).unwrap().into_data(), of_key.into_data())
    };
    let reference = forward(&|_| 0);
    assert_eq!(forward(&|_| 6), reference);
    assert_eq!(forward(&|at| (at as i64) % 7), reference);
}

#[test]
fn dropout_falls_on_packed_rows() {
    let model = model::<TestBackend>();
    let request = OutputRequest { hidden_states: true, ..OutputRequest::default() };
    let hidden = |mode| {
        let output = model.forward(input(&[0, 3], 5, true), request, mode);
        output.encoder.hidden_states[0]
            .clone()
            .reshape([10, HIDDEN])
            .select(0, Tensor::from_ints([0, 1, 5, 6, 7, 8, 9], &Default::default()))
    };
    let mask = Key::new(5).index(0).dropout_mask(7 * HIDDEN, 0.1);
    assert!(mask.contains(&0.0));
    let mask = Tensor::from_data(TensorData::new(mask, [7, HIDDEN]), &Default::default());
    let expected = hidden(Mode::Eval) * mask;
    assert_eq!(hidden(Mode::Train { dropout: Key::new(5) }).into_data(), expected.into_data());
}

#[test]
fn a_batch_without_padding_moves_no_row() {
    let layout = |lengths: Option<&[usize]>| {
        Layout::<TestBackend>::new(Tensor::ones([2, 3], &Default::default()), lengths)
    };
    assert!(layout(Some(&[3, 3])).packing.is_none());
    assert!(layout(Some(&[3, 0])).packing.is_none(), "a sequence without a token keeps its positions");
    assert!(layout(None).packing.is_none());
    assert!(layout(Some(&[2, 3])).packing.is_some());
}

/// Padding on the left or among the tokens has no lengths: every position is computed, and none attends
/// to padding.
#[test]
fn a_mask_with_holes_needs_no_lengths() {
    let device = Default::default();
    let input = EncoderInput {
        input_ids: Tensor::<TestBackend, 2, Int>::from_ints([[0, 5, 0, 3]], &device),
        attention_mask: Tensor::from_floats([[0.0, 1.0, 0.0, 1.0]], &device),
        token_type_ids: Tensor::zeros([1, 4], &device),
        lengths: None,
    };
    let output = model().forward(input, OutputRequest::ALL, Mode::Eval);
    for attention in output.encoder.attentions {
        let rows: Vec<f32> = attention.into_data().iter().collect();
        for row in rows.chunks(4) {
            assert!(row[0] == 0.0 && row[2] == 0.0, "{row:?}");
            assert!((row[1] + row[3] - 1.0).abs() < 1e-6, "{row:?}");
        }
    }
}

#[test]
#[should_panic(expected = "there is not one length a sequence")]
fn a_length_is_missing() {
    Layout::<TestBackend>::new(Tensor::ones([2, 3], &Default::default()), Some(&[3]));
}

#[test]
#[should_panic(expected = "a sequence of 4 tokens in a batch of length 3")]
fn a_length_is_too_long() {
    Layout::<TestBackend>::new(Tensor::ones([2, 3], &Default::default()), Some(&[3, 4]));
}

#[test]
#[should_panic(expected = "a batch of sequences without any position")]
fn a_batch_has_positions() {
    Layout::<TestBackend>::new(Tensor::ones([2, 0], &Default::default()), None);
}
