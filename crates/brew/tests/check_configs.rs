//! Every run file below `configs/`, with files of the layout and models of the family that it asks for: nothing is
//! wrong with it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use brew::models::{Architecture, EncoderConfig, Head, ProblemType, tensor_shapes};
use brew::{BackendKind, CheckOptions, RunConfig, RunKind, TaskKind, check_run, load_run};
use serde_json::{Map, Value, json};

fn run_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            run_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml")
            && !path.ends_with("experiment.toml")
        {
            found.push(path);
        }
    }
}

/// A folder in which the relative paths of run files lead somewhere.
struct Place(tempfile::TempDir);

impl Place {
    fn path(&self, path: &Path) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &Path, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A checkpoint of zeros that costs no disk, with a tokenizer.
    fn checkpoint(&self, folder: &Path, config: &EncoderConfig, head: Option<Head>) {
        let mut file = serde_json::to_value(config).unwrap();
        if let Some(head) = head {
            file["architectures"] = json!([head.class_name(config.architecture)]);
        }
        self.write(&folder.join("config.json"), &file.to_string());
        self.tokenizer(folder);
        let mut header = Map::new();
        let mut end = 0;
        for (name, shape) in tensor_shapes(config, head.unwrap_or(Head::SequenceClassification)) {
            if head.is_none() && (name.contains("classifier") || name.contains("qa_outputs")) {
                continue;
            }
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
        }
        let header = Value::Object(header).to_string();
        let mut weights = File::create(self.path(folder).join("model.safetensors")).unwrap();
        weights.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        weights.write_all(header.as_bytes()).unwrap();
        weights.set_len((8 + header.len() + end) as u64).unwrap();
    }

    fn tokenizer(&self, folder: &Path) {
        let mut words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
        for letter in ('a'..='z').chain("京好不是的".chars()) {
            let _ = writeln!(words, "{letter}\n##{letter}");
        }
        self.write(&folder.join("vocab.txt"), &words);
    }
}

/// The models that the run files start from, by the sizes that their projections are written for.
fn base(folder: &Path) -> EncoderConfig {
    let bert = EncoderConfig::default();
    match folder.file_name().unwrap().to_str().unwrap() {
        "all-MiniLM-L6-v2" => {
            EncoderConfig { num_hidden_layers: 6, hidden_size: 384, intermediate_size: 1536, ..bert }
        }
        "zh-e5-small-char" => EncoderConfig { hidden_size: 384, intermediate_size: 1536, ..bert },
        "chinese-electra-base" => EncoderConfig {
            hidden_size: 768,
            embedding_size: None,
            num_attention_heads: 12,
            intermediate_size: 3072,
            ..EncoderConfig::of(Architecture::Electra)
        },
        "chinese-electra-small" => EncoderConfig::of(Architecture::Electra),
        "bert-base-cased" | "chinese-roberta-wwm-ext" => bert,
        other => panic!("no model is known by the name {other}"),
    }
}

