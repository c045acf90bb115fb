//! The results of an experiment as Markdown and JSON.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::statistics::Sample;
use super::{Experiment, Peer, PeerScores};

/// The scores of one file, as `result.json` holds them.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Scores {
    examples: usize,
    /// From 0 to 1.
    accuracy: f64,
}

/// The part of `result.json` that is reported.
#[derive(Debug, Deserialize)]
struct ResultFile {
    backend: String,
    parameters: usize,
    steps: usize,
    seconds: f64,
    dev: Option<Scores>,
    test: Option<Scores>,
    /// In place of `dev` and `test`, of a run of several tasks.
    #[serde(default)]
    tasks: Vec<TaskScores>,
}

#[derive(Debug, Deserialize)]
struct TaskScores {
    name: String,
    dev: Option<Scores>,
    test: Option<Scores>,
}

/// A run's effort and the scores of it or of one of its tasks.
#[derive(Debug, Clone, Serialize)]
struct RunResult {
    backend: String,
    parameters: usize,
    steps: usize,
    seconds: f64,
    dev: Scores,
    test: Scores,
}

/// One finished arm of one seed, or one task of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ArmResult {
    arm: String,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(flatten)]
    result: RunResult,
}

impl ArmResult {
    /// The results in a `result.json`: one, or one a task.
    pub(super) fn read(arm: &str, seed: u64, path: &Path) -> anyhow::Result<Vec<Self>> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(arm, seed, &text)
            .with_context(|| format!("{} is no result of a run with dev and test files", path.display()))
    }

    fn parse(arm: &str, seed: u64, text: &str) -> anyhow::Result<Vec<Self>> {
        let ResultFile { backend, parameters, steps, seconds, dev, test, tasks } =
            serde_json::from_str(text)?;
        let parts = match tasks.is_empty() {
            true => vec![(None, dev, test)],
            false => tasks.into_iter().map(|task| (Some(task.name), task.dev, task.test)).collect(),
        };
        parts
            .into_iter()
            .map(|(task, dev, test)| {
                let (dev, test) = (dev.context("no dev")?, test.context("no test")?);
                let result = RunResult { backend: backend.clone(), parameters, steps, seconds, dev, test };
                Ok(Self { arm: arm.to_owned(), seed, task, result })
            })
            .collect()
    }

    /// `arm`, or `arm/task`.
    fn label(&self) -> String {
        match &self.task {
            None => self.arm.clone(),
            Some(task) => format!("{}/{task}", self.arm),
        }
    }
}

/// What an experiment has found so far.
pub(super) struct Report<'a> {
    experiment: &'a Experiment,
    results: &'a [ArmResult],
}

/// Accuracies of one arm in per cent.
struct Row {
    dev: Sample,
    test: Sample,
    /// Right answers of both files over their sentences.
    pooled: Sample,
}

impl<'a> Report<'a> {
    pub(super) fn new(experiment: &'a Experiment, results: &'a [ArmResult]) -> Self {
        Self { experiment, results }
    }

    fn of(&self, label: &str) -> impl Iterator<Item = &ArmResult> {
        self.results.iter().filter(move |result| result.label() == label)
    }

    /// The labels of the results, in the order of the arms and of their tasks.
    fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        for arm in &self.experiment.arms {
            for result in self.results.iter().filter(|result| result.arm == arm.name) {
                let label = result.label();
                if !labels.contains(&label) {
                    labels.push(label);
                }
            }
        }
        labels
    }

    fn row(&self, label: &str) -> Option<Row> {
        let sample = |value: fn(&RunResult) -> f64| {
            Sample::of(&self.of(label).map(|one| 100.0 * value(&one.result)).collect::<Vec<_>>())
        };
        Some(Row {
            dev: sample(|one| one.dev.accuracy)?,
            test: sample(|one| one.test.accuracy)?,
            pooled: sample(|one| pool([one.dev.accuracy, one.test.accuracy], sizes(one)))?,
        })
    }

    /// The peer's figures, pooled by the sizes of the same files.
    fn peer_row(&self, label: &str) -> Option<Row> {
        let PeerScores { dev, test } = self.experiment.peer.as_ref()?.arms.get(label)?;
        let sizes = sizes(&self.of(label).next()?.result);
        let pooled: Vec<f64> = dev.iter().zip(test).map(|(&dev, &test)| pool([dev, test], sizes)).collect();
        Some(Row { dev: Sample::of(dev)?, test: Sample::of(test)?, pooled: Sample::of(&pooled)? })
    }

    /// The peer's cells, and how far a pooled score is from the peer's.
    fn beside(&self, label: &str, pooled: Sample) -> Option<String> {
        let peer = self.peer_row(label)?;
        let difference = pooled.mean - peer.pooled.mean;
        let error = pooled
            .standard_error_of_difference(peer.pooled)
            .map_or(String::new(), |error| format!(" ± {error:.2}"));
        let [dev, test, pooled] = [peer.dev, peer.test, peer.pooled].map(cell);
        Some(format!(" {dev} | {test} | {pooled} | {difference:+.2}{error} |"))
    }

    /// The table of means, beside the peer's where there are such, then every run.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}\n", self.experiment.title);
        let _ = writeln!(
            out,
            "Accuracy in %, mean ± standard deviation over seeds; pooled counts dev and test as one.\n"
        );
        let mut header = "| arm | seeds | dev | test | pooled |".to_owned();
        if let Some(Peer { name, .. }) = &self.experiment.peer {
            let _ =
                write!(header, " {name} dev | {name} test | {name} pooled | difference ± standard error |");
        }
        let columns = header.matches('|').count() - 1;
        let _ = writeln!(out, "{header}\n|{}", "---|".repeat(columns));
        for label in self.labels() {
            let Some(row) = self.row(&label) else { continue };
            let [dev, test, pooled] = [row.dev, row.test, row.pooled].map(cell);
            let _ = write!(out, "| {label} | {} | {dev} | {test} | {pooled} |", row.dev.count);
            if self.experiment.peer.is_some() {
                out.push_str(&self.beside(&label, row.pooled).unwrap_or_else(|| " | | | |".to_owned()));
            }
            out.push('\n');
        }
        let _ = writeln!(out, "\n| arm | seed | dev | test | parameters | steps | seconds | backend |");
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|");
        for one @ ArmResult { seed, result, .. } in self.results {
            let _ = writeln!(
                out,
                "| {} | {seed} | {:.2} | {:.2} | {:.1} M | {} | {:.0} | {} |",
                one.label(),
                100.0 * result.dev.accuracy,
                100.0 * result.test.accuracy,
                result.parameters as f64 / 1e6,
                result.steps,
                result.seconds,
                result.backend
            );
        }
        out
    }

    /// `report.md` and `report.json` in `folder`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(&json!({
            "title": self.experiment.title,
            "results": self.results,
        }))?;
        for (name, text) in [("report.md", self.markdown()), ("report.json", json + "\n")] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn sizes(result: &RunResult) -> [usize; 2] {
    [result.dev.examples, result.test.examples]
}

