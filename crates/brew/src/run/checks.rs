//! What has to hold before a run can start.

use std::path::Path;

use brew_config::{
    CrdConfig, EmdConfig, IntermediateMatch, MatchFeature, MatmulPrecision, NegativesFrom, Problem,
    compares_any_widths, nearest,
};
use brew_data::{Augmentation, LabelSet, TextTokenizer};
use brew_kernels::multiplies_bf16;
use brew_losses::LossRegistry;
use brew_models::{EncoderConfig, StudentPreset};
use burn::tensor::backend::Backend;

use super::cache_checks::cache_problems;
use super::task_checks::task_problems;
use crate::{RunConfig, RunKind, TaskKind};

/// The problems that show without reading any other file.
pub(crate) fn problems<B: Backend>(config: &RunConfig, kind: RunKind) -> Vec<Problem> {
    if !config.tasks.is_empty() {
        let remedy = match kind {
            RunKind::Train => {
                "labels alone are learned one task at a time: train each task's teacher by a run file of its own \
                 with `textbrew train`, then distil them into one student with `textbrew distill`"
            }
            RunKind::Distill => "a run of several tasks is done by `brew::distill_tasks`",
        };
        return vec![Problem::new("tasks", format!("{} tasks", config.tasks.len()), remedy)];
    }
    let mut found = task_problems(config, kind);
    found.extend(cache_problems(config, kind));
    found.extend(precision_problem::<B>(config));
    if let Some(tau) = config.tau {
        found.push(Problem::new(
            "tau",
            tau,
            "tasks are drawn by it, and there are no [[tasks]]; leave it out",
        ));
    }
    let mut missing = |field: &str, remedy: &str| found.push(Problem::new(field, "missing", remedy));
    if config.data.train.is_none() {
        missing("data.train", "name the training file, in the run file or as `--set data.train=FILE`");
    }
    let starts = [
        ("model.from", config.model.from.is_some()),
        ("model.config", config.model.config.is_some()),
        ("model.preset", config.model.preset.is_some()),
    ];
    let given: Vec<&str> = starts.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    match given.as_slice() {
        [] => missing(
            "model.from",
            "name a checkpoint folder to start from, in `model.config` a config.json to initialise at random, or in \
             `model.preset` a student of TextBrewer's such as T4-tiny",
        ),
        [_] => {}
        [_, others @ ..] => {
            let remedy = format!("a model starts in one way; leave out {}", others.join(" and "));
            found.push(Problem::new(given[0], "given", remedy));
        }
    }
    if let Some((name, Err(error))) =
        config.model.preset.as_ref().map(|name| (name, name.parse::<StudentPreset>()))
    {
        let names = StudentPreset::ALL.iter().map(|preset| preset.name());
        let meant = nearest(name, names).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        found.push(Problem::new("model.preset", name, format!("{error}{meant}")));
    }
    if config.model.layers.is_some() && config.model.from.is_none() {
        let remedy = "layers are kept of a checkpoint: name it in `model.from`, or leave them out";
        found.push(Problem::new("model.layers", "given", remedy));
    }
    let mut missing = |field: &str, remedy: &str| found.push(Problem::new(field, "missing", remedy));
    let has_tokenizer = config.model.tokenizer.is_some()
        || config.model.from.is_some()
        || (kind == RunKind::Distill && config.teacher.as_ref().is_some_and(|one| !one.from.is_empty()));
    if !has_tokenizer {
        missing("model.tokenizer", "name the folder with tokenizer.json or vocab.txt");
    }
    let teachers = config.teacher.as_ref().map_or(0, |teacher| teacher.from.len());
    if kind == RunKind::Distill && teachers == 0 {
        missing("teacher.from", "name the teacher's checkpoint folder, or use `textbrew train`");
    }
    let weights = config.teacher.as_ref().and_then(|teacher| teacher.weights.as_ref());
    if let Some(weights) = weights.filter(|weights| {
        weights.len() != teachers
            || weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0)
            || weights.iter().sum::<f64>() <= 0.0
    }) {
        let remedy = format!("give each of the {teachers} teachers one, 0 or more, not all 0");
        found.push(Problem::new("teacher.weights", format!("{weights:?}"), remedy));
    }
    let losses = LossRegistry::<B>::default().names();
    for (index, one) in config.distillation.intermediate_matches.iter().enumerate() {
        if kind == RunKind::Distill && one.teacher >= teachers.max(1) {
            let field = format!("distillation.intermediate_matches[{index}].teacher");
            found.push(Problem::new(field, one.teacher, format!("there are {teachers}, counted from 0")));
        }
        if kind == RunKind::Distill {
            found.extend(other_feature(index, one, &losses));
        }
    }
    for (field, value) in
        [("data.batch_size", config.data.batch_size), ("data.eval_batch_size", config.data.eval_batch_size)]
    {
        if value == 0 {
            found.push(Problem::new(field, value, "must be at least 1"));
        }
    }
    if config.data.train_examples == Some(0) {
        found.push(Problem::new("data.train_examples", 0, "must be at least 1; leave it out for all"));
    }
    if config.data.length_limit(config.task) < 3 {
        found.push(Problem::new(
            "data.max_length",
            config.data.length_limit(config.task),
            "must be at least 3: a token between [CLS] and [SEP]",
        ));
    }
    for (index, step) in config.data.augmentation.iter().enumerate() {
        let problems = step.validate().into_iter();
        found.extend(problems.map(|problem| {
            let field = format!("data.augmentation[{index}].{}", problem.field);
            Problem::new(field, problem.value, problem.message)
        }));
    }
    if kind == RunKind::Distill
        && config.distillation.is_caching_logits
        && !config.data.augmentation.is_empty()
    {
        let remedy =
            "the cached logits are of the unchanged text; set it to false, or leave out data.augmentation";
        found.push(Problem::new("distillation.is_caching_logits", true, remedy));
    }
    let nested = |prefix: &str, problems: Vec<Problem>| {
        problems.into_iter().map(|problem| problem.within(prefix)).collect::<Vec<_>>()
    };
    found.extend(nested("training", config.training.validate()));
    found.extend(nested("distillation", config.distillation.validate(&losses)));
    if let Some(emd) = &config.emd {
        found.extend(nested("emd", emd.validate(&losses)));
        if kind == RunKind::Distill && teachers > 1 {
            let remedy = "layers are matched many to many with one teacher; name one, or leave out [emd]";
            found.push(Problem::new("teacher.from", format!("{teachers} teachers"), remedy));
        }
    }
    if let Some(crd) = &config.crd {
        found.extend(nested("crd", crd.validate()));
        if kind == RunKind::Distill && teachers > 1 {
            let remedy = "states are compared with one teacher's; name one, or leave out [crd]";
            found.push(Problem::new("teacher.from", format!("{teachers} teachers"), remedy));
        }
        if config.emd.is_some() {
            found.push(Problem::new(
                "crd",
                "given",
                "a run has either [emd] or [crd]; leave out one of them",
            ));
        }
        if crd.negatives_from != NegativesFrom::All && config.task != TaskKind::Classification {
            let remedy = format!("a text of {} has not one class; use `all`", config.task);
            found.push(Problem::new("crd.negatives_from", crd.negatives_from, remedy));
        }
    }
    found
}

