//! Every task from its files to predictions: a teacher is trained, a student distilled, judged and asked.

mod workshop;

use std::fmt::Write;
use std::fs;

use serde_json::Value;
use workshop::Workshop;

impl Workshop {
    /// Trains a teacher in `teacher` and distils it into `student`, and gives the two results.
    fn taught(&self, distillation: &[&str]) -> [Value; 2] {
        self.succeed(&["train", "run.toml", "--set", "training.output_dir=teacher"]);
        let settings = ["teacher.from=teacher", "training.output_dir=student"];
        let mut arguments = vec!["distill", "run.toml"];
        for setting in settings.iter().chain(distillation) {
            arguments.extend(["--set", setting]);
        }
        self.succeed(&arguments);
        ["teacher", "student"].map(|folder| self.json(&format!("{folder}/result.json")))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// What a command prints as lines of JSON.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let outcome = self.succeed(arguments);
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A run of a task with files of this ending.
    fn task(task: &str, ending: &str, more: &str) -> Self {
        let shop = Self::new();
        shop.write(
            "run.toml",
            format!(
                "task = \"{task}\"\n[data]\ntrain = \"train.{ending}\"\ndev = \"dev.{ending}\"\nmax_length = 16\n\
                 batch_size = 8\n{more}\n[model]\nconfig = \"config.json\"\ntokenizer = \"vocab\"\n[training]\n\
                 output_dir = \"out\"\nnum_epochs = 30\noptimizer = {{ lr = 1e-2 }}\n"
            ),
        );
        shop
    }
}

const WORDS: [&str; 6] = ["good", "fine", "great", "bad", "dull", "poor"];

/// Sentences whose nouns are things and whose adjectives are opinions of two kinds.
fn sentences(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let (adjective, noun) = (WORDS[index % 6], ["film", "plot"][index % 2]);
        let kind = if index % 6 < 3 { "POS" } else { "NEG" };
        let _ = write!(text, "the O\n{adjective} B-{kind}\n{noun} I-{kind}\na O\n\n");
    }
    text
}

#[test]
fn tags_of_words() {
    let shop = Workshop::task("token_classification", "conll", "");
    shop.write("train.conll", sentences(36));
    shop.write("dev.conll", sentences(12));
    let results = shop.taught(&[
        r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse"}]"#,
    ]);
    for result in &results {
        assert!(result["dev"]["f1"].as_f64().unwrap() > 0.9, "{result}");
    }
    assert_eq!(results[1]["dev"]["scheme"], "iob2");
    let config = shop.json("student/model/config.json");
    assert_eq!(config["architectures"][0], "BertForTokenClassification");
    assert_eq!(config["id2label"]["0"], "O");

    let said = shop.succeed(&["evaluate", "student", "--data", "dev.conll"]).stdout;
    assert!(said.contains("POS") && said.contains("NEG"), "{said}");
    // Words alone are predicted for.
    shop.write("words.conll", "the\ngood\nfilm\na\n");
    let lines = shop.lines(&["predict", "student", "--data", "words.conll"]);
    assert_eq!(lines[0]["tags"], serde_json::json!(["O", "B-POS", "I-POS", "O"]));
    assert_eq!(lines[0]["entities"][0]["text"], "good film");
    assert_eq!(lines[0]["entities"][0]["label"], "POS");
}

#[test]
fn a_file_without_tags_is_read_by_the_models_scheme() {
    let shop = Workshop::task("token_classification", "conll", "");
    let bmes = |text: String| text.replace(" I-", " E-") + "plot B-POS\nfilm M-POS\ngood E-POS\n\n";
    shop.write("train.conll", bmes(sentences(36)));
    // In dev no tag tells that it is bmes.
    shop.write("dev.conll", "the O\n\na O\n");
    shop.succeed(&["train", "run.toml"]);
    assert_eq!(shop.json("out/result.json")["dev"]["scheme"], "bmes");
    shop.write("words.conll", "the\ngood\nfilm\na\n");
    let lines = shop.lines(&["predict", "out", "--data", "words.conll"]);
    assert_eq!(lines[0]["tags"].as_array().unwrap().len(), 4);
}

