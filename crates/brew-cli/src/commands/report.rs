//! Results as text.

use std::fmt::Write;

use brew::data::ClassificationReport;
use brew::{QuickstartOutcome, SeedOutcome, Summary, TaskReport, TasksSummary};

/// What a finished run prints.
pub(super) fn summary(summary: &Summary) -> String {
    let mut out = String::new();
    let reports = [("dev", &summary.dev), ("test", &summary.test)];
    let reports = reports.iter().filter_map(|(name, report)| Some((name, report.as_ref()?)));
    for (index, (name, report)) in reports.enumerate() {
        if index == 0 {
            let _ = write!(out, "\n{:<12} {:>8}", "", "texts");
            let names = report.figures().into_iter().map(|figure| format!("  {:>10}", figure.name));
            let _ = writeln!(out, "{}", names.collect::<String>());
        }
        let values = report.figures().into_iter().map(|figure| format!("  {:>10}", figure.to_string()));
        let _ = writeln!(out, "{name:<12} {:>8}{}", report.examples(), values.collect::<String>());
    }
    out.push_str(&effort(summary.parameters, summary.steps, summary.seconds));
    if let Some(model) = &summary.model {
        let what = match summary.model_type {
            "bigru" => "config.json and safetensors; transformers has no such model",
            _ => "a folder that transformers loads",
        };
        let _ = writeln!(out, "model: {} ({what})", model.display());
    }
    out
}

fn effort(parameters: usize, steps: usize, seconds: f64) -> String {
    format!("{:.1} M parameters, {steps} steps in {seconds:.0} s\n", parameters as f64 / 1e6)
}

/// What a finished run of several tasks prints: a row a task.
pub(super) fn tasks(summary: &TasksSummary) -> String {
    let mut out = String::new();
    let width = summary.tasks.iter().map(|task| task.name.len()).max().unwrap_or(0).max(12);
    let columns = format!("{:>8}  {:>9}  {:>9}", "texts", "accuracy", "macro F1");
    let _ = writeln!(out, "\n{:<width$} {:>30}   {:>30}", "", "dev", "test");
    let _ = writeln!(out, "{:<width$} {columns}   {columns}", "task");
    for task in &summary.tasks {
        let cells = |report: &Option<TaskReport>| match report {
            None => String::new(),
            Some(TaskReport::Classification(report)) => format!(
                "{:>8}  {:>7.2} %  {:>7.2} %",
                report.examples,
                100.0 * report.accuracy,
                100.0 * report.macro_f1
            ),
            Some(_) => unreachable!("tasks are classifications of texts"),
        };
        let row = format!("{:<width$} {:>30}   {}", task.name, cells(&task.dev), cells(&task.test));
        let _ = writeln!(out, "{}", row.trim_end());
    }
    out.push_str(&effort(summary.parameters, summary.steps, summary.seconds));
    for model in summary.tasks.iter().filter_map(|task| task.model.as_ref()) {
        let _ = writeln!(out, "model: {} (a folder that transformers loads)", model.display());
    }
    out
}

/// What `evaluate` prints.
pub(super) fn task(report: &TaskReport) -> String {
    match report {
        TaskReport::Classification(report) => classification(report),
        TaskReport::Flags(report) => format!("{report}\n"),
        TaskReport::Values(report) => format!("{report}\n"),
        TaskReport::Tags(report) => format!("{report}\n"),
        other => other.figures().iter().map(|figure| format!("{} {figure}\n", figure.name)).collect(),
    }
}

/// Scores of one file, label by label.
fn classification(report: &ClassificationReport) -> String {
    let mut out = String::new();
    let width = report.per_label.iter().map(|label| label.label.chars().count()).max().unwrap_or(0).max(8);
    let _ = writeln!(
        out,
        "{:<width$}  {:>9}  {:>8}  {:>8}  {:>7}",
        "label", "precision", "recall", "F1", "texts"
    );
    for label in &report.per_label {
        let _ = writeln!(
            out,
            "{:<width$}  {:>7.2} %  {:>6.2} %  {:>6.2} %  {:>7}",
            label.label,
            100.0 * label.scores.precision,
            100.0 * label.scores.recall,
            100.0 * label.scores.f1,
            label.support
        );
    }
    let _ = writeln!(
        out,
        "\naccuracy {:.2} %   macro F1 {:.2} %   texts {}",
        100.0 * report.accuracy,
        100.0 * report.macro_f1,
        report.examples
    );
    out
}

/// A name, its accuracy on a seed, and parameters and speed where it is a model.
type Row = (&'static str, fn(&SeedOutcome) -> f64, Option<(usize, f64)>);

/// The quickstart's table.
pub(super) fn quickstart(outcome: &QuickstartOutcome) -> String {
    let mut out = String::new();
    let seeds: Vec<String> = outcome.seeds.iter().map(|one| format!("seed {}", one.seed)).collect();
    let _ = writeln!(out, "\ntest accuracy (%)       {}      mean   parameters  sentences/s", cells(&seeds));
    let rows: [Row; 5] = [
        ("majority class", |one| one.majority, None),
        ("bag of words", |one| one.bag_of_words, None),
        ("teacher", |one| one.teacher, Some((outcome.teacher_parameters, outcome.teacher_speed))),
        (
            "student, labels only",
            |one| one.student_labels,
            Some((outcome.student_parameters, outcome.student_speed)),
        ),
        (
            "student, distilled",
            |one| one.student_distilled,
            Some((outcome.student_parameters, outcome.student_speed)),
        ),
    ];
    for (name, value, model) in rows {
        let values: Vec<f64> = outcome.seeds.iter().map(|one| 100.0 * value(one)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let shown: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
        let _ = write!(out, "{name:<22}  {}  {mean:>8.1}", cells(&shown));
        if let Some((parameters, speed)) = model {
            let _ = write!(out, "  {:>9.0} k  {speed:>11.0}", parameters as f64 / 1e3);
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "\n{} test sentences a seed, {:.0} % of the training labels are wrong, {:.0} s in all",
        outcome.test_examples,
        100.0 * outcome.label_noise,
        outcome.seconds
    );
    out
}

fn cells(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:>8}")).collect::<Vec<_>>().join("")
}