/// Whether products are to be computed in a way that this backend or this processor has not.
fn precision_problem<B: Backend>(config: &RunConfig) -> Option<Problem> {
    let precision = config.training.matmul_precision;
    let remedy = "needs the flex backend, and a processor that multiplies bfloat16 numbers itself (avx512_bf16); leave \
                  it out";
    (precision == MatmulPrecision::Bf16 && !multiplies_bf16::<B>())
        .then(|| Problem::new("training.matmul_precision", precision.name(), remedy))
}

/// A feature of another shape than the loss compares: attention has heads, the others a vector for each token.
fn other_feature(index: usize, one: &IntermediateMatch, losses: &[String]) -> Option<Problem> {
    let of_attention = one.loss.starts_with("attention_");
    if of_attention != one.feature.is_per_token() || !losses.contains(&one.loss) {
        return None;
    }
    let takes = if of_attention {
        "attention or attention_scores; take one of these, or a loss on hidden states such as hidden_mse"
    } else {
        "hidden, queries, keys or values; take one of these, or a loss on attention such as attention_mse_sum"
    };
    let field = format!("distillation.intermediate_matches[{index}].feature");
    Some(Problem::new(field, one.feature, format!("the loss {} compares {takes}", one.loss)))
}

pub(crate) fn check_vocabulary(
    found: &mut Vec<Problem>,
    field: &str,
    model: &EncoderConfig,
    tokenizer: &TextTokenizer,
) {
    if tokenizer.vocab_size() > model.vocab_size {
        found.push(Problem::new(
            format!("{field}.tokenizer"),
            format!("{} tokens", tokenizer.vocab_size()),
            format!(
                "the {field} embeds only {}; use the tokenizer the checkpoint came with",
                model.vocab_size
            ),
        ));
    }
}

