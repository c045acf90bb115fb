//! Every task at sizes that take no time, so that the benchmark can still be run when it is wanted.

use std::fs;
use std::path::PathBuf;

use brew::models::{EncoderConfig, SequenceClassifier, save_pretrained};
use brew::random::Key;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Its model is written without any backend's name.
struct Write(EncoderConfig, PathBuf);

impl BackendJob for Write {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: <B as BackendTypes>::Device) {
        let model = SequenceClassifier::<B>::new(&self.0, Key::new(1), &device);
        save_pretrained(&model, &self.0, None, &self.1).unwrap();
    }
}

/// A folder with a model, its vocabulary and some texts.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"];
    let config = EncoderConfig {
        vocab_size: words.len(),
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 16,
        max_position_embeddings: 16,
        ..EncoderConfig::default()
    };
    dispatch(BackendKind::first().unwrap(), Write(config, at("model")));
    fs::write(at("model/vocab.txt"), words.join("\n") + "\n").unwrap();
    fs::write(at("texts.tsv"), "good film\t1\nbad\t0\nbad bad film\t0\n").unwrap();
    folder
}

fn run(folder: &TempDir, mut spec: Value) -> Vec<measure::Part> {
    spec["warmup"] = 1.into();
    spec["iterations"] = 2.into();
    let path = folder.path().join("spec.json");
    fs::write(&path, spec.to_string()).unwrap();
    let report = measured(BackendKind::first().unwrap(), Task::read(&path).unwrap()).unwrap();
    for part in &report.parts {
        assert_eq!(part.seconds.len(), 2, "{}", part.name);
        assert!(part.seconds.iter().all(|&seconds| seconds > 0.0), "{part:?}");
        assert!(part.check.iter().all(|number| number.is_finite()), "{part:?}");
    }
    report.parts
}

#[test]
fn a_step_starts_from_the_model_that_the_forward_pass_measures() {
    let folder = folder();
    let spec = |task| json!({"task": task, "model": folder.path().join("model"), "batch": 3, "length": 5});
    let forward = run(&folder, spec("forward")).remove(0);
    let step = run(&folder, spec("step")).remove(0);
    assert_eq!((forward.items, forward.check.len()), (3, 6));
    for (a, b) in forward.check.iter().zip(&step.check) {
        assert!((a - b).abs() < 1e-5, "{forward:?} {step:?}");
    }
}

#[test]
fn texts_are_counted_and_their_logits_do_not_depend_on_the_batch() {
    let folder = folder();
    let (model, texts) = (folder.path().join("model"), folder.path().join("texts.tsv"));
    let spec = json!({"task": "tokenize", "tokenizer": model, "texts": texts, "max_length": 16, "batch": 2});
    let tokenized = run(&folder, spec).remove(0);
    // 2 + 1 + 3 words, each text between [CLS] and [SEP].
    assert_eq!((tokenized.items, tokenized.check), (3, vec![12.0]));

    let exported = folder.path().join("exported");
    let spec = json!({"task": "export", "model": model, "tokenizer": model, "folder": exported});
    assert!(run(&folder, spec).is_empty());
    let spec =
        json!({"task": "infer", "model": exported, "texts": texts, "max_length": 16, "batches": [1, 3]});
    let parts = run(&folder, spec);
    assert_eq!(parts[0].name, "batch 1");
    assert_eq!(parts[1].check.len(), 6);
    for (a, b) in parts[0].check.iter().zip(&parts[1].check) {
        assert!((a - b).abs() < 1e-5, "{parts:?}");
    }
}

#[test]
fn products_are_of_the_shapes_asked_for() {
    let folder = folder();
    let parts = run(&folder, json!({"task": "products", "shapes": [[2, 3, 4]]}));
    assert_eq!((parts[0].name.as_str(), parts[0].items), ("2x3x4", 48));
    // Row [-0.5, 0.419, 0.338] by the first column of the other matrix, [-0.5, 0.176, -0.148].
    assert!((parts[0].check[0] - (0.25 + 0.419 * 0.176 - 0.338 * 0.148)).abs() < 1e-6, "{parts:?}");
}

#[test]
fn every_loss_is_measured_with_its_gradient() {
    let folder = folder();
    let shapes: Vec<(String, Vec<usize>)> = [("mask", vec![2, 3])]
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
        .chain(["student", "teacher"].into_iter().flat_map(|side| {
            let width = if side == "student" { 4 } else { 6 };
            let hidden = move |layer| (format!("{side}_hidden_{layer}"), vec![2, 3, width]);
            [
                (format!("{side}_logits"), vec![2, 2]),
                (format!("{side}_attention"), vec![2, 2, 3, 3]),
                hidden(0),
                hidden(1),
            ]
        }))
        .chain((0..2).map(|layer| (format!("student_projected_{layer}"), vec![2, 3, 6])))
        .collect();
    let data: Vec<Vec<u8>> = shapes
        .iter()
        .enumerate()
        .map(|(index, (name, shape))| {
            let value =
                |at: usize| if name == "mask" { 1.0 } else { ((at * 7 + index * 3) % 11) as f32 / 11.0 };
            (0..shape.iter().product()).flat_map(|at| value(at).to_le_bytes()).collect()
        })
        .collect();
    let views = shapes.iter().zip(&data).map(|((name, shape), data)| {
        (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    let path = folder.path().join("losses.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let parts = run(&folder, json!({"task": "losses", "tensors": path}));
    assert_eq!(parts.len(), 11);
    assert!(parts.iter().all(|part| part.check[0] > 0.0), "{parts:?}");
}

#[test]
fn a_task_that_nobody_knows_is_refused_with_its_file() {
    let folder = folder();
    let path = folder.path().join("spec.json");
    fs::write(&path, r#"{"task": "sleep"}"#).unwrap();
    let error = format!("{:#}", Task::read(&path).unwrap_err());
    assert!(error.contains("spec.json") && error.contains("sleep") && error.contains("forward"), "{error}");
}