/// Labels and rows of a data file, as the layout or the columns of a run want them.
fn rows(config: &RunConfig, path: &Path) -> (String, Vec<String>) {
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let layout = config.data.layout.map(|layout| layout.name());
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    match config.task {
        TaskKind::QuestionAnswering => {
            let article = |at: usize| {
                json!({"title": format!("t{at}"), "paragraphs": [{"context": "abc def", "qas": [
                    {"id": format!("q{at}"), "question": "what", "answers": [{"text": "def", "answer_start": 4}]}]}]})
            };
            let articles: Vec<Value> = (0..200).map(article).collect();
            (json!({ "data": articles }).to_string(), owned(&["LABEL_0", "LABEL_1"]))
        }
        TaskKind::TokenClassification if layout == Some("resume_ner") => (
            "京 B-LOC\n好 E-LOC\n不 S-LOC\n是 O\n\n".repeat(9),
            owned(&["O", "B-LOC", "M-LOC", "E-LOC", "S-LOC"]),
        ),
        TaskKind::TokenClassification => {
            ("abc B-LOC\ndef I-LOC\nis O\n\n".repeat(9), owned(&["O", "B-LOC", "I-LOC"]))
        }
        TaskKind::MultiLabel => ("abc\t0,1\tid\ndef\t1\tid\n".repeat(9), owned(&["joy", "anger"])),
        TaskKind::Regression => ("abc\tdef\t2.5\n".repeat(9), owned(&["LABEL_0"])),
        TaskKind::Classification => match layout {
            Some("mnli") => (
                "sentence1\tsentence2\tgold_label\nabc\tdef\tneutral\n".to_owned(),
                owned(&["contradiction", "entailment", "neutral"]),
            ),
            Some("xnli") if path.to_string_lossy().contains("multinli") => (
                "premise\thypo\tlabel\nabc\tdef\tcontradictory\n".to_owned(),
                owned(&["contradiction", "entailment", "neutral"]),
            ),
            Some("xnli") => (
                "language\tgold_label\tsentence1\tsentence2\nzh\tneutral\tabc\tdef\n".to_owned(),
                owned(&["contradiction", "entailment", "neutral"]),
            ),
            Some("afqmc") if is_json => (
                "{\"sentence1\": \"abc\", \"sentence2\": \"def\", \"label\": \"0\"}\n".repeat(9),
                owned(&["0", "1"]),
            ),
            Some("afqmc" | "lcqmc") => ("abc\tdef\t0\ndef\tabc\t1\n".to_owned(), owned(&["0", "1"])),
            // Texts of dev that are in train as well are left out.
            Some("chnsenticorp") if path.ends_with("dev.tsv") => {
                ("new abc\tpositive\n".to_owned(), owned(&["negative", "positive"]))
            }
            Some("chnsenticorp") => {
                ("abc\tpositive\ndef\tnegative\n".to_owned(), owned(&["negative", "positive"]))
            }
            Some(other) => panic!("no rows are known for {other}"),
            None => by_columns(config),
        },
    }
}

/// Rows under the columns that a run names.
fn by_columns(config: &RunConfig) -> (String, Vec<String>) {
    let columns = serde_json::to_value(&config.data.columns).unwrap();
    let labels = config.data.labels.clone().unwrap_or_else(|| vec!["0".to_owned(), "1".to_owned()]);
    let mut header: Vec<String> = Vec::new();
    let mut cells: Vec<(usize, &str)> = Vec::new();
    let mut place = |value: &Value, what: &'static str, next: usize| match value {
        Value::String(name) => {
            header.push(name.clone());
            cells.push((header.len() - 1, what));
        }
        Value::Number(index) => cells.push((index.as_u64().unwrap() as usize, what)),
        _ => cells.push((next, what)),
    };
    place(&columns["text"], "text", 0);
    if !columns["text_pair"].is_null() {
        place(&columns["text_pair"], "pair", 1);
    }
    let next = if columns["text_pair"].is_null() { 1 } else { 2 };
    place(&columns["label"], "label", next);
    let width = 1 + cells.iter().map(|(at, _)| *at).max().unwrap();
    let mut text = String::new();
    if !header.is_empty() {
        text += &(header.join("\t") + "\n");
    }
    for label in &labels {
        let mut row = vec!["x".to_owned(); width];
        for (at, what) in &cells {
            row[*at] = if *what == "label" { label.clone() } else { format!("abc {what}") };
        }
        text += &(row.join("\t") + "\n");
    }
    (text, labels)
}

