//! The sizes and settings of an encoder.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Activation, Architecture, Head, ModelError, ProblemType};

mod file;
mod range;

/// The sizes and settings of an encoder of any family, as in Hugging Face's `config.json`.
///
/// The names are BERT's; a file is read and written with the names of its family, `dim` or `n_layers` for
/// DistilBERT. What a file leaves out has the default of the family's class in transformers, see
/// [`of`](Self::of).
///
/// | field | default (BERT) | meaning | range |
/// |---|---|---|---|
/// | `architecture` | `bert` | the family, `model_type` in the file | [`Architecture`] |
/// | `vocab_size` | 30522 | rows of the word embedding | ≥ 1 |
/// | `embedding_size` | null | width of the embeddings, of ELECTRA, ALBERT and BiGRU; null = `hidden_size` | ≥ 1 |
/// | `hidden_size` | 768 | width of the hidden states | ≥ 1, divisible by `num_attention_heads` |
/// | `num_hidden_layers` | 12 | encoder layers | ≥ 1; BiGRU: 1 |
/// | `num_hidden_groups` | 1 | ALBERT: groups of layers that share parameters | ≤ `num_hidden_layers` |
/// | `inner_group_num` | 1 | ALBERT: layers that each of its steps runs | ≥ 1 |
/// | `num_attention_heads` | 12 | heads per layer | ≥ 1 |
/// | `intermediate_size` | 3072 | width inside the feed-forward block | ≥ 1 |
/// | `hidden_act` | `gelu` | activation of the feed-forward block; BiGRU: of its dense layer | [`Activation`] |
/// | `hidden_dropout_prob` | 0.1 | dropout after embeddings and both sub-layers | `[0, 1)` |
/// | `attention_probs_dropout_prob` | 0.1 | dropout on attention probabilities | `[0, 1)` |
/// | `classifier_dropout` | null | dropout before the classifier; null = `hidden_dropout_prob` | `[0, 1)` |
/// | `qa_dropout` | 0 | DistilBERT: dropout before the span classifier | `[0, 1)` |
/// | `max_position_embeddings` | 512 | rows of the position embedding, see [`max_length`](Self::max_length) | ≥ 1 |
/// | `type_vocab_size` | 2 | segments | ≥ 1 |
/// | `initializer_range` | 0.02 | standard deviation of new weights | ≥ 0 |
/// | `layer_norm_eps` | 1e-12 | epsilon of LayerNorm; DistilBERT: always 1e-12 | > 0 |
/// | `pad_token_id` | 0 | row of the word embedding that gets no gradient; null = none | < `vocab_size` |
/// | `problem_type` | null | what the labels of a text mean | [`ProblemType`] |
/// | `id2label` | `LABEL_0`, `LABEL_1` | label names, see [`labels`](Self::labels) | ids 0, 1, 2, … |
///
/// Fields that are not listed are kept in [`other`](Self::other) and written back as they were; so are listed
/// ones that the file's family does not have.
///
/// ```
/// use brew_models::{Architecture, EncoderConfig};
///
/// let config: EncoderConfig = serde_json::from_str(r#"{"model_type": "bert", "num_hidden_layers": 3}"#)?;
/// assert_eq!(config.hidden_size, 768);
/// assert_eq!(config.num_labels(), 2);
///
/// let config: EncoderConfig = serde_json::from_str(r#"{"model_type": "distilbert", "dim": 384}"#)?;
/// assert_eq!((config.hidden_size, config.num_hidden_layers), (384, 6));
/// assert_eq!(config.architecture, Architecture::DistilBert);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct EncoderConfig {
    /// The family.
    pub architecture: Architecture,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the embeddings; `None` means `hidden_size`.
    pub embedding_size: Option<usize>,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// ALBERT's groups of layers that share their parameters.
    pub num_hidden_groups: usize,
    /// Layers that each of ALBERT's steps runs.
    pub inner_group_num: usize,
    /// Attention heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block, or of BiGRU's dense layer.
    pub hidden_act: Activation,
    /// Dropout after the embeddings and after both sub-layers.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention probabilities.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier; `None` means `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
    /// Dropout before DistilBERT's span classifier.
    pub qa_dropout: f64,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Number of segments.
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Epsilon of LayerNorm.
    pub layer_norm_eps: f64,
    /// The word-embedding row that gets no gradient; RoBERTa counts its positions from the next number.
    pub pad_token_id: Option<usize>,
    /// What the labels of a text mean.
    pub problem_type: Option<ProblemType>,
    /// Label names in the order of the logits (`id2label` in the file).
    pub labels: Vec<String>,
    /// The fields of the file this crate does not use.
    pub other: Map<String, Value>,
}