#[test]
fn tagged_words_that_do_not_fit_are_named() {
    let shop = Workshop::task("token_classification", "conll", "");
    shop.write("train.conll", sentences(12));
    shop.write("dev.conll", "film B-POS\n\nfilm B-ODD\n");
    shop.refuse(&["train", "run.toml"], 2, &["dev.conll", "B-ODD"]);
    shop.write("dev.conll", sentences(6));
    let deleting = r#"data.augmentation=[{name="deleting",p=0.1}]"#;
    shop.refuse(&["train", "run.toml", "--set", deleting], 2, &["augmentation[0]", "masking"]);
    shop.refuse(&["train", "run.toml", "--set", "evaluation.metric=pearson"], 2, &["macro_f1"]);
}

/// Questions after an adjective or a noun of a text, in SQuAD's layout, so many articles of three each.
fn questions(articles: usize) -> String {
    let articles: Vec<Value> = (0..articles)
        .map(|index| {
            let paragraph = |at: usize| {
                let (adjective, noun) = (WORDS[(index + at) % 6], ["film", "plot"][at % 2]);
                let context = format!("the {noun} a {adjective}");
                let start = context.find(adjective).unwrap();
                serde_json::json!({"context": context, "qas": [{
                    "id": format!("{index}-{at}"), "question": "good a",
                    "answers": [{"text": adjective, "answer_start": start}],
                }]})
            };
            serde_json::json!({"title": index.to_string(), "paragraphs": [paragraph(0), paragraph(1), paragraph(2)]})
        })
        .collect();
    serde_json::json!({"version": "1.1", "data": articles}).to_string()
}

#[test]
fn answers_to_questions() {
    let shop = Workshop::task(
        "question_answering",
        "json",
        "questions = { max_question_length = 4, doc_stride = 4, train_titles = 12 }",
    );
    // One file, divided by article.
    shop.write("train.json", questions(16));
    let text = fs::read_to_string(shop.path("run.toml")).unwrap().replace("dev.json", "train.json");
    shop.write("run.toml", text);
    let results = shop.taught(&["distillation.is_caching_logits=true", "distillation.temperature=8"]);
    for result in &results {
        assert_eq!(result["dev"]["questions"], 12, "{result}");
        assert!(result["dev"]["exact_match"].as_f64().unwrap() > 0.9, "{result}");
    }
    assert_eq!(shop.json("student/model/config.json")["architectures"][0], "BertForQuestionAnswering");

    shop.write("asked.json", questions(1));
    let arguments =
        ["--set", "questions.max_question_length=4", "--max-length", "16", "--data", "asked.json"];
    let said = shop.succeed(&[&["evaluate", "student"], &arguments[..]].concat()).stdout;
    assert!(said.contains("exact match"), "{said}");
    let lines = shop.lines(&[&["predict", "student"], &arguments[..]].concat());
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["id"], &lines[0]["text"]), (&"0-0".into(), &"good".into()));
}

#[test]
fn labels_that_exclude_no_other() {
    let shop = Workshop::task("multi_label", "tsv", "");
    let lines = |count: usize| {
        let mut text = String::new();
        for index in 0..count {
            let (adjective, noun) = (WORDS[index % 6], ["film", "plot"][index % 2]);
            let kind = if index % 6 < 3 { "pos" } else { "neg" };
            let _ = writeln!(text, "the {noun} {adjective}\t{kind},{noun}");
        }
        text
    };
    shop.write("train.tsv", lines(36));
    shop.write("dev.tsv", lines(12));
    let refused = ["distill", "run.toml", "--set", "teacher.from=teacher"];
    shop.refuse(&refused, 2, &["distillation.kd_loss_type = ce", "bce"]);
    let results = shop.taught(&["distillation.kd_loss_type=bce", "distillation.temperature=2"]);
    for result in &results {
        // Guessing gets a half, opinions alone three quarters.
        assert!(result["dev"]["micro_f1"].as_f64().unwrap() > 0.7, "{result}");
        assert_eq!(result["dev"]["per_label"].as_array().unwrap().len(), 4, "{result}");
    }
    assert_eq!(shop.json("student/model/config.json")["problem_type"], "multi_label_classification");
    shop.write("ask.tsv", "the plot dull\n");
    let lines = shop.lines(&["predict", "student", "--data", "ask.tsv"]);
    let labels: Vec<&Value> =
        lines[0]["labels"].as_array().unwrap().iter().map(|one| &one["label"]).collect();
    assert_eq!(labels, ["neg", "plot"]);
}