/// Writes what a run file names; the models of teachers are the trained models of other files.
fn furnish(place: &Place, config: &RunConfig, trained: &[(PathBuf, RunConfig)]) -> BTreeSet<PathBuf> {
    let mut made = BTreeSet::new();
    let mut labels = Vec::new();
    let files = [&config.data.train, &config.data.dev, &config.data.test].into_iter().flatten();
    for file in files.chain(&config.data.transfer) {
        let (text, names) = rows(config, file);
        place.write(file, &text);
        if config.task == TaskKind::MultiLabel {
            place.write(&file.with_file_name("labels.txt"), "joy\nanger\n");
        }
        labels = names;
        made.insert(file.clone());
    }
    if let Some(folder) = &config.model.from {
        place.checkpoint(folder, &base(folder), None);
    }
    if let Some(folder) = &config.model.tokenizer {
        place.tokenizer(folder);
    }
    for folder in config.teacher.iter().flat_map(|teacher| &teacher.from) {
        let (_, run) = trained.iter().find(|(_, run)| &run.training.output_dir == folder).unwrap();
        let problem_type = match config.task {
            TaskKind::MultiLabel => Some(ProblemType::MultiLabelClassification),
            TaskKind::Regression => Some(ProblemType::Regression),
            _ => None,
        };
        let start = base(run.model.from.as_deref().unwrap());
        let model = EncoderConfig { problem_type, ..start }.with_labels(labels.clone());
        let head = match config.task {
            TaskKind::TokenClassification => Head::TokenClassification,
            TaskKind::QuestionAnswering => Head::QuestionAnswering,
            _ => Head::SequenceClassification,
        };
        place.checkpoint(&folder.join("model"), &model, Some(head));
    }
    made
}

/// A run file whose paths begin in the folder.
fn moved(place: &Place, config: &RunConfig, root: &Path) -> RunConfig {
    let mut config = config.clone();
    let within = |path: &mut PathBuf| {
        *path = if root.join(&*path).exists() && path.starts_with("configs") {
            root.join(&*path)
        } else {
            place.path(path)
        };
    };
    let mut tasks = std::mem::take(&mut config.tasks);
    for task in &mut tasks {
        let data = &mut task.data;
        [&mut data.train, &mut data.dev, &mut data.test].into_iter().flatten().for_each(within);
        task.teacher.iter_mut().flat_map(|teacher| &mut teacher.from).for_each(within);
    }
    let data = &mut config.data;
    [&mut data.train, &mut data.dev, &mut data.test].into_iter().flatten().for_each(within);
    data.transfer.iter_mut().for_each(within);
    let model = &mut config.model;
    [&mut model.from, &mut model.config, &mut model.tokenizer].into_iter().flatten().for_each(within);
    config.teacher.iter_mut().flat_map(|teacher| &mut teacher.from).for_each(within);
    within(&mut config.training.output_dir);
    RunConfig { tasks, ..config }
}

#[test]
fn nothing_is_wrong_with_any_run_file_of_the_project() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    run_files(&root.join("configs"), &mut files);
    assert!(files.len() > 50, "{files:?}");
    let read =
        |file: &PathBuf| load_run(file, &[]).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let configs: Vec<(PathBuf, RunConfig)> = files.iter().map(|file| (file.clone(), read(file))).collect();
    let mut wrong = String::new();
    for (file, config) in &configs {
        let place = Place(tempfile::tempdir().unwrap());
        if config.tasks.is_empty() {
            furnish(&place, config, &configs);
        }
        for task in &config.tasks {
            let alone = RunConfig {
                data: task.data.clone(),
                teacher: task.teacher.clone(),
                model: config.model.clone(),
                ..RunConfig::default()
            };
            furnish(&place, &alone, &configs);
        }
        let kind = match config.teacher.is_some() || !config.tasks.is_empty() {
            true => RunKind::Distill,
            false => RunKind::Train,
        };
        let run = place.path(Path::new("run.json"));
        let text = serde_json::to_string(&moved(&place, config, &root)).unwrap();
        fs::write(&run, text).unwrap();
        let report = check_run(BackendKind::first().unwrap(), &run, &[], CheckOptions::default()).unwrap();
        assert_eq!(report.command, kind.name(), "{}", file.display());
        for problem in &report.problems {
            let _ = writeln!(wrong, "{}: {problem}", file.display());
        }
        assert!(!report.models.is_empty() && report.steps.is_some(), "{}", file.display());
    }
    assert!(wrong.is_empty(), "{wrong}");
}
