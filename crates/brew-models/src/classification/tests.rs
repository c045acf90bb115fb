use std::collections::HashMap;

use burn::module::{AutodiffModule, ModuleVisitor, Param, ParamId};
use burn::tensor::{Int, Tensor};

use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

use super::*;
use crate::names::{ParameterSpec, Role, parameter_specs};
use crate::{Activation, Architecture, from_state_dict, tiny};

type Model<B> = SequenceClassifier<B>;

const IDS: [[i64; 5]; 2] = [[2, 5, 7, 3, 4], [2, 9, 3, 0, 0]];
const MASK: [[f32; 5]; 2] = [[1.0; 5], [1.0, 1.0, 1.0, 0.0, 0.0]];
const SEGMENTS: [[i64; 5]; 2] = [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]];

fn input<B: Backend>() -> EncoderInput<B> {
    input_padded_with(0)
}

fn input_padded_with<B: Backend>(padding: i64) -> EncoderInput<B> {
    let device = B::Device::default();
    EncoderInput {
        input_ids: Tensor::from_ints(
            IDS.map(|ids| ids.map(|id| if id == 0 { padding } else { id })),
            &device,
        ),
        attention_mask: Tensor::from_floats(MASK, &device),
        token_type_ids: Tensor::from_ints(SEGMENTS, &device),
        lengths: None,
    }
}

fn logits<B: Backend>(model: &Model<B>, mode: Mode) -> Vec<f32> {
    model.forward(input(), OutputRequest::default(), mode).logits.into_data().iter().collect()
}

fn train(seed: u64) -> Mode {
    Mode::Train { dropout: Key::new(seed) }
}

fn model_of<B: Backend>(weights: tiny::Weights) -> Model<B> {
    from_state_dict(&tiny::config(), weights.into_iter().collect(), &Default::default()).unwrap()
}

/// A model all of whose parameters matter.
fn full<B: Backend>() -> Model<B> {
    model_of(tiny::weights())
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let model = full::<TestBackend>();
    for combination in 0..16 {
        let is_set = |bit: usize| combination >> bit & 1 == 1;
        let request = OutputRequest {
            hidden_states: is_set(0),
            attentions: is_set(1),
            attention_scores: is_set(2),
            queries_keys_values: is_set(3),
        };
        let output = model.forward(input(), request, Mode::Eval);
        assert_eq!(output.logits.dims(), [2, 3]);
        let count = |bit, all| if is_set(bit) { all } else { 0 };
        let check = |features: &[Tensor<TestBackend, 3>], expected| {
            assert_eq!(features.len(), expected, "{request:?}");
            assert!(features.iter().all(|feature| feature.dims() == [2, 5, 8]));
        };
        check(&output.encoder.hidden_states, count(0, 4));
        check(&output.encoder.queries, count(3, 3));
        check(&output.encoder.keys, count(3, 3));
        check(&output.encoder.values, count(3, 3));
        for (attentions, bit) in [(output.encoder.attentions, 1), (output.encoder.attention_scores, 2)] {
            assert_eq!(attentions.len(), count(bit, 3), "{request:?}");
            assert!(attentions.iter().all(|attention| attention.dims() == [2, 2, 5, 5]));
        }
    }
}

#[test]
fn attention_is_a_distribution_over_real_tokens() {
    let output = full::<TestBackend>().forward(input(), OutputRequest::ALL, Mode::Eval);
    for attention in output.encoder.attentions {
        let values: Vec<f32> = attention.into_data().to_vec().unwrap();
        for (row, values) in values.chunks(5).enumerate() {
            assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
            // Rows 10 and up belong to the second text, whose last two positions are padding.
            assert!(row < 10 || values[3..] == [0.0, 0.0], "{values:?}");
        }
    }
}