/// RoBERTa counts its positions over tokens that are not the padding's.
pub(crate) fn check_padding(
    found: &mut Vec<Problem>,
    field: &str,
    model: &EncoderConfig,
    tokenizer: &TextTokenizer,
) {
    let padding = tokenizer.pad_id() as usize;
    if model.max_length() < model.max_position_embeddings && model.pad_token_id != Some(padding) {
        let known = model.pad_token_id.map_or_else(|| "none".to_owned(), |pad| pad.to_string());
        let family = model.architecture;
        found.push(Problem::new(
            format!("{field}.tokenizer"),
            format!("pads with token {padding}"),
            format!("the {field}, a {family}, has pad_token_id {known}; use the tokenizer the checkpoint came with"),
        ));
    }
}

/// Masking needs a mask.
pub(crate) fn check_mask(found: &mut Vec<Problem>, steps: &[Augmentation], tokenizer: &TextTokenizer) {
    for (index, step) in steps.iter().enumerate() {
        if matches!(step, Augmentation::Masking { .. }) && tokenizer.mask_id().is_none() {
            let remedy = "the tokenizer has no mask token; take another step, such as `deleting`";
            found.push(Problem::new(format!("data.augmentation[{index}].name"), step.name(), remedy));
        }
    }
}

/// What a teacher cannot do whose tokens are not the student's.
pub(crate) fn check_own_tokens(found: &mut Vec<Problem>, config: &RunConfig, number: usize, folder: &Path) {
    let other = format!("the tokenizer of {} is not the student's", folder.display());
    if matches!(config.task, TaskKind::TokenClassification | TaskKind::QuestionAnswering) {
        let remedy = format!(
            "{other}, and words and answers have places among its tokens; take a teacher with the student's, or \
             join batches of both with `brew::data::AlignedTokenizer` in a program of your own"
        );
        found.push(Problem::new("task", config.task, remedy));
    }
    let matches = config.distillation.intermediate_matches.iter().enumerate();
    for (index, one) in matches.filter(|(_, one)| one.teacher == number && !one.feature.is_per_token()) {
        found.push(Problem::new(
            format!("distillation.intermediate_matches[{index}].feature"),
            one.feature,
            format!("{other}: attention between its tokens has no counterpart; match hidden, queries, keys or values"),
        ));
    }
    if config.emd.as_ref().is_some_and(|emd| emd.attention_weight > 0.0) {
        let remedy = format!("{other}: set it to 0, to move hidden states alone");
        found.push(Problem::new("emd.attention_weight", "above 0", remedy));
    }
    if !config.data.augmentation.is_empty() {
        let remedy = format!("{other}, and augmentation changes the student's tokens alone; leave it out");
        found.push(Problem::new("data.augmentation", "given", remedy));
    }
}

/// Layers that exist, and widths and heads that agree, for layers matched many to many.
pub(crate) fn check_emd(
    found: &mut Vec<Problem>,
    emd: &EmdConfig,
    student: &EncoderConfig,
    teacher: &EncoderConfig,
) {
    for (field, layers, model) in [("layers_T", &emd.layers_t, teacher), ("layers_S", &emd.layers_s, student)]
    {
        let last = model.num_hidden_layers;
        for (index, &layer) in layers.iter().flatten().enumerate().filter(|&(_, &layer)| layer > last) {
            let remedy = format!("the model has layers 1 to {last}");
            found.push(Problem::new(format!("emd.{field}[{index}]"), layer, remedy));
        }
    }
    if emd.hidden_weight > 0.0 {
        let projected = emd.proj.as_ref().map_or(student.hidden_size, |projection| projection.out_features);
        let fits = emd.proj.as_ref().is_none_or(|projection| projection.in_features == student.hidden_size);
        if !fits || (projected != teacher.hidden_size && !compares_any_widths(&emd.hidden_loss)) {
            let (from, to) = (student.hidden_size, teacher.hidden_size);
            let remedy = format!(
                "the student's width is {from}, the teacher's {to}; give proj = [\"linear\", {from}, {to}]"
            );
            let value = if emd.proj.is_some() { "given" } else { "missing" };
            found.push(Problem::new("emd.proj", value, remedy));
        }
    }
    if emd.attention_weight > 0.0
        && let Some(family) = [student, teacher].iter().find_map(|model| without_attention(model))
    {
        let remedy = format!("a {family} has no attention; set it to 0");
        found.push(Problem::new("emd.attention_weight", emd.attention_weight, remedy));
    } else if emd.attention_weight > 0.0
        && student.num_attention_heads != teacher.num_attention_heads
        && compares_heads(&emd.attention_loss)
    {
        found.push(Problem::new(
            "emd.attention_loss",
            &emd.attention_loss,
            format!(
                "the student has {} heads, the teacher {}; use attention_mse_sum, or set emd.attention_weight to 0",
                student.num_attention_heads, teacher.num_attention_heads
            ),
        ));
    }
}

