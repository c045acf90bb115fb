//! What a run is: its configuration, models and data. A run that is another one does not continue from its
//! checkpoints.

use std::path::Path;

use brew_cache::digest_file;
use brew_data::{Feature, Target};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::corpus::Split;
use crate::{BackendKind, Run, RunConfig, RunError};

/// Fields that may change between the parts of a run: where things are (what they hold is summed), what is told,
/// when checkpoints are taken, and what follows a step that cannot be taken.
const FREE: [(&str, &[&str]); 6] = [
    ("data", &["train", "dev", "test", "transfer", "folder", "eval_batch_size"]),
    ("model", &["from", "tokenizer", "config", "preset", "layers"]),
    ("teacher", &["from"]),
    (
        "training",
        &[
            "output_dir",
            "log_dir",
            "log_every",
            "on_not_finite",
            "keep_checkpoints",
            "ckpt_frequency",
            "ckpt_epoch_frequency",
            "ckpt_steps",
            "device",
            "fp16",
            "fp16_opt_level",
            "data_parallel",
            "local_rank",
        ],
    ),
    ("distillation", &["is_caching_logits"]),
    ("cache", &["keep", "dir", "limit_gb"]),
];

/// The files of a teacher that say what it answers.
const TEACHER_FILES: [&str; 5] =
    ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.txt"];

/// What a run is.
pub(crate) fn of_run(run: &Run, backend: BackendKind) -> Result<Value, RunError> {
    let mut identity = json!({ "backend": backend.name(), "configuration": free(&run.config) });
    identity["run"] = parts(run)?;
    Ok(identity)
}

/// What a run of several tasks is.
pub(crate) fn of_tasks<'a>(
    config: &RunConfig,
    tasks: impl Iterator<Item = (&'a str, &'a Run)>,
    backend: BackendKind,
) -> Result<Value, RunError> {
    let tasks = tasks.map(|(name, run)| {
        Ok(json!({ "name": name, "configuration": free(&run.config), "run": parts(run)? }))
    });
    let tasks = tasks.collect::<Result<Vec<Value>, RunError>>()?;
    let mut configuration = free(config);
    configuration.as_object_mut().and_then(|fields| fields.remove("tasks"));
    Ok(json!({ "backend": backend.name(), "configuration": configuration, "tasks": tasks }))
}

/// Models, labels and data of a run.
fn parts(run: &Run) -> Result<Value, RunError> {
    let teachers = run.config.teacher.as_ref().map_or(&[][..], |teacher| teacher.from.as_slice());
    let teachers = teachers.iter().take(run.teachers.len()).map(|folder| folder_sums(folder));
    let sum = |split: &Split| features_sum(&split.features);
    Ok(json!({
        "student": serde_json::to_value(&run.model).expect("a configuration is JSON"),
        "labels": run.labels.names(),
        "teachers": teachers.collect::<Result<Vec<_>, _>>()?,
        "train": sum(&run.train),
        "dev": run.dev.as_ref().map(sum),
        "test": run.test.as_ref().map(sum),
    }))
}

/// A configuration without the fields that may change.
fn free(config: &RunConfig) -> Value {
    let mut value = serde_json::to_value(config).expect("a configuration is JSON");
    for (table, fields) in FREE {
        let Some(table) = value.get_mut(table).and_then(Value::as_object_mut) else { continue };
        for field in fields {
            table.remove(*field);
        }
    }
    value
}

/// The BLAKE3 digest of each file of a teacher.
fn folder_sums(folder: &Path) -> Result<Value, RunError> {
    let mut sums = Map::new();
    for name in TEACHER_FILES {
        let path = folder.join(name);
        if path.is_file() {
            sums.insert(name.to_owned(), digest_file(&path)?.into());
        }
    }
    Ok(sums.into())
}

/// The SHA-256 of tokenized examples and what is known of them, in their order.
fn features_sum(features: &[Feature]) -> String {
    let mut digest = Sha256::new();
    for feature in features {
        digest.update(feature.id.to_le_bytes());
        for numbers in [&feature.input_ids, &feature.token_type_ids] {
            digest.update((numbers.len() as u64).to_le_bytes());
            for number in numbers {
                digest.update(number.to_le_bytes());
            }
        }
        match &feature.target {
            // A float as its bits.
            Some(Target::Value(value)) => digest.update(value.to_le_bytes()),
            target => digest.update(format!("{target:?}")),
        }
    }
    format!("{} examples, SHA-256 {}", features.len(), hexadecimal(digest))
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(id: u64, input_ids: Vec<u32>, class: usize) -> Feature {
        let token_type_ids = vec![0; input_ids.len()];
        Feature { id, input_ids, token_type_ids, target: Some(Target::Class(class)) }
    }

    #[test]
    fn every_part_of_an_example_counts() {
        let base = features_sum(&[feature(0, vec![1, 2], 0), feature(1, vec![3], 1)]);
        assert_eq!(base, features_sum(&[feature(0, vec![1, 2], 0), feature(1, vec![3], 1)]));
        for other in [
            vec![feature(0, vec![1, 2], 0)],
            vec![feature(1, vec![3], 1), feature(0, vec![1, 2], 0)],
            vec![feature(0, vec![1, 2], 1), feature(1, vec![3], 1)],
            vec![feature(0, vec![1], 0), feature(1, vec![2, 3], 1)],
            vec![feature(2, vec![1, 2], 0), feature(1, vec![3], 1)],
        ] {
            assert_ne!(base, features_sum(&other), "{other:?}");
        }
    }

    #[test]
    fn places_and_logging_may_change_and_settings_may_not() {
        let config = |text: &str| free(&toml::from_str::<RunConfig>(text).unwrap());
        let base = config("[data]\ntrain = 'a'\n[training]\noutput_dir = 'x'\nlog_every = 1");
        assert_eq!(
            base,
            config("[data]\ntrain = 'b'\n[training]\noutput_dir = 'y'\nlog_every = 2\nckpt_steps = 3")
        );
        assert_ne!(base, config("[data]\ntrain = 'a'\nbatch_size = 4"));
        assert_ne!(base, config("[data]\ntrain = 'a'\n[training]\nnum_epochs = 9"));
    }
}
