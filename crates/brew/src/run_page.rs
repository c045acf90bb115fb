//! A run as one page that needs nothing else: what `textbrew report` writes.

mod chart;
mod curves;
mod figures;
mod html;
mod numbers;
mod record;
mod tables;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use self::figures::{figures, main_figure};
use self::html::Html;
use self::record::Record;
use self::tables::{Row, model_name};
use crate::output::{RunFolder, model_in};
use crate::{Figure, RunError};

/// Colours, sizes, and what a phone does with them.
const STYLE: &str = include_str!("run_page/style.css");

/// Writes what is known of a run, finished or not, as one HTML page, and gives its path: `output`, or
/// `report.html` in the run's folder.
///
/// The page holds its curves as SVG and loads nothing. Beside the run stand the runs in `compare` and the
/// runs of its teachers, where their folders are there.
///
/// # Errors
/// [`RunError::NotARun`] for a folder that is no run's; files that cannot be read or written.
pub fn write_report(run: &Path, compare: &[PathBuf], output: Option<&Path>) -> Result<PathBuf, RunError> {
    let page = page(run, compare)?;
    let path = output.map_or_else(|| RunFolder::page_in(run), Path::to_path_buf);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(page.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(RunError::io("write", &path))?;
    Ok(path)
}

/// The page of a run.
fn page(run: &Path, compare: &[PathBuf]) -> Result<String, RunError> {
    let own = Record::read(run)?;
    let compared = compare.iter().map(|folder| Record::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let teachers = teachers(&own);
    let rows = rows(&own, &teachers, &compared);

    let mut body = Html::default();
    body.add(&header(&own)).add(&tiles(&own, &rows));
    let others: Vec<(String, &Record)> = rows
        .iter()
        .filter(|row| !row.is_own)
        .filter_map(|row| Some((row.name.clone(), row.record?)))
        .take(3)
        .collect();
    section(&mut body, "Curves", &curves::first(&own, &others));
    section(&mut body, "Scores", &tables::scores(&rows, own.metric()));
    section(&mut body, "Loss terms, unweighted", &curves::terms(&own));
    section(&mut body, "Labels", &tables::labels(&own));
    section(&mut body, "Size and speed", &tables::sizes(&rows));
    section(&mut body, "Optimizer and speed over time", &curves::optimizer(&own));
    section(&mut body, "Configuration", &tables::configuration(&own));

    let mut page = Html::default();
    page.raw(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    );
    page.element("<title>", own.name(), "</title><style>").raw(STYLE).raw("</style></head><body><main>");
    page.add(&body).raw("</main><footer>");
    page.text(format_args!("Brew {}", env!("CARGO_PKG_VERSION"))).raw("</footer></body></html>\n");
    Ok(page.into_string())
}

fn section(body: &mut Html, title: &'static str, content: &Html) {
    if !content.is_empty() {
        body.raw("<section>").element("<h2>", title, "</h2>").add(content).raw("</section>");
    }
}

/// A teacher's folder and, where that is of a run, the run.
struct Teacher {
    folder: PathBuf,
    run: Option<Record>,
    parameters: Option<usize>,
}

fn teachers(own: &Record) -> Vec<Teacher> {
    let of_begin = own.begin["teacher_parameters"].as_array();
    let parameters = |index: usize| of_begin?.get(index)?.as_u64().map(|count| count as usize);
    own.teachers()
        .into_iter()
        .enumerate()
        .map(|(index, folder)| {
            // The configuration names the model's folder in the run's.
            let places = folder.ancestors().take(3).filter(|place| !place.as_os_str().is_empty());
            let run =
                places.filter_map(|place| Record::read(place).ok()).find(|run| run.is_of_model(&folder));
            Teacher { parameters: parameters(index), folder, run }
        })
        .collect()
}

/// The models of the page: teachers, compared runs, the run itself.
fn rows<'a>(own: &'a Record, teachers: &'a [Teacher], compared: &'a [Record]) -> Vec<Row<'a>> {
    let taught_by = |model: &Record| {
        let all = compared.iter().chain([own]).flat_map(Record::teachers);
        all.into_iter().any(|teacher| model.is_of_model(&teacher))
    };
    let row = |record: &'a Record, is_own: bool| Row {
        name: record.name(),
        role: match record.command() {
            "distill" => "distilled",
            _ if taught_by(record) => "teacher",
            "train" => "labels only",
            _ => "–",
        },
        parameters: record.parameters(),
        bytes: record.model_bytes,
        record: Some(record),
        is_own,
    };
    let mut rows = Vec::new();
    for teacher in teachers {
        // One that is among the compared runs stands there.
        if compared.iter().any(|run| run.is_of_model(&teacher.folder)) {
            continue;
        }
        rows.push(match &teacher.run {
            Some(run) => {
                let known = row(run, false);
                Row { role: "teacher", parameters: known.parameters.or(teacher.parameters), ..known }
            }
            None => Row {
                name: model_name(&teacher.folder),
                role: "teacher",
                record: None,
                parameters: teacher.parameters,
                bytes: record::weights(&teacher.folder)
                    .or_else(|| record::weights(&model_in(&teacher.folder))),
                is_own: false,
            },
        });
    }
    rows.extend(compared.iter().map(|run| row(run, false)));
    rows.push(row(own, true));
    rows
}