#[test]
fn padding_changes_nothing() {
    let model = full::<TestBackend>();
    let device = Default::default();
    let short = EncoderInput {
        input_ids: Tensor::from_ints([[2, 9, 3]], &device),
        attention_mask: Tensor::ones([1, 3], &device),
        token_type_ids: Tensor::zeros([1, 3], &device),
        lengths: None,
    };
    let alone: Vec<f32> =
        model.forward(short, OutputRequest::default(), Mode::Eval).logits.into_data().to_vec().unwrap();
    brew_testkit::assert_close(&logits(&model, Mode::Eval)[3..], &alone, 1e-5, 1e-6, "logits");
}

#[test]
fn a_text_of_padding_alone_gives_numbers() {
    let device = Default::default();
    for lengths in [None, Some(vec![0])] {
        let empty = EncoderInput {
            input_ids: Tensor::<TestBackend, 2, Int>::zeros([1, 4], &device),
            attention_mask: Tensor::zeros([1, 4], &device),
            token_type_ids: Tensor::zeros([1, 4], &device),
            lengths,
        };
        let output = full().forward(empty, OutputRequest::ALL, Mode::Eval);
        assert!(output.logits.into_data().iter::<f32>().all(f32::is_finite));
    }
}

#[test]
fn evaluation_repeats_and_training_follows_its_key() {
    let model = full::<TestBackend>();
    assert_eq!(logits(&model, Mode::Eval), logits(&model, Mode::Eval));
    assert_eq!(logits(&model, train(1)), logits(&model, train(1)));
    assert_ne!(logits(&model, train(1)), logits(&model, train(2)));
    assert_ne!(logits(&model, train(1)), logits(&model, Mode::Eval));
}

#[test]
fn rate_zero_is_no_dropout() {
    let weights: HashMap<_, _> = tiny::weights().into_iter().collect();
    let config =
        EncoderConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..tiny::config() };
    let model =
        from_state_dict::<SequenceClassifier<TestBackend>>(&config, weights, &Default::default()).unwrap();
    assert_eq!(logits(&model, train(1)), logits(&model, Mode::Eval));
}

#[test]
fn every_kind_of_site_drops() {
    let weights: HashMap<_, _> = tiny::weights().into_iter().collect();
    let none = EncoderConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout: Some(0.0),
        ..tiny::config()
    };
    let forward = |config: &EncoderConfig| {
        let model =
            from_state_dict::<SequenceClassifier<TestBackend>>(config, weights.clone(), &Default::default())
                .unwrap();
        model.forward(input(), OutputRequest::ALL, train(3))
    };
    let reference = forward(&none);

    let attention = forward(&EncoderConfig { attention_probs_dropout_prob: 0.5, ..none.clone() });
    assert_eq!(attention.encoder.hidden_states[0].to_data(), reference.encoder.hidden_states[0].to_data());
    let mask = Key::new(3).index(1).dropout_mask(100, 0.5);
    let expected = reference.encoder.attentions[0].clone()
        * Tensor::from_data(TensorData::new(mask, [2, 2, 5, 5]), &Default::default());
    assert_eq!(
        attention.encoder.attentions[0].to_data(),
        expected.into_data(),
        "what is given is what was used"
    );

    let classifier = forward(&EncoderConfig { classifier_dropout: Some(0.5), ..none.clone() });
    assert_eq!(classifier.encoder.hidden_states[3].to_data(), reference.encoder.hidden_states[3].to_data());
    assert_ne!(classifier.logits.to_data(), reference.logits.to_data());

    let hidden = forward(&EncoderConfig { hidden_dropout_prob: 0.5, ..none });
    let mask = Key::new(3).index(0).dropout_mask(80, 0.5);
    let expected = reference.encoder.hidden_states[0].clone()
        * Tensor::from_data(TensorData::new(mask, [2, 5, 8]), &Default::default());
    assert_eq!(
        hidden.encoder.hidden_states[0].to_data(),
        expected.into_data(),
        "embeddings are the first site"
    );
}

