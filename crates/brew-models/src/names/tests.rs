use super::*;
use crate::tiny;

#[test]
fn old_and_bare_names_become_todays() {
    for (architecture, old, new) in [
        (Architecture::Bert, "embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"),
        (Architecture::Bert, "bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        (
            Architecture::Bert,
            "encoder.layer.3.attention.output.LayerNorm.beta",
            "bert.encoder.layer.3.attention.output.LayerNorm.bias",
        ),
        (Architecture::Bert, "pooler.dense.bias", "bert.pooler.dense.bias"),
        (Architecture::Bert, "classifier.weight", "classifier.weight"),
        (
            Architecture::XlmRoberta,
            "encoder.layer.0.output.dense.bias",
            "roberta.encoder.layer.0.output.dense.bias",
        ),
        (Architecture::Electra, "embeddings_project.bias", "electra.embeddings_project.bias"),
        (
            Architecture::DistilBert,
            "transformer.layer.0.attention.q_lin.bias",
            "distilbert.transformer.layer.0.attention.q_lin.bias",
        ),
        (Architecture::Albert, "pooler.weight", "albert.pooler.weight"),
        (Architecture::BiGru, "embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"),
    ] {
        assert_eq!(canonical_name(architecture, old), new);
    }
}

#[test]
fn leftovers_are_told_apart() {
    use Architecture::{Albert, Bert, BiGru, DistilBert, Electra, Roberta};
    for (architecture, name, expected) in [
        (Bert, "bert.embeddings.position_ids", Leftover::Buffer),
        (Roberta, "roberta.embeddings.position_ids", Leftover::Buffer),
        (Bert, "cls.predictions.bias", Leftover::Unneeded),
        (Roberta, "lm_head.dense.weight", Leftover::Unneeded),
        (Roberta, "roberta.pooler.dense.weight", Leftover::Unneeded),
        (Electra, "discriminator_predictions.dense.weight", Leftover::Unneeded),
        (DistilBert, "vocab_projector.bias", Leftover::Unneeded),
        (Albert, "predictions.decoder.bias", Leftover::Unneeded),
        (Albert, "sop_classifier.classifier.weight", Leftover::Unneeded),
        (Bert, "bert.pooler.dense.bias", Leftover::Unneeded),
        (Bert, "qa_outputs.weight", Leftover::Classifier),
        (Roberta, "classifier.dense.weight", Leftover::Classifier),
        (DistilBert, "pre_classifier.bias", Leftover::Classifier),
        (Bert, "lm_head.dense.weight", Leftover::Unknown),
        (Bert, "bert.encoder.layer.9.output.dense.bias", Leftover::Unknown),
        (BiGru, "pooler.dense.weight", Leftover::Unknown),
    ] {
        assert_eq!(classify_leftover(architecture, name), expected, "{architecture} {name}");
    }
}

/// Names of transformers' state dictionaries (and PyTorch's of its GRU), with their shapes.
#[test]
fn each_family_has_its_own_names() {
    let names = |architecture, head| -> Vec<(String, Vec<usize>)> {
        let specs = parameter_specs(&tiny::config_of(architecture), Some(head));
        specs.iter().map(|spec| (spec.name.clone(), spec.file_shape())).collect()
    };
    let (texts, tokens, spans) =
        (Head::SequenceClassification, Head::TokenClassification, Head::QuestionAnswering);
    let cases: [(Architecture, Head, &str, &[usize]); 15] = [
        (Architecture::Roberta, texts, "roberta.encoder.layer.2.attention.self.key.weight", &[8, 8]),
        (Architecture::Roberta, texts, "classifier.out_proj.weight", &[3, 8]),
        (Architecture::Roberta, tokens, "classifier.weight", &[3, 8]),
        (Architecture::XlmRoberta, spans, "qa_outputs.weight", &[2, 8]),
        (Architecture::Electra, texts, "electra.embeddings_project.weight", &[8, 6]),
        (Architecture::Electra, texts, "classifier.dense.bias", &[8]),
        (Architecture::DistilBert, texts, "distilbert.transformer.layer.1.ffn.lin1.weight", &[12, 8]),
        (Architecture::DistilBert, texts, "pre_classifier.weight", &[8, 8]),
        (Architecture::DistilBert, texts, "distilbert.transformer.layer.0.sa_layer_norm.bias", &[8]),
        (
            Architecture::Albert,
            texts,
            "albert.encoder.albert_layer_groups.1.albert_layers.1.attention.dense.weight",
            &[8, 8],
        ),
        (Architecture::Albert, texts, "albert.encoder.embedding_hidden_mapping_in.weight", &[8, 6]),
        (Architecture::Albert, texts, "albert.pooler.bias", &[8]),
        (Architecture::BiGru, texts, "gru.weight_hh_l0_reverse", &[24, 8]),
        (Architecture::BiGru, texts, "gru.bias_ih_l0", &[24]),
        (Architecture::BiGru, tokens, "dense.weight", &[8, 16]),
    ];
    for (architecture, head, name, shape) in cases {
        let names = names(architecture, head);
        let found = names.iter().find(|(found, _)| found == name);
        assert_eq!(
            found.map(|(_, shape)| shape.as_slice()),
            Some(shape),
            "{architecture} {name} in {names:?}"
        );
    }
    assert!(names(Architecture::DistilBert, texts).iter().all(|(name, _)| !name.contains("token_type")));
    assert!(names(Architecture::Roberta, tokens).iter().all(|(name, _)| !name.contains("pooler")));
}
