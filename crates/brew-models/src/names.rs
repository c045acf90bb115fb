//! Every parameter of a model by its path in the Burn module and its name in a Hugging Face file.

use crate::{Architecture, EncoderConfig, Head};

mod reading;

pub(crate) use reading::{Leftover, canonical_name, classify_leftover};

/// How a parameter starts when no checkpoint gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// N(0, `initializer_range`²).
    Weight,
    /// N(0, `initializer_range`²), and zero in the row of the padding token.
    PaddedEmbedding(Option<usize>),
    /// Zero.
    Bias,
    /// One.
    Scale,
    /// U(−1/√h, 1/√h) with this h, as PyTorch starts the weights and biases of a GRU.
    Recurrent(usize),
}

/// One parameter: where it is in the module, what files call it, and how it is laid out in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterSpec {
    /// Path in the Burn module, `encoder.layers.0.attention.query.weight`.
    pub(crate) path: String,
    /// Name in a file, `bert.encoder.layer.0.attention.self.query.weight`.
    pub(crate) name: String,
    /// Shape in Burn's layout.
    pub(crate) shape: Vec<usize>,
    /// PyTorch keeps linear weights as `[out, in]`, Burn as `[in, out]`.
    pub(crate) transposed: bool,
    pub(crate) role: Role,
}

impl ParameterSpec {
    /// The shape in the file.
    pub(crate) fn file_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    pub(crate) fn num_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it belongs to the last layer, the one that makes logits.
    pub(crate) fn is_head(&self) -> bool {
        self.path.starts_with("classifier.") || self.path.starts_with("qa_outputs.")
    }

    /// Whether it belongs to the layer between encoder and classifier, whatever the family calls it.
    pub(crate) fn is_pooler(&self) -> bool {
        self.path.starts_with("pooler.")
    }
}

/// Numbers of a span classifier for each token: start and end.
pub(crate) const SPAN_OUTPUTS: usize = 2;

/// The parameters of a model with this head, or of the encoder alone, in the order of the module.
pub(crate) fn parameter_specs(config: &EncoderConfig, head: Option<Head>) -> Vec<ParameterSpec> {
    let mut list = SpecList(Vec::new());
    list.embeddings(config);
    match config.architecture {
        Architecture::BiGru => list.gru(config),
        _ => {
            for layer in 0..distinct_layers(config) {
                list.layer(config, layer);
            }
        }
    }
    let (hidden, labels) = (config.hidden_size, config.num_labels());
    match head {
        None => {}
        Some(Head::SequenceClassification) => {
            if let Some(name) = pooler_name(config.architecture) {
                list.linear("pooler.dense", name, hidden, hidden);
            }
            list.linear("classifier", sequence_classifier_name(config.architecture), hidden, labels);
        }
        Some(Head::TokenClassification) => list.linear("classifier", "classifier", hidden, labels),
        Some(Head::QuestionAnswering) => list.linear("qa_outputs", "qa_outputs", hidden, SPAN_OUTPUTS),
    }
    list.0
}

/// The number of parameters of an encoder, embeddings included, pooler and head not, as TextBrewer's tables count
/// them. Nothing is built.
///
/// ```
/// use brew_models::{EncoderConfig, count_parameters};
///
/// let bert_base_cased = EncoderConfig { vocab_size: 28996, ..EncoderConfig::default() };
/// assert_eq!(count_parameters(&bert_base_cased), 107_719_680);
/// ```
pub fn count_parameters(config: &EncoderConfig) -> usize {
    parameter_specs(config, None).iter().map(ParameterSpec::num_elements).sum()
}

/// The tensors of a checkpoint by name and shape as files have them, in the order of the module.
///
/// ```
/// use brew_models::{EncoderConfig, Head, tensor_shapes};
///
/// let tensors = tensor_shapes(&EncoderConfig::default(), Head::SequenceClassification);
/// assert_eq!(tensors[0], ("bert.embeddings.word_embeddings.weight".to_owned(), vec![30522, 768]));
/// ```
pub fn tensor_shapes(config: &EncoderConfig, head: Head) -> Vec<(String, Vec<usize>)> {
    let specs = parameter_specs(config, Some(head)).into_iter();
    specs.map(|spec| (spec.name.clone(), spec.file_shape())).collect()
}

/// How many layers have parameters of their own.
pub(crate) fn distinct_layers(config: &EncoderConfig) -> usize {
    match config.architecture {
        Architecture::BiGru => 0,
        Architecture::Albert => config.num_hidden_groups * config.inner_group_num,
        _ => config.num_hidden_layers,
    }
}

/// What files call the dense layer between a text's first token and its classifier.
const fn pooler_name(architecture: Architecture) -> Option<&'static str> {
    match architecture {
        Architecture::Bert => Some("bert.pooler.dense"),
        Architecture::Roberta | Architecture::XlmRoberta | Architecture::Electra => Some("classifier.dense"),
        Architecture::DistilBert => Some("pre_classifier"),
        Architecture::Albert => Some("albert.pooler"),
        Architecture::BiGru => None,
    }
}

const fn sequence_classifier_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Roberta | Architecture::XlmRoberta | Architecture::Electra => "classifier.out_proj",
        _ => "classifier",
    }
}

