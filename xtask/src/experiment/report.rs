//! The results of an experiment as Markdown, JSON and a chart.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chart::{Bar, chart};
use super::statistics::Sample;
use super::{Experiment, Peer, PeerScores};

/// The names under which reports count what they judged.
const SIZES: [&str; 3] = ["examples", "sentences", "questions"];

/// The part of `result.json` that is reported.
#[derive(Debug, Deserialize)]
struct ResultFile {
    backend: String,
    parameters: usize,
    steps: usize,
    seconds: f64,
    dev: Option<Value>,
    test: Option<Value>,
    /// In place of `dev` and `test`, of a run of several tasks.
    #[serde(default)]
    tasks: Vec<TaskScores>,
}

#[derive(Debug, Deserialize)]
struct TaskScores {
    name: String,
    dev: Option<Value>,
    test: Option<Value>,
}

/// A run's effort and the reports of it or of one of its tasks.
#[derive(Debug, Clone, Serialize)]
struct RunResult {
    backend: String,
    parameters: usize,
    steps: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Value>,
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
            .with_context(|| format!("{} is no result of a run with a dev or test file", path.display()))
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
                anyhow::ensure!(dev.is_some() || test.is_some(), "neither dev nor test");
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

/// A column of the table: a metric on one of the files, or on both as one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Column<'a> {
    metric: &'a str,
    file: File,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum File {
    Dev,
    Test,
    Pooled,
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Pooled => "pooled",
        }
    }
}

