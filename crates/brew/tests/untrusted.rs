//! Run files and what a run leaves behind as nobody should have written them: problems, never a panic.

use std::fs;

use brew::{BackendKind, CheckOptions, check_run, load_data_config, load_run};
use brew_testkit::fuzz;

const RUN: &str = r#"
task = "classification"
[data]
train = "DIR/train.tsv"
labels = ["neg", "pos"]
max_length = 12
augmentation = [{ name = "masking", p = 0.1 }]
columns = { text = 0, label = 1 }
[model]
config = "DIR/config.json"
tokenizer = "DIR"
[teacher]
from = ["DIR/teacher"]
weights = [1.0]
[training]
output_dir = "DIR/out"
num_epochs = 3
optimizer = { lr = 1e-3, betas = [0.9, 0.99] }
schedule = { name = "linear", warmup_ratio = 0.1 }
[distillation]
temperature = 8
temperature_scheduler = ["cwsm", 2]
kd_loss_type = ["js", { beta = 0.5 }]
hard_label_weight_scheduler = "linear_growth"
intermediate_matches = ["L4t_hidden_mse", { layer_T = [1, 2], layer_S = [0, 1], feature = "hidden", loss = "fsp", proj = ["linear", 8, 12, { lr = 1e-3 }] }]
[emd]
layers_T = [1, 2]
[evaluation]
metric = "f1"
"#;

const TASKS: &str = r#"
tau = 0.5
model = { preset = "T4-tiny", tokenizer = "DIR" }
training = { output_dir = "DIR/out", num_steps = 5 }
[[tasks]]
name = "a"
data = { train = "DIR/train.tsv", max_length = 12 }
teacher = { from = "DIR/teacher" }
[[tasks]]
name = "b"
data = { train = "DIR/train.tsv", layout = "sst2" }
evaluation = { metric = "macro_f1" }
"#;

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16}"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("teacher")).unwrap();
        write("train.tsv", "a film\tpos\nthe plot\tneg\n");
        write("config.json", CONFIG);
        write("teacher/config.json", CONFIG);
        write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nthe\nfilm\nplot\n");
        Self(folder)
    }

    /// A run file that names what is in the folder.
    fn run(&self, text: &str) -> String {
        text.replace("DIR", &self.0.path().to_string_lossy())
    }

    /// What every command does first with a run file of this name.
    fn check(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        let report = check_run(BackendKind::first().unwrap(), &path, &[], CheckOptions::default()).unwrap();
        // What cannot be read is always a problem, and what can be read is no problem of the file.
        match load_run(&path, &[]) {
            Ok(_) => {}
            Err(error) => assert!(!report.problems.is_empty(), "{error}"),
        }
        for problem in &report.problems {
            assert!(problem.file.is_some() && !problem.message.is_empty(), "{problem:?}");
        }
    }
}

#[test]
fn fuzz_run_file_in_toml() {
    let folder = Folder::new();
    let valid = [RUN, TASKS].map(|text| folder.run(text));
    fuzz(&[valid[0].as_bytes(), valid[1].as_bytes()], |bytes| folder.check("run.toml", bytes));
}

#[test]
fn fuzz_run_file_in_json() {
    let folder = Folder::new();
    let valid = [RUN, TASKS].map(|text| {
        let table: serde_json::Value = toml::from_str(&folder.run(text)).unwrap();
        table.to_string()
    });
    fuzz(&[valid[0].as_bytes(), valid[1].as_bytes()], |bytes| folder.check("run.json", bytes));
}

#[test]
fn fuzz_recorded_run() {
    let folder = Folder::new();
    let text = folder.run(RUN);
    let recorded = serde_json::to_string(&toml::from_str::<brew::RunConfig>(&text).unwrap()).unwrap();
    fuzz(&[recorded.as_bytes()], |bytes| {
        fs::write(folder.0.path().join("run.json"), bytes).unwrap();
        let _ = load_data_config(folder.0.path(), &[]);
        let _ = load_data_config(folder.0.path(), &["max_length=7".to_owned(), "columns.text=a".to_owned()]);
    });
}

#[test]
fn fuzz_settings() {
    let folder = Folder::new();
    let path = folder.0.path().join("run.toml");
    fs::write(&path, folder.run(TASKS)).unwrap();
    let valid: [&[u8]; 4] =
        [b"training.optimizer.lr=1e-4", b"tasks[a].data.max_length=7", b"model.layers=[1, 3]", b"tau=0.1"];
    fuzz(&valid, |bytes| {
        let setting = String::from_utf8_lossy(bytes).into_owned();
        let options = CheckOptions::default();
        let report =
            check_run(BackendKind::first().unwrap(), &path, std::slice::from_ref(&setting), options).unwrap();
        if let Err(error) = load_run(&path, &[setting]) {
            assert!(!report.problems.is_empty(), "{error}");
        }
    });
}
