//! What a run's curves show.

use std::collections::BTreeMap;

use brew_config::DistillationConfig;

use super::chart::{Chart, LARGE, SMALL, Scale, Series, Stroke, smoothed};
use super::figures::{figures, main_figure};
use super::html::Html;
use super::numbers;
use super::record::{Evaluation, Record, Report};

/// So many weighted terms have a colour of their own.
const MOST_PARTS: usize = 5;

/// Loss, its parts, and the scores of checkpoints; `others` are runs whose last scores are shown for comparison.
pub(super) fn first(record: &Record, others: &[(String, &Record)]) -> Html {
    let mut out = Html::default();
    out.raw("<div class=\"charts\">");
    let loss = series_of(record, |report| Some(report.loss));
    let chart = Chart { series: measured(loss, 0), size: LARGE, ..chart(record, "Loss", "") };
    out.add(&chart.figure());
    // Where the loss is one term, the row is filled by what moves it.
    let second = parts(record).or_else(|| learning_rate(record).map(|one| Chart { size: LARGE, ..one }));
    if let Some(second) = second {
        out.add(&second.figure());
    }
    if let Some(scores) = checkpoint_scores(record, others) {
        out.add(&scores.figure());
    }
    out.raw("</div>");
    out
}

/// A small chart of each loss term, unweighted. Empty where there is no more than one.
pub(super) fn terms(record: &Record) -> Html {
    let mut out = Html::default();
    let mut names = term_names(&record.reports);
    if names.len() < 2 {
        return out;
    }
    let matches = matches(record);
    let layers = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or(name);
        matches.iter().find(|(known, _)| known == name).map(|(_, layers)| layers.clone())
    };
    // What compares layers comes behind what compares predictions.
    names.sort_by_key(|name| layers(name).is_some());
    out.raw("<div class=\"charts\">");
    for name in &names {
        let values = series_of(record, |report| Some(term(report, name)?.value));
        let weights: Vec<f64> =
            record.reports.iter().filter_map(|report| Some(term(report, name)?.weighted?.0)).collect();
        let weight = match (weights.first(), weights.last()) {
            (Some(first), Some(last)) if (first - last).abs() > 1e-9 * first.abs().max(1e-9) => {
                format!("weight {} → {}", numbers::plain(*first), numbers::plain(*last))
            }
            (Some(weight), _) => format!("weight {}", numbers::plain(*weight)),
            _ => String::new(),
        };
        let notes: Vec<String> =
            layers(name).into_iter().chain([weight]).filter(|one| !one.is_empty()).collect();
        let note = notes.join(", ");
        let chart = Chart { series: measured(values, 0), is_code: true, ..chart(record, name, &note) };
        out.add(&chart.figure());
    }
    out.raw("</div>");
    out
}

/// Rate, norm, temperature and speed.
pub(super) fn optimizer(record: &Record) -> Html {
    let mut out = Html::default();
    let temperatures = series_of(record, |report| report.temperature);
    let is_constant = temperatures.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let curves = [
        ("Gradient norm", "before clipping", true, series_of(record, |report| Some(report.grad_norm))),
        ("Temperature", "", false, if is_constant { Vec::new() } else { temperatures }),
        ("Examples a second", "", true, series_of(record, |report| per_second(report, report.examples))),
        (
            "Tokens a second",
            "the student's",
            true,
            series_of(record, |report| per_second(report, report.tokens)),
        ),
    ];
    out.raw("<div class=\"charts\">");
    if let Some(chart) = learning_rate(record).filter(|_| parts(record).is_some()) {
        out.add(&chart.figure());
    }
    for (title, note, is_noisy, points) in curves {
        if !points.is_empty() {
            let series = if is_noisy { measured(points, 0) } else { vec![Series::line(title, 0, points)] };
            out.add(&Chart { series, from_zero: true, ..chart(record, title, note) }.figure());
        }
    }
    out.raw("</div>");
    out
}

fn chart(record: &Record, title: &str, note: &str) -> Chart {
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        is_code: false,
        scale: Scale::Plain,
        series: Vec::new(),
        size: SMALL,
        last_x: record.total_steps.map(|steps| steps as f64),
        from_zero: false,
    }
}

fn learning_rate(record: &Record) -> Option<Chart> {
    let points = series_of(record, |report| Some(report.lr));
    let series = vec![Series::line("Learning rate", 0, points)];
    (!record.reports.is_empty()).then(|| Chart {
        series,
        from_zero: true,
        ..chart(record, "Learning rate", "")
    })
}

fn per_second(report: &Report, count: usize) -> Option<f64> {
    (count > 0 && report.seconds > 0.0).then(|| count as f64 / report.seconds)
}

fn series_of(record: &Record, value: impl Fn(&Report) -> Option<f64>) -> Vec<(f64, f64)> {
    record.reports.iter().filter_map(|report| Some((report.step as f64, value(report)?))).collect()
}

/// How many reports a smooth curve is the mean of: one in forty, at least three.
fn window(points: usize) -> usize {
    if points < 12 { 1 } else { (points / 40).max(3) | 1 }
}

/// Measured points, faint, and their mean over neighbours.
fn measured(points: Vec<(f64, f64)>, colour: usize) -> Vec<Series> {
    let window = window(points.len());
    let smooth = Series { name: None, ..Series::line("", colour, smoothed(&points, window)) };
    match window {
        1 => vec![smooth],
        _ => vec![Series { name: None, colour, stroke: Stroke::Faint, points }, smooth],
    }
}

