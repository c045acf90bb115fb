//! Checkpoints against what transformers computes from them: every folder below `models/` of each golden folder,
//! with padding computed and without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brew_models::{
    EncoderInput, LoadOptions, Mode, ModelOutput, OutputRequest, PretrainedModel, SequenceClassifier,
    TokenClassifier, load_pretrained,
};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use serde_json::Value;

/// Architectures that the goldens hold and this crate does not build yet.
const NOT_BUILT: [&str; 3] =
    ["BertForQuestionAnswering", "RobertaForSequenceClassification", "ElectraForTokenClassification"];

const TOLERANCE: f32 = 1e-4;

/// What attention is made of.
const FEATURES: &str = "attention.safetensors";

#[test]
fn golden_models_on_ndarray() {
    every_case::<brew_testkit::TestBackend>();
}

#[test]
fn golden_models_on_flex() {
    every_case::<burn_flex::Flex>();
}

fn every_case<B: Backend>() {
    let mut ran = 0;
    for (number, root) in brew_testkit::golden_dirs().into_iter().enumerate() {
        let root = root.join("models");
        let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
            .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        for folder in folders {
            let config: Value = brew_testkit::read_json(folder.join("config.json"));
            let architecture = config["architectures"][0].as_str().unwrap_or_default();
            if NOT_BUILT.contains(&architecture) {
                eprintln!("{}: {architecture} is not built yet", folder.display());
                continue;
            }
            // The project's own golden has them, a larger collection may.
            let has_features = number == 0 || folder.join(FEATURES).exists();
            match architecture {
                "BertForTokenClassification" => {
                    check(&folder, has_features, TokenClassifier::<B>::forward);
                }
                _ => check(&folder, has_features, SequenceClassifier::<B>::forward),
            }
            eprintln!("reproduced {}", folder.display());
            ran += 1;
        }
    }
    assert!(ran > 0, "no model was run");
}

/// Compares a model of the folder, which runs as `forward` does.
fn check<M: PretrainedModel, const D: usize>(
    folder: &Path,
    has_features: bool,
    forward: impl Fn(&M, EncoderInput<M::Backend>, OutputRequest, Mode) -> ModelOutput<M::Backend, D>,
) {
    let device = Default::default();
    let mut expected = brew_testkit::read_safetensors(folder.join("expected.safetensors"));
    if has_features {
        expected.extend(brew_testkit::read_safetensors(folder.join(FEATURES)));
    }
    let ints = |name: &str| Tensor::<M::Backend, 2, Int>::from_data(expected[name].clone(), &device);
    let loaded = load_pretrained::<M>(folder, &LoadOptions::default(), &device)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.initialised.is_empty(), "{}: drawn anew: {:?}", folder.display(), loaded.initialised);
    let mask = ints("attention_mask").float();
    let lengths = lengths(&mask);
    for lengths in [None, Some(lengths)] {
        let input = EncoderInput {
            input_ids: ints("input_ids"),
            attention_mask: mask.clone(),
            token_type_ids: ints("token_type_ids"),
            lengths,
        };
        let output = forward(&loaded.model, input, OutputRequest::ALL, Mode::Eval);
        let layers = loaded.config.num_hidden_layers;
        compare(folder, output, &expected, layers, mask.to_data(), has_features);
    }
}

/// The number of tokens of each row of a mask, all of which come first.
fn lengths<B: Backend>(mask: &Tensor<B, 2>) -> Vec<usize> {
    let values: Vec<f32> = mask.to_data().iter::<f32>().collect();
    let of_row = |row: &[f32]| {
        let length = row.iter().filter(|&&value| value == 1.0).count();
        assert!(row[..length].iter().all(|&value| value == 1.0), "padding among the tokens: {row:?}");
        length
    };
    values.chunks(mask.dims()[1]).map(of_row).collect()
}

fn compare<B: Backend, const D: usize>(
    folder: &Path,
    output: ModelOutput<B, D>,
    expected: &BTreeMap<String, TensorData>,
    layers: usize,
    mask: TensorData,
    has_features: bool,
) {
    let mask: Vec<f32> = mask.iter::<f32>().collect();
    let values = |name: &str| -> Vec<f32> {
        let data = expected.get(name).unwrap_or_else(|| panic!("{}: no {name}", folder.display()));
        data.iter::<f32>().collect()
    };
    let what = |name: &str| format!("{}: {name}", folder.display());
    let classes = output.logits.dims()[D - 1];
    close(
        &what("logits"),
        &output.logits.into_data().iter().collect::<Vec<f32>>(),
        &values("logits"),
        // Those of a whole text, or of each real token.
        |at| D == 2 || mask[at / classes] == 1.0,
    );
    assert_eq!(output.hidden_states.len(), layers + 1, "{}", folder.display());
    let mut of_tokens = vec![("hidden", output.hidden_states)];
    let mut of_pairs = vec![("attention", output.attentions)];
    if has_features {
        of_tokens.extend([("query", output.queries), ("key", output.keys), ("value", output.values)]);
        of_pairs.push(("scores", output.attention_scores));
    }
    for (list, features) in of_tokens {
        assert!(features.len() >= layers, "{}: {list}", folder.display());
        for (index, feature) in features.into_iter().enumerate() {
            let width = feature.dims()[2];
            let name = format!("{list}.{index}");
            let got: Vec<f32> = feature.into_data().iter().collect();
            close(&what(&name), &got, &values(&name), |at| mask[at / width] == 1.0);
        }
    }
    for (list, features) in of_pairs {
        assert_eq!(features.len(), layers, "{}: {list}", folder.display());
        for (index, feature) in features.into_iter().enumerate() {
            let [_, heads, length, _] = feature.dims();
            let name = format!("{list}.{index}");
            let got: Vec<f32> = feature.into_data().iter().collect();
            // [batch, head, query, key]: rows of real tokens, and in them all probabilities, 0 at
            // padding, but the scores of real tokens only.
            let counts = |at: usize| {
                let (batch, query, key) = (at / (heads * length * length), at / length % length, at % length);
                let is_real = |token: usize| mask[batch * length + token] == 1.0;
                is_real(query) && (list == "attention" || is_real(key))
            };
            close(&what(&name), &got, &values(&name), counts);
        }
    }
}

fn close(what: &str, got: &[f32], want: &[f32], counts: impl Fn(usize) -> bool) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    let mut compared = 0;
    for (at, (got, want)) in got.iter().zip(want).enumerate().filter(|(at, _)| counts(*at)) {
        assert!((got - want).abs() <= TOLERANCE, "{what}, value {at}: {got}, expected {want}");
        compared += 1;
    }
    assert!(compared > 0, "{what}: nothing was compared");
}
