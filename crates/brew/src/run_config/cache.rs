use std::path::PathBuf;

use brew_distillers::{Precision, Storage};
use serde::{Deserialize, Serialize};

/// How the teachers' outputs of each training text are kept: the table `[cache]` of a distillation.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `keep` | true | false: nothing is kept |
/// | `dir` | none | folder in which they are kept for this run and later ones; in memory where it is left out |
/// | `dtype` | `f32` | `f32`, to the last bit, or `f16`, half as large |
/// | `top_k` | all | keep only so many of each row of logits, the largest; what remains of the probability is spread evenly. At least 1, below the number of labels |
/// | `limit_gb` | 20 | gigabytes (10⁹ bytes) that this run's caches may take, above 0; a run that would need more is refused before it begins |
///
/// With the table, outputs are kept, whatever `distillation.is_caching_logits` says; without it they are kept in
/// memory where that is true, and also where it is not, if the run has two epochs or more of unchanged texts and all
/// outputs take 1 GB at most. Kept are logits and the layers that are matched, of real tokens only. Several runs may
/// have the same `dir`, at the same time too: what a run keeps there is found by the teacher's weights, its
/// configuration and tokenizer, the matched layers, `dtype`, `top_k`, and the text of each example, so that a run
/// never reads what is not its own. `textbrew cache` fills, shows, verifies and prunes the folder.
///
/// ```toml
/// [cache]
/// dir = "cache"
/// dtype = "f16"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether anything is kept.
    pub keep: bool,
    /// Folder in which outputs are kept; in memory where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The precision of all numbers.
    pub dtype: Precision,
    /// How many logits of a row are kept; all where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Gigabytes at most.
    pub limit_gb: f64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { keep: true, dir: None, dtype: Precision::F32, top_k: None, limit_gb: 20.0 }
    }
}

impl CacheConfig {
    pub(crate) fn storage(&self) -> Storage {
        Storage { precision: self.dtype, top_k: self.top_k }
    }

    pub(crate) fn limit(&self) -> u64 {
        (self.limit_gb * 1e9) as u64
    }
}