/// What files call layer `n`, and in it query, key, value, attention's output, its LayerNorm, the two linear
/// layers of the feed-forward block and the last LayerNorm.
fn layer_names(config: &EncoderConfig, layer: usize) -> (String, [&'static str; 8]) {
    match config.architecture {
        Architecture::DistilBert => (
            format!("distilbert.transformer.layer.{layer}"),
            [
                "attention.q_lin",
                "attention.k_lin",
                "attention.v_lin",
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            ],
        ),
        Architecture::Albert => {
            let (group, inner) = (layer / config.inner_group_num, layer % config.inner_group_num);
            (
                format!("albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}"),
                [
                    "attention.query",
                    "attention.key",
                    "attention.value",
                    "attention.dense",
                    "attention.LayerNorm",
                    "ffn",
                    "ffn_output",
                    "full_layer_layer_norm",
                ],
            )
        }
        architecture => (
            format!("{}.encoder.layer.{layer}", architecture.prefix()),
            [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ],
        ),
    }
}

struct SpecList(Vec<ParameterSpec>);

impl SpecList {
    fn add(&mut self, path: String, name: String, shape: &[usize], transposed: bool, role: Role) {
        self.0.push(ParameterSpec { path, name, shape: shape.to_vec(), transposed, role });
    }

    fn linear(&mut self, path: &str, name: &str, input: usize, output: usize) {
        self.add(format!("{path}.weight"), format!("{name}.weight"), &[input, output], true, Role::Weight);
        self.add(format!("{path}.bias"), format!("{name}.bias"), &[output], false, Role::Bias);
    }

    fn layer_norm(&mut self, path: &str, name: &str, width: usize) {
        self.add(format!("{path}.gamma"), format!("{name}.weight"), &[width], false, Role::Scale);
        self.add(format!("{path}.beta"), format!("{name}.bias"), &[width], false, Role::Bias);
    }

    fn embeddings(&mut self, config: &EncoderConfig) {
        let (architecture, width) = (config.architecture, config.embedding_width());
        let pad = config.pad_token_id;
        let of_positions =
            if architecture.offsets_positions() { Role::PaddedEmbedding(pad) } else { Role::Weight };
        let mut tables = vec![("word_embeddings", config.vocab_size, Role::PaddedEmbedding(pad))];
        if architecture.has_attention() {
            tables.push(("position_embeddings", config.max_position_embeddings, of_positions));
        }
        if architecture.has_token_types() {
            tables.push(("token_type_embeddings", config.type_vocab_size, Role::Weight));
        }
        let (path, prefix) = ("encoder.embeddings", architecture.prefix());
        let name = if prefix.is_empty() { "embeddings".to_owned() } else { format!("{prefix}.embeddings") };
        for (table, rows, role) in tables {
            self.add(
                format!("{path}.{table}.weight"),
                format!("{name}.{table}.weight"),
                &[rows, width],
                false,
                role,
            );
        }
        if architecture.has_attention() {
            self.layer_norm(&format!("{path}.layer_norm"), &format!("{name}.LayerNorm"), width);
        }
        if let Some(projection) = projection_name(config) {
            self.linear(&format!("{path}.projection"), projection, width, config.hidden_size);
        }
    }

    fn layer(&mut self, config: &EncoderConfig, layer: usize) {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let path = format!("encoder.layers.{layer}");
        let (name, [query, key, value, output, norm, lower, upper, last_norm]) = layer_names(config, layer);
        let named = |part: &str| format!("{name}.{part}");
        for (part, in_file) in [("query", query), ("key", key), ("value", value), ("output", output)] {
            self.linear(&format!("{path}.attention.{part}"), &named(in_file), hidden, hidden);
        }
        self.layer_norm(&format!("{path}.attention.layer_norm"), &named(norm), hidden);
        self.linear(&format!("{path}.feed_forward.intermediate"), &named(lower), hidden, wide);
        self.linear(&format!("{path}.feed_forward.output"), &named(upper), wide, hidden);
        self.layer_norm(&format!("{path}.feed_forward.layer_norm"), &named(last_norm), hidden);
    }

    /// PyTorch's names of a GRU of one layer and two directions.
    fn gru(&mut self, config: &EncoderConfig) {
        let (width, hidden) = (config.embedding_width(), config.hidden_size);
        let role = Role::Recurrent(hidden);
        for (direction, suffix) in [("forward", ""), ("reverse", "_reverse")] {
            for (part, in_file, input) in [("input", "ih", width), ("hidden", "hh", hidden)] {
                let path = format!("encoder.gru.{direction}.{part}");
                let name = |what: &str| format!("gru.{what}_{in_file}_l0{suffix}");
                self.add(format!("{path}.weight"), name("weight"), &[input, 3 * hidden], true, role);
                self.add(format!("{path}.bias"), name("bias"), &[3 * hidden], false, role);
            }
        }
        self.linear("encoder.gru.dense", "dense", 2 * hidden, hidden);
    }
}

/// What files call the layer that brings the embeddings to the width of the layers; `None` where there is none.
pub(crate) fn projection_name(config: &EncoderConfig) -> Option<&'static str> {
    match config.architecture {
        Architecture::Albert => Some("albert.encoder.embedding_hidden_mapping_in"),
        Architecture::Electra if config.embedding_width() != config.hidden_size => {
            Some("electra.embeddings_project")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
