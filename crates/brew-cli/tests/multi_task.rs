//! Two tasks distilled into one student, as a user does it.

mod workshop;

use std::fmt::Write;
use std::fs;
use std::process::Stdio;

use serde_json::Value;
use workshop::Workshop;

/// The second task: which noun a text is about, in columns of its own. There might be a text about neither.
fn nouns(count: usize) -> String {
    let mut lines = "about\ttext\n".to_owned();
    for index in 0..count {
        let noun = ["film", "plot"][index % 2];
        let adjective = ["good", "bad", "fine", "dull"][index / 2 % 4];
        let _ = writeln!(lines, "{noun}\tthe {noun} {adjective}");
    }
    lines
}

/// The student's run file; teachers in `out` and `nouns`.
const TASKS: &str = r#"
tau = 0.5

[model]
config = "wide.json"
tokenizer = "vocab"

[training]
output_dir = "student"
num_epochs = 3
log_every = 1
optimizer = { lr = 3e-3 }

[distillation]
temperature = 2

[[tasks]]
name = "opinion"
data = { train = "train.tsv", dev = "dev.tsv", max_length = 12, batch_size = 8 }
teacher = { from = "out" }

[[tasks]]
name = "noun"
teacher = { from = "nouns" }
evaluation = { metric = "macro_f1" }

[tasks.data]
train = "nouns.tsv"
dev = "nouns-dev.tsv"
test = "nouns-dev.tsv"
columns = { text = "text", label = "about" }
labels = ["film", "plot", "none"]
max_length = 10
batch_size = 8
"#;

/// The teachers' width is 8, the student's 32; both tasks share the projection.
const HIDDEN: &str = r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse",proj=["linear",32,8]}]"#;

/// A shop with both teachers and `tasks.toml`.
fn taught() -> Workshop {
    let shop = Workshop::new();
    shop.write("nouns.tsv", nouns(48));
    shop.write("nouns-dev.tsv", nouns(8));
    shop.write("wide.json", workshop::config(32, 2));
    shop.write("tasks.toml", TASKS);
    shop.succeed(&["train", "run.toml", "--set", "training.num_epochs=12"]);
    let columns = r#"data.columns={text="text",label="about"}"#;
    let labels = r#"data.labels=["film","plot","none"]"#;
    let settings =
        ["data.train=nouns.tsv", "data.dev=nouns-dev.tsv", columns, labels, "training.output_dir=nouns"];
    let mut arguments = vec!["train", "run.toml", "--set", "training.num_epochs=40"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    shop.succeed(&arguments);
    shop
}

fn distil<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["distill", "tasks.toml"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    arguments
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn result(shop: &Workshop, folder: &str) -> Value {
    json(&fs::read_to_string(shop.path(folder).join("result.json")).unwrap())
}

/// The events of a run's log that are called `event`.
fn events(shop: &Workshop, folder: &str, event: &str) -> Vec<Value> {
    let log = fs::read_to_string(shop.path(folder).join("log.jsonl")).unwrap();
    log.lines().map(json).filter(|one| one["event"] == event).collect()
}

/// The mean loss of those reports that have a term of the task.
fn losses(reports: &[Value], term: &str) -> Vec<f64> {
    let of = |report: &Value| {
        let terms = report["terms"].as_array().unwrap();
        terms.iter().find(|one| one["name"] == term).map(|one| one["value"].as_f64().unwrap())
    };
    reports.iter().filter_map(of).collect()
}

#[test]
fn a_trial_of_two_tasks_times_steps_of_both_and_keeps_nothing() {
    let shop = taught();
    let before = shop.files();
    let found = json(&shop.succeed(&["check", "tasks.toml", "--json", "--trial"]).stdout);
    assert_eq!(found["problems"], Value::Array(Vec::new()));
    let trial = &found["trial"];
    assert!(trial["steps"].as_u64().unwrap() >= 3, "{trial}");
    let [step, epoch] = ["seconds_per_step", "seconds_per_epoch"].map(|name| trial[name].as_f64().unwrap());
    // 5 batches of one task and 6 of the other.
    assert!(step > 0.0 && (epoch - 11.0 * step).abs() < 1e-9, "{trial}");
    assert_eq!(shop.files(), before, "something was written");
}

#[test]
fn a_student_learns_two_tasks_and_is_a_model_of_each() {
    let shop = taught();
    let said = shop.succeed(&distil(&["training.num_epochs=32"]));
    for part in ["opinion", "noun", "student/model/noun"] {
        assert!(said.stdout.contains(part), "{}", said.stdout);
    }

    let reports = events(&shop, "student", "report");
    // 5 batches of one task and 6 of the other, 32 epochs.
    assert_eq!(reports.len(), 32 * 11);
    for term in ["opinion/kd_loss", "noun/kd_loss"] {
        let losses = losses(&reports, term);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..4]), mean(&losses[losses.len() - 4..]));
        assert!(last < 0.8 * first, "{term}: {first} → {last}");
    }
    let evaluations = events(&shop, "student", "evaluation");
    for task in ["opinion", "noun"] {
        assert!(evaluations.iter().any(|one| one["task"] == task && one["split"] == "dev"), "{task}");
    }

    let result = result(&shop, "student");
    assert_eq!(result["steps"], 352);
    let [opinion, noun] = &result["tasks"].as_array().unwrap()[..] else { panic!("{result}") };
    assert!(opinion["test"].is_null() && noun["test"]["examples"] == 8, "{result}");
    assert!(opinion["dev"]["accuracy"].as_f64().unwrap() > 0.7, "{result}");
    assert!(noun["dev"]["accuracy"].as_f64().unwrap() > 0.7, "{result}");

    // Each task's folder is a model by itself, which says what the student said.
    let columns = ["--text", "text", "--label", "about"];
    let noun_file = [&["--data", "nouns-dev.tsv"][..], &columns[..]].concat();
    for (task, file) in [(opinion, vec!["--data", "dev.tsv"]), (noun, noun_file)] {
        let model = task["model"].as_str().unwrap();
        let evaluated = shop.succeed(&[&["evaluate", model, "--json"][..], &file].concat()).stdout;
        assert_eq!(json(&evaluated), task["dev"], "{model}");
    }
    shop.succeed(&["export", "student/model/noun", "exported"]);
    let config = json(&fs::read_to_string(shop.path("exported/config.json")).unwrap());
    assert_eq!(config["id2label"]["2"], "none");
    assert!(shop.path("exported/vocab.txt").exists());
    let shared = |task: &str| {
        let params = shop.succeed(&["params", &format!("student/model/{task}"), "--json"]).stdout;
        json(&params)["total"].as_u64().unwrap()
    };
    assert_eq!(result["parameters"], shared("opinion") + 32 * 3 + 3);

    // The run itself is no model of one task, and says which there are.
    let evaluate = ["evaluate", "student", "--data", "dev.tsv"];
    shop.refuse(&evaluate, 2, &["several tasks", "student/model/noun", "student/model/opinion"]);
    let best = ["export", "student", "best", "--checkpoint", "best"];
    shop.refuse(&best, 2, &["several tasks", "model/noun"]);
}

