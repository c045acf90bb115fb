//! What a run that is continued or goes wrong says, and what it leaves.

mod workshop;

use std::fs;

use serde_json::Value;
use workshop::{Workshop, texts};

/// A shop with a run that was stopped after its first epoch, as far as its files go.
fn stopped() -> Workshop {
    let shop = Workshop::new();
    shop.succeed(&["train", "run.toml"]);
    fs::remove_dir_all(shop.path("out/model")).unwrap();
    fs::remove_file(shop.path("out/result.json")).unwrap();
    shop
}

#[test]
fn a_run_whose_settings_or_data_changed_is_refused_with_each_difference() {
    let shop = stopped();
    shop.write("train.tsv", texts(40).replace("good", "fine"));
    let changed = ["train", "run.toml", "--resume", "--set", "training.optimizer.lr=0.5"];
    let rate = "configuration.training.optimizer.lr: 0.01 then, 0.5 now";
    shop.refuse(&changed, 2, &[rate, "run.train: \"40 examples, SHA-256", "--accept-changes", "--overwrite"]);
    let outcome = shop.succeed(&[&changed[..], &["--accept-changes"]].concat());
    assert!(outcome.stderr.contains(rate), "{}", outcome.stderr);
}

#[test]
fn what_changes_no_result_may_change() {
    let shop = stopped();
    fs::rename(shop.path("train.tsv"), shop.path("moved.tsv")).unwrap();
    fs::rename(shop.path("out"), shop.path("elsewhere")).unwrap();
    let settings = ["data.train=moved.tsv", "training.output_dir=elsewhere", "training.log_every=1"];
    let settings = settings.iter().flat_map(|setting| ["--set", *setting]);
    shop.succeed(&["train", "run.toml", "--resume"].into_iter().chain(settings).collect::<Vec<_>>());
}

#[test]
fn accepting_changes_means_nothing_without_resuming() {
    Workshop::new().refuse(&["train", "run.toml", "--accept-changes"], 2, &["--resume"]);
}

/// The weights overflow at the first step, so that the second has no gradient.
const OVERFLOW: [&str; 4] = ["--set", "training.optimizer.lr=1e38", "--set", "training.ckpt_steps=1"];

#[test]
fn a_step_without_a_gradient_ends_the_run_and_its_batches_are_written() {
    let shop = Workshop::new();
    let outcome = shop.textbrew(&[&["train", "run.toml"][..], &OVERFLOW].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let said = &outcome.stderr;
    assert!(said.contains("the gradient of step 2") && said.contains("on_not_finite"), "{said}");
    assert!(said.contains("out/not-finite/step-00000002.json"), "{said}");
    let file = fs::read(shop.path("out/not-finite/step-00000002.json")).unwrap();
    let event: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((event["step"].as_u64(), event["action"].as_str()), (Some(2), Some("stop")), "{event}");
    let examples = event["batches"][0].as_array().unwrap();
    assert_eq!(examples.len(), 8, "{event}");
    assert!(examples[0]["example"].is_u64() && examples[0]["token_ids"].is_array(), "{event}");
    assert!(shop.path("out/checkpoints/step-00000001").exists(), "the last checkpoint stays");
}

#[test]
fn such_steps_are_left_out_where_the_run_says_so() {
    let shop = Workshop::new();
    let lower = ["--set", "training.on_not_finite=lower", "--set", "training.num_epochs=1"];
    let outcome = shop.succeed(&[&["train", "run.toml"][..], &OVERFLOW, &lower].concat());
    assert!(outcome.stderr.contains("left out and the learning rate halved"), "{}", outcome.stderr);
    let log = fs::read_to_string(shop.path("out/log.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let left_out = events.iter().filter(|event| event["event"] == "not_finite").count();
    assert_eq!(left_out, 4, "every step but the first of 40 examples in batches of 8: {log}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_taken() {
    let shop = Workshop::new();
    let keep = ["--set", "training.ckpt_steps=3", "--set", "training.keep_checkpoints=2"];
    shop.succeed(&[&["train", "run.toml"][..], &keep].concat());
    let expected = fs::read(shop.path("out/model/model.safetensors")).unwrap();
    let last = shop.path("out/checkpoints/step-00000010/trainable.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..100]).unwrap();
    let outcome = shop.succeed(&[&["train", "run.toml", "--resume"][..], &keep].concat());
    let said = &outcome.stderr;
    assert!(said.contains("step-00000010 is damaged: trainable.safetensors has 100 bytes"), "{said}");
    assert!(said.contains("continues from step-00000009"), "{said}");
    assert!(fs::read(shop.path("out/model/model.safetensors")).unwrap() == expected);
}
