//! What a run's numbers are, as tables.

use std::path::Path;

use serde_json::Value;

use super::figures::{examples, figures, main_figure};
use super::html::Html;
use super::numbers;
use super::record::{Evaluation, Record};
use crate::Figure;

/// More labels than this make no readable matrix.
const MOST_CLASSES: usize = 30;

/// A model on the page.
pub(super) struct Row<'a> {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) record: Option<&'a Record>,
    pub(super) parameters: Option<usize>,
    pub(super) bytes: Option<u64>,
    /// Whether it is the run that the page is about.
    pub(super) is_own: bool,
}

/// Scores of all models, with and without distillation.
pub(super) fn scores(rows: &[Row<'_>], metric: Option<&str>) -> Html {
    let mut out = Html::default();
    let scored: Vec<(&Row<'_>, Vec<Evaluation>)> =
        rows.iter().map(|row| (row, row.record.map(Record::scores).unwrap_or_default())).collect();
    let all = || scored.iter().flat_map(|(_, scores)| scores);
    if all().next().is_none() {
        return out;
    }
    let mut tasks: Vec<Option<String>> = Vec::new();
    for one in all() {
        if !tasks.contains(&one.task) {
            tasks.push(one.task.clone());
        }
    }
    let has_tasks = tasks.iter().any(Option::is_some);
    let splits: Vec<&str> =
        ["dev", "test"].into_iter().filter(|split| all().any(|one| one.split == *split)).collect();
    let names: Vec<Vec<&'static str>> =
        splits.iter().map(|split| figure_names(all(), split, metric)).collect();

    out.raw("<div class=\"scroll card\"><table><thead><tr><th></th><th></th>");
    out.raw(if has_tasks { "<th></th>" } else { "" });
    for (split, names) in splits.iter().zip(&names) {
        out.raw("<th class=\"group\" colspan=\"").text(names.len()).raw("\">").text(split);
        let texts = all().find(|one| one.split == *split && !has_tasks).and_then(|one| examples(&one.report));
        if let Some(texts) = texts {
            out.element(" <span class=\"note\">", format!("{} texts", numbers::whole(texts)), "</span>");
        }
        out.raw("</th>");
    }
    out.raw("</tr><tr><th>Model</th><th>Role</th>").raw(if has_tasks { "<th>Task</th>" } else { "" });
    for name in names.iter().flatten() {
        out.element("<th class=\"number\">", name, "</th>");
    }
    out.raw("</tr></thead><tbody>");
    for (row, scores) in &scored {
        let own: Vec<&Option<String>> = match scores.is_empty() {
            true => vec![&None],
            false => tasks.iter().filter(|task| scores.iter().any(|one| one.task == **task)).collect(),
        };
        for task in own {
            out.raw(if row.is_own { "<tr class=\"own\">" } else { "<tr>" });
            out.element("<th>", &row.name, "</th>").element("<td>", row.role, "</td>");
            if has_tasks {
                out.element("<td>", task.as_deref().unwrap_or("–"), "</td>");
            }
            for (split, names) in splits.iter().zip(&names) {
                let found = scores.iter().find(|one| one.split == *split && one.task == *task);
                let figures = found.map(|one| figures(&one.report)).unwrap_or_default();
                for name in names {
                    let figure = figures.iter().find(|figure| figure.name == *name);
                    out.raw("<td class=\"number\">");
                    out.text(figure.map_or("–".to_owned(), Figure::to_string)).raw("</td>");
                }
            }
            out.raw("</tr>");
        }
    }
    out.raw("</tbody></table></div>");
    out.add(&kept(rows, metric));
    out
}

/// What the student kept of its teacher and gained over labels alone.
fn kept(rows: &[Row<'_>], metric: Option<&str>) -> Html {
    let mut out = Html::default();
    let main = |row: &Row<'_>| {
        let scores = row.record?.scores();
        let last = scores.iter().rev().find(|one| one.task.is_none())?;
        Some((last.split.clone(), *main_figure(&figures(&last.report), metric)?))
    };
    let Some(own) = rows.iter().find(|row| row.is_own && row.role == "distilled") else { return out };
    let Some((split, score)) = main(own) else { return out };
    let of_role = |role: &str| {
        let row = rows.iter().find(|row| row.role == role && !row.is_own)?;
        let (other_split, other) = main(row)?;
        (other_split == split && other.name == score.name).then_some((row, other))
    };
    let mut sentences = Vec::new();
    if let Some((row, teacher)) = of_role("teacher").filter(|(_, teacher)| teacher.value > 0.0) {
        let mut kept = format!(
            "keeps {:.1} % of the {} of {} on the {split} file",
            100.0 * score.value / teacher.value,
            score.name,
            row.name
        );
        if let (Some(few), Some(many)) = (own.parameters, row.parameters.filter(|&many| many > 0)) {
            kept.push_str(&format!(", with {:.0} % of its parameters", 100.0 * few as f64 / many as f64));
        }
        sentences.push(kept);
    }
    if let Some((row, labels)) = of_role("labels only") {
        let difference = score.value - labels.value;
        let size = match score.is_share {
            true => format!("{:.2} points", 100.0 * difference.abs()),
            false => format!("{:.4}", difference.abs()),
        };
        let side = if difference < 0.0 { "below" } else { "above" };
        sentences.push(format!("is {size} {side} {}, which learned from labels only", row.name));
    }
    if !sentences.is_empty() {
        out.raw("<p class=\"note\">").text(&own.name).raw(" ").text(sentences.join(", and ")).raw(".</p>");
    }
    out
}

/// The figures of a file that are shown: the one that counts and the next two.
fn figure_names<'a>(
    all: impl Iterator<Item = &'a Evaluation>,
    split: &str,
    metric: Option<&str>,
) -> Vec<&'static str> {
    let mut names = Vec::new();
    for one in all.filter(|one| one.split == split) {
        let figures = figures(&one.report);
        for figure in main_figure(&figures, metric).into_iter().chain(&figures) {
            if !names.contains(&figure.name) && names.len() < 3 {
                names.push(figure.name);
            }
        }
    }
    names
}

