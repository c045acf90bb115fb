//! Names in files of other ages and other heads.

use crate::Architecture;

/// The name a tensor of a file has in today's transformers: checkpoints of the bare encoder lack
/// the family's prefix, and the oldest ones call LayerNorm's parameters `gamma` and `beta`.
pub(crate) fn canonical_name(architecture: Architecture, name: &str) -> String {
    let prefix = architecture.prefix();
    let parts = ["embeddings.", "embeddings_project.", "encoder.", "transformer.", "pooler."];
    let bare = !prefix.is_empty() && parts.iter().any(|part| name.starts_with(part));
    let mut canonical = if bare { format!("{prefix}.{name}") } else { name.to_owned() };
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
    /// A layer of a classifier, of which a model lets go that starts with a new one.
    Classifier,
    /// Nothing that is known.
    Unknown,
}

pub(crate) fn classify_leftover(architecture: Architecture, canonical: &str) -> Leftover {
    let pretraining: &[&str] = match architecture {
        Architecture::Bert => &["cls.predictions.", "cls.seq_relationship."],
        Architecture::Roberta | Architecture::XlmRoberta => &["lm_head."],
        Architecture::Electra => {
            &["discriminator_predictions.", "generator_predictions.", "generator_lm_head."]
        }
        Architecture::DistilBert => &["vocab_transform.", "vocab_layer_norm.", "vocab_projector."],
        Architecture::Albert => &["predictions.", "sop_classifier."],
        Architecture::BiGru => &[],
    };
    let starts_with = |part: &&str| canonical.starts_with(*part);
    let of_encoder = canonical
        .strip_prefix(architecture.prefix())
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or_default();
    match of_encoder {
        "embeddings.position_ids" | "embeddings.token_type_ids" => Leftover::Buffer,
        name if name.starts_with("pooler.") => Leftover::Unneeded,
        _ if pretraining.iter().any(starts_with) => Leftover::Unneeded,
        _ if ["classifier.", "pre_classifier.", "qa_outputs."].iter().any(starts_with) => {
            Leftover::Classifier
        }
        _ => Leftover::Unknown,
    }
}
