use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use super::*;

/// A folder with runs as their processes leave them.
struct Runs(tempfile::TempDir);

impl Runs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A run with a configuration and the events of its log.
    fn write(&self, name: &str, config: &Value, events: &[Value]) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(folder.join("model")).unwrap();
        fs::write(folder.join("run.json"), config.to_string()).unwrap();
        let mut log = String::new();
        for event in events {
            let _ = writeln!(log, "{event}");
        }
        fs::write(folder.join("log.jsonl"), log).unwrap();
        folder
    }

    /// A finished training on labels, 1000 parameters.
    fn teacher(&self) -> PathBuf {
        let folder = self.write("teacher", &json!({}), &[begin("train", 1000, &[])]);
        let result =
            json!({"steps": 10, "seconds": 4.0, "interrupted": false, "dev": classes(["a", "b"], 95)});
        fs::write(folder.join("result.json"), result.to_string()).unwrap();
        folder
    }
}

fn begin(command: &str, parameters: usize, teachers: &[usize]) -> Value {
    json!({
        "event": "begin", "command": command, "backend": "flex", "version": "0.1.0", "parameters": parameters,
        "teacher_parameters": teachers, "examples": 400, "time": 951_827_696,
        "machine": {"os": "linux", "arch": "x86_64", "cores": 2},
    })
}

fn start(step: usize, total: usize) -> Value {
    json!({"event": "start", "step": step, "total_steps": total})
}

fn report(step: usize, term: &str) -> Value {
    let term =
        json!({"name": term, "value": 2.0 / step as f64, "weight": 0.5, "weighted": 1.0 / step as f64});
    let soft = json!({"name": "kd_loss", "value": 0.5, "weight": 1.0, "weighted": 0.5});
    json!({
        "event": "report", "step": step, "total_steps": 100, "epoch": 1, "loss": 0.5 + 1.0 / step as f64,
        "terms": [soft, term], "temperature": 4.0, "lr": 1e-4, "grad_norm": 0.5, "examples": 80, "tokens": 800,
        "seconds": 2.0,
    })
}

/// Scores of two classes of 100 texts each, of which so many are right.
fn classes(names: [&str; 2], right: usize) -> Value {
    let share = right as f64 / 100.0;
    let row =
        |name: &str| json!({"label": name, "precision": share, "recall": share, "f1": share, "support": 100});
    json!({
        "examples": 200, "accuracy": share, "f1": share, "macro_f1": share,
        "per_label": [row(names[0]), row(names[1])],
        "confusion": [[right, 100 - right], [100 - right, right]],
    })
}

fn evaluation(split: &str, step: usize, report: &Value) -> Value {
    json!({"event": "evaluation", "split": split, "step": step, "seconds": 0.5, "report": report})
}

/// Every element that is opened is closed, in order.
fn assert_whole(page: &str) {
    let void = ["meta", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    for part in page.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap().to_lowercase();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "closed in another order: …<{part}");
        } else if !tag.ends_with('/') && !void.contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