/// Layers that exist, for states told from those of other examples.
pub(crate) fn check_crd(
    found: &mut Vec<Problem>,
    crd: &CrdConfig,
    student: &EncoderConfig,
    teacher: &EncoderConfig,
) {
    for (field, layer, whose, model) in
        [("layer_T", crd.layer_t, "teacher", teacher), ("layer_S", crd.layer_s, "student", student)]
    {
        let last = model.num_hidden_layers;
        if let Some(layer) = layer.filter(|&layer| layer > last) {
            let remedy = format!("the {whose} has hidden states from 0 to {last}");
            found.push(Problem::new(format!("crd.{field}"), layer, remedy));
        }
    }
}

/// The family of a model that has no attention.
fn without_attention(model: &EncoderConfig) -> Option<String> {
    (model.attention_layers() == 0).then(|| model.architecture.to_string())
}

/// Whether a loss compares head with head.
fn compares_heads(loss: &str) -> bool {
    ["attention_mse", "attention_ce"].contains(&loss)
}

/// A teacher that was trained for another task, where its configuration says for which.
pub(crate) fn check_task(found: &mut Vec<Problem>, task: TaskKind, folder: &Path, teacher: &EncoderConfig) {
    let architecture = teacher.other.get("architectures").and_then(|list| list.get(0)?.as_str());
    let stated = architecture
        .filter(|_| teacher.problem_type.is_some())
        .and_then(|architecture| TaskKind::of_checkpoint(architecture, teacher.problem_type));
    if let Some(other) = stated.filter(|&other| other != task) {
        let remedy = format!("it was trained for {other}, and the run is of {task}");
        found.push(Problem::new("teacher.from", folder.display(), remedy));
    }
}

pub(crate) fn check_labels(
    found: &mut Vec<Problem>,
    folder: &Path,
    teacher: &EncoderConfig,
    labels: &LabelSet,
) {
    let unnamed = teacher.labels.iter().all(|name| name.starts_with("LABEL_"));
    let same = if unnamed { teacher.num_labels() == labels.len() } else { teacher.labels == labels.names() };
    if !same {
        found.push(Problem::new(
            "teacher.from",
            format!("{} with labels {:?}", folder.display(), teacher.labels),
            format!(
                "the run's labels are {:?}; give data.labels in the teacher's order, or a teacher of these labels",
                labels.names()
            ),
        ));
    }
}