/// A scalar that every logit, hidden state and attention probability takes part in.
fn loss<B: Backend>(model: &Model<B>, mode: Mode) -> Tensor<B, 1> {
    loss_padded_with(0, model, mode)
}

/// The hidden states at padding take part as well, and through them what padding is embedded as.
fn loss_padded_with<B: Backend>(padding: i64, model: &Model<B>, mode: Mode) -> Tensor<B, 1> {
    let device = B::Device::default();
    let weigh = |len: usize, shape: Vec<usize>, name: &str| {
        TensorData::new(Key::new(11).purpose(name).normal(len, 1.0), shape)
    };
    let output = model.forward(input_padded_with(padding), OutputRequest::ALL, mode);
    let mut sum = (output.logits * Tensor::from_data(weigh(6, vec![2, 3], "logits"), &device)).sum();
    for hidden in output.encoder.hidden_states {
        let width = hidden.dims()[2];
        let weights = weigh(10 * width, vec![2, 5, width], "hidden");
        sum = sum + (hidden * Tensor::from_data(weights, &device)).mean();
    }
    for attention in output.encoder.attentions {
        let weights = Tensor::from_data(weigh(100, vec![2, 2, 5, 5], "attention"), &device);
        sum = sum + (attention * weights).mean();
    }
    sum
}

fn gradients(mode: Mode) -> HashMap<String, Vec<f32>> {
    let model = full::<TestAutodiffBackend>();
    let gradients = loss(&model, mode).backward();
    tiny::gradients(&model, &gradients)
}

/// Rows without a gradient by design: PyTorch's `padding_idx`.
fn padding_rows(config: &EncoderConfig, spec: &ParameterSpec) -> std::ops::Range<usize> {
    match (spec.role, config.pad_token_id) {
        (Role::PaddedEmbedding(_), Some(pad)) => pad * spec.shape[1]..(pad + 1) * spec.shape[1],
        _ => 0..0,
    }
}

fn check_gradients(config: &EncoderConfig, mode: Mode) {
    let weights = tiny::weights_of(config, Head::SequenceClassification);
    let device = Default::default();
    let model: Model<TestAutodiffBackend> =
        from_state_dict(config, weights.clone().into_iter().collect(), &device).unwrap();
    let padding_id = config.pad_token_id.map_or(0, |pad| pad as i64);
    let gradients = tiny::gradients(&model, &loss_padded_with(padding_id, &model, mode).backward());
    for spec in parameter_specs(config, Some(Head::SequenceClassification)) {
        let mut direction = Key::new(12).purpose(&spec.path).normal(spec.num_elements(), 1.0);
        let padding = padding_rows(config, &spec);
        let of_padding = &gradients[&spec.path][padding.clone()];
        assert!(
            of_padding.iter().all(|&g| g == 0.0),
            "{} {}: {of_padding:?}",
            config.architecture,
            spec.path
        );
        direction[padding].fill(0.0);
        let norm = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|x| *x /= norm);
        let exact: f32 = direction.iter().zip(&gradients[&spec.path]).map(|(d, g)| d * g).sum();

        let step = 1e-2_f32;
        let at = |sign: f32| -> f64 {
            let mut weights = weights.clone();
            let shape = spec.shape.clone();
            let moved = TensorData::new(direction.iter().map(|d| d * sign * step).collect::<Vec<_>>(), shape);
            let moved = if spec.transposed { crate::state::transpose(moved) } else { moved };
            let data = weights.get_mut(&spec.name).unwrap();
            let sum: Vec<f32> = data.iter::<f32>().zip(moved.iter::<f32>()).map(|(a, b)| a + b).collect();
            *data = TensorData::new(sum, data.shape.clone());
            let model: Model<TestBackend> =
                from_state_dict(config, weights.into_iter().collect(), &Default::default()).unwrap();
            f64::from(loss_padded_with(padding_id, &model, mode).into_scalar())
        };
        let numeric = ((at(1.0) - at(-1.0)) / (2.0 * f64::from(step))) as f32;
        let allowed = 2e-3 + 2e-2 * exact.abs();
        let what = format!("{} {} {mode:?}", config.architecture, spec.path);
        assert!((exact - numeric).abs() < allowed, "{what}: {exact}, not {numeric}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for architecture in Architecture::ALL {
        for mode in [Mode::Eval, train(5)] {
            // A kink within a step would be no mistake of the gradient.
            let hidden_act = match tiny::config_of(architecture).hidden_act {
                Activation::Relu => Activation::Silu,
                other => other,
            };
            check_gradients(&EncoderConfig { hidden_act, ..tiny::config_of(architecture) }, mode);
        }
    }
}

