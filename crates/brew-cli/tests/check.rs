//! `textbrew check`: all problems of a run in one go, and nothing where nothing is wrong.

mod workshop;

use std::fs;
use std::path::Path;

use brew::models::{Architecture, EncoderConfig, Head};
use serde_json::Value;
use workshop::{Workshop, models, texts};

const CLASSES: Head = Head::SequenceClassification;

fn bert() -> EncoderConfig {
    let config: EncoderConfig = serde_json::from_str(&workshop::config(8, 4)).unwrap();
    config.with_labels(["neg", "pos"])
}

/// What the run files below `broken/` name.
fn shop() -> Workshop {
    let shop = Workshop::new();
    // A teacher of four layers, and others that something is wrong with.
    let with_vocabulary =
        |name: &str| fs::copy(shop.path("vocab/vocab.txt"), shop.path(name).join("vocab.txt"));
    models::write_whole(&shop.path("teacher"), &bert(), CLASSES);
    let other = EncoderConfig { hidden_size: 12, num_attention_heads: 3, num_hidden_layers: 6, ..bert() };
    models::write_whole(&shop.path("wide"), &other, CLASSES);
    models::write_whole(&shop.path("tagger"), &bert(), Head::TokenClassification);
    models::write(&shop.path("encoder"), &bert(), CLASSES, |name, shape| {
        (!name.starts_with("classifier")).then_some(shape)
    });
    models::write(&shop.path("misfit"), &bert(), CLASSES, |name, shape| match name {
        "bert.encoder.layer.2.output.dense.bias" => None,
        "bert.encoder.layer.3.output.dense.bias" => Some(vec![9]),
        _ => Some(shape),
    });
    models::write_whole(&shop.path("cut"), &bert(), CLASSES);
    let cut = fs::File::options().write(true).open(shop.path("cut/model.safetensors")).unwrap();
    cut.set_len(cut.metadata().unwrap().len() - 10).unwrap();
    for name in ["teacher", "wide", "tagger", "encoder", "misfit", "cut"] {
        with_vocabulary(name).unwrap();
    }
    models::write_whole(&shop.path("words"), &EncoderConfig { vocab_size: 12, ..bert() }, CLASSES);
    shop.write("words/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nthe\nfilm\nplot\ngood\nbad\nfine\ndull\n");
    let distil: EncoderConfig = serde_json::from_str(
        r#"{"model_type": "distilbert", "vocab_size": 15, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16,
            "max_position_embeddings": 16}"#,
    )
    .unwrap();
    shop.write("distilbert.json", serde_json::to_string(&distil).unwrap());
    let bigru = EncoderConfig {
        vocab_size: 15,
        embedding_size: Some(6),
        hidden_size: 8,
        ..EncoderConfig::of(Architecture::BiGru)
    };
    shop.write("bigru.json", serde_json::to_string(&bigru).unwrap());
    shop.write(
        "impossible.json",
        r#"{"model_type": "bert", "vocab_size": 15, "hidden_size": 10, "num_attention_heads": 4,
            "num_hidden_layers": 0, "hidden_dropout_prob": 1.5, "max_position_embeddings": "many"}"#,
    );
    shop.write("family.json", r#"{"model_type": "gpt2"}"#);
    fs::create_dir(shop.path("pickled")).unwrap();
    fs::copy(shop.path("teacher/config.json"), shop.path("pickled/config.json")).unwrap();
    fs::copy(shop.path("vocab/vocab.txt"), shop.path("pickled/vocab.txt")).unwrap();
    shop.write("pickled/pytorch_model.bin", "cos\nsystem\n(S'true'\ntR.");
    shop.write("empty.tsv", "");
    shop.write("latin.tsv", b"caf\xe9\tpos\n");
    shop.write("unlabelled.tsv", "a film\nthe plot\n");
    shop.write("neutral.tsv", texts(4) + "a plot\tneutral\n");
    shop.write("short.tsv", texts(4) + "no label\n");
    shop.write("tagged.tsv", "the\tO\nfilm\tB-X\nplot\tI-Y\n\na\n");
    shop.write(
        "questions.json",
        r#"{"data": [{"paragraphs": [{"context": "a film", "qas": [{"question": "a"}]}]}]}"#,
    );
    fs::create_dir(shop.path("used")).unwrap();
    shop.write("used/run.json", "{}");
    shop
}

fn broken() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut runs: Vec<_> = files
        .filter(|path| path.extension().is_none_or(|extension| extension != "txt"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
            (name, fs::read_to_string(&path).unwrap(), expected)
        })
        .collect();
    runs.sort();
    runs
}

/// The lines of the problems.
fn listed(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("  - ")).collect()
}