#[test]
fn a_stopped_run_of_two_tasks_ends_as_one_that_was_not() {
    let shop = taught();
    let dropout = fs::read_to_string(shop.path("wide.json")).unwrap();
    assert!(!dropout.contains("dropout"), "dropout is at its default of 0.1");
    let keep = ["evaluation.keep=\"best\"", "training.ckpt_steps=4"];
    shop.succeed(&distil(&[&keep[..], &["training.output_dir=whole"]].concat()));

    // Cut off after a checkpoint in the middle of an epoch.
    let arguments = distil(&[&keep[..], &["training.output_dir=halves"]].concat());
    let mut child = shop.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    let index = shop.path("halves/checkpoints/index.json");
    while !index.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    shop.refuse(&arguments, 2, &["--resume", "--overwrite"]);
    shop.succeed(&[&arguments[..], &["--resume"]].concat());

    for task in ["opinion", "noun"] {
        let weights = |run: &str| fs::read(shop.path(run).join("model").join(task).join("model.safetensors"));
        assert!(weights("whole").unwrap() == weights("halves").unwrap(), "{task} differs");
    }
    assert_eq!(result(&shop, "whole")["tasks"][1]["test"], result(&shop, "halves")["tasks"][1]["test"]);
    shop.succeed(&[&arguments[..], &["--overwrite"]].concat());
    assert_eq!(result(&shop, "halves")["steps"], 33);
}

#[test]
fn a_task_may_have_several_teachers_and_outputs_may_be_kept() {
    let shop = taught();
    let teachers = r#"tasks[noun].teacher={from=["nouns","nouns"],weights=[2,1]}"#;
    shop.succeed(&distil(&["distillation.is_caching_logits=true", teachers, "training.output_dir=kept"]));
    shop.succeed(&distil(&["cache.keep=false", "training.output_dir=computed"]));
    let last = |run: &str| events(&shop, run, "report").last().unwrap()["loss"].as_f64().unwrap();
    let (kept, computed) = (last("kept"), last("computed"));
    assert!((kept - computed).abs() < 1e-4 * computed, "{kept}, computed {computed}");

    // On disk, of each task's teachers; the two of the second task are one model, which is asked once.
    let settings = ["cache.dir=cache", teachers];
    let build = |settings: &[&str]| {
        let set = settings.iter().flat_map(|setting| ["--set", *setting]);
        shop.succeed(&["cache", "build", "tasks.toml"].into_iter().chain(set).collect::<Vec<_>>())
    };
    let built = build(&settings).stdout;
    assert_eq!(built.matches(" 0 were known").count(), 2, "{built}");
    let warm = shop.succeed(&distil(&[&settings[..], &["training.output_dir=warm"]].concat())).stderr;
    assert!(!warm.contains("to come"), "{warm}");
    assert_eq!(last("warm"), kept);
}