#[test]
fn the_padding_row_gets_no_gradient_and_the_others_do() {
    let words = &gradients(Mode::Eval)["encoder.embeddings.word_embeddings.weight"];
    assert!(words[..8].iter().all(|&g| g == 0.0), "{:?}", &words[..8]);
    for used in [2, 3, 4, 5, 7, 9] {
        assert!(words[used * 8..used * 8 + 8].iter().any(|&g| g != 0.0), "token {used} gets no gradient");
    }

    let config = EncoderConfig { pad_token_id: None, ..tiny::config() };
    let weights = tiny::weights().into_iter().collect();
    let model =
        from_state_dict::<SequenceClassifier<TestAutodiffBackend>>(&config, weights, &Default::default())
            .unwrap();
    let gradients = loss(&model, Mode::Eval).backward();
    let words = model.encoder.embeddings.word_embeddings.weight.val().grad(&gradients).unwrap();
    let row: Vec<f32> = words.into_data().iter().take(8).collect();
    assert!(row.iter().any(|&g| g != 0.0), "without a padding id the row is one like any other");
}

#[test]
fn the_model_on_the_inner_backend_is_the_same() {
    let model = full::<TestAutodiffBackend>();
    // Functions with exact gradients may round otherwise than those that a backend fuses.
    let (tracked, inner) = (logits(&model, Mode::Eval), logits(&model.valid(), Mode::Eval));
    assert_close(&tracked, &inner, 1e-5, 1e-6, "logits");
}

#[test]
fn a_key_gives_one_model() {
    let config = tiny::config();
    let state = |seed| {
        let model = Model::<TestBackend>::new(&config, Key::new(seed), &Default::default());
        model.state_dict(&config).unwrap()
    };
    assert_eq!(state(1), state(1));
    assert_ne!(state(1), state(2));
}

#[test]
fn a_config_without_sense_is_an_error() {
    let config = EncoderConfig { num_attention_heads: 3, ..tiny::config() };
    let error = Model::<TestBackend>::try_new(&config, Key::new(1), &Default::default()).unwrap_err();
    assert!(error.to_string().contains("divisible"), "{error}");
}

struct Ids(Vec<ParamId>);

impl<B: Backend> ModuleVisitor<B> for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.push(param.id);
    }
}

fn ids<B: Backend>(model: &Model<B>) -> Vec<ParamId> {
    let mut ids = Ids(Vec::new());
    model.visit(&mut ids);
    ids.0
}

#[test]
fn a_student_has_the_layers_it_was_given() {
    let (teacher, config) = (full::<TestBackend>(), tiny::config());
    let of_teacher = tiny::weights();
    let (student, small) = Model::<TestAutodiffBackend>::from_layers(
        &teacher,
        &config,
        &[0, 2],
        StudentHead::Copy,
        &Default::default(),
    )
    .unwrap();
    let of_student = student.state_dict(&small).unwrap();
    assert_eq!(small, config.student_config(2));
    for (name, data) in &of_student {
        let source = name.replace("layer.1.", "layer.2.");
        assert_eq!(data, &of_teacher[&source], "{name}");
    }
    assert!(ids(&student).iter().all(|id| !ids(&teacher).contains(id)), "a parameter is shared");
    let gradients = loss_of_logits(&student).backward();
    assert!(student.encoder.layers[1].attention.query.weight.val().grad(&gradients).is_some());
}