/// Size and speed of all models.
pub(super) fn sizes(rows: &[Row<'_>]) -> Html {
    let mut out = Html::default();
    let largest = rows.iter().filter_map(|row| row.parameters).max();
    out.raw(
        "<div class=\"scroll card\"><table><thead><tr><th></th><th></th><th class=\"group\" colspan=\"3\">Size</th>\
         <th class=\"group\" colspan=\"2\">Training</th><th class=\"group\">Evaluation</th>\
         <th class=\"group\"></th></tr><tr><th>Model</th><th>Role</th><th class=\"number\">parameters</th>\
         <th class=\"number\">of the largest</th><th class=\"number\">weights</th>\
         <th class=\"number\">examples/s</th><th class=\"number\">tokens/s</th>\
         <th class=\"number\">texts/s</th><th class=\"number\">time</th></tr></thead><tbody>",
    );
    for row in rows {
        let speed = row.record.and_then(Record::speed);
        let share = row.parameters.zip(largest).filter(|(_, largest)| *largest > 0);
        let cells = [
            row.parameters.map(numbers::whole),
            share.map(|(own, largest)| format!("{:.0} %", 100.0 * own as f64 / largest as f64)),
            row.bytes.map(numbers::megabytes),
            speed.map(|speed| numbers::short(speed.0)),
            speed.and_then(|speed| speed.1).map(numbers::short),
            row.record.and_then(Record::evaluation_speed).map(numbers::short),
            row.record
                .filter(|record| !record.reports.is_empty())
                .map(|one| numbers::duration(one.seconds())),
        ];
        out.raw(if row.is_own { "<tr class=\"own\">" } else { "<tr>" });
        out.element("<th>", &row.name, "</th>").element("<td>", row.role, "</td>");
        for cell in cells {
            out.element("<td class=\"number\">", cell.as_deref().unwrap_or("–"), "</td>");
        }
        out.raw("</tr>");
    }
    out.raw("</tbody></table></div>");
    out
}

/// Each label's scores and, of classes, what was taken for what; on the test file where there is one.
pub(super) fn labels(record: &Record) -> Html {
    let mut out = Html::default();
    let scores = record.scores();
    // A task's last scores are those on its test file, where it has one.
    let mut shown: Vec<&Evaluation> = Vec::new();
    for one in &scores {
        match shown.iter_mut().find(|other| other.task == one.task) {
            Some(earlier) => *earlier = one,
            None => shown.push(one),
        }
    }
    for one in shown {
        let rows = ["per_label", "per_type"].iter().find_map(|key| one.report.get(key)?.as_array());
        let Some(rows) = rows else { continue };
        let names: Vec<&str> = rows.iter().map(|row| row["label"].as_str().unwrap_or("?")).collect();
        out.raw("<h3>");
        if let Some(task) = &one.task {
            out.text(task).raw(", ");
        }
        out.text(&one.split).raw(" file</h3><div class=\"labels\">");
        if let Some(confusion) = one.report["confusion"].as_array().filter(|all| all.len() <= MOST_CLASSES) {
            out.add(&matrix(confusion, &names));
        }
        out.raw(
            "<div class=\"scroll card\"><table><thead><tr><th>Label</th><th class=\"number\">precision</th>\
             <th class=\"number\">recall</th><th class=\"number\">F1</th><th class=\"number\">in truth</th></tr>\
             </thead><tbody>",
        );
        for (row, name) in rows.iter().zip(&names) {
            out.element("<tr><th>", name, "</th>");
            for key in ["precision", "recall", "f1"] {
                let share =
                    row[key].as_f64().map_or("–".to_owned(), |share| format!("{:.2} %", 100.0 * share));
                out.element("<td class=\"number\">", share, "</td>");
            }
            let support =
                row["support"].as_u64().map_or("–".to_owned(), |count| numbers::whole(count as usize));
            out.element("<td class=\"number\">", support, "</td></tr>");
        }
        out.raw("</tbody></table></div></div>");
    }
    out
}

/// A row is a label, a column a prediction; a cell is as dark as the share of its row.
fn matrix(confusion: &[Value], names: &[&str]) -> Html {
    let mut out = Html::default();
    out.raw("<div class=\"scroll card\"><table class=\"matrix\"><thead><tr><th></th><th colspan=\"");
    out.text(names.len()).raw("\">predicted</th></tr><tr><th>in truth</th>");
    for name in names {
        out.element("<th class=\"number\">", name, "</th>");
    }
    out.raw("</tr></thead><tbody>");
    for (row, name) in confusion.iter().zip(names) {
        let counts: Vec<u64> =
            row.as_array().into_iter().flatten().map(|cell| cell.as_u64().unwrap_or(0)).collect();
        let sum: u64 = counts.iter().sum();
        out.element("<tr><th>", name, "</th>");
        for count in counts {
            let share = count as f64 / sum.max(1) as f64;
            out.raw("<td class=\"number\" style=\"--share:").text(format!("{:.0}%", 70.0 * share)).raw("\">");
            out.text(numbers::whole(count as usize));
            out.element("<span class=\"note\">", format!("{:.1} %", 100.0 * share), "</span></td>");
        }
        out.raw("</tr>");
    }
    out.raw("</tbody></table></div>");
    out
}

/// What ran where, and every setting that has a value.
pub(super) fn configuration(record: &Record) -> Html {
    let mut out = Html::default();
    let begin = &record.begin;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let machine = &begin["machine"];
    let facts = [
        ("folder", Some(record.folder.display().to_string())),
        ("Brew", text(&begin["version"])),
        ("backend", text(&begin["backend"])),
        (
            "machine",
            text(&machine["os"]).map(|os| {
                let (arch, cores) =
                    (text(&machine["arch"]).unwrap_or_default(), machine["cores"].as_u64().unwrap_or(0));
                format!("{os}, {arch}, {cores} cores")
            }),
        ),
        ("training examples", begin["examples"].as_u64().map(|count| numbers::whole(count as usize))),
        (
            "continued",
            (record.processes > 1).then(|| match record.processes - 1 {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            }),
        ),
    ];
    out.raw("<div class=\"scroll card\"><table class=\"settings\"><tbody>");
    for (name, value) in facts {
        if let Some(value) = value {
            out.element("<tr><th>", name, "</th>").element("<td>", value, "</td></tr>");
        }
    }
    out.raw("</tbody></table></div><details class=\"card\"><summary>Every setting</summary>");
    out.raw("<div class=\"scroll\"><table class=\"settings\"><tbody>");
    let mut settings = Vec::new();
    flatten("", &record.config, &mut settings);
    for (key, value) in settings {
        out.element("<tr><th><code>", key, "</code></th>").element("<td><code>", value, "</code></td></tr>");
    }
    out.raw("</tbody></table></div></details>");
    out
}

/// `training.optimizer.lr` and its value, and so on; what has no value is left out.
fn flatten(key: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, out);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{key}[{index}]"), item, out);
            }
        }
        value => out.push((key.to_owned(), value.to_string())),
    }
}

/// The last part of a path that says something: of `runs/teacher/model`, `teacher`.
pub(super) fn model_name(folder: &Path) -> String {
    let folder = match folder.ends_with("model") {
        true => folder.parent().unwrap_or(folder),
        false => folder,
    };
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
