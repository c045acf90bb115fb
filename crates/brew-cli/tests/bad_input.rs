//! Bad input is an error that says what is wrong and where, ends with exit code 2 (the input is at
//! fault) or 1 (the run failed), and leaves no file behind.

mod workshop;

use std::fs;

use workshop::{Workshop, config, texts};

const TRAIN: [&str; 2] = ["train", "run.toml"];

#[test]
fn a_missing_data_file_is_named() {
    let shop = Workshop::new();
    fs::remove_file(shop.path("train.tsv")).unwrap();
    shop.refuse(&TRAIN, 2, &["train.tsv"]);
}

#[test]
fn an_empty_data_file_is_named() {
    let shop = Workshop::new();
    shop.write("train.tsv", "");
    shop.refuse(&TRAIN, 2, &["train.tsv", "no example"]);
}

#[test]
fn a_row_with_too_few_columns_is_named_by_its_line() {
    let shop = Workshop::new();
    shop.write("train.tsv", texts(3) + "no label here\n" + &texts(3));
    shop.refuse(&TRAIN, 2, &["train.tsv", "line 4"]);
}

#[test]
fn a_label_that_only_dev_has_is_named() {
    let shop = Workshop::new();
    shop.write("dev.tsv", texts(2) + "a plot\tneutral\n");
    shop.refuse(&TRAIN, 2, &["dev.tsv", "neutral", "pos", "neg"]);
}

#[test]
fn invalid_utf8_is_named_by_its_line() {
    let shop = Workshop::new();
    let mut bytes = texts(2).into_bytes();
    bytes.extend_from_slice(b"caf\xe9\tpos\n");
    shop.write("train.tsv", bytes);
    shop.refuse(&TRAIN, 2, &["train.tsv", "line 3", "UTF-8"]);
}

#[test]
fn a_missing_run_file_is_named() {
    Workshop::new().refuse(&["train", "nowhere.toml"], 2, &["nowhere.toml"]);
}

#[test]
fn a_misspelt_key_names_the_nearest() {
    let shop = Workshop::new();
    shop.refuse(&["train", "run.toml", "--set", "training.num_epoch=3"], 2, &["num_epoch", "num_epochs"]);
    shop.write("wrong.toml", "[trainin]\nnum_epochs = 3\n");
    shop.refuse(&["train", "wrong.toml"], 2, &["wrong.toml", "trainin", "training"]);
}

/// A finished run in `out`, whose model can teach.
fn with_teacher() -> Workshop {
    let shop = Workshop::new();
    shop.succeed(&TRAIN);
    shop
}

/// `textbrew distill` of that teacher with further settings.
fn distill<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "distill",
        "run.toml",
        "--set",
        "teacher.from=out/model",
        "--set",
        "training.output_dir=student",
    ];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments
}

