//! The `config.json` of a BERT checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Activation, ModelError};

/// The model types that are built, as `model_type` names them.
pub(crate) const SUPPORTED: [&str; 1] = ["bert"];

/// More parameters than this is a mistake in the file, not a model (bytes would not fit in memory).
const MOST_PARAMETERS: u128 = 20_000_000_000;

/// The sizes and settings of a BERT, as in Hugging Face's `config.json`.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `vocab_size` | 30522 | rows of the word embedding | ≥ 1 |
/// | `hidden_size` | 768 | width of the hidden states | ≥ 1, divisible by `num_attention_heads` |
/// | `num_hidden_layers` | 12 | encoder layers | ≥ 1 |
/// | `num_attention_heads` | 12 | heads per layer | ≥ 1 |
/// | `intermediate_size` | 3072 | width inside the feed-forward block | ≥ 1 |
/// | `hidden_act` | `gelu` | activation of the feed-forward block | [`Activation`] |
/// | `hidden_dropout_prob` | 0.1 | dropout after embeddings and both sub-layers | `[0, 1)` |
/// | `attention_probs_dropout_prob` | 0.1 | dropout on attention probabilities | `[0, 1)` |
/// | `classifier_dropout` | null | dropout before the classifier; null = `hidden_dropout_prob` | `[0, 1)` |
/// | `max_position_embeddings` | 512 | longest sequence, in tokens | ≥ 1 |
/// | `type_vocab_size` | 2 | segments | ≥ 1 |
/// | `initializer_range` | 0.02 | standard deviation of new weights | ≥ 0 |
/// | `layer_norm_eps` | 1e-12 | epsilon of LayerNorm | > 0 |
/// | `pad_token_id` | 0 | row of the word embedding that gets no gradient; null = none | < `vocab_size` |
/// | `id2label` | `LABEL_0`, `LABEL_1` | label names, see [`labels`](Self::labels) | ids 0, 1, 2, … |
///
/// Fields that are not listed are kept in [`other`](Self::other) and written back as they were.
///
/// ```
/// use brew_models::EncoderConfig;
///
/// let config: EncoderConfig = serde_json::from_str(r#"{"model_type": "bert", "num_hidden_layers": 3}"#)?;
/// assert_eq!(config.hidden_size, 768);
/// assert_eq!(config.num_labels(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig", into = "RawConfig")]
pub struct EncoderConfig {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block.
    pub hidden_act: Activation,
    /// Dropout after the embeddings and after both sub-layers.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention probabilities.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier; `None` means `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Number of segments.
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Epsilon of LayerNorm.
    pub layer_norm_eps: f64,
    /// The word-embedding row that gets no gradient.
    pub pad_token_id: Option<usize>,
    /// Label names in the order of the logits (`id2label` in the file).
    pub labels: Vec<String>,
    /// The fields of the file this crate does not use.
    pub other: Map<String, Value>,
}

impl Default for EncoderConfig {
    /// `bert-base` with two labels, as transformers' `BertConfig()`.
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            labels: default_labels(2),
            other: Map::new(),
        }
    }
}

/// The names transformers gives labels nobody named.
pub(crate) fn default_labels(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("LABEL_{i}")).collect()
}

