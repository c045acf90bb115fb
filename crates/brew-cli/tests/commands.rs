//! The commands in the order a user meets them, on a tiny task.

mod workshop;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use workshop::{Workshop, texts};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_run_can_be_trained_distilled_evaluated_predicted_counted_and_exported() {
    let shop = Workshop::new();
    let trained = shop.succeed(&["train", "run.toml", "--set", "training.num_epochs=12"]);
    assert!(trained.stdout.contains("accuracy") && trained.stdout.contains("dev"), "{}", trained.stdout);
    let result = json(&fs::read_to_string(shop.path("out/result.json")).unwrap());
    let accuracy = result["dev"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "a task of six adjectives, yet {accuracy}");

    shop.succeed(&[
        "distill",
        "run.toml",
        "--set",
        "teacher.from=out",
        "--set",
        "training.output_dir=student",
        "--set",
        r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse",weight=1}]"#,
    ]);
    let log = fs::read_to_string(shop.path("student/log.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(json).collect();
    assert_eq!(events.first().unwrap()["event"], "begin");
    assert_eq!(events.last().unwrap()["event"], "end");
    let report = events.iter().find(|event| event["event"] == "report").unwrap();
    let terms = report["terms"].to_string();
    assert!(terms.contains("kd_loss") && terms.contains("hidden_mse"), "{terms}");

    let evaluated = json(&shop.succeed(&["evaluate", "out", "--data", "dev.tsv", "--json"]).stdout);
    assert_eq!(evaluated["accuracy"].as_f64().unwrap(), accuracy);

    shop.succeed(&["predict", "out", "--data", "dev.tsv", "--output", "predictions.jsonl"]);
    let predictions = fs::read_to_string(shop.path("predictions.jsonl")).unwrap();
    let gold = texts(12);
    let right = predictions
        .lines()
        .zip(gold.lines())
        .filter(|(line, gold)| json(line)["label"].as_str() == gold.split('\t').nth(1))
        .count();
    assert_eq!(predictions.lines().count(), 12);
    assert!((right as f64 / 12.0 - accuracy).abs() < 1e-9, "{right} of 12 agree, not {accuracy}");

    let params = json(&shop.succeed(&["params", "out", "--json"]).stdout);
    assert_eq!(params["total"], result["parameters"]);

    shop.succeed(&["export", "out", "exported"]);
    let exported = json(&shop.succeed(&["evaluate", "exported", "--data", "dev.tsv", "--json"]).stdout);
    assert_eq!(exported, evaluated);
    shop.succeed(&["export", "out", "best", "--checkpoint", "best"]);
    assert!(shop.path("best/model.safetensors").exists());
}

#[test]
fn a_student_learns_from_two_teachers() {
    let shop = Workshop::new();
    shop.succeed(&["train", "run.toml"]);
    let second = ["train", "run.toml", "--set", "training.output_dir=second", "--set", "training.seed=1"];
    shop.succeed(&second);
    let matched = r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse",teacher=1}]"#;
    let arguments = |weights: &'static str| {
        let settings = [r#"teacher.from=["out", "second"]"#, weights, matched, "training.output_dir=student"];
        let mut arguments = vec!["distill", "run.toml"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
        arguments
    };
    shop.refuse(&arguments("teacher.weights=[1]"), 2, &["teacher.weights", "[1.0]", "2 teachers"]);
    shop.succeed(&arguments("teacher.weights=[3, 1]"));
    let log = fs::read_to_string(shop.path("student/log.jsonl")).unwrap();
    assert!(log.contains("hidden_hidden_mse_2_2_teacher1"), "{log}");
}

#[test]
fn a_trial_takes_only_the_first_rows_of_the_training_file() {
    let shop = Workshop::new();
    shop.refuse(
        &["train", "run.toml", "--set", "data.train_examples=0"],
        2,
        &["data.train_examples", "at least 1"],
    );
    shop.succeed(&["train", "run.toml", "--set", "data.train_examples=16"]);
    let log = fs::read_to_string(shop.path("out/log.jsonl")).unwrap();
    let begin = json(log.lines().next().unwrap());
    assert_eq!(begin["examples"], 16);
    // Two epochs of two batches.
    assert_eq!(json(&fs::read_to_string(shop.path("out/result.json")).unwrap())["steps"], 4);
    // Its three rows are all of one label; dev has both.
    shop.succeed(&["train", "run.toml", "--set", "data.train_examples=3", "--overwrite"]);
}

#[test]
fn training_on_both_cpu_backends_ends_alike() {
    let shop = Workshop::new();
    let loss = |backend: &str| {
        let folder = format!("training.output_dir={backend}");
        shop.succeed(&["train", "run.toml", "--backend", backend, "--set", &folder]);
        let log = fs::read_to_string(shop.path(backend).join("log.jsonl")).unwrap();
        let last = log.lines().map(json).rfind(|event| event["event"] == "report").unwrap();
        last["loss"].as_f64().unwrap()
    };
    let (flex, ndarray) = (loss("flex"), loss("ndarray"));
    assert!((flex - ndarray).abs() < 1e-3, "{flex} and {ndarray}");
}

#[test]
fn fields_of_textbrewer_without_effect_are_mentioned() {
    let shop = Workshop::new();
    let outcome = shop.succeed(&["train", "run.toml", "--set", "training.fp16=true"]);
    assert!(outcome.stderr.contains("fp16"), "{}", outcome.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_after_the_step_and_leaves_a_checkpoint_to_go_on_from() {
    let shop = Workshop::new();
    // Far more steps than are done before the signal comes.
    let arguments =
        ["train", "run.toml", "--set", "training.num_epochs=600", "--set", "training.log_every=1"];
    let settings = ["--set", "training.ckpt_epoch_frequency=600"];
    let arguments = [&arguments[..], &settings[..]].concat();
    let mut child = shop.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = shop.path("out/log.jsonl");
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("\"report\"")) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("--resume"), "{said}");
    assert!(!shop.path("out/result.json").exists());

    let index = json(&fs::read_to_string(shop.path("out/checkpoints/index.json")).unwrap());
    let last = index["last"][0].as_str().unwrap();
    let model = format!("out/checkpoints/{last}");
    shop.succeed(&["evaluate", &model, "--data", "dev.tsv"]);

    let steps: u64 = last.trim_start_matches("step-").parse().unwrap();
    assert!(steps < 3000, "stopped at {steps} of 3000");
    shop.succeed(&[&arguments[..], &["--resume"]].concat());
    let result = json(&fs::read_to_string(shop.path("out/result.json")).unwrap());
    assert_eq!(result["steps"], 3000);
}

#[test]
fn a_vocabulary_is_learned_and_a_run_reads_it() {
    let shop = Workshop::new();
    let learn = |output: &'static str| {
        let said = shop.succeed(&["vocabulary", "train.tsv", "dev.tsv", "--size", "60", "--output", output]);
        assert!(said.stdout.contains(output) && said.stdout.contains("entries"), "{}", said.stdout);
        ["tokenizer.json", "vocab.txt", "tokenizer_config.json"]
            .map(|file| fs::read_to_string(shop.path(output).join(file)).unwrap())
    };
    let [tokenizer, vocabulary, config] = learn("words");
    assert_eq!(learn("again/words"), [tokenizer, vocabulary.clone(), config]);
    let entries: Vec<&str> = vocabulary.lines().collect();
    assert_eq!(entries[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    assert!(entries.len() <= 60 && entries.contains(&"film") && entries.contains(&"great"), "{vocabulary}");
    assert!(!entries.contains(&"pos"), "labels are no text: {vocabulary}");

    let config = fs::read_to_string(shop.path("config.json")).unwrap();
    shop.write("config.json", config.replace("\"vocab_size\": 15", "\"vocab_size\": 60"));
    shop.succeed(&["train", "run.toml", "--set", "model.tokenizer=words"]);

    // The second text of a pair counts, and case where it is asked for.
    shop.write("pairs.jsonl", "{\"a\": \"Ox ox ox\", \"b\": \"Ox yak yak\"}\n");
    let columns = ["--text", "a", "--text-pair", "b", "--cased", "--output", "pairs"];
    shop.succeed(&[&["vocabulary", "pairs.jsonl"][..], &columns[..]].concat());
    let vocabulary = fs::read_to_string(shop.path("pairs/vocab.txt")).unwrap();
    for word in ["Ox", "ox", "yak"] {
        assert!(vocabulary.lines().any(|entry| entry == word), "{word}: {vocabulary}");
    }
}

#[test]
fn every_command_explains_itself() {
    let shop = Workshop::new();
    for command in ["train", "distill", "evaluate", "predict", "params", "export", "vocabulary", "quickstart"]
    {
        let help = shop.succeed(&[command, "--help"]).stdout;
        assert!(help.contains("Usage: textbrew"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    assert!(shop.succeed(&["--help"]).stdout.contains("quickstart"));
}