/// Nothing is loaded and nothing runs.
fn assert_alone(page: &str) {
    for part in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "onload", "<link", "<img"]
    {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn a_finished_distillation_stands_beside_its_teacher_and_the_labels_alone() {
    let runs = Runs::new();
    let teacher = runs.teacher();
    let labels = runs.write(
        "labels",
        &json!({}),
        &[begin("train", 250, &[]), evaluation("dev", 100, &classes(["a", "b"], 80))],
    );
    let matched =
        json!({"layer_T": 4, "layer_S": 1, "feature": "hidden", "loss": "hidden_mse", "weight": 0.5});
    let config = json!({
        "teacher": {"from": [teacher.join("model")]},
        "training": {"seed": 7, "optimizer": {"lr": 0.25}},
        "distillation": {"intermediate_matches": [matched]},
    });
    let dev = classes(["a", "b"], 90);
    let student = runs.write("student", &config, &[
        begin("distill", 250, &[1000]),
        start(0, 100),
        report(50, "hidden_hidden_mse_1_4"),
        evaluation("dev", 50, &dev),
        report(100, "hidden_hidden_mse_1_4"),
        evaluation("dev", 100, &dev),
        json!({"event": "end", "result": {"steps": 100, "seconds": 5.0, "interrupted": false, "dev": dev}}),
    ]);
    fs::write(student.join("model/model.safetensors"), vec![0; 2_500_000]).unwrap();

    let path = write_report(&student, std::slice::from_ref(&labels), None).unwrap();
    assert_eq!(path, student.join("report.html"));
    let page = fs::read_to_string(&path).unwrap();
    assert_whole(&page);
    assert_alone(&page);
    let expected = [
        "finished",
        "2000-02-29 12:34 UTC",
        "seed 7",
        "teacher 95.00 %",
        "labels only",
        "distilled",
        "student keeps 94.7 % of the accuracy of teacher on the dev file, with 25 % of its parameters",
        "and is 10.00 points above labels",
        "hidden_hidden_mse_1_4",
        "student 1, teacher 4",
        "weight 0.5",
        "2.5 MB",
        "linux, x86_64, 2 cores",
        "accuracy, F1, macro F1",
        "training.optimizer.lr",
        "0.25",
        "400 tokens/s",
    ];
    for part in expected {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    // 90 of 100 right; the picture of the loss holds its two points.
    assert!(page.contains("--share:63%") && page.contains("<path class=\"line\""), "{page}");

    // A compared teacher stands there once.
    let page = super::page(&student, &[teacher, labels]).unwrap();
    assert_eq!(page.matches("<tr><th>teacher</th><td>teacher</td>").count(), 2, "scores and sizes: {page}");
}

#[test]
fn a_teacher_that_is_no_run_has_its_size() {
    let runs = Runs::new();
    let folder = runs.path("bert");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("pytorch_model.bin"), vec![0; 1_200_000]).unwrap();
    let config = json!({"teacher": {"from": folder}});
    let student = runs.write("student", &config, &[begin("distill", 250, &[1000]), report(10, "hidden")]);
    let page = super::page(&student, &[]).unwrap();
    assert!(page.contains("<th>bert</th><td>teacher</td>") && page.contains("1.2 MB"), "{page}");
    assert!(page.contains("teacher 1,000 (× 4.0)"), "{page}");
}

#[test]
fn a_run_that_goes_on_gives_a_page_of_what_there_is() {
    let runs = Runs::new();
    let early = runs.write("early", &json!({"task": "regression"}), &[]);
    let page = super::page(&early, &[]).unwrap();
    assert_whole(&page);
    assert!(page.contains("not finished: step 0 of ?") && page.contains("nothing yet"), "{page}");

    let running =
        runs.write("running", &json!({}), &[begin("train", 10, &[]), start(0, 100), report(20, "loss")]);
    // The last line is cut off.
    let log = running.join("log.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}{{\"event\":\"report\",\"step\":3")).unwrap();
    let page = super::page(&running, &[]).unwrap();
    assert_whole(&page);
    assert!(page.contains("not finished: step 20 of 100") && !page.contains("NaN"), "{page}");

    let stopped = json!({"event": "end", "result": {"steps": 20, "interrupted": true}});
    let stopped = runs.write("stopped", &json!({}), &[start(0, 100), report(20, "loss"), stopped]);
    assert!(super::page(&stopped, &[]).unwrap().contains("stopped at step 20 of 100"));
}

#[test]
fn what_a_continued_run_did_anew_stands_once() {
    let runs = Runs::new();
    let scores = |right| evaluation("dev", 40, &classes(["a", "b"], right));
    let interrupted = json!({"event": "end", "result": {"steps": 45, "interrupted": true}});
    let run = runs.write(
        "run",
        &json!({}),
        &[
            begin("train", 10, &[]),
            start(0, 100),
            report(20, "x"),
            report(30, "x"),
            report(40, "x"),
            scores(50),
            interrupted,
            begin("train", 10, &[]),
            start(30, 100),
            report(40, "x"),
            scores(60),
            report(50, "x"),
        ],
    );
    let record = Record::read(&run).unwrap();
    let steps: Vec<usize> = record.reports.iter().map(|report| report.step).collect();
    assert_eq!((steps, record.processes), (vec![20, 30, 40, 50], 2));
    let shares: Vec<&Value> = record.evaluations.iter().map(|one| &one.report["accuracy"]).collect();
    assert_eq!(shares, [0.6], "the second process's");
    assert!(record.result.is_none(), "it goes on");
}