/// The name of each match's term, and the layers that it compares.
fn matches(record: &Record) -> Vec<(String, String)> {
    let config = record.config.get("distillation").cloned().unwrap_or_default();
    let config: DistillationConfig = serde_json::from_value(config).unwrap_or_default();
    let listed = |layers: &[usize]| layers.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ");
    let all = config.intermediate_matches.iter();
    all.map(|one| {
        let layers = [one.layer_s.as_slice(), one.layer_t.as_slice()].map(|layers| match layers {
            [first, rest @ ..] if rest.iter().all(|layer| layer == first) => first.to_string(),
            several => listed(several),
        });
        (one.name(), format!("student {}, teacher {}", layers[0], layers[1]))
    })
    .collect()
}

fn term<'a>(report: &'a Report, name: &str) -> Option<&'a super::record::Term> {
    report.terms.iter().find(|term| term.name == name)
}

/// The names of all terms, in the order in which they appear.
fn term_names(reports: &[Report]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for term in reports.iter().flat_map(|report| &report.terms) {
        if !names.contains(&term.name) {
            names.push(term.name.clone());
        }
    }
    names
}

/// What a term adds to the loss.
struct Part {
    name: String,
    points: Vec<(f64, f64)>,
    /// The sum of all of it.
    size: f64,
}

/// What each term adds to the loss, the largest by themselves; `None` where no two terms have a weight.
fn parts(record: &Record) -> Option<Chart> {
    let part = |name: String| {
        let points = series_of(record, |report| Some(term(report, &name)?.weighted?.1));
        let size = points.iter().map(|point| point.1.abs()).filter(|one| one.is_finite()).sum();
        Part { name, points, size }
    };
    let names = term_names(&record.reports).into_iter();
    let mut parts: Vec<Part> = names.map(part).filter(|part| part.size > 0.0).collect();
    if parts.len() < 2 {
        return None;
    }
    parts.sort_by(|a, b| b.size.total_cmp(&a.size));
    let rest = if parts.len() > MOST_PARTS + 1 { parts.split_off(MOST_PARTS) } else { Vec::new() };
    if !rest.is_empty() {
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for point in rest.iter().flat_map(|part| &part.points) {
            *sums.entry(point.0 as usize).or_default() += point.1;
        }
        let points = sums.into_iter().map(|(step, sum)| (step as f64, sum)).collect();
        parts.push(Part { name: format!("{} others", rest.len()), points, size: 0.0 });
    }
    let line = |(colour, Part { name, points, .. }): (usize, Part)| {
        Series::line(name, colour, smoothed(&points, window(points.len())))
    };
    let series = parts.into_iter().enumerate().map(line).collect();
    let note = if rest.is_empty() { "weighted" } else { "weighted, the largest" };
    Some(Chart { series, size: LARGE, from_zero: true, ..chart(record, "Parts of the loss", note) })
}

/// Scores on the development file at each checkpoint.
fn checkpoint_scores(record: &Record, others: &[(String, &Record)]) -> Option<Chart> {
    let mut series: Vec<Series> = Vec::new();
    let mut scale = Scale::Plain;
    let is_of_one = record.evaluations.iter().all(|one| one.task.is_none());
    let mut add = |name: String, point: (f64, f64)| {
        match series.iter_mut().find(|one| one.name.as_deref() == Some(name.as_str())) {
            // The exported model is measured once more at the last step.
            Some(one) if one.points.last().is_some_and(|last| last.0 == point.0) => {}
            Some(one) => one.points.push(point),
            None => {
                let colour = series.len();
                series.push(Series { stroke: Stroke::Dots, ..Series::line(name, colour, vec![point]) });
            }
        }
    };
    for evaluation in record.evaluations.iter().filter(|one| one.split == "dev") {
        let all = figures(&evaluation.report);
        let main = main_figure(&all, record.metric());
        let step = evaluation.step as f64;
        match &evaluation.task {
            None => {
                let scaled = main.is_some_and(|main| main.is_share);
                scale = if scaled { Scale::Percent } else { Scale::Plain };
                let alike = all.iter().filter(|one| one.is_share == scaled && one.name != "squared error");
                for figure in alike.take(3) {
                    add(figure.name.to_owned(), (step, figure.value));
                }
            }
            Some(task) => {
                if let Some(main) = main {
                    scale = if main.is_share { Scale::Percent } else { Scale::Plain };
                    add(format!("{task}: {}", main.name), (step, main.value));
                }
            }
        }
    }
    if series.is_empty() {
        return None;
    }
    if is_of_one {
        series = together(series);
    }
    // Where the others ended, as lines.
    let last = record.total_steps.unwrap_or(record.last_step()) as f64;
    for (name, other) in others.iter().filter(|_| is_of_one) {
        let Some(value) = dev_score(other, record.metric()) else { continue };
        let colour = series.len();
        let points = vec![(0.0, value), (last, value)];
        series.push(Series { stroke: Stroke::Dashed, ..Series::line(name.clone(), colour, points) });
    }
    Some(Chart { series, size: LARGE, scale, ..chart(record, "Scores of checkpoints", "development file") })
}

/// The series without those that lie on an earlier one, which takes their names: with more than two classes F1
/// is the macro F1.
fn together(all: Vec<Series>) -> Vec<Series> {
    let mut kept: Vec<Series> = Vec::new();
    for one in all {
        match kept.iter_mut().find(|earlier| earlier.points == one.points) {
            Some(earlier) => {
                let names: Vec<String> = [earlier.name.take(), one.name].into_iter().flatten().collect();
                earlier.name = Some(names.join(", "));
            }
            None => kept.push(Series { colour: kept.len(), ..one }),
        }
    }
    kept
}

/// A run's last score on its development file.
fn dev_score(record: &Record, metric: Option<&str>) -> Option<f64> {
    let scores = record.scores();
    let dev: &Evaluation = scores.iter().find(|one| one.split == "dev" && one.task.is_none())?;
    main_figure(&figures(&dev.report), metric).map(|figure| figure.value)
}
