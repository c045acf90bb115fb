//! What fits a task and what does not.

use brew_config::{KdLossType, Problem, TemperatureScheduler};
use brew_data::{Augmentation, Layout, LayoutOptions, LayoutTask, MultiLabelSpec, TextFileSpec};

use crate::{Metric, MultiLabelConfig, QuestionsConfig, RunConfig, RunKind, TagsConfig, TaskKind};

/// Settings that the task of a configuration does not have.
pub(super) fn task_problems(config: &RunConfig, kind: RunKind) -> Vec<Problem> {
    let task = config.task;
    let mut found = Vec::new();
    if let Some(metric) = config.evaluation.metric
        && !Metric::of(task).contains(&metric)
    {
        let names: Vec<&str> = Metric::of(task).iter().map(|metric| metric.name()).collect();
        let remedy = format!("the metrics of {task} are {}", names.join(", "));
        found.push(Problem::new("evaluation.metric", metric.name(), remedy));
    }
    if kind == RunKind::Distill {
        let loss = config.distillation.kd_loss_type;
        if let Some(remedy) = other_loss(task, loss) {
            found.push(Problem::new("distillation.kd_loss_type", loss.name(), remedy));
        }
        if config.distillation.probability_shift
            && !matches!(task, TaskKind::Classification | TaskKind::TokenClassification)
        {
            let remedy = format!("it moves the probability of the one right class, and {task} has none");
            found.push(Problem::new("distillation.probability_shift", true, remedy));
        }
    }
    let data = &config.data;
    if data.labels.is_some() && matches!(task, TaskKind::Regression | TaskKind::QuestionAnswering) {
        found.push(Problem::new("data.labels", "given", format!("{task} has no labels; leave them out")));
    }
    if config.evaluation.positive.is_some() && task != TaskKind::Classification {
        let remedy =
            format!("it is the label that the F1 of a classification is about; leave it out of {task}");
        found.push(Problem::new("evaluation.positive", "given", remedy));
    }
    if task == TaskKind::QuestionAnswering
        && kind == RunKind::Distill
        && matches!(config.distillation.temperature_scheduler, TemperatureScheduler::Flsw { .. })
    {
        let remedy =
            "it compares whole rows of logits, and those of places hold padding; take `constant` or `cwsm`";
        found.push(Problem::new("distillation.temperature_scheduler", "flsw", remedy));
    }
    if let Some(layout) = data.layout {
        let tags = &data.tags;
        let of_tags = tags.format.is_some() || tags.scheme.is_some() || tags.tag.is_some() || tags.word != 0;
        let lists = data.multi_label.file_spec() != MultiLabelSpec::default();
        for (field, is_given) in [
            ("data.columns", data.columns != TextFileSpec::default()),
            ("data.tags", of_tags),
            ("data.multi_label.separator", lists),
        ] {
            if is_given {
                let remedy =
                    format!("data.layout = \"{layout}\" says how its files are read; leave one of them out");
                found.push(Problem::new(field, "given", remedy));
            }
        }
    }
    for (is_given, field, of) in [
        (data.multi_label != MultiLabelConfig::default(), "multi_label", TaskKind::MultiLabel),
        (data.tags != TagsConfig::default(), "tags", TaskKind::TokenClassification),
        (data.questions != QuestionsConfig::default(), "questions", TaskKind::QuestionAnswering),
    ] {
        if is_given && of != task {
            let remedy =
                format!("it is about {of}, and the run is of {task}; leave it out, or set task = \"{of}\"");
            found.push(Problem::new(format!("data.{field}"), "given", remedy));
        }
    }
    for (is_useless, field, needs) in [
        (data.transfer_examples.is_some() && data.transfer.is_empty(), "transfer_examples", "transfer"),
        (
            data.layout.is_none() && data.layout_options != LayoutOptions::default(),
            "layout_options",
            "layout",
        ),
    ] {
        if is_useless {
            let remedy = format!("it is about data.{needs}, which is missing");
            found.push(Problem::new(format!("data.{field}"), "given", remedy));
        }
    }
    let threshold = data.multi_label.threshold;
    if !(0.0..=1.0).contains(&threshold) {
        found.push(Problem::new(
            "data.multi_label.threshold",
            threshold,
            "must be a probability, from 0 to 1",
        ));
    }
    if config.data.folder.is_some() && config.data.layout.is_none() {
        let remedy =
            "say in `data.layout` whose files are in it, or name them in `data.train` and `data.dev`";
        found.push(Problem::new("data.folder", "given", remedy));
    }
    if let Some(layout) = config.data.layout.filter(|&layout| task_of(layout) != task) {
        let remedy = format!("its task is `{}`", task_of(layout));
        found.push(Problem::new("data.layout", layout, remedy));
    }
    let of_words = matches!(task, TaskKind::TokenClassification | TaskKind::QuestionAnswering);
    for (index, step) in config.data.augmentation.iter().enumerate() {
        if of_words && !matches!(step, Augmentation::Masking { .. }) {
            let remedy = format!("it moves words away from their labels in {task}; take `masking` alone");
            found.push(Problem::new(format!("data.augmentation[{index}].name"), step.name(), remedy));
        }
    }
    found
}