#[test]
fn what_cannot_be_distilled_is_refused_before_the_first_step() {
    let shop = with_teacher();
    shop.refuse(&distill(&["distillation.temperature=-8"]), 2, &["distillation.temperature", "-8"]);
    shop.refuse(
        &distill(&[
            r#"distillation.intermediate_matches=[{layer_T=1,layer_S=1,feature="hidden",loss="hiden_mse",weight=1}]"#,
        ]),
        2,
        &["intermediate_matches[0].loss", "hiden_mse", "hidden_mse"],
    );
    shop.refuse(
        &distill(&[
            r#"distillation.intermediate_matches=[{layer_T=9,layer_S=1,feature="hidden",loss="hidden_mse",weight=1}]"#,
        ]),
        2,
        &["intermediate_matches[0].layer_T", "9", "0 to 2"],
    );
    shop.refuse(
        &distill(&["model.layers=[7]", "model.from=out/model"]),
        2,
        &["model.config", "leave out model.config"],
    );
    shop.write("narrow.json", config(4, 1));
    shop.refuse(
        &distill(&[
            "model.config=narrow.json",
            r#"distillation.intermediate_matches=[{layer_T=2,layer_S=1,feature="hidden",loss="hidden_mse",weight=1}]"#,
        ]),
        2,
        &["intermediate_matches[0].proj", "missing", r#"["linear", 4, 8]"#],
    );
    shop.refuse(
        &distill(&[
            r#"distillation.intermediate_matches=[{layer_T=1,layer_S=1,feature="hidden",loss="hidden_mse",teacher=1}]"#,
        ]),
        2,
        &["intermediate_matches[0].teacher", "there are 1"],
    );
    shop.refuse(&["distill", "run.toml"], 2, &["teacher.from"]);
    shop.refuse(&distill(&["teacher.from=vocab"]), 2, &["vocab", "config.json"]);

    let other = shop.path("out/model/config.json");
    let bert = fs::read_to_string(&other).unwrap();
    fs::write(&other, bert.replace("\"bert\"", "\"gpt2\"")).unwrap();
    shop.refuse(&distill(&[]), 2, &["gpt2", "bert"]);
    shop.refuse(&["evaluate", "out/model", "--data", "dev.tsv"], 2, &["gpt2", "bert"]);
    fs::write(&other, bert).unwrap();

    let weights = shop.path("out/model/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    for length in [whole.len() - 100, 40, 3, 0] {
        fs::write(&weights, &whole[..length]).unwrap();
        shop.refuse(&distill(&[]), 2, &["model.safetensors"]);
    }
    shop.refuse(&["evaluate", "out", "--data", "dev.tsv"], 2, &["model.safetensors"]);
    shop.refuse(&["params", "out"], 2, &["model.safetensors"]);
}

#[test]
fn an_output_folder_in_use_asks_for_overwrite_or_resume() {
    let shop = with_teacher();
    shop.refuse(&TRAIN, 2, &["out", "--overwrite", "--resume"]);
    shop.succeed(&["train", "run.toml", "--overwrite"]);
    shop.refuse(&["export", "out", "vocab"], 2, &["vocab", "exists"]);
}

#[test]
fn an_output_folder_with_other_files_is_left_alone() {
    let shop = Workshop::new();
    for flag in [None, Some("--overwrite")] {
        let mut arguments = TRAIN.to_vec();
        arguments.extend(["--set", "training.output_dir=vocab"]);
        arguments.extend(flag);
        shop.refuse(&arguments, 2, &["vocab"]);
    }
    shop.refuse(&["train", "run.toml", "--resume"], 2, &["out", "without --resume"]);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_told_before_the_run() {
    let shop = Workshop::new();
    // Below a file: not even root may write there.
    let arguments = ["train", "run.toml", "--set", "training.output_dir=run.toml/out"];
    shop.refuse(&arguments, 2, &["training.output_dir", "run.toml/out"]);
}

#[test]
fn an_unknown_backend_lists_those_of_the_build() {
    let shop = Workshop::new();
    shop.refuse(&["train", "run.toml", "--backend", "tpu"], 2, &["tpu", "flex", "ndarray"]);
}

#[test]
fn a_vocabulary_that_cannot_be_learned_or_written_leaves_nothing() {
    let shop = Workshop::new();
    let learn = |data, output, more: &[&'static str], code, named: &[&str]| {
        shop.refuse(&[&["vocabulary", data, "--output", output][..], more].concat(), code, named);
    };
    learn("train.tsv", "vocab", &[], 2, &["vocab holds a tokenizer already", "vocab.txt"]);
    learn("nowhere.tsv", "words", &[], 2, &["nowhere.tsv", "no such file"]);
    learn("train.tsv", "words", &["--size", "3"], 2, &["3", "at least 7"]);
    learn("train.tsv", "words", &["--size", "many"], 2, &["--size", "many"]);
    learn("train.tsv", "words", &["--text", "sentence"], 2, &["train.tsv", "`sentence`"]);
    shop.write("blank.jsonl", "{\"text\": \" \"}\n");
    learn("blank.jsonl", "words", &[], 2, &["no word"]);
    // Below a file: not even root may write there.
    learn("train.tsv", "run.toml/words", &[], 1, &["run.toml/words"]);
    shop.refuse(&["vocabulary", "--output", "words"], 2, &["DATA"]);
}

#[test]
fn a_model_that_is_none_says_what_it_should_be() {
    let shop = Workshop::new();
    shop.refuse(&["predict", "vocab", "--data", "dev.tsv"], 2, &["vocab", "config.json"]);
    shop.refuse(&["params", "nowhere"], 2, &["nowhere"]);
    shop.refuse(&["export", "nowhere", "target"], 2, &["nowhere"]);
}