#[test]
fn a_run_of_the_first_versions_is_read() {
    let runs = Runs::new();
    let old = json!({
        "event": "report", "step": 10, "total_steps": 20, "epoch": 0, "loss": 1.0,
        "terms": [["kd_loss", 0.75], ["hard_label_loss", 0.25]], "lr": 0.1, "grad_norm": 1.0, "examples": 8,
        "seconds": 1.0,
    });
    let run = runs.write("old", &json!({}), &[old]);
    let record = Record::read(&run).unwrap();
    let terms: Vec<_> = record.reports[0].terms.iter().map(|term| (term.name.as_str(), term.value)).collect();
    assert_eq!(terms, [("kd_loss", 0.75), ("hard_label_loss", 0.25)]);
    assert_whole(&super::page(&run, &[]).unwrap());
}

#[test]
fn several_tasks_have_their_rows_and_curves() {
    let runs = Runs::new();
    let of = |task: &str, right| {
        let mut event = evaluation("dev", 10, &classes(["a", "b"], right));
        event["task"] = task.into();
        event
    };
    let events = [begin("distill", 10, &[20, 20]), start(0, 10), of("sst2", 90), of("mrpc", 70)];
    let run = runs.write("both", &json!({"tasks": [{"name": "sst2"}, {"name": "mrpc"}]}), &events);
    let page = super::page(&run, &[]).unwrap();
    assert_whole(&page);
    for part in ["2 tasks", "<td>sst2</td>", "<td>mrpc</td>", "sst2: accuracy", "accuracy (mrpc dev)"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

/// Labels, tasks, settings and folders are the user's; none of them is ever markup.
#[test]
fn text_from_outside_is_never_markup() {
    let runs = Runs::new();
    let evil = "\"><script>alert('x')</script>&";
    let mut scores = evaluation("dev", 10, &classes([evil, evil], 90));
    scores["task"] = evil.into();
    let mut start_event = begin(evil, 10, &[]);
    start_event["backend"] = evil.into();
    let config = json!({
        "task": evil, "data": {"train": evil, evil: evil}, "teacher": {"from": [evil]}, "evaluation": {"metric": evil},
    });
    let events = [start_event, report(5, evil), report(10, evil), scores];
    let run = runs.write("<script>alert(1)<&", &config, &events);
    let page = super::page(&run, &[]).unwrap();
    assert_whole(&page);
    assert_alone(&page);
    assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;"), "{page}");
    assert!(page.contains("<title>&lt;script&gt;alert(1)&lt;&amp;</title>"), "{page}");
}

#[test]
fn folders_that_are_no_runs_and_damaged_ones_are_refused_by_name() {
    let runs = Runs::new();
    let folder = runs.path("thesis");
    fs::create_dir(&folder).unwrap();
    let refused = |path: &Path| write_report(path, &[], None).unwrap_err();
    for path in [&folder, &runs.path("nowhere")] {
        let error = refused(path);
        assert!(error.is_input() && matches!(error, RunError::NotARun { .. }), "{error}");
        assert!(error.to_string().contains("run.json"), "{error}");
    }
    assert!(fs::read_dir(&folder).unwrap().next().is_none(), "nothing is written there");
    let error = write_report(&runs.teacher(), &[folder], None).unwrap_err();
    assert!(error.to_string().contains("thesis"), "{error}");

    let broken = runs.write("broken", &json!({}), &[]);
    fs::write(broken.join("run.json"), "{\"task\": ").unwrap();
    let error = refused(&broken);
    assert!(error.to_string().contains("run.json is damaged"), "{error}");
}

#[test]
fn a_page_goes_where_it_is_asked_for_or_nowhere() {
    let runs = Runs::new();
    let run = runs.teacher();
    let page = runs.path("page.html");
    fs::write(&page, "of yesterday").unwrap();
    assert_eq!(write_report(&run, &[], Some(&page)).unwrap(), page);
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!DOCTYPE html>"));
    assert!(!run.join("report.html").exists());
    let error = write_report(&run, &[], Some(&runs.path("no/page.html"))).unwrap_err();
    assert!(error.to_string().contains("no/page.html"), "{error}");
}
