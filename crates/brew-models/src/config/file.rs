//! `config.json` of each family, with its own field names, read and written.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{EncoderConfig, default_labels};
use crate::Architecture;

/// What a family's file calls a field; `None` if it has no such field.
fn file_name(architecture: Architecture, field: &'static str) -> Option<&'static str> {
    match (architecture, field) {
        (_, "vocab_size" | "initializer_range" | "pad_token_id") => Some(field),
        (Architecture::DistilBert, _) => match field {
            "hidden_size" => Some("dim"),
            "num_hidden_layers" => Some("n_layers"),
            "num_attention_heads" => Some("n_heads"),
            "intermediate_size" => Some("hidden_dim"),
            "hidden_act" => Some("activation"),
            "hidden_dropout_prob" => Some("dropout"),
            "attention_probs_dropout_prob" => Some("attention_dropout"),
            "classifier_dropout" => Some("seq_classif_dropout"),
            "qa_dropout" | "max_position_embeddings" => Some(field),
            _ => None,
        },
        (Architecture::BiGru, _) => match field {
            "hidden_size"
            | "embedding_size"
            | "hidden_act"
            | "hidden_dropout_prob"
            | "classifier_dropout" => Some(field),
            _ => None,
        },
        (Architecture::Albert, "classifier_dropout") => Some("classifier_dropout_prob"),
        (Architecture::Albert, "num_hidden_groups" | "inner_group_num") => Some(field),
        (_, "num_hidden_groups" | "inner_group_num" | "qa_dropout") => None,
        (_, "embedding_size") => architecture.has_embedding_size().then_some(field),
        _ => Some(field),
    }
}

/// Names that transformers takes beside a family's own (its `attribute_map`).
fn has_alias(architecture: Architecture, field: &str) -> bool {
    let aliases = ["hidden_size", "num_hidden_layers", "num_attention_heads"];
    architecture == Architecture::DistilBert && aliases.contains(&field)
}

/// The fields of a file that nobody took yet.
struct Fields {
    architecture: Architecture,
    left: Map<String, Value>,
    /// What is wrong with those that were taken.
    problems: Vec<String>,
}

impl Fields {
    /// A field, or its default where the file or the family has none.
    fn take<T: DeserializeOwned>(&mut self, field: &'static str, default: T) -> T {
        let Some(name) = file_name(self.architecture, field) else { return default };
        let value = self.left.remove(name);
        let alias = if has_alias(self.architecture, field) { self.left.remove(field) } else { None };
        if let (Some(value), Some(alias)) = (&value, &alias)
            && value != alias
        {
            self.problems
                .push(format!("{name} is {value} and {field} is {alias}; they are one and the same"));
        }
        let Some(value) = value.or(alias) else { return default };
        self.read(name, value).unwrap_or(default)
    }

    /// A field that every family has under one name.
    fn take_named<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.left.remove(name).filter(|value| !value.is_null())?;
        self.read(name, value)
    }

    fn read<T: DeserializeOwned>(&mut self, name: &str, value: Value) -> Option<T> {
        serde_json::from_value(value).map_err(|error| self.problems.push(format!("{name}: {error}"))).ok()
    }
}

impl TryFrom<Map<String, Value>> for EncoderConfig {
    type Error = String;

    fn try_from(file: Map<String, Value>) -> Result<Self, String> {
        Self::from_fields(file).map_err(|problems| problems.join("; "))
    }
}