fn task_of(layout: Layout) -> TaskKind {
    match layout.task() {
        LayoutTask::Regression => TaskKind::Regression,
        LayoutTask::MultiLabel => TaskKind::MultiLabel,
        LayoutTask::Tagging => TaskKind::TokenClassification,
        _ => TaskKind::Classification,
    }
}

/// What to take in place of a loss on logits that the task's logits are not made for.
fn other_loss(task: TaskKind, loss: KdLossType) -> Option<&'static str> {
    match (task, loss) {
        (TaskKind::MultiLabel, KdLossType::Bce | KdLossType::Mse) => None,
        (TaskKind::MultiLabel, _) => {
            Some("labels that exclude no other are compared one by one: set `bce` or `mse`")
        }
        (TaskKind::Regression, KdLossType::Mse) => None,
        (TaskKind::Regression, _) => Some("a number has no classes to be spread over: set `mse`"),
        (_, KdLossType::Bce) => {
            Some("it is for labels that exclude no other; one of these excludes the rest: set `ce`")
        }
        (TaskKind::QuestionAnswering, KdLossType::Dkd { .. }) => {
            Some("it needs one right class, and an answer has two places: set `ce`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let config: RunConfig = toml::from_str(text).unwrap();
        task_problems(&config, RunKind::Distill).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_task_has_losses_that_fit_it() {
        let of = |task: &str, loss: &str| {
            problems(&format!("task = \"{task}\"\n[distillation]\nkd_loss_type = \"{loss}\""))
        };
        for (task, loss) in [
            ("classification", "ce"),
            ("classification", "dkd"),
            ("multi_label", "bce"),
            ("multi_label", "mse"),
            ("regression", "mse"),
            ("token_classification", "kl"),
            ("question_answering", "ce"),
        ] {
            assert_eq!(of(task, loss), [""; 0], "{task} {loss}");
        }
        for (task, loss, remedy) in [
            ("classification", "bce", "set `ce`"),
            ("multi_label", "ce", "set `bce`"),
            ("regression", "ce", "set `mse`"),
            ("question_answering", "dkd", "two places"),
        ] {
            let found = of(task, loss);
            assert!(found.len() == 1 && found[0].contains(remedy), "{task} {loss}: {found:?}");
        }
    }

    #[test]
    fn a_metric_of_another_task_is_told_with_those_of_this_one() {
        let found = problems(
            "task = \"regression\"\ndistillation = { kd_loss_type = \"mse\" }\nevaluation = { metric = \"f1\" }",
        );
        assert_eq!(found, ["evaluation.metric = f1: the metrics of regression are pearson, spearman"]);
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        for (text, field, remedy) in [
            ("[data]\ntags = { scheme = \"bmes\" }", "data.tags", "set task = \"token_classification\""),
            ("[data]\nquestions = { doc_stride = 9 }", "data.questions", "question_answering"),
            ("[data]\nlayout_options = { drop_seen = true }", "data.layout_options", "data.layout"),
            ("[data]\ntransfer_examples = 5", "data.transfer_examples", "data.transfer"),
            ("[data]\nlayout = \"mrpc\"\ncolumns = { text = 3 }", "data.columns", "mrpc"),
            ("[data]\nfolder = \"x\"", "data.folder", "data.layout"),
            ("[data]\nlayout = \"stsb\"", "data.layout", "regression"),
            (
                "task = \"regression\"\ndistillation = { kd_loss_type = \"mse\" }\n[data]\nlabels = [\"0\", \"5\"]",
                "data.labels",
                "regression",
            ),
            (
                "task = \"token_classification\"\nevaluation = { positive = \"B-PER\" }",
                "evaluation.positive",
                "classification",
            ),
        ] {
            let found = problems(text);
            assert!(found.len() == 1, "{text}: {found:?}");
            assert!(found[0].starts_with(field) && found[0].contains(remedy), "{text}: {found:?}");
        }
    }

    #[test]
    fn words_stay_where_their_labels_are() {
        let text = "task = \"token_classification\"\n[data]\naugmentation = [{ name = \"masking\", p = 0.1 }, { name = \"deleting\", p = 0.1 }]";
        let found = problems(text);
        assert!(
            found.len() == 1 && found[0].starts_with("data.augmentation[1].name = deleting"),
            "{found:?}"
        );
        assert_eq!(problems(&text.replace("token_classification", "classification")), [""; 0]);
    }
}