fn pool(shares: [f64; 2], sizes: [usize; 2]) -> f64 {
    let right: f64 = shares.iter().zip(sizes).map(|(share, size)| share * size as f64).sum();
    right / sizes.iter().sum::<usize>() as f64
}

fn cell(sample: Sample) -> String {
    if sample.count > 1 {
        format!("{:.2} ± {:.2}", sample.mean, sample.deviation)
    } else {
        format!("{:.2}", sample.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(arm: &str, seed: u64, dev: f64, test: f64) -> ArmResult {
        let scores = |examples, accuracy| Scores { examples, accuracy };
        let result = RunResult {
            backend: "flex".into(),
            parameters: 1_500_000,
            steps: 10,
            seconds: 60.0,
            dev: scores(100, dev),
            test: scores(300, test),
        };
        ArmResult { arm: arm.into(), seed, task: None, result }
    }

    fn experiment() -> Experiment {
        toml::from_str(
            r#"
            title = "T"
            model = "m"
            data = "d"
            arms = [{ name = "teacher", command = "train" }]
            [peer]
            name = "Peer"
            teacher = { dev = [80.0, 82.0], test = [90.0, 90.0] }
            "#,
        )
        .unwrap()
    }

    #[test]
    fn pooled_scores_weigh_each_file_by_its_size() {
        let experiment = experiment();
        let results = [result("teacher", 0, 0.8, 0.9), result("teacher", 1, 0.9, 0.9)];
        let report = Report::new(&experiment, &results);
        let row = report.row("teacher").unwrap();
        assert!((row.pooled.mean - (87.5 + 90.0) / 2.0).abs() < 1e-9, "{}", row.pooled.mean);
        let peer = report.peer_row("teacher").unwrap();
        assert!((peer.pooled.mean - (87.5 + 88.0) / 2.0).abs() < 1e-9, "{}", peer.pooled.mean);
        let markdown = report.markdown();
        // 88.75 − 87.75, deviations 2.5/√2 and 0.5/√2 of two each
        assert!(markdown.contains("| +1.00 ± 1.27 |"), "{markdown}");
        assert!(markdown.contains("| teacher | 1 | 90.00 | 90.00 | 1.5 M | 10 | 60 | flex |"), "{markdown}");
    }

    #[test]
    fn a_run_of_several_tasks_has_a_row_a_task() {
        let scores = |dev: f64, test: f64| {
            format!(
                r#""dev": {{"examples": 100, "accuracy": {dev}}}, "test": {{"examples": 300, "accuracy": {test}}}"#
            )
        };
        let effort = r#""backend": "flex", "parameters": 1500000, "steps": 10, "seconds": 60.0"#;
        let (a, b) = (scores(0.5, 0.6), scores(0.7, 0.8));
        let text = format!(r#"{{{effort}, "tasks": [{{"name": "b", {b}}}, {{"name": "a", {a}}}]}}"#);
        let results = ArmResult::parse("teacher", 0, &text).unwrap();
        let markdown = Report::new(&experiment(), &results).markdown();
        let places = ["| teacher/b | 1 | 70.00 | 80.00 |", "| teacher/a | 1 | 50.00 | 60.00 |"]
            .map(|row| markdown.find(row).unwrap_or_else(|| panic!("{row}: {markdown}")));
        assert!(places[0] < places[1], "{markdown}");
        let text = format!(r#"{{{effort}, "dev": null, "test": null}}"#);
        assert!(ArmResult::parse("teacher", 0, &text).unwrap_err().to_string().contains("no dev"));
    }

    #[test]
    fn the_report_is_written_as_markdown_and_json() {
        let folder = tempfile::tempdir().unwrap();
        let experiment = experiment();
        let results = [result("teacher", 0, 0.8, 0.9)];
        Report::new(&experiment, &results).write(folder.path()).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["results"][0]["arm"], "teacher");
        assert_eq!(json["results"][0]["dev"]["accuracy"], 0.8);
        assert!(folder.path().join("report.md").exists());
    }
}