#[test]
fn each_task_may_change_its_texts_and_have_a_teacher_of_other_tokens() {
    let shop = taught();
    let deleting = r#"tasks[noun].data.augmentation=[{name="deleting",p=0.2}]"#;
    shop.succeed(&distil(&[deleting, "training.output_dir=changed"]));

    let mut vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    for letter in 'a'..='z' {
        let _ = writeln!(vocabulary, "{letter}\n##{letter}");
    }
    fs::create_dir(shop.path("letters")).unwrap();
    shop.write("letters/vocab.txt", vocabulary);
    let config = workshop::config(32, 2).replace("\"vocab_size\": 15", "\"vocab_size\": 57");
    shop.write("letters.json", config.replace("embeddings\": 16", "embeddings\": 40"));
    let letters = ["model.config=letters.json", "model.tokenizer=letters", "training.output_dir=spelled"];
    let lengths = ["tasks[opinion].data.max_length=32", "tasks[noun].data.max_length=32"];
    shop.succeed(&distil(&[&letters[..], &lengths[..], &[HIDDEN]].concat()));
    let reports = events(&shop, "spelled", "report");
    for task in ["opinion", "noun"] {
        assert!(!losses(&reports, &format!("{task}/hidden_hidden_mse_2_2")).is_empty(), "{task}");
    }
}

#[test]
fn what_is_wrong_with_tasks_is_told_at_once_before_the_run() {
    let shop = taught();
    let refuse = |settings: &[&str], named: &[&str]| shop.refuse(&distil(settings), 2, named);
    shop.refuse(&["train", "tasks.toml"], 2, &["tasks = 2 tasks", "`textbrew train`", "`textbrew distill`"]);
    shop.refuse(&["distill", "run.toml", "--set", "tau=0.5"], 2, &["tau = 0.5", "no [[tasks]]"]);
    refuse(&["data.train=train.tsv"], &["data = given", "each of [[tasks]]"]);
    refuse(&["teacher.from=out"], &["teacher = given"]);
    refuse(&["emd={}"], &["emd = given", "runs of one task"]);
    refuse(&["crd={}"], &["crd = given", "runs of one task"]);
    refuse(&["tau=inf"], &["tau = inf"]);
    refuse(&["tasks[1].name=opinion"], &["tasks[1].name = opinion", "tasks[0] has that name"]);
    refuse(&["tasks[1].name=../up"], &["tasks[1].name = ../up", "names a folder"]);
    refuse(&["tasks[1].evaluation.keep=best"], &["tasks[1].evaluation.keep", "[evaluation]"]);
    refuse(&["tasks[verb].data.train=x"], &["no table verb", "opinion", "noun"]);

    // Problems of both tasks, and what they share once.
    shop.write(
        "bare.toml",
        TASKS.replace(r#"train = "nouns.tsv""#, "").replace(r#"teacher = { from = "out" }"#, ""),
    );
    let bare =
        ["distill", "bare.toml", "--set", "training.num_epochs=0", "--set", "distillation.temperature=-1"];
    let named = ["there are 4 problems", "tasks[0].teacher.from = missing", "tasks[1].data.train = missing"];
    shop.refuse(
        &bare,
        2,
        &[&named[..], &["\n  - training.num_epochs = 0", "distillation.temperature = -1"]].concat(),
    );

    // What fits one teacher alone.
    refuse(&["tasks[noun].teacher.from=out"], &["tasks[1].teacher.from", "data.labels"]);
    refuse(&["tasks[noun].evaluation.positive=verb"], &["tasks[1].evaluation.positive = verb"]);
    refuse(&["tasks[noun].data.max_length=90"], &["tasks[1].data.max_length = 90"]);
    let second = r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse",teacher=1}]"#;
    let both = r#"tasks[noun].teacher.from=["nouns","nouns"]"#;
    refuse(&[second, both], &["intermediate_matches[0].teacher = 1", "(task opinion)"]);
    refuse(&["tasks[noun].data.dev=nowhere.tsv"], &["nowhere.tsv"]);
    refuse(&["tasks[noun].teacher.from=student"], &["student", "config.json"]);
    let other = TASKS.replace("tokenizer = \"vocab\"\n", "");
    shop.write("bare.toml", other);
    shop.refuse(&["distill", "bare.toml"], 2, &["model.tokenizer = missing", "one tokenizer"]);
}
