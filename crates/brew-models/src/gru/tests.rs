use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
use burn::tensor::{Int, TensorData};

use super::*;
use crate::{
    Architecture, EncoderInput, Head, Mode, OutputRequest, SequenceClassifier, from_state_dict, tiny,
};

/// PyTorch's formulas, number by number, for one text and one direction.
fn by_hand(direction: &GruDirection<TestBackend>, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let values = |linear: &Linear<TestBackend>| -> (Vec<f32>, Vec<f32>) {
        let bias = linear.bias.as_ref().unwrap().val();
        (linear.weight.val().into_data().iter().collect(), bias.into_data().iter().collect())
    };
    let (of_input, of_state) = (values(&direction.input), values(&direction.hidden));
    let [hidden, gates] = direction.hidden.weight.dims();
    let product = |(weight, bias): &(Vec<f32>, Vec<f32>), x: &[f32]| -> Vec<f32> {
        (0..gates)
            .map(|gate| {
                bias[gate] + x.iter().enumerate().map(|(i, x)| x * weight[i * gates + gate]).sum::<f32>()
            })
            .collect()
    };
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let mut state = vec![0.0; hidden];
    let mut states = Vec::new();
    for input in inputs {
        let (x, h) = (product(&of_input, input), product(&of_state, &state));
        state = (0..hidden)
            .map(|i| {
                let reset = sigmoid(x[i] + h[i]);
                let update = sigmoid(x[hidden + i] + h[hidden + i]);
                let new = (x[2 * hidden + i] + reset * h[2 * hidden + i]).tanh();
                (1.0 - update) * new + update * state[i]
            })
            .collect();
        states.push(state.clone());
    }
    states
}

fn model<B: Backend>() -> SequenceClassifier<B> {
    let config = tiny::config_of(Architecture::BiGru);
    let weights = tiny::weights_of(&config, Head::SequenceClassification);
    from_state_dict(&config, weights.into_iter().collect(), &Default::default()).unwrap()
}

const LENGTHS: [usize; 3] = [4, 2, 5];

/// Padded states, and those of the texts alone.
#[test]
fn states_are_those_of_the_formula_from_both_ends_of_each_text() {
    let device = Default::default();
    let gru = model::<TestBackend>().encoder.gru.unwrap();
    let embedded = brew_random::Key::new(3).normal(3 * 5 * 6, 1.0);
    let x = Tensor::<TestBackend, 2>::from_data(TensorData::new(embedded.clone(), [15, 6]), &device);
    let mask: Vec<f32> =
        LENGTHS.iter().flat_map(|&count| (0..5).map(move |place| f32::from(place < count))).collect();
    let mask = Tensor::from_data(TensorData::new(mask, [3, 5]), &device);
    for lengths in [None, Some(LENGTHS)] {
        let layout = Layout::new(mask.clone(), lengths.as_ref().map(|lengths| lengths.as_slice()));
        let output = gru.run(layout.pack(x.clone()), &layout);
        let tokens: Vec<f32> = layout.unpack(output.tokens).into_data().iter().collect();
        let texts: Vec<f32> = output.texts.into_data().iter().collect();
        for (row, count) in LENGTHS.into_iter().enumerate() {
            let inputs: Vec<Vec<f32>> =
                (0..count).map(|place| embedded[(row * 5 + place) * 6..][..6].to_vec()).collect();
            let ahead = by_hand(&gru.forward, &inputs);
            let mut back = by_hand(&gru.reverse, &inputs.into_iter().rev().collect::<Vec<_>>());
            back.reverse();
            for place in 0..count {
                let expected = [ahead[place].clone(), back[place].clone()].concat();
                let found = &tokens[(row * 5 + place) * 16..][..16];
                assert_close(found, &expected, 1e-5, 1e-6, &format!("text {row}, token {place}"));
            }
            let expected = [ahead[count - 1].clone(), back[0].clone()].concat();
            assert_close(&texts[row * 16..][..16], &expected, 1e-5, 1e-6, &format!("text {row}"));
        }
    }
}

#[test]
fn hidden_states_are_the_embeddings_and_the_output() {
    let device = Default::default();
    let input = EncoderInput {
        input_ids: Tensor::<TestBackend, 2, Int>::from_ints([[2, 5, 3], [4, 9, 0]], &device),
        attention_mask: Tensor::from_floats([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], &device),
        token_type_ids: Tensor::zeros([2, 3], &device),
        lengths: Some(vec![3, 2]),
    };
    let output = model().forward(input, OutputRequest::ALL, Mode::Eval);
    let widths: Vec<[usize; 3]> = output.encoder.hidden_states.iter().map(Tensor::dims).collect();
    assert_eq!(widths, [[2, 3, 6], [2, 3, 8]]);
    assert!(output.encoder.attentions.is_empty() && output.encoder.queries.is_empty());
    assert_eq!(output.logits.dims(), [2, 3]);
}

/// Padding has no part in any gradient, to the bit.
#[test]
fn padding_gets_no_gradient() {
    let device = Default::default();
    let gru = model::<TestAutodiffBackend>().encoder.gru.unwrap();
    let x = brew_random::Key::new(3).normal(3 * 5 * 6, 1.0);
    let x = Tensor::<TestAutodiffBackend, 2>::from_data(TensorData::new(x, [15, 6]), &device).require_grad();
    let mask: Vec<f32> =
        LENGTHS.iter().flat_map(|&count| (0..5).map(move |place| f32::from(place < count))).collect();
    let layout = Layout::new(Tensor::from_data(TensorData::new(mask, [3, 5]), &device), None);
    let output = gru.run(x.clone(), &layout);
    let gradients = output.texts.powi_scalar(2).sum().backward();
    let gradient: Vec<f32> = x.grad(&gradients).unwrap().into_data().iter().collect();
    for (row, count) in LENGTHS.into_iter().enumerate() {
        for place in 0..5 {
            let of_token = &gradient[(row * 5 + place) * 6..][..6];
            let is_token = place < count;
            assert!(of_token.iter().all(|&value| (value != 0.0) == is_token), "{row} {place}: {of_token:?}");
        }
    }
}

#[test]
fn steps_are_those_of_the_sequence_in_order() {
    for length in [1, 2, 3, 7, 8] {
        let values: Vec<f32> = (0..length * 2 * 3).map(|value| value as f32).collect();
        let x = TensorData::new(values.clone(), [length, 2, 3]);
        let steps = steps(Tensor::<TestBackend, 3>::from_data(x, &Default::default()));
        assert_eq!(steps.len(), length);
        let found: Vec<f32> =
            steps.into_iter().flat_map(|step| step.into_data().iter::<f32>().collect::<Vec<_>>()).collect();
        assert_eq!(found, values);
    }
}