#[test]
fn numbers() {
    let shop = Workshop::task("regression", "tsv", "");
    // At the rate of the other tasks one seed in ten ends anywhere.
    let run = fs::read_to_string(shop.path("run.toml")).unwrap();
    shop.write(
        "run.toml",
        run.replace("lr = 1e-2", "lr = 5e-3").replace("num_epochs = 30", "num_epochs = 60"),
    );
    let lines = |count: usize| {
        let mut text = String::new();
        for index in 0..count {
            let (adjective, noun) = (WORDS[index % 6], ["film", "plot"][index % 2]);
            let value = if index % 6 < 3 { 1.5 } else { -1.0 } + [0.25, -0.25][index % 2];
            let _ = writeln!(text, "the {noun} {adjective}\t{value}");
        }
        text
    };
    shop.write("train.tsv", lines(36));
    shop.write("dev.tsv", lines(12));
    let results = shop.taught(&["distillation.kd_loss_type=mse"]);
    for result in &results {
        assert!(result["dev"]["pearson"].as_f64().unwrap() > 0.9, "{result}");
    }
    let lines = shop.lines(&["predict", "student", "--data", "dev.tsv"]);
    assert!(lines[0]["value"].as_f64().unwrap() > 0.5, "{}", lines[0]);
    shop.write("dev.tsv", "the film good\tmuch\n");
    shop.refuse(&["evaluate", "student", "--data", "dev.tsv"], 2, &["dev.tsv, line 1", "much"]);
}

#[test]
fn a_bigru_preset_is_a_student_of_words() {
    let shop = Workshop::task("token_classification", "conll", "");
    shop.write("train.conll", sentences(36));
    shop.write("dev.conll", sentences(12));
    shop.write(
        "gru.json",
        r#"{"model_type": "bigru", "vocab_size": 15, "embedding_size": 8, "hidden_size": 8}"#,
    );
    let settings = [
        "model.config=gru.json",
        "teacher.from=teacher",
        "training.output_dir=student",
        "training.num_epochs=60",
        "training.optimizer.lr=3e-2",
    ];
    let mut arguments = vec!["distill", "run.toml"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    shop.succeed(&["train", "run.toml", "--set", "training.output_dir=teacher"]);
    let said = shop.succeed(&arguments).stdout;
    assert!(said.contains("transformers has no such model"), "{said}");
    assert!(shop.json("student/result.json")["dev"]["f1"].as_f64().unwrap() > 0.9);

    let table = shop.succeed(&["params", "--preset", "bigru", "--vocab", "28996", "--json"]).stdout;
    let table: Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["total"].as_u64().unwrap() / 100_000, 305, "{table}");
    shop.refuse(&["params", "--preset", "T5", "--vocab", "100"], 2, &["T5", "T4-tiny"]);
    shop.refuse(
        &["train", "run.toml", "--set", "model.preset=T4-tiny"],
        2,
        &["model.config", "model.preset"],
    );
}

#[test]
fn texts_without_labels_are_distilled() {
    let shop = Workshop::new();
    shop.succeed(&["train", "run.toml", "--set", "training.num_epochs=12"]);
    // No label at all: the classes are the teacher's. Other files add to the texts.
    shop.write("texts.csv", "text\nthe film good a film\nthe plot dull a plot\n");
    shop.write("more.csv", "text\nthe plot fine a plot\n".to_owned() + &"the film poor a film\n".repeat(8));
    let settings = [
        "teacher.from=out",
        "training.output_dir=student",
        "data.train=texts.csv",
        "data.dev=dev.tsv",
        r#"data.transfer=["more.csv"]"#,
        "data.batch_size=1",
        "distillation.kd_loss_type=dkd",
        "data.transfer_examples=7",
        "distillation.hard_label_weight=1",
    ];
    let mut arguments = vec!["distill", "run.toml"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    shop.succeed(&arguments);
    let log = fs::read_to_string(shop.path("student/log.jsonl")).unwrap();
    let begin: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(begin["examples"], 2 + 7);
    // What has no classifier teaches nothing, though it can be read.
    let bare = shop.path("out/model/config.json");
    let text = fs::read_to_string(&bare).unwrap();
    fs::write(&bare, text.replace("BertForSequenceClassification", "BertForQuestionAnswering")).unwrap();
    let arguments =
        ["distill", "run.toml", "--set", "teacher.from=out", "--set", "training.output_dir=other"];
    shop.refuse(&arguments, 2, &["out/model"]);
    fs::write(&bare, text).unwrap();
    // Without a teacher there is nothing to learn from such texts.
    shop.refuse(
        &["train", "run.toml", "--set", "data.train=texts.csv", "--overwrite"],
        2,
        &["texts.csv", "label"],
    );
}