fn header(own: &Record) -> Html {
    let mut out = Html::default();
    let what = match own.command() {
        "distill" => "Distillation",
        "train" => "Training on labels",
        _ => "Run",
    };
    let task = match own.config["tasks"].as_array().filter(|tasks| !tasks.is_empty()) {
        Some(tasks) => format!("{} tasks", tasks.len()),
        None => own.config["task"].as_str().unwrap_or("classification").replace('_', " "),
    };
    out.raw("<header><h1>").text(own.name()).raw("</h1><p class=\"facts\">");
    out.element("<span>", what, "</span>").element("<span>", task, "</span>");
    if let Some(began) = own.began {
        out.element("<span>", numbers::date(began), "</span>");
    }
    if let Some(seed) = own.config["training"]["seed"].as_u64() {
        out.element("<span>", format_args!("seed {seed}"), "</span>");
    }
    let total = own.total_steps.map_or("?".to_owned(), numbers::whole);
    let (class, state) = match (&own.result, own.is_finished()) {
        (_, true) => ("<span class=\"state good\">", "finished".to_owned()),
        (Some(_), false) => {
            let step = numbers::whole(own.last_step());
            ("<span class=\"state\">", format!("stopped at step {step} of {total}"))
        }
        (None, false) => {
            let step = numbers::whole(own.last_step());
            ("<span class=\"state\">", format!("not finished: step {step} of {total}"))
        }
    };
    out.element(class, state, "</span>").raw("</p></header>");
    out
}

/// The numbers that are looked at first.
fn tiles(own: &Record, rows: &[Row<'_>]) -> Html {
    let mut out = Html::default();
    let mut tile = |value: String, name: &str, note: String| {
        out.element("<div class=\"card tile\"><b>", value, "</b>").element("<span>", name, "</span>");
        out.element("<span class=\"note\">", note, "</span></div>");
    };
    let mut teachers = rows.iter().filter(|row| row.role == "teacher" && !row.is_own);
    // Of several none stands for the others.
    let teacher = teachers.next().filter(|_| teachers.next().is_none());
    for one in own.scores().iter().take(4) {
        let all = figures(&one.report);
        let Some(main) = main_figure(&all, own.metric()) else { continue };
        let of_teacher = teacher.and_then(|row| row.record).map(Record::scores).unwrap_or_default();
        let same = of_teacher.iter().find(|other| other.split == one.split && other.task == one.task);
        let theirs =
            same.and_then(|other| figures(&other.report).into_iter().find(|figure| figure.name == main.name));
        let place = one.task.as_ref().map_or(one.split.clone(), |task| format!("{task} {}", one.split));
        let note = theirs.map_or(String::new(), |theirs: Figure| format!("teacher {theirs}"));
        tile(main.to_string(), &format!("{} ({place})", main.name), note);
    }
    if let Some(parameters) = own.parameters() {
        let theirs = teacher.and_then(|row| row.parameters).filter(|_| parameters > 0);
        let note = theirs.map_or(String::new(), |theirs| {
            format!("teacher {} (× {:.1})", numbers::short(theirs as f64), theirs as f64 / parameters as f64)
        });
        tile(numbers::short(parameters as f64), "parameters", note);
    }
    if let Some(last) = own.reports.last() {
        let epochs = last.epoch + 1;
        let note = format!(
            "{} steps, {epochs} {}",
            numbers::whole(last.step),
            if epochs == 1 { "epoch" } else { "epochs" }
        );
        tile(numbers::duration(own.seconds()), "training and evaluation", note);
    }
    if let Some((examples, tokens)) = own.speed() {
        let note = tokens.map_or(String::new(), |tokens| format!("{} tokens/s", numbers::short(tokens)));
        tile(numbers::short(examples), "examples a second", note);
    }
    let mut framed = Html::default();
    framed.raw("<div class=\"tiles\">").add(&out).raw("</div>");
    framed
}