/// Layers that exist and widths that agree, for the matches with teacher `number`.
pub(crate) fn check_matches(
    found: &mut Vec<Problem>,
    config: &RunConfig,
    student: &EncoderConfig,
    number: usize,
    teacher: &EncoderConfig,
) {
    let matches = config.distillation.intermediate_matches.iter().enumerate();
    for (index, one) in matches.filter(|(_, one)| one.teacher == number) {
        let at = format!("distillation.intermediate_matches[{index}]");
        for (field, layers, model) in [("layer_T", &one.layer_t, teacher), ("layer_S", &one.layer_s, student)]
        {
            // Hidden state 0 is the embeddings, so there is one more of them than layers.
            let whose = if field == "layer_T" { "teacher" } else { "student" };
            let last = match one.feature {
                MatchFeature::Hidden => model.num_hidden_layers,
                feature => match model.attention_layers().checked_sub(1) {
                    Some(last) => last,
                    None => {
                        let remedy =
                            format!("the {whose} is a {}, which has no attention", model.architecture);
                        found.push(Problem::new(format!("{at}.feature"), feature, remedy));
                        continue;
                    }
                },
            };
            if layers.as_slice().contains(&0)
                && one.feature == MatchFeature::Hidden
                && model.hidden_state_width(0) != model.hidden_size
            {
                let (width, others) = (model.hidden_state_width(0), model.hidden_size);
                let remedy =
                    format!("the {whose}'s embeddings are {width} wide and its output {others}; take 1");
                found.push(Problem::new(format!("{at}.{field}"), 0, remedy));
            }
            for &layer in layers.as_slice().iter().filter(|&&layer| layer > last) {
                found.push(Problem::new(
                    format!("{at}.{field}"),
                    layer,
                    format!("the {whose} has {} from 0 to {last}", one.feature),
                ));
            }
        }
        if one.feature != MatchFeature::Hidden
            && [student, teacher].iter().any(|model| model.attention_layers() == 0)
        {
            continue;
        }
        match one.feature {
            MatchFeature::Attention | MatchFeature::AttentionScores => {
                if student.num_attention_heads != teacher.num_attention_heads && compares_heads(&one.loss) {
                    found.push(Problem::new(
                        format!("{at}.loss"),
                        &one.loss,
                        format!(
                            "the student has {} heads, the teacher {}; use a loss that sums or averages heads",
                            student.num_attention_heads, teacher.num_attention_heads
                        ),
                    ));
                }
            }
            MatchFeature::Hidden | MatchFeature::Queries | MatchFeature::Keys | MatchFeature::Values => {
                let (from, to) = match &one.proj {
                    Some(projection) => {
                        if projection.in_features != student.hidden_size {
                            found.push(Problem::new(
                                format!("{at}.proj"),
                                projection.in_features,
                                format!("the student's width is {}", student.hidden_size),
                            ));
                        }
                        (projection.out_features, "the projection's output width")
                    }
                    None => (student.hidden_size, "the student's width"),
                };
                if from != teacher.hidden_size && !compares_any_widths(&one.loss) {
                    found.push(Problem::new(
                        format!("{at}.proj"),
                        if one.proj.is_some() { from.to_string() } else { "missing".into() },
                        format!(
                            "{to} is {from}, the teacher's {}; add proj = [\"linear\", {}, {}]",
                            teacher.hidden_size, student.hidden_size, teacher.hidden_size
                        ),
                    ));
                }
                let heads = config.distillation.relation_heads;
                if one.loss == "minilm_relation"
                    && !(from.is_multiple_of(heads) && teacher.hidden_size.is_multiple_of(heads))
                {
                    found.push(Problem::new(
                        "distillation.relation_heads",
                        heads,
                        format!("must divide {to}, {from}, and the teacher's, {}", teacher.hidden_size),
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use brew_models::Architecture;

    use super::*;

    /// What is wrong with one match of a student of 3 layers, width 24 and 6 heads and a teacher of 6
    /// layers, width 36 and 12 heads.
    fn problems(one: &str) -> Vec<String> {
        let text = format!("[[distillation.intermediate_matches]]\n{one}");
        let config: RunConfig = toml::from_str(&text).unwrap();
        let model = |layers, width, heads| EncoderConfig {
            num_hidden_layers: layers,
            hidden_size: width,
            num_attention_heads: heads,
            ..EncoderConfig::default()
        };
        of_models(&config, &model(3, 24, 6), &model(6, 36, 12))
    }

    fn of_models(config: &RunConfig, student: &EncoderConfig, teacher: &EncoderConfig) -> Vec<String> {
        let mut found = Vec::new();
        check_matches(&mut found, config, student, 0, teacher);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn products_in_bf16_want_a_backend_that_has_them() {
        let config: RunConfig = toml::from_str("[training]\nmatmul_precision = \"bf16\"").unwrap();
        let problem = precision_problem::<brew_testkit::TestBackend>(&config).unwrap();
        assert_eq!(problem.field, "training.matmul_precision");
        assert!(problem.to_string().contains("needs the flex backend"), "{problem}");
        let config = toml::from_str("[training]\nmatmul_precision = \"f32\"").unwrap();
        assert_eq!(precision_problem::<brew_testkit::TestBackend>(&config), None);
    }

    #[test]
    fn a_student_without_attention_matches_hidden_states_alone() {
        let teacher = EncoderConfig::default();
        let student = EncoderConfig { embedding_size: Some(100), ..EncoderConfig::of(Architecture::BiGru) };
        let found = |feature: &str, loss: &str, layer: usize| {
            let text = format!(
                "[[distillation.intermediate_matches]]\nlayer_T = 2\nlayer_S = {layer}\nfeature = \"{feature}\"\n\
                 loss = \"{loss}\"\nweight = 1"
            );
            of_models(&toml::from_str(&text).unwrap(), &student, &teacher)
        };
        assert_eq!(found("hidden", "hidden_mse", 1), [""; 0]);
        let embeddings = found("hidden", "hidden_mse", 0);
        assert!(embeddings.len() == 1 && embeddings[0].contains("100 wide"), "{embeddings:?}");
        let beyond = found("hidden", "hidden_mse", 2);
        assert!(beyond.len() == 1 && beyond[0].contains("from 0 to 1"), "{beyond:?}");
        for (feature, loss) in [("attention", "attention_mse"), ("queries", "hidden_mse")] {
            let found = found(feature, loss, 0);
            assert!(found.len() == 1 && found[0].contains("a bigru, which has no attention"), "{found:?}");
        }
        let emd = EmdConfig { attention_weight: 1.0, hidden_weight: 0.0, ..EmdConfig::default() };
        let mut problems = Vec::new();
        check_emd(&mut problems, &emd, &student, &teacher);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.len() == 1 && problems[0].contains("a bigru has no attention"), "{problems:?}");
    }

    fn one(feature: &str, loss: &str, rest: &str) -> String {
        format!("layer_T = 5\nlayer_S = 2\nfeature = \"{feature}\"\nloss = \"{loss}\"\nweight = 1\n{rest}")
    }

    #[test]
    fn attention_scores_are_matched_as_attention_is() {
        for feature in ["attention", "attention_scores"] {
            assert_eq!(problems(&one(feature, "attention_mse_sum", "")), [""; 0]);
            for loss in ["attention_mse", "attention_ce"] {
                let found = problems(&one(feature, loss, ""));
                assert!(found.len() == 1 && found[0].contains("6 heads, the teacher 12"), "{found:?}");
            }
            let beyond = one(feature, "attention_mse_sum", "").replace("layer_T = 5", "layer_T = 6");
            let found = problems(&beyond);
            assert!(found.len() == 1, "{found:?}");
            assert!(found[0].contains(&format!("the teacher has {feature} from 0 to 5")), "{found:?}");
        }
    }

    #[test]
    fn queries_keys_and_values_are_matched_as_hidden_states_are_by_layer_of_attention() {
        for feature in ["queries", "keys", "values"] {
            assert_eq!(problems(&one(feature, "minilm_relation", "")), [""; 0]);
            assert_eq!(problems(&one(feature, "hidden_mse", "proj = [\"linear\", 24, 36]")), [""; 0]);
            let found = problems(&one(feature, "hidden_mse", ""));
            assert!(found.len() == 1 && found[0].contains("add proj = [\"linear\", 24, 36]"), "{found:?}");
            let beyond = one(feature, "minilm_relation", "").replace("layer_S = 2", "layer_S = 3");
            let found = problems(&beyond);
            assert!(found.len() == 1, "{found:?}");
            assert!(found[0].contains(&format!("the student has {feature} from 0 to 2")), "{found:?}");
        }
        // Hidden states have one more, the embeddings.
        let last = one("hidden", "minilm_relation", "").replace('5', "6").replace('2', "3");
        assert_eq!(problems(&last), [""; 0]);
    }

    #[test]
    fn crd_is_refused_where_it_has_no_classes_or_a_second_way_to_match() {
        let text = |task: &str| {
            format!("task = \"{task}\"\n[crd]\nnegatives_from = \"different_class\"\nnegatives = 0\n[emd]\n")
        };
        let found = |task: &str| -> Vec<String> {
            let config: RunConfig = toml::from_str(&text(task)).unwrap();
            let found = super::problems::<brew_testkit::TestBackend>(&config, RunKind::Distill);
            found.iter().map(ToString::to_string).filter(|problem| problem.starts_with("crd")).collect()
        };
        let of_tags = found("token_classification");
        assert_eq!(of_tags.len(), 3, "{of_tags:?}");
        assert!(of_tags[0].starts_with("crd.negatives = 0"), "{of_tags:?}");
        assert!(of_tags[1].contains("either [emd] or [crd]"), "{of_tags:?}");
        assert!(of_tags[2].starts_with("crd.negatives_from = different_class"), "{of_tags:?}");
        assert_eq!(found("classification").len(), 2);
    }
}