impl Column<'_> {
    /// The value in a run's reports, in per cent.
    fn value(self, result: &RunResult) -> Option<f64> {
        let of = |report: &Option<Value>| report.as_ref()?.get(self.metric)?.as_f64();
        let share = match self.file {
            File::Dev => of(&result.dev)?,
            File::Test => of(&result.test)?,
            File::Pooled => pool([of(&result.dev)?, of(&result.test)?], sizes(result)?),
        };
        Some(100.0 * share)
    }

    /// The peer's values, pooled by the sizes of the same files.
    fn peer_values(self, peer: &PeerScores, result: &RunResult) -> Option<Vec<f64>> {
        match self.file {
            File::Dev => Some(peer.dev.clone()),
            File::Test => Some(peer.test.clone()),
            File::Pooled => {
                let sizes = sizes(result)?;
                Some(peer.dev.iter().zip(&peer.test).map(|(&dev, &test)| pool([dev, test], sizes)).collect())
            }
        }
    }
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

    /// The columns that some run has a value for. Shares of right answers may be pooled over files, F1 may not.
    fn columns(&self) -> Vec<Column<'a>> {
        let metrics = self.experiment.metrics.iter();
        let all = metrics.flat_map(|metric| {
            let files = [File::Dev, File::Test, File::Pooled].into_iter();
            files
                .filter(|&file| {
                    file != File::Pooled || ["accuracy", "exact_match"].contains(&metric.as_str())
                })
                .map(|file| Column { metric, file })
        });
        all.filter(|column| self.results.iter().any(|one| column.value(&one.result).is_some())).collect()
    }

    fn sample(&self, label: &str, column: Column<'_>) -> Option<Sample> {
        Sample::of(&self.of(label).filter_map(|one| column.value(&one.result)).collect::<Vec<_>>())
    }

    /// The column that arms are compared by: of the first metric, the one of most examples.
    fn main_column(&self) -> Option<Column<'a>> {
        let columns = self.columns();
        let first = columns.first()?.metric;
        columns.into_iter().rfind(|column| column.metric == first)
    }

    fn peer_sample(&self, label: &str, column: Column<'_>) -> Option<Sample> {
        let scores = self.experiment.peer.as_ref()?.arms.get(label)?;
        Sample::of(&column.peer_values(scores, &self.of(label).next()?.result)?)
    }

    /// The peer's cells, and how far the last score that both have is from the peer's.
    fn beside(&self, label: &str, columns: &[Column<'_>]) -> Option<String> {
        let peers: Vec<Option<Sample>> =
            columns.iter().map(|&column| self.peer_sample(label, column)).collect();
        let both =
            |(column, peers): (&Column<'_>, &Option<Sample>)| Some((self.sample(label, *column)?, (*peers)?));
        let (ours, peer) = columns.iter().zip(&peers).rev().find_map(both)?;
        let error =
            ours.standard_error_of_difference(peer).map_or(String::new(), |error| format!(" ± {error:.2}"));
        let cells: String =
            peers.iter().map(|one| format!(" {} |", one.map_or(String::new(), cell))).collect();
        Some(format!("{cells} {:+.2}{error} |", ours.mean - peer.mean))
    }

    /// The table of means, beside the peer's where there are such, then every run.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}\n", self.experiment.title);
        let columns = self.columns();
        let pooled = columns.iter().any(|column| column.file == File::Pooled);
        let _ = writeln!(
            out,
            "{} in %, mean ± standard deviation over seeds{}.\n",
            self.experiment.metrics.join(", "),
            if pooled { "; pooled counts dev and test as one" } else { "" }
        );
        let name = |column: &Column<'_>| match self.experiment.metrics.as_slice() {
            [_] => column.file.name().to_owned(),
            _ => format!("{} {}", column.file.name(), column.metric),
        };
        // Peers are compared by the first metric.
        let compared: Vec<Column<'_>> =
            columns.iter().copied().filter(|column| column.metric == self.experiment.metrics[0]).collect();
        let mut header = "| arm | seeds |".to_owned();
        for column in &columns {
            let _ = write!(header, " {} |", name(column));
        }
        if let Some(Peer { name: peer, .. }) = &self.experiment.peer {
            for column in &compared {
                let _ = write!(header, " {peer} {} |", name(column));
            }
            header.push_str(" difference ± standard error |");
        }
        let _ = writeln!(out, "{header}\n|{}", "---|".repeat(header.matches('|').count() - 1));
        for label in self.labels() {
            let _ = write!(out, "| {label} | {} |", self.of(&label).count());
            for &column in &columns {
                let _ = write!(out, " {} |", self.sample(&label, column).map_or(String::new(), cell));
            }
            if self.experiment.peer.is_some() {
                let cells = self.beside(&label, &compared);
                out.push_str(&cells.unwrap_or_else(|| " |".repeat(compared.len() + 1)));
            }
            out.push('\n');
        }
        let runs: Vec<Column<'_>> =
            columns.iter().copied().filter(|column| column.file != File::Pooled).collect();
        let names: String = runs.iter().map(|column| format!(" {} |", name(column))).collect();
        let _ = writeln!(out, "\n| arm | seed |{names} parameters | steps | seconds | backend |");
        let _ = writeln!(out, "|{}", "---|".repeat(runs.len() + 6));
        for one @ ArmResult { seed, result, .. } in self.results {
            let _ = write!(out, "| {} | {seed} |", one.label());
            for column in &runs {
                let value = column.value(result).map_or(String::new(), |value| format!("{value:.2}"));
                let _ = write!(out, " {value} |");
            }
            let _ = writeln!(
                out,
                " {:.1} M | {} | {:.0} | {} |",
                result.parameters as f64 / 1e6,
                result.steps,
                result.seconds,
                result.backend
            );
        }
        out
    }

    /// The means of the main score as bars, each run a dot, the peer's mean a line.
    fn chart(&self) -> Option<String> {
        let column = self.main_column()?;
        let bars = self.labels().into_iter().filter_map(|label| {
            let values: Vec<f64> = self.of(&label).filter_map(|one| column.value(&one.result)).collect();
            let peer = self.peer_sample(&label, column).map(|sample| sample.mean);
            Some(Bar { mean: Sample::of(&values)?.mean, values, peer, label })
        });
        let bars: Vec<Bar> = bars.collect();
        let axis = format!("{} {} (%)", column.file.name(), column.metric);
        let peer = self.experiment.peer.as_ref().map(|peer| peer.name.as_str());
        Some(chart(&self.experiment.title, &axis, peer, &bars))
    }

    /// `report.md`, `report.json` and `report.svg` in `folder`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(&json!({
            "title": self.experiment.title,
            "metrics": self.experiment.metrics,
            "results": self.results,
        }))?;
        let texts = [
            ("report.md", Some(self.markdown())),
            ("report.json", Some(json + "\n")),
            ("report.svg", self.chart()),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// How much each file was judged by.
fn sizes(result: &RunResult) -> Option<[usize; 2]> {
    let of = |report: &Option<Value>| {
        let report = report.as_ref()?;
        SIZES.iter().find_map(|name| report.get(name)?.as_u64()).map(|size| size as usize)
    };
    Some([of(&result.dev)?, of(&result.test)?])
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
        let scores =
            |examples: usize, accuracy: f64| Some(json!({"examples": examples, "accuracy": accuracy}));
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
        let pooled = Column { metric: "accuracy", file: File::Pooled };
        assert_eq!(report.main_column(), Some(pooled));
        let mean = report.sample("teacher", pooled).unwrap().mean;
        assert!((mean - (87.5 + 90.0) / 2.0).abs() < 1e-9, "{mean}");
        let mean = report.peer_sample("teacher", pooled).unwrap().mean;
        assert!((mean - (87.5 + 88.0) / 2.0).abs() < 1e-9, "{mean}");
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
        assert!(ArmResult::parse("teacher", 0, &text).unwrap_err().to_string().contains("neither dev"));
    }

    #[test]
    fn a_peer_with_scores_of_one_file_is_compared_by_that() {
        let mut experiment = experiment();
        experiment.peer.as_mut().unwrap().arms.get_mut("teacher").unwrap().test.clear();
        let results = [result("teacher", 0, 0.8, 0.9)];
        let markdown = Report::new(&experiment, &results).markdown();
        assert!(markdown.contains("| 81.00 ± 1.41 |  |  | -1.00 ± 1.00 |"), "{markdown}");
    }

    #[test]
    fn several_metrics_of_one_file_have_a_column_each() {
        let experiment: Experiment = toml::from_str(
            r#"
            title = "T"
            model = "m"
            data = "d"
            metrics = ["f1", "exact_match"]
            arms = [{ name = "teacher", command = "train" }]
            "#,
        )
        .unwrap();
        let text = r#"{"backend": "flex", "parameters": 1500000, "steps": 10, "seconds": 60.0,
            "dev": {"questions": 10, "f1": 0.75, "exact_match": 0.5}, "test": null}"#;
        let results = ArmResult::parse("teacher", 0, text).unwrap();
        let report = Report::new(&experiment, &results);
        let markdown = report.markdown();
        assert!(
            markdown.contains("| arm | seeds | dev f1 | dev exact_match |\n|---|---|---|---|\n"),
            "{markdown}"
        );
        assert!(markdown.contains("| teacher | 1 | 75.00 | 50.00 |"), "{markdown}");
        assert_eq!(report.main_column(), Some(Column { metric: "f1", file: File::Dev }));
    }

    #[test]
    fn the_report_is_written_as_markdown_json_and_chart() {
        let folder = tempfile::tempdir().unwrap();
        let experiment = experiment();
        let results = [result("teacher", 0, 0.8, 0.9)];
        Report::new(&experiment, &results).write(folder.path()).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["results"][0]["arm"], "teacher");
        assert_eq!(json["results"][0]["dev"]["accuracy"], 0.8);
        assert!(folder.path().join("report.md").exists());
        let svg = fs::read_to_string(folder.path().join("report.svg")).unwrap();
        assert!(svg.contains("pooled accuracy") && svg.contains("teacher"), "{svg}");
    }
}