impl EncoderConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// An unreadable file, a `model_type` other than `bert`, a field out of its range, a
    /// `position_embedding_type` other than `absolute`.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::io(path, source))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| ModelError::config(path, format!("not a JSON configuration: {error}")))?;
        if let Some(found) = json.get("model_type").and_then(Value::as_str)
            && !SUPPORTED.contains(&found)
        {
            let (found, supported) = (found.to_owned(), SUPPORTED.to_vec());
            return Err(ModelError::UnknownArchitecture { path: path.to_path_buf(), found, supported });
        }
        serde_json::from_value(json).map_err(|error| ModelError::config(path, error.to_string()))
    }

    /// Number of labels of the classifier.
    pub fn num_labels(&self) -> usize {
        self.labels.len()
    }

    /// The same configuration with other label names.
    pub fn with_labels<I: IntoIterator<Item = S>, S: Into<String>>(mut self, labels: I) -> Self {
        self.labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The same configuration with this many labels: the names stay if the number is the same,
    /// else they become `LABEL_0`, `LABEL_1`, ….
    pub fn with_num_labels(mut self, count: usize) -> Self {
        if count != self.labels.len() {
            self.labels = default_labels(count);
        }
        self
    }

    /// The configuration of a student with the same widths and this many layers.
    ///
    /// ```
    /// use brew_models::EncoderConfig;
    ///
    /// let student = EncoderConfig::default().student_config(3);
    /// assert_eq!((student.num_hidden_layers, student.hidden_size), (3, 768));
    /// ```
    pub fn student_config(&self, layers: usize) -> Self {
        Self { num_hidden_layers: layers, ..self.clone() }
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The dropout rate before the classifier.
    pub fn classifier_dropout_rate(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

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

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 26),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 16),
            ("number of labels", self.num_labels(), 1 << 20),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                problems.push(format!("{name} is {value} and must be from 1 to {most}"));
            }
        }
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.classifier_dropout_rate()),
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
        if let Some(pad) = self.pad_token_id
            && pad >= self.vocab_size
        {
            problems.push(format!("pad_token_id is {pad} and must be below vocab_size, {}", self.vocab_size));
        }
        if self.num_attention_heads > 0 && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            problems.push(format!(
                "hidden_size is {} and must be divisible by num_attention_heads, {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if problems.is_empty() {
            let parameters = self.parameter_count();
            if parameters > MOST_PARAMETERS {
                problems.push(format!(
                    "the sizes make {parameters} parameters and at most {MOST_PARAMETERS} are allowed"
                ));
            }
        }
        problems
    }

    fn parameter_count(&self) -> u128 {
        let (h, i) = (self.hidden_size as u128, self.intermediate_size as u128);
        let rows = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) as u128;
        let layer = 4 * (h * h + h) + 2 * h * i + h + i + 4 * h;
        rows * h
            + 2 * h
            + layer * self.num_hidden_layers as u128
            + h * h
            + h
            + (h + 1) * self.num_labels() as u128
    }
}

/// `config.json` as it stands in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
struct RawConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: Activation,
    hidden_dropout_prob: f64,
    attention_probs_dropout_prob: f64,
    classifier_dropout: Option<f64>,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    initializer_range: f64,
    layer_norm_eps: f64,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_labels: Option<usize>,
    id2label: Option<BTreeMap<String, Value>>,
    label2id: Value,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Default for RawConfig {
    fn default() -> Self {
        let mut raw = Self::from(EncoderConfig::default());
        raw.id2label = None;
        raw.label2id = Value::Null;
        raw
    }
}

impl TryFrom<RawConfig> for EncoderConfig {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, String> {
        if !SUPPORTED.contains(&raw.model_type.as_str()) {
            return Err(format!(
                "model_type is {:?}; supported model types: {}",
                raw.model_type,
                SUPPORTED.join(", ")
            ));
        }
        let positions = raw.position_embedding_type.as_deref().unwrap_or("absolute");
        if positions != "absolute" {
            return Err(format!(
                "position_embedding_type is {positions:?} and only \"absolute\" is supported"
            ));
        }
        let labels = match &raw.id2label {
            Some(names) if !names.is_empty() => labels_of(names)?,
            _ => {
                let count = raw.num_labels.unwrap_or(2);
                if count > 1 << 20 {
                    return Err(format!("num_labels is {count} and must be from 1 to {}", 1 << 20));
                }
                default_labels(count)
            }
        };
        if let Some(count) = raw.num_labels
            && count != labels.len()
        {
            return Err(format!("num_labels is {count} and id2label has {} entries", labels.len()));
        }
        let config = Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            intermediate_size: raw.intermediate_size,
            hidden_act: raw.hidden_act,
            hidden_dropout_prob: raw.hidden_dropout_prob,
            attention_probs_dropout_prob: raw.attention_probs_dropout_prob,
            classifier_dropout: raw.classifier_dropout,
            max_position_embeddings: raw.max_position_embeddings,
            type_vocab_size: raw.type_vocab_size,
            initializer_range: raw.initializer_range,
            layer_norm_eps: raw.layer_norm_eps,
            pad_token_id: raw.pad_token_id,
            labels,
            other: raw.other,
        };
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(problems.join("; ")) }
    }
}

