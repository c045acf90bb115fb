//! Ways to distil that a run file chooses: another tokenizer, layers many to many, outputs kept.

mod workshop;

use std::fs;

use serde_json::Value;
use workshop::Workshop;

/// A shop with a teacher in `out`, and in `small` another vocabulary, of letters alone, for the student.
fn taught() -> Workshop {
    let shop = Workshop::new();
    shop.succeed(&["train", "run.toml", "--set", "training.num_epochs=12"]);
    let mut vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    for letter in 'a'..='z' {
        vocabulary += &format!("{letter}\n##{letter}\n");
    }
    fs::create_dir(shop.path("small")).unwrap();
    shop.write("small/vocab.txt", vocabulary);
    let config = workshop::config(8, 2).replace("\"vocab_size\": 15", "\"vocab_size\": 57");
    shop.write(
        "small.json",
        config.replace("\"max_position_embeddings\": 16", "\"max_position_embeddings\": 40"),
    );
    shop
}

/// `textbrew distill` into `folder` with these settings.
fn distil<'a>(folder: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["distill", "run.toml", "--set", "teacher.from=out", "--set", folder];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    arguments
}

/// The reports of a run.
fn reports(shop: &Workshop, folder: &str) -> Vec<Value> {
    let log = fs::read_to_string(shop.path(folder).join("log.jsonl")).unwrap();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "report")
        .collect()
}

fn loss(report: &Value) -> f64 {
    report["loss"].as_f64().unwrap()
}

const OTHER_TOKENS: [&str; 4] =
    ["model.config=small.json", "model.tokenizer=small", "data.max_length=32", "training.num_epochs=12"];

const HIDDEN: &str =
    r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse"}]"#;

#[test]
fn a_student_learns_from_a_teacher_of_another_tokenizer() {
    let shop = taught();
    let settings = [&OTHER_TOKENS[..], &[HIDDEN, "training.log_every=5"]].concat();
    let computed = [&settings[..], &["cache.keep=false"]].concat();
    shop.succeed(&distil("training.output_dir=spelled", &computed));
    let reports = reports(&shop, "spelled");
    let (first, last) = (&reports[0], reports.last().unwrap());
    assert!(loss(last) < 0.8 * loss(first), "{first} → {last}");
    assert!(first["terms"].to_string().contains("hidden_hidden_mse_2_2"), "{first}");
    let tokenizer = shop.path("spelled/model/vocab.txt");
    assert!(
        fs::read_to_string(tokenizer).unwrap().contains("##z"),
        "the student's own vocabulary is exported"
    );

    // Kept outputs of the teacher's own tokens teach the same.
    let cached = [&settings[..], &["distillation.is_caching_logits=true"]].concat();
    shop.succeed(&distil("training.output_dir=cached", &cached));
    assert_same_losses(&shop, "cached", "spelled");
}