fn loss_of_logits<B: Backend>(model: &Model<B>) -> Tensor<B, 1> {
    model.forward(input(), OutputRequest::default(), Mode::Eval).logits.powi_scalar(2).sum()
}

#[test]
fn a_student_of_all_layers_computes_what_the_teacher_does() {
    let teacher = full::<TestBackend>();
    let (student, _) = Model::<TestBackend>::from_layers(
        &teacher,
        &tiny::config(),
        &[0, 1, 2],
        StudentHead::Copy,
        &Default::default(),
    )
    .unwrap();
    assert_eq!(logits(&student, Mode::Eval), logits(&teacher, Mode::Eval));
}

#[test]
fn a_student_may_have_a_head_of_its_own() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let head = StudentHead::New { labels: labels.clone(), key: Key::new(4) };
    let (student, small) = Model::<TestBackend>::from_layers(
        &full::<TestBackend>(),
        &tiny::config(),
        &[1],
        head,
        &Default::default(),
    )
    .unwrap();
    assert_eq!(small.labels, labels);
    let state = student.state_dict(&small).unwrap();
    let fresh = Model::<TestBackend>::new(&small, Key::new(4), &Default::default());
    assert_eq!(state["classifier.weight"], fresh.state_dict(&small).unwrap()["classifier.weight"]);
    assert_eq!(state["bert.pooler.dense.weight"], tiny::weights()["bert.pooler.dense.weight"]);
}

#[test]
fn layers_the_teacher_does_not_have_are_an_error() {
    let student = |layers: &[usize], config: &EncoderConfig| {
        Model::<TestBackend>::from_layers(
            &full::<TestBackend>(),
            config,
            layers,
            StudentHead::Copy,
            &Default::default(),
        )
        .map(|_| ())
    };
    let error = student(&[0, 3], &tiny::config()).unwrap_err();
    assert!(matches!(error, ModelError::NoSuchLayer { layer: 3, available: 3 }), "{error}");
    assert!(student(&[], &tiny::config()).unwrap_err().to_string().contains("num_hidden_layers is 0"));
    let other = EncoderConfig { hidden_size: 16, ..tiny::config() };
    assert!(student(&[0], &other).unwrap_err().to_string().contains("not that of the model"));
}

#[test]
fn a_second_classifier_shares_the_encoder_and_its_gradients() {
    let first = full::<TestAutodiffBackend>();
    let second = full::<TestAutodiffBackend>();
    let swapped = first.with_classifier(second.classifier.clone());
    // The classifiers have the same values, so the models agree, and only their ids tell them apart.
    assert_eq!(logits(&swapped, Mode::Eval), logits(&first, Mode::Eval));
    let gradients = swapped.forward(input(), OutputRequest::default(), Mode::Eval).logits.sum().backward();
    assert!(first.pooler.as_ref().unwrap().dense.weight.grad(&gradients).is_some());
    assert!(second.classifier.weight.grad(&gradients).is_some());
    assert!(first.classifier.weight.grad(&gradients).is_none());
}

#[test]
fn the_last_layers_of_the_heads_are_dropped_by_their_own_rates() {
    let rate = |architecture, head| tiny::config_of(architecture).head_dropout_rate(head);
    let (texts, tokens, spans) =
        (Head::SequenceClassification, Head::TokenClassification, Head::QuestionAnswering);
    assert_eq!([texts, tokens, spans].map(|head| rate(Architecture::DistilBert, head)), [0.2, 0.1, 0.1]);
    assert_eq!([texts, tokens, spans].map(|head| rate(Architecture::Bert, head)), [0.1, 0.1, 0.0]);
}