impl From<EncoderConfig> for RawConfig {
    fn from(config: EncoderConfig) -> Self {
        let id2label: BTreeMap<String, Value> =
            config.labels.iter().enumerate().map(|(i, name)| (i.to_string(), name.clone().into())).collect();
        let label2id =
            config.labels.iter().enumerate().map(|(i, name)| (name.clone(), i.into())).collect::<Map<_, _>>();
        Self {
            model_type: "bert".to_owned(),
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            hidden_act: config.hidden_act,
            hidden_dropout_prob: config.hidden_dropout_prob,
            attention_probs_dropout_prob: config.attention_probs_dropout_prob,
            classifier_dropout: config.classifier_dropout,
            max_position_embeddings: config.max_position_embeddings,
            type_vocab_size: config.type_vocab_size,
            initializer_range: config.initializer_range,
            layer_norm_eps: config.layer_norm_eps,
            pad_token_id: config.pad_token_id,
            position_embedding_type: Some("absolute".to_owned()),
            num_labels: None,
            id2label: Some(id2label),
            label2id: Value::Object(label2id),
            other: config.other,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<EncoderConfig, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn missing_fields_take_the_defaults_of_transformers() {
        assert_eq!(parse("{}").unwrap(), EncoderConfig::default());
    }

    #[test]
    fn other_fields_are_written_back() {
        let config =
            parse(r#"{"model_type":"bert","use_cache":true,"task":{"a":[1]},"pad_token_id":null}"#).unwrap();
        assert_eq!(config.pad_token_id, None);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["use_cache"], true);
        assert_eq!(json["task"]["a"][0], 1);
        assert_eq!(json["id2label"]["1"], "LABEL_1");
        assert_eq!(json["label2id"]["LABEL_1"], 1);
        assert_eq!(parse(&json.to_string()).unwrap(), config);
    }

    #[test]
    fn labels_come_in_the_order_of_their_ids() {
        let names: Map<String, Value> = (0..12).map(|i| (i.to_string(), format!("n{i}").into())).collect();
        let config = parse(&serde_json::json!({ "id2label": names }).to_string()).unwrap();
        assert_eq!(config.labels[2], "n2");
        assert_eq!(config.labels[10], "n10");
        assert_eq!(config.num_labels(), 12);
    }

    #[test]
    fn what_makes_no_sense_is_an_error_with_field_and_value() {
        let cases = [
            (r#"{"hidden_size": 10, "num_attention_heads": 3}"#, "divisible"),
            (r#"{"num_hidden_layers": 0}"#, "num_hidden_layers is 0"),
            (r#"{"num_attention_heads": 0}"#, "num_attention_heads is 0"),
            (r#"{"vocab_size": 18446744073709551615}"#, "vocab_size is 18446744073709551615"),
            (r#"{"vocab_size": 60000000, "hidden_size": 65536, "num_attention_heads": 16}"#, "parameters"),
            (r#"{"hidden_dropout_prob": 1.0}"#, "hidden_dropout_prob is 1"),
            (r#"{"hidden_act": "mish"}"#, "mish"),
            (r#"{"position_embedding_type": "relative_key"}"#, "relative_key"),
            (r#"{"pad_token_id": 99999}"#, "pad_token_id is 99999"),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#, "\"2\""),
            (r#"{"id2label": {"0": "a", "00": "b"}}"#, "repeats"),
            (r#"{"num_labels": 3, "id2label": {"0": "a", "1": "b"}}"#, "num_labels is 3"),
            (r#"{"num_labels": 99999999999}"#, "num_labels is 99999999999"),
            (r#"{"layer_norm_eps": 0}"#, "layer_norm_eps"),
            (r#"{"hidden_size": -1}"#, "-1"),
            (r#"{"model_type": "t5"}"#, "t5"),
        ];
        for (json, expected) in cases {
            let error = parse(json).expect_err(json);
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
