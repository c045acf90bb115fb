//! What makes no model.

use std::path::Path;

use super::EncoderConfig;
use crate::names::parameter_specs;
use crate::{Architecture, Head, ModelError};

/// More parameters than this is a mistake in the file, not a model (bytes would not fit in memory).
const MOST_PARAMETERS: u128 = 20_000_000_000;

impl EncoderConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// One error that lists all fields that are wrong.
    pub fn validate(&self) -> Result<(), ModelError> {
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        Err(ModelError::config(Path::new("config.json"), problems.join("; ")))
    }

    /// What is wrong, all of it.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.sizes_out_of_range();
        problems.extend(self.numbers_out_of_range());
        problems.extend(self.not_of_the_family());
        if let Some(pad) = self.pad_token_id
            && pad >= self.vocab_size
        {
            problems.push(format!("pad_token_id is {pad} and must be below vocab_size, {}", self.vocab_size));
        }
        if problems.is_empty() {
            let head = Some(Head::SequenceClassification);
            let parameters: u128 =
                parameter_specs(self, head).iter().map(|spec| spec.num_elements() as u128).sum();
            if parameters > MOST_PARAMETERS {
                problems.push(format!(
                    "the sizes make {parameters} parameters and at most {MOST_PARAMETERS} are allowed"
                ));
            }
        }
        problems
    }

    fn sizes_out_of_range(&self) -> Vec<String> {
        let mut sizes = vec![
            ("vocab_size", self.vocab_size, 1 << 26),
            ("embedding_size", self.embedding_width(), 1 << 16),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("number of labels", self.num_labels(), 1 << 20),
        ];
        if self.architecture.has_attention() {
            sizes.extend([
                ("num_hidden_groups", self.num_hidden_groups, 1 << 10),
                ("inner_group_num", self.inner_group_num, 1 << 10),
                ("num_attention_heads", self.num_attention_heads, 1 << 10),
                ("intermediate_size", self.intermediate_size, 1 << 18),
                ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
                ("type_vocab_size", self.type_vocab_size, 1 << 16),
            ]);
        }
        let is_wrong = |&(_, value, most): &(&str, usize, usize)| value == 0 || value > most;
        let mut problems: Vec<String> = sizes
            .into_iter()
            .filter(is_wrong)
            .map(|(name, value, most)| format!("{name} is {value} and must be from 1 to {most}"))
            .collect();
        if self.architecture.has_attention()
            && self.num_attention_heads > 0
            && !self.hidden_size.is_multiple_of(self.num_attention_heads)
        {
            problems.push(format!(
                "hidden_size is {} and must be divisible by num_attention_heads, {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        problems
    }

    fn numbers_out_of_range(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.classifier_dropout_rate()),
            ("qa_dropout", self.qa_dropout),
        ];
        for (name, rate) in rates {
            if !(0.0..1.0).contains(&rate) {
                problems.push(format!("{name} is {rate} and must be at least 0 and below 1"));
            }
        }
        if !(self.initializer_range.is_finite() && self.initializer_range >= 0.0) {
            problems.push(format!("initializer_range is {} and must be at least 0", self.initializer_range));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            problems.push(format!("layer_norm_eps is {} and must be above 0", self.layer_norm_eps));
        }
        problems
    }

    /// Settings that the family's file could not say, or that make no model of it.
    fn not_of_the_family(&self) -> Vec<String> {
        let (family, mut problems) = (self.architecture, Vec::new());
        if let (Some(width), false) = (self.embedding_size, family.has_embedding_size())
            && width != self.hidden_size
        {
            let hidden = self.hidden_size;
            problems
                .push(format!("embedding_size is {width} and {family} has that of hidden_size, {hidden}"));
        }
        if family == Architecture::Albert {
            let (groups, layers) = (self.num_hidden_groups, self.num_hidden_layers);
            let distinct = groups.saturating_mul(self.inner_group_num);
            if distinct > 1 << 10 {
                problems.push(format!(
                    "num_hidden_groups and inner_group_num make {distinct} layers and must make at most {}",
                    1 << 10
                ));
            }
            if groups > layers {
                problems.push(format!(
                    "num_hidden_groups is {groups} and must be at most num_hidden_layers, {layers}"
                ));
            }
        } else if (self.num_hidden_groups, self.inner_group_num) != (1, 1) {
            problems
                .push(format!("num_hidden_groups and inner_group_num must be 1, {family} shares no layers"));
        }
        if family == Architecture::DistilBert && self.layer_norm_eps != 1e-12 {
            problems.push(format!("layer_norm_eps is {} and {family} has 1e-12", self.layer_norm_eps));
        }
        if family == Architecture::BiGru && self.num_hidden_layers != 1 {
            problems.push(format!("num_hidden_layers is {} and {family} has 1", self.num_hidden_layers));
        }
        if family.offsets_positions() {
            match self.pad_token_id {
                None => problems.push(format!(
                    "pad_token_id is null and {family} counts its positions from pad_token_id + 1; give it"
                )),
                Some(pad) if self.max_length() == 0 => problems.push(format!(
                    "max_position_embeddings is {} and must be above pad_token_id + 1, {}",
                    self.max_position_embeddings,
                    pad.saturating_add(1)
                )),
                Some(_) => {}
            }
        }
        problems
    }
}