/// Which sites of a family drop: those whose rate changes the output.
#[test]
fn families_drop_where_transformers_does() {
    let none = |architecture| EncoderConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout: Some(0.0),
        ..tiny::config_of(architecture)
    };
    let forward = |config: &EncoderConfig, weights: &tiny::Weights| {
        let weights = weights.clone().into_iter().collect();
        let model: Model<TestBackend> = from_state_dict(config, weights, &Default::default()).unwrap();
        model.forward(input(), OutputRequest::ALL, train(3)).logits.into_data()
    };
    for architecture in Architecture::ALL {
        let (none, head) = (none(architecture), Head::SequenceClassification);
        let mut weights = tiny::weights_of(&none, head);
        let reference = forward(&none, &weights);
        let classifier = EncoderConfig { classifier_dropout: Some(0.5), ..none.clone() };
        assert_ne!(forward(&classifier, &weights), reference, "{architecture}");
        let hidden = EncoderConfig { hidden_dropout_prob: 0.5, ..none.clone() };
        assert_ne!(forward(&hidden, &weights), reference, "{architecture}");

        // With all embeddings the same vector of zeros, what is left are the sites in the layers.
        for (name, data) in &mut weights {
            if name.contains("embeddings.LayerNorm") || name.contains("word_embeddings") {
                *data = TensorData::zeros::<f32, _>(data.shape.clone());
            }
        }
        let changes = forward(&hidden, &weights) != forward(&none, &weights);
        assert_eq!(changes, architecture != Architecture::BiGru, "{architecture}");
    }
}

#[test]
fn layers_that_are_not_a_teachers_own_make_no_student() {
    for architecture in Architecture::ALL {
        let config = tiny::config_of(architecture);
        let teacher = Model::<TestBackend>::new(&config, Key::new(1), &Default::default());
        let student = Model::<TestBackend>::from_layers(
            &teacher,
            &config,
            &[0],
            StudentHead::Copy,
            &Default::default(),
        );
        match architecture {
            Architecture::Albert | Architecture::BiGru => {
                let error = student.unwrap_err();
                assert!(matches!(error, ModelError::NoDistinctLayers { .. }), "{error}");
            }
            _ => {
                let (student, small) = student.unwrap();
                assert_eq!(student.encoder.layers.len(), 1);
                let (own, all) = (student.state_dict(&small).unwrap(), teacher.state_dict(&config).unwrap());
                assert!(own.iter().all(|(name, values)| all[name] == *values), "{architecture}");
            }
        }
    }
}

/// Without PyTorch's `padding_idx` these rows would have a gradient: that of the padding's own hidden states.
#[test]
fn robertas_padding_has_a_row_of_words_and_of_positions_without_gradient() {
    let config = tiny::config_of(Architecture::Roberta);
    let weights = tiny::weights_of(&config, Head::SequenceClassification);
    let device = Default::default();
    let model: Model<TestAutodiffBackend> =
        from_state_dict(&config, weights.into_iter().collect(), &device).unwrap();
    let gradients = tiny::gradients(&model, &loss_padded_with(1, &model, Mode::Eval).backward());
    let row =
        |table: &str, row: usize| &gradients[&format!("encoder.embeddings.{table}.weight")][row * 8..][..8];
    assert!(row("word_embeddings", 1).iter().all(|&g| g == 0.0));
    // Positions 0 and 1 are never real tokens', and five tokens take 2 to 6.
    for (position, is_used) in [false, false, true, true, true, true, true, false].into_iter().enumerate() {
        let row = row("position_embeddings", position);
        assert_eq!(row.iter().any(|&g| g != 0.0), is_used, "{position}: {row:?}");
    }
    // Padding that is not known as such is embedded, and counted, like any token.
    let gradients = tiny::gradients(&model, &loss_padded_with(0, &model, Mode::Eval).backward());
    let words = &gradients["encoder.embeddings.word_embeddings.weight"];
    assert!(words[..8].iter().any(|&g| g != 0.0));
}
