//! Checkpoints against what transformers computes from them: every folder below `models/` of each golden folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brew_models::{EncoderInput, LoadOptions, Mode, ModelOutput, OutputRequest, load_pretrained};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use serde_json::Value;

/// Architectures that the goldens hold and this crate does not build yet.
const NOT_BUILT: [&str; 3] =
    ["BertForQuestionAnswering", "RobertaForSequenceClassification", "ElectraForTokenClassification"];

const TOLERANCE: f32 = 1e-4;

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
    for root in brew_testkit::golden_dirs() {
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
            check::<B>(&folder);
            eprintln!("reproduced {}", folder.display());
            ran += 1;
        }
    }
    assert!(ran > 0, "no model was run");
}

fn check<B: Backend>(folder: &Path) {
    let device = B::Device::default();
    let expected = brew_testkit::read_safetensors(folder.join("expected.safetensors"));
    let ints = |name: &str| Tensor::<B, 2, Int>::from_data(expected[name].clone(), &device);
    let loaded = load_pretrained::<B>(folder, &LoadOptions::default(), &device)
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
        let output = loaded.model.forward(input, OutputRequest::ALL, Mode::Eval);
        compare(folder, output, &expected, loaded.config.num_hidden_layers, mask.to_data());
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

fn compare<B: Backend>(
    folder: &Path,
    output: ModelOutput<B>,
    expected: &BTreeMap<String, TensorData>,
    layers: usize,
    mask: TensorData,
) {
    let mask: Vec<f32> = mask.iter::<f32>().collect();
    let values = |name: &str| -> Vec<f32> {
        let data = expected.get(name).unwrap_or_else(|| panic!("{}: no {name}", folder.display()));
        data.iter::<f32>().collect()
    };
    let what = |name: &str| format!("{}: {name}", folder.display());
    close(
        &what("logits"),
        &output.logits.into_data().iter().collect::<Vec<f32>>(),
        &values("logits"),
        |_| true,
    );
    assert_eq!(output.hidden_states.len(), layers + 1, "{}", folder.display());
    assert_eq!(output.attentions.len(), layers, "{}", folder.display());
    for (index, hidden) in output.hidden_states.into_iter().enumerate() {
        let width = hidden.dims()[2];
        let name = format!("hidden.{index}");
        let got: Vec<f32> = hidden.into_data().iter().collect();
        close(&what(&name), &got, &values(&name), |at| mask[at / width] == 1.0);
    }
    for (index, attention) in output.attentions.into_iter().enumerate() {
        let [_, heads, length, _] = attention.dims();
        let name = format!("attention.{index}");
        let got: Vec<f32> = attention.into_data().iter().collect();
        // Rows of real tokens: [batch, head, query, key].
        let is_query = |at: usize| {
            let (batch, query) = (at / (heads * length * length), at / length % length);
            mask[batch * length + query] == 1.0
        };
        close(&what(&name), &got, &values(&name), is_query);
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
