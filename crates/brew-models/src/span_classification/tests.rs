use brew_testkit::{TestBackend, assert_close};
use burn::tensor::Int;

use super::*;
use crate::{Architecture, from_state_dict, tiny};

fn input(lengths: Option<Vec<usize>>) -> EncoderInput<TestBackend> {
    let device = Default::default();
    EncoderInput {
        input_ids: Tensor::<TestBackend, 2, Int>::from_ints([[3, 4, 2, 1], [3, 5, 2, 6]], &device),
        attention_mask: Tensor::from_floats([[1.0, 1.0, 1.0, 0.0], [1.0; 4]], &device),
        token_type_ids: Tensor::zeros([2, 4], &device),
        lengths,
    }
}

/// `qa_outputs` of the last hidden state, token by token, start first.
#[test]
fn start_and_end_are_the_two_outputs_of_each_token() {
    for architecture in Architecture::ALL {
        let config = tiny::config_of(architecture);
        let weights = tiny::weights_of(&config, Head::QuestionAnswering);
        let model: SpanClassifier<TestBackend> =
            from_state_dict(&config, weights.clone().into_iter().collect(), &Default::default()).unwrap();
        let output = model.forward(input(Some(vec![3, 4])), OutputRequest::ALL, Mode::Eval);
        let last: Vec<f32> = output.encoder.hidden_states.last().unwrap().to_data().iter().collect();
        let values = |name: &str| weights[name].iter::<f32>().collect::<Vec<f32>>();
        let (weight, bias) = (values("qa_outputs.weight"), values("qa_outputs.bias"));
        for (end, logits) in [output.start_logits, output.end_logits].into_iter().enumerate() {
            assert_eq!(logits.dims(), [2, 4]);
            let expected: Vec<f32> = last
                .chunks(8)
                .map(|token| bias[end] + (0..8).map(|d| token[d] * weight[end * 8 + d]).sum::<f32>())
                .collect();
            let found: Vec<f32> = logits.into_data().iter().collect();
            assert_close(&found, &expected, 1e-5, 1e-5, &format!("{architecture}, output {end}"));
        }
    }
}

#[test]
fn tokens_get_the_same_logits_with_padding_computed_and_without() {
    let model =
        SpanClassifier::<TestBackend>::try_new(&tiny::config(), Key::new(3), &Default::default()).unwrap();
    let logits = |lengths| -> Vec<f32> {
        let output = model.forward(input(lengths), OutputRequest::default(), Mode::Eval);
        let both = Tensor::stack::<3>(vec![output.start_logits, output.end_logits], 2);
        both.into_data().iter().collect()
    };
    let (padded, packed) = (logits(None), logits(Some(vec![3, 4])));
    let real = |values: &[f32]| [&values[..6], &values[8..]].concat();
    assert_close(&real(&padded), &real(&packed), 1e-5, 1e-6, "logits");
    assert!(packed.iter().all(|value| value.is_finite()));
}

/// DistilBERT alone has dropout before `qa_outputs`.
#[test]
fn distilbert_drops_before_its_outputs() {
    let rates = |rate| EncoderConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        qa_dropout: rate,
        ..tiny::config_of(Architecture::DistilBert)
    };
    let logits = |config: &EncoderConfig| {
        let model = SpanClassifier::<TestBackend>::try_new(config, Key::new(3), &Default::default()).unwrap();
        let mode = Mode::Train { dropout: Key::new(1) };
        model.forward(input(None), OutputRequest::default(), mode).start_logits.into_data()
    };
    assert_ne!(logits(&rates(0.5)), logits(&rates(0.0)));
}

#[test]
fn a_student_takes_layers_and_outputs() {
    let config = tiny::config();
    let device = Default::default();
    let weights = tiny::weights_of(&config, Head::QuestionAnswering);
    let teacher: SpanClassifier<TestBackend> =
        from_state_dict(&config, weights.clone().into_iter().collect(), &device).unwrap();
    let (student, small) =
        SpanClassifier::<TestBackend>::from_layers(&teacher, &config, &[2], StudentHead::Copy, &device)
            .unwrap();
    let state = student.state_dict(&small).unwrap();
    assert_eq!(state["qa_outputs.weight"], weights["qa_outputs.weight"]);
    let name = |layer| format!("bert.encoder.layer.{layer}.output.dense.weight");
    assert_eq!(state[&name(0)], weights[&name(2)]);
}
