//! Every parameter of a BERT by its path in the Burn module and its name in a Hugging Face file.

use crate::EncoderConfig;

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

    pub(crate) fn is_head(&self) -> bool {
        self.path.starts_with("classifier.")
    }

    pub(crate) fn is_pooler(&self) -> bool {
        self.path.starts_with("pooler.")
    }
}

/// The parameters of a [`PretrainedModel`](crate::PretrainedModel), with or without a pooler, in the order of the
/// module.
pub(crate) fn parameter_specs(config: &EncoderConfig, has_pooler: bool) -> Vec<ParameterSpec> {
    let hidden = config.hidden_size;
    let mut list = SpecList(Vec::new());
    let embeddings = [
        ("word_embeddings", config.vocab_size, Role::PaddedEmbedding(config.pad_token_id)),
        ("position_embeddings", config.max_position_embeddings, Role::Weight),
        ("token_type_embeddings", config.type_vocab_size, Role::Weight),
    ];
    for (table, rows, role) in embeddings {
        list.add(
            format!("encoder.embeddings.{table}.weight"),
            format!("bert.embeddings.{table}.weight"),
            &[rows, hidden],
            false,
            role,
        );
    }
    list.layer_norm("encoder.embeddings.layer_norm", "bert.embeddings.LayerNorm", hidden);
    for layer in 0..config.num_hidden_layers {
        let path = format!("encoder.layers.{layer}");
        let name = format!("bert.encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            list.linear(
                &format!("{path}.attention.{part}"),
                &format!("{name}.attention.self.{part}"),
                hidden,
                hidden,
            );
        }
        list.linear(
            &format!("{path}.attention.output"),
            &format!("{name}.attention.output.dense"),
            hidden,
            hidden,
        );
        list.layer_norm(
            &format!("{path}.attention.layer_norm"),
            &format!("{name}.attention.output.LayerNorm"),
            hidden,
        );
        let wide = config.intermediate_size;
        list.linear(
            &format!("{path}.feed_forward.intermediate"),
            &format!("{name}.intermediate.dense"),
            hidden,
            wide,
        );
        list.linear(&format!("{path}.feed_forward.output"), &format!("{name}.output.dense"), wide, hidden);
        list.layer_norm(
            &format!("{path}.feed_forward.layer_norm"),
            &format!("{name}.output.LayerNorm"),
            hidden,
        );
    }
    if has_pooler {
        list.linear("pooler.dense", "bert.pooler.dense", hidden, hidden);
    }
    list.linear("classifier", "classifier", hidden, config.num_labels());
    list.0
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
}

/// The name a tensor of a file has in today's transformers: checkpoints of the bare encoder lack
/// the `bert.` prefix, and the oldest ones call LayerNorm's parameters `gamma` and `beta`.
pub(crate) fn canonical_name(name: &str) -> String {
    let bare = ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part));
    let mut canonical = if bare { format!("bert.{name}") } else { name.to_owned() };
    for (old, new) in [(".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias")] {
        if let Some(stem) = canonical.strip_suffix(old) {
            canonical = format!("{stem}{new}");
        }
    }
    canonical
}

/// What is to be done with a tensor that no parameter of the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// A buffer of constants, written by some versions of transformers.
    Buffer,
    /// A head of pretraining, or a pooler, of which a model made from a pretrained checkpoint lets go.
    Unneeded,
    /// Nothing that is known.
    Unknown,
}

pub(crate) fn classify_leftover(canonical: &str) -> Leftover {
    match canonical {
        "bert.embeddings.position_ids" | "bert.embeddings.token_type_ids" => Leftover::Buffer,
        name if ["cls.predictions.", "cls.seq_relationship.", "bert.pooler."]
            .iter()
            .any(|part| name.starts_with(part)) =>
        {
            Leftover::Unneeded
        }
        _ => Leftover::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_bare_names_become_todays() {
        for (old, new) in [
            ("embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"),
            ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            (
                "encoder.layer.3.attention.output.LayerNorm.beta",
                "bert.encoder.layer.3.attention.output.LayerNorm.bias",
            ),
            ("pooler.dense.bias", "bert.pooler.dense.bias"),
            ("classifier.weight", "classifier.weight"),
        ] {
            assert_eq!(canonical_name(old), new);
        }
    }

    #[test]
    fn leftovers_are_told_apart() {
        assert_eq!(classify_leftover("bert.embeddings.position_ids"), Leftover::Buffer);
        assert_eq!(classify_leftover("cls.predictions.bias"), Leftover::Unneeded);
        assert_eq!(classify_leftover("bert.pooler.dense.bias"), Leftover::Unneeded);
        assert_eq!(classify_leftover("qa_outputs.weight"), Leftover::Unknown);
        assert_eq!(classify_leftover("bert.encoder.layer.9.output.dense.bias"), Leftover::Unknown);
    }
}