#[test]
fn what_has_no_counterpart_in_other_tokens_is_refused_before_the_run() {
    let shop = taught();
    let attention = r#"distillation.intermediate_matches=[{layer_T=0,layer_S=0,feature="attention",loss="attention_mse"}]"#;
    for (setting, named) in [
        (attention, "distillation.intermediate_matches[0].feature"),
        ("emd={}", "emd.attention_weight"),
        (r#"data.augmentation=[{name="deleting"}]"#, "data.augmentation"),
    ] {
        let settings = [&OTHER_TOKENS[..], &[setting]].concat();
        shop.refuse(&distil("training.output_dir=no", &settings), 2, &[named, "is not the student's"]);
    }
}

#[test]
fn states_are_told_from_those_of_other_texts() {
    let shop = taught();
    shop.write("deep.json", workshop::config(12, 3));
    let settings = [
        "model.config=deep.json",
        "crd.negatives=6",
        "crd.feature_dim=4",
        "crd.head.lr=0.01",
        "training.log_every=1",
    ];
    let computed = [&settings[..], &["cache.keep=false"]].concat();
    shop.succeed(&distil("training.output_dir=whole", &computed));
    let whole = reports(&shop, "whole");
    let terms = whole[0]["terms"].to_string();
    assert!(terms.contains("crd_loss") && terms.contains("kd_loss"), "{terms}");
    assert!(loss(whole.last().unwrap()) < loss(&whole[0]), "{whole:?}");
    // Of what the teacher says, only the compared layer is kept.
    let cached = [&settings[..], &["distillation.is_caching_logits=true"]].concat();
    shop.succeed(&distil("training.output_dir=cached", &cached));
    assert_same_losses(&shop, "cached", "whole");
    let others =
        [&settings[..], &[r#"crd.negatives_from="different_class""#, r#"crd.pooling="mean""#]].concat();
    shop.succeed(&distil("training.output_dir=others", &others));

    let refuse = |setting: &str, parts: &[&str]| {
        let settings = [&settings[..], &[setting]].concat();
        shop.refuse(&distil("training.output_dir=no", &settings), 2, parts);
    };
    refuse("crd.layer_S=4", &["crd.layer_S = 4", "the student has hidden states from 0 to 3"]);
    refuse("crd.layer_T=9", &["crd.layer_T = 9", "the teacher"]);
    refuse("crd.momentum=1", &["crd.momentum", "below 1"]);
    refuse("emd={}", &["crd = given", "either [emd] or [crd]"]);
}

#[test]
fn layers_are_matched_many_to_many() {
    let shop = taught();
    shop.write("deep.json", workshop::config(8, 3));
    let settings = ["model.config=deep.json", "emd.attention_weight=0.5", "training.log_every=1"];
    shop.succeed(&distil("training.output_dir=whole", &settings));
    let reports = reports(&shop, "whole");
    let terms = reports[0]["terms"].to_string();
    assert!(terms.contains("emd_hidden") && terms.contains("emd_attention"), "{terms}");
    assert!(loss(reports.last().unwrap()) < loss(&reports[0]), "{reports:?}");

    let wrong = ["model.config=deep.json", "emd.layers_S=[4]", "emd.attention_loss=\"nst\""];
    shop.refuse(&distil("training.output_dir=no", &wrong), 2, &["emd.attention_loss", "one layer"]);
    let beyond = ["model.config=deep.json", "emd.layers_S=[4]"];
    shop.refuse(&distil("training.output_dir=no", &beyond), 2, &["emd.layers_S[0]", "1 to 3"]);
    shop.write("wide.json", workshop::config(12, 2));
    let wide = ["model.config=wide.json", "emd.attention_weight=0"];
    shop.refuse(&distil("training.output_dir=no", &wide), 2, &["emd.proj", "[\"linear\", 12, 8]"]);
    let projected = [&wide[..], &[r#"emd.proj=["linear",12,8]"#]].concat();
    shop.succeed(&distil("training.output_dir=projected", &projected));
}

/// In TextBrewer caching is switched off without a word where there are matches.
#[test]
fn kept_outputs_teach_as_computed_ones_do_with_matches_too() {
    let shop = taught();
    shop.succeed(&distil("training.output_dir=computed", &[HIDDEN, "cache.keep=false"]));
    shop.succeed(&distil("training.output_dir=kept", &[HIDDEN, "distillation.is_caching_logits=true"]));
    assert_same_losses(&shop, "kept", "computed");
}

/// Two runs that report the same losses, but for rounding: a product over other rows may round otherwise.
fn assert_same_losses(shop: &Workshop, found: &str, expected: &str) {
    let (found, expected) = (reports(shop, found), reports(shop, expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().map(loss).zip(expected.iter().map(loss)) {
        assert!((found - expected).abs() <= 1e-4 * expected, "{found}, expected {expected}");
    }
}

#[test]
fn a_teacher_with_fewer_positions_than_a_text_may_have_is_refused() {
    let shop = taught();
    shop.write(
        "long.json",
        workshop::config(8, 2).replace("\"max_position_embeddings\": 16", "\"max_position_embeddings\": 40"),
    );
    let settings = ["model.config=long.json", "data.max_length=32"];
    shop.refuse(
        &distil("training.output_dir=no", &settings),
        2,
        &["data.max_length", "teacher", "16 positions"],
    );
}