impl Default for EncoderConfig {
    /// `bert-base` with two labels, as transformers' `BertConfig()`.
    fn default() -> Self {
        Self {
            architecture: Architecture::Bert,
            vocab_size: 30522,
            embedding_size: None,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_hidden_groups: 1,
            inner_group_num: 1,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            qa_dropout: 0.0,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            problem_type: None,
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
    /// The defaults of a family, those of its configuration class in transformers 4.57.
    ///
    /// ```
    /// use brew_models::{Architecture, EncoderConfig};
    ///
    /// let electra = EncoderConfig::of(Architecture::Electra);
    /// assert_eq!((electra.hidden_size, electra.embedding_size), (256, Some(128)));
    /// ```
    pub fn of(architecture: Architecture) -> Self {
        let bert = Self { architecture, ..Self::default() };
        match architecture {
            Architecture::Bert => bert,
            Architecture::Roberta => Self { vocab_size: 50265, pad_token_id: Some(1), ..bert },
            Architecture::XlmRoberta => Self { pad_token_id: Some(1), ..bert },
            Architecture::Electra => Self {
                embedding_size: Some(128),
                hidden_size: 256,
                num_attention_heads: 4,
                intermediate_size: 1024,
                ..bert
            },
            Architecture::DistilBert => {
                Self { num_hidden_layers: 6, classifier_dropout: Some(0.2), qa_dropout: 0.1, ..bert }
            }
            Architecture::Albert => Self {
                vocab_size: 30000,
                embedding_size: Some(128),
                hidden_size: 4096,
                num_attention_heads: 64,
                intermediate_size: 16384,
                hidden_act: Activation::GeluNew,
                hidden_dropout_prob: 0.0,
                attention_probs_dropout_prob: 0.0,
                classifier_dropout: Some(0.1),
                ..bert
            },
            Architecture::BiGru => {
                Self { num_hidden_layers: 1, num_attention_heads: 1, hidden_act: Activation::Relu, ..bert }
            }
        }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// An unreadable file, a `model_type` other than those of [`Architecture`], fields out of their range, all of
    /// them named, a `position_embedding_type` other than `absolute`.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        Self::fields_of(path)?.map_err(|problems| ModelError::config(path, problems.join("; ")))
    }

    /// Reads a `config.json`, each thing that is wrong with it as an error of its own.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("config.json");
    /// std::fs::write(&path, r#"{"model_type": "bert", "hidden_size": 0, "vocab_size": "many"}"#).unwrap();
    /// let errors = brew_models::EncoderConfig::check_file(&path).unwrap_err();
    /// assert!(errors[0].to_string().contains("vocab_size: invalid type"));
    /// assert!(errors[1..].iter().any(|error| error.to_string().contains("hidden_size")), "{errors:?}");
    /// ```
    ///
    /// # Errors
    /// Those of [`from_file`](Self::from_file).
    pub fn check_file(path: &Path) -> Result<Self, Vec<ModelError>> {
        let errors = |problems: Vec<String>| {
            problems.into_iter().map(|problem| ModelError::config(path, problem)).collect::<Vec<_>>()
        };
        Self::fields_of(path).map_err(|error| vec![error])?.map_err(errors)
    }

    /// The fields of a file as a configuration, or what is wrong with them.
    fn fields_of(path: &Path) -> Result<Result<Self, Vec<String>>, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::io(path, source))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| ModelError::config(path, format!("not a JSON configuration: {error}")))?;
        if let Some(found) = json.get("model_type").and_then(Value::as_str)
            && Architecture::from_model_type(found).is_none()
        {
            let (found, supported) = (found.to_owned(), Architecture::model_types());
            return Err(ModelError::UnknownArchitecture { path: path.to_path_buf(), found, supported });
        }
        match json {
            Value::Object(fields) => Ok(Self::from_fields(fields)),
            _ => Err(ModelError::config(path, "not a JSON object, as a configuration is")),
        }
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

    /// Width of the embeddings.
    pub fn embedding_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// The longest sequence, in tokens: RoBERTa starts its positions at `pad_token_id + 1`, and a model without
    /// positions reads any length (`usize::MAX`).
    ///
    /// ```
    /// use brew_models::{Architecture, EncoderConfig};
    ///
    /// let roberta = EncoderConfig { max_position_embeddings: 514, ..EncoderConfig::of(Architecture::Roberta) };
    /// assert_eq!(roberta.max_length(), 512);
    /// ```
    pub fn max_length(&self) -> usize {
        match (self.architecture, self.pad_token_id) {
            (Architecture::BiGru, _) => usize::MAX,
            (family, Some(pad)) if family.offsets_positions() => {
                self.max_position_embeddings.saturating_sub(pad.saturating_add(1))
            }
            _ => self.max_position_embeddings,
        }
    }

    /// Width of a hidden state: the embeddings (0) of BiGRU may be of another width than its output (1), those of
    /// the other families are brought to `hidden_size` first.
    pub fn hidden_state_width(&self, index: usize) -> usize {
        match (self.architecture, index) {
            (Architecture::BiGru, 0) => self.embedding_width(),
            _ => self.hidden_size,
        }
    }

    /// How many layers give attention probabilities: 0 for BiGRU, `num_hidden_layers · inner_group_num` for
    /// ALBERT.
    pub fn attention_layers(&self) -> usize {
        match self.architecture {
            Architecture::BiGru => 0,
            Architecture::Albert => self.num_hidden_layers * self.inner_group_num,
            _ => self.num_hidden_layers,
        }
    }

    /// The dropout rate before the classifier of texts.
    pub fn classifier_dropout_rate(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// The dropout rate before the last layer of a head.
    pub(crate) fn head_dropout_rate(&self, head: Head) -> f64 {
        match (head, self.architecture) {
            (Head::TokenClassification, Architecture::DistilBert) => self.hidden_dropout_prob,
            (Head::QuestionAnswering, _) => self.qa_dropout,
            _ => self.classifier_dropout_rate(),
        }
    }
}