impl EncoderConfig {
    /// The configuration in a file's fields.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn from_fields(file: Map<String, Value>) -> Result<Self, Vec<String>> {
        let mut fields = Fields { architecture: Architecture::Bert, left: file, problems: Vec::new() };
        if let Some(found) = fields.take_named::<String>("model_type") {
            // Nothing else has a meaning without the family.
            fields.architecture = Architecture::from_model_type(&found).ok_or_else(|| {
                let supported = Architecture::model_types().join(", ");
                vec![format!("model_type is {found:?}; supported model types: {supported}")]
            })?;
        }
        let architecture = fields.architecture;
        if file_name(architecture, "position_embedding_type").is_some() {
            let positions = fields.take("position_embedding_type", None::<String>);
            let positions = positions.as_deref().unwrap_or("absolute");
            if positions != "absolute" {
                fields.problems.push(format!(
                    "position_embedding_type is {positions:?} and only \"absolute\" is supported"
                ));
            }
        }
        let labels = labels(&mut fields).unwrap_or_else(|problem| {
            fields.problems.push(problem);
            default_labels(2)
        });
        let default = Self::of(architecture);
        let mut config = Self {
            architecture,
            vocab_size: fields.take("vocab_size", default.vocab_size),
            embedding_size: fields.take("embedding_size", default.embedding_size),
            hidden_size: fields.take("hidden_size", default.hidden_size),
            num_hidden_layers: fields.take("num_hidden_layers", default.num_hidden_layers),
            num_hidden_groups: fields.take("num_hidden_groups", default.num_hidden_groups),
            inner_group_num: fields.take("inner_group_num", default.inner_group_num),
            num_attention_heads: fields.take("num_attention_heads", default.num_attention_heads),
            intermediate_size: fields.take("intermediate_size", default.intermediate_size),
            hidden_act: fields.take("hidden_act", default.hidden_act),
            hidden_dropout_prob: fields.take("hidden_dropout_prob", default.hidden_dropout_prob),
            attention_probs_dropout_prob: fields
                .take("attention_probs_dropout_prob", default.attention_probs_dropout_prob),
            classifier_dropout: fields.take("classifier_dropout", default.classifier_dropout),
            qa_dropout: fields.take("qa_dropout", default.qa_dropout),
            max_position_embeddings: fields.take("max_position_embeddings", default.max_position_embeddings),
            type_vocab_size: fields.take("type_vocab_size", default.type_vocab_size),
            initializer_range: fields.take("initializer_range", default.initializer_range),
            layer_norm_eps: fields.take("layer_norm_eps", default.layer_norm_eps),
            pad_token_id: fields.take("pad_token_id", default.pad_token_id),
            problem_type: fields.take_named("problem_type"),
            labels,
            other: fields.left,
        };
        if config.embedding_size == Some(config.hidden_size) {
            config.embedding_size = None;
        }
        let mut problems = fields.problems;
        problems.extend(config.problems());
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

fn labels(fields: &mut Fields) -> Result<Vec<String>, String> {
    let count = fields.take_named::<usize>("num_labels");
    let names = fields.take_named::<BTreeMap<String, Value>>("id2label");
    fields.left.remove("label2id");
    let labels = match names {
        Some(names) if !names.is_empty() => labels_of(&names)?,
        _ => {
            let count = count.unwrap_or(2);
            if count > 1 << 20 {
                return Err(format!("num_labels is {count} and must be from 1 to {}", 1 << 20));
            }
            default_labels(count)
        }
    };
    match count {
        Some(count) if count != labels.len() => {
            Err(format!("num_labels is {count} and id2label has {} entries", labels.len()))
        }
        _ => Ok(labels),
    }
}

/// The names of `id2label` in the order of their ids, which must be 0, 1, 2, ….
fn labels_of(id2label: &BTreeMap<String, Value>) -> Result<Vec<String>, String> {
    let mut labels = vec![None; id2label.len()];
    for (id, name) in id2label {
        let slot = id.parse::<usize>().ok().and_then(|id| labels.get_mut(id));
        let Some(slot) = slot else {
            return Err(format!("id2label has the id {id:?}; the ids must be 0 to {}", id2label.len() - 1));
        };
        *slot = Some(match name {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        });
    }
    let named: Option<Vec<String>> = labels.into_iter().collect();
    named.ok_or_else(|| format!("id2label repeats an id; the ids must be 0 to {}", id2label.len() - 1))
}

impl From<EncoderConfig> for Map<String, Value> {
    fn from(config: EncoderConfig) -> Self {
        let mut file = config.other.clone();
        let mut put = |field: &'static str, value: &dyn Fn() -> Value| {
            if let Some(name) = file_name(config.architecture, field) {
                file.insert(name.to_owned(), value());
            }
        };
        put("vocab_size", &|| config.vocab_size.into());
        put("embedding_size", &|| config.embedding_width().into());
        put("hidden_size", &|| config.hidden_size.into());
        put("num_hidden_layers", &|| config.num_hidden_layers.into());
        put("num_hidden_groups", &|| config.num_hidden_groups.into());
        put("inner_group_num", &|| config.inner_group_num.into());
        put("num_attention_heads", &|| config.num_attention_heads.into());
        put("intermediate_size", &|| config.intermediate_size.into());
        put("hidden_act", &|| json(config.hidden_act));
        put("hidden_dropout_prob", &|| config.hidden_dropout_prob.into());
        put("attention_probs_dropout_prob", &|| config.attention_probs_dropout_prob.into());
        put("classifier_dropout", &|| config.classifier_dropout.into());
        put("qa_dropout", &|| config.qa_dropout.into());
        put("max_position_embeddings", &|| config.max_position_embeddings.into());
        put("type_vocab_size", &|| config.type_vocab_size.into());
        put("initializer_range", &|| config.initializer_range.into());
        put("layer_norm_eps", &|| config.layer_norm_eps.into());
        put("pad_token_id", &|| config.pad_token_id.into());
        put("position_embedding_type", &|| "absolute".into());
        let labels = || config.labels.iter().enumerate();
        let id2label: Self = labels().map(|(id, name)| (id.to_string(), name.clone().into())).collect();
        let label2id: Self = labels().map(|(id, name)| (name.clone(), id.into())).collect();
        file.insert("model_type".to_owned(), config.architecture.model_type().into());
        file.insert("id2label".to_owned(), id2label.into());
        file.insert("label2id".to_owned(), label2id.into());
        if let Some(problem_type) = config.problem_type {
            file.insert("problem_type".to_owned(), json(problem_type));
        }
        file
    }
}

fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("a name is plain JSON")
}

#[cfg(test)]
mod tests;
