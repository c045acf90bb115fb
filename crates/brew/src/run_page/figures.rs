//! Scores as a log holds them.

use serde_json::Value;

use crate::Figure;

/// Name, place in the report, and whether it is a share.
type Place = (&'static str, &'static str, bool);

/// The numbers by which predictions are judged, the most usual first: those of
/// [`TaskReport::figures`](crate::TaskReport::figures), of a report that is read back. Empty where it is none.
pub(super) fn figures(report: &Value) -> Vec<Figure> {
    // A key that only one kind of report has, and the figures of that kind.
    let kinds: [(&str, &[Place]); 5] = [
        (
            "/confusion",
            &[("accuracy", "/accuracy", true), ("F1", "/f1", true), ("macro F1", "/macro_f1", true)],
        ),
        (
            "/subset_accuracy",
            &[
                ("micro F1", "/micro_f1", true),
                ("macro F1", "/macro_f1", true),
                ("all right", "/subset_accuracy", true),
            ],
        ),
        (
            "/pearson",
            &[
                ("Pearson", "/pearson", false),
                ("Spearman", "/spearman", false),
                ("squared error", "/mse", false),
            ],
        ),
        (
            "/per_type",
            &[
                ("span F1", "/f1", true),
                ("precision", "/micro_average/precision", true),
                ("recall", "/micro_average/recall", true),
                ("tags", "/accuracy", true),
            ],
        ),
        ("/exact_match", &[("exact match", "/exact_match", true), ("F1", "/f1", true)]),
    ];
    let Some((_, figures)) = kinds.iter().find(|(key, _)| report.pointer(key).is_some()) else {
        return Vec::new();
    };
    let number = |place: &str| report.pointer(place).and_then(Value::as_f64);
    figures
        .iter()
        .filter_map(|&(name, place, is_share)| Some(Figure { name, value: number(place)?, is_share }))
        .collect()
}

/// How many texts a report is about.
pub(super) fn examples(report: &Value) -> Option<usize> {
    let found = ["examples", "sentences", "questions"].iter().find_map(|key| report.get(key)?.as_u64());
    found.map(|count| count as usize)
}

/// The figure that a run is judged by: of its `evaluation.metric`, else the first.
pub(super) fn main_figure<'a>(figures: &'a [Figure], metric: Option<&str>) -> Option<&'a Figure> {
    let named = metric.and_then(|metric| {
        let key = |figure: &Figure| figure.name.to_lowercase().replace(' ', "_");
        let exact = figures.iter().find(|figure| key(figure) == metric);
        // `f1` of spans is shown as "span F1".
        exact.or_else(|| figures.iter().find(|figure| key(figure) == format!("span_{metric}")))
    });
    named.or(figures.first())
}

#[cfg(test)]
mod tests {
    use brew_data::{
        ClassificationReport, LabelSet, MultiLabelReport, RegressionReport, SpanMode, SpanReport, TagScheme,
    };
    use serde_json::json;

    use super::*;
    use crate::TaskReport;

    #[test]
    fn reports_that_are_read_back_have_the_figures_of_those_that_were_written() {
        let labels = LabelSet::new(["a", "b"]).unwrap();
        let flags = [[true, false], [true, true]];
        let tags = [vec!["B-PER", "O", "B-LOC"]];
        let other = [vec!["B-PER", "O", "O"]];
        let reports = [
            TaskReport::Classification(
                ClassificationReport::new(&[0, 1, 1, 1], &[0, 1, 1, 0], &labels).unwrap(),
            ),
            TaskReport::Flags(MultiLabelReport::new(&flags, &[[true, true], [true, true]], &labels).unwrap()),
            TaskReport::Values(RegressionReport::new(&[1.0, 2.0, 4.0], &[1.0, 3.0, 3.5]).unwrap()),
            TaskReport::Tags(SpanReport::new(&tags, &other, TagScheme::Iob2, SpanMode::Lenient).unwrap()),
        ];
        for report in reports {
            let read = serde_json::to_value(&report).unwrap();
            assert_eq!(figures(&read), report.figures());
            assert_eq!(examples(&read), Some(report.examples()));
        }
        assert!(figures(&json!({"accuracy": 1.0})).is_empty(), "no report");
        let answers = figures(&json!({"questions": 2, "exact_match": 0.5, "f1": 0.75}));
        assert_eq!(answers.iter().map(|one| one.value).collect::<Vec<_>>(), [0.5, 0.75]);
    }

    #[test]
    fn a_run_is_judged_by_its_metric() {
        let figure = |name| Figure { name, value: 0.0, is_share: true };
        let classes = [figure("accuracy"), figure("F1"), figure("macro F1")];
        let name = |figures, metric| main_figure(figures, metric).unwrap().name;
        assert_eq!(name(&classes, Some("f1")), "F1");
        assert_eq!(name(&classes, Some("macro_f1")), "macro F1");
        assert_eq!(name(&classes, Some("matthews")), "accuracy");
        assert_eq!(name(&classes, None), "accuracy");
        assert_eq!(name(&[figure("tags"), figure("span F1")], Some("f1")), "span F1");
    }
}