#[test]
fn every_problem_of_each_broken_run_is_told_in_one_go() {
    let shop = shop();
    let runs = broken();
    assert!(runs.len() >= 15, "{}", runs.len());
    let mut wrong = String::new();
    for (name, run, expected) in &runs {
        shop.write(name, run);
        let before = shop.files();
        let found = shop.textbrew(&["check", name]);
        assert_eq!(found.code, Some(2), "{name}: {}{}", found.stdout, found.stderr);
        assert_eq!(shop.files(), before, "{name}: something was written");
        assert!(listed(expected).len() >= 2 || expected.is_empty(), "{name} has one problem only");
        if listed(&found.stdout) != expected.lines().collect::<Vec<_>>() {
            wrong += &format!("== {name}\n{}\n", listed(&found.stdout).join("\n"));
        }
        // The run itself is refused with the same list.
        let command =
            if found.stdout.lines().next().unwrap().ends_with("to train") { "train" } else { "distill" };
        let run = shop.textbrew(&[command, name]);
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
        if listed(&run.stderr) != listed(&found.stdout) {
            wrong += &format!("== {name}, not the same by {command}\n{}\n", run.stderr);
        }
        assert_eq!(shop.files(), before, "{name}: something was written");
    }
    assert!(wrong.is_empty(), "other problems than expected:\n{wrong}");
}

#[test]
fn a_right_run_is_told_with_its_sizes() {
    let shop = shop();
    shop.write(
        "right.toml",
        "[data]\ntrain = \"train.tsv\"\ndev = \"dev.tsv\"\nmax_length = 12\nbatch_size = 8\n[model]\nfrom = \"teacher\"\n\
         layers = [1, 3]\n[teacher]\nfrom = \"teacher\"\n[training]\noutput_dir = \"new\"\nnum_epochs = 2\n\
         [distillation]\nintermediate_matches = [{layer_T = 4, layer_S = 2, feature = \"hidden\", loss = \"hidden_mse\"}]\n",
    );
    let before = shop.files();
    let found = shop.succeed(&["check", "right.toml"]);
    for part in [
        "right.toml: nothing is wrong with it, to distill",
        "student    bert, 2 layers of width 8",
        "teacher    bert, 4 layers of width 8",
        "train      40 rows, 7 tokens on average, 7 at most",
        "dev        12 rows",
        "steps      5 an epoch of 5 batches, 10 in all",
        // Two logits a text, one layer of width 8 a token: 40 texts of 7 tokens.
        "cache      an estimate: 9.3 kB of what the teachers say of all texts (8 B a text and 32 B a token)",
        "memory     an estimate",
    ] {
        assert!(found.stdout.contains(part), "{part}: {}", found.stdout);
    }
    let json: Value =
        serde_json::from_str(&shop.succeed(&["check", "right.toml", "--json", "--trial"]).stdout).unwrap();
    assert_eq!(json["problems"], Value::Array(Vec::new()));
    assert_eq!(json["steps"]["total"], 10);
    assert_eq!(json["cache"]["total"], 40 * (8 + 7 * 32));
    let trial = &json["trial"];
    assert!(trial["steps"].as_u64().unwrap() >= 3, "{trial}");
    let [step, epoch] = ["seconds_per_step", "seconds_per_epoch"].map(|name| trial[name].as_f64().unwrap());
    assert!(step > 0.0 && (epoch - 5.0 * step).abs() < 1e-9, "{trial}");
    assert_eq!(shop.files(), before, "something was written");
}

#[test]
fn problems_are_for_machines_too() {
    let shop = shop();
    let found = shop.textbrew(&[
        "check",
        "run.toml",
        "--json",
        "--set",
        "data.dev=neutral.tsv",
        "--set",
        "training.sed=1",
    ]);
    assert_eq!(found.code, Some(2), "{}", found.stderr);
    let json: Value = serde_json::from_str(&found.stdout).unwrap();
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!((&problems[0]["file"], &problems[0]["field"]), (&"run.toml".into(), &"training.sed".into()));
    assert_eq!(problems[0]["value"], "1");
    assert!(problems[0]["message"].as_str().unwrap().ends_with("(from --set)"), "{}", problems[0]);
    assert_eq!((&problems[1]["file"], &problems[1]["field"]), (&"neutral.tsv".into(), &"data.dev".into()));
}

#[test]
fn a_model_and_the_file_it_is_used_on_are_told_together() {
    let shop = shop();
    let found = shop.textbrew(&["evaluate", "cut", "--data", "short.tsv"]);
    assert_eq!(found.code, Some(2), "{}", found.stderr);
    let lines = listed(&found.stderr);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("cut/model.safetensors") && lines[1].contains("short.tsv, line 5"),
        "{lines:?}"
    );
    shop.refuse(
        &["predict", "encoder", "--data", "nowhere.tsv"],
        2,
        &["no classifier", "nowhere.tsv", "2 problems"],
    );
    shop.refuse(
        &["evaluate", "teacher", "--data", "neutral.tsv"],
        2,
        &["neutral.tsv", "line 5", "`neutral`"],
    );
    // What is to be predicted needs no labels.
    shop.succeed(&["predict", "teacher", "--data", "neutral.tsv"]);
}
