//! What has to hold for outputs to be kept.

use brew_config::{KdLossType, Problem};

use crate::{RunConfig, RunKind, TaskKind};

/// The problems of `[cache]` that show without reading a file.
pub(super) fn cache_problems(config: &RunConfig, kind: RunKind) -> Vec<Problem> {
    let mut found = Vec::new();
    let Some(cache) = config.cache.as_ref().filter(|_| kind == RunKind::Distill) else { return found };
    if !cache.keep {
        if config.distillation.is_caching_logits {
            let remedy = "distillation.is_caching_logits = true keeps them; set one of the two otherwise";
            found.push(Problem::new("cache.keep", false, remedy));
        }
        return found;
    }
    if !config.data.augmentation.is_empty() {
        let remedy = "what is kept is of the unchanged text; set cache.keep = false, or leave out [cache] or data.augmentation";
        found.push(Problem::new("cache", "given", remedy));
    }
    if !(cache.limit_gb.is_finite() && cache.limit_gb > 0.0) {
        found.push(Problem::new("cache.limit_gb", cache.limit_gb, "must be a number above 0"));
    }
    let Some(k) = cache.top_k else { return found };
    let mut refuse = |remedy: String| found.push(Problem::new("cache.top_k", k, remedy + "; leave it out"));
    if k == 0 {
        refuse("must be at least 1".to_owned());
    }
    let task = config.task;
    if !matches!(task, TaskKind::Classification | TaskKind::TokenClassification) {
        refuse(format!("it keeps the likeliest of classes that exclude each other, and {task} has none"));
    } else if config.distillation.kd_loss_type == KdLossType::Mse {
        refuse(
            "kd_loss_type = \"mse\" compares the logits themselves, and those that are not kept are only known together"
                .to_owned(),
        );
    }
    found
}

/// Rows of logits that are longer than what is kept of them.
pub(super) fn check_top_k(found: &mut Vec<Problem>, config: &RunConfig, kind: RunKind, labels: usize) {
    let k = config.cache.as_ref().filter(|_| kind == RunKind::Distill).and_then(|cache| cache.top_k);
    if let Some(k) = k.filter(|&k| k >= labels) {
        let remedy =
            format!("there are {labels} labels, of which fewer must be kept; leave it out to keep all");
        found.push(Problem::new("cache.top_k", k, remedy));
    }
}
