//! The model families, and the heads they carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of encoders, as `model_type` names it in a `config.json`.
///
/// ```
/// use brew_models::{Architecture, Head};
///
/// let family = Architecture::from_model_type("distilbert").unwrap();
/// assert_eq!(family, Architecture::DistilBert);
/// assert_eq!(Head::QuestionAnswering.class_name(family), "DistilBertForQuestionAnswering");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Architecture {
    /// `bert` (Devlin et al., <https://arxiv.org/abs/1810.04805>).
    #[default]
    Bert,
    /// `roberta` (Liu et al., <https://arxiv.org/abs/1907.11692>): BERT whose positions are counted over real
    /// tokens, from `pad_token_id + 1`.
    Roberta,
    /// `xlm-roberta` (Conneau et al., <https://arxiv.org/abs/1911.02116>): the same model as RoBERTa.
    XlmRoberta,
    /// `electra` (Clark et al., <https://arxiv.org/abs/2003.10555>): BERT whose embeddings may be narrower than
    /// its layers.
    Electra,
    /// `distilbert` (Sanh et al., <https://arxiv.org/abs/1910.01108>): BERT without segments and pooler.
    DistilBert,
    /// `albert` (Lan et al., <https://arxiv.org/abs/1909.11942>): narrow embeddings, and layers that share their
    /// parameters.
    Albert,
    /// `bigru`, TextBrewer's student without attention: word embeddings, one bidirectional GRU, a dense layer.
    /// The name and the file layout are Brew's own, transformers has no such model.
    BiGru,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Bert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::Electra,
        Self::DistilBert,
        Self::Albert,
        Self::BiGru,
    ];

    /// The name in `config.json`.
    pub const fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::Electra => "electra",
            Self::DistilBert => "distilbert",
            Self::Albert => "albert",
            Self::BiGru => "bigru",
        }
    }

    /// The family of this name, if it is built.
    pub fn from_model_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.model_type() == name)
    }

    /// The names of all families.
    pub(crate) fn model_types() -> Vec<&'static str> {
        Self::ALL.iter().map(|architecture| architecture.model_type()).collect()
    }

    /// What the encoder's parameters are called by, `bert` in `bert.encoder.layer.0…`; empty for none.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta | Self::XlmRoberta => "roberta",
            Self::Electra => "electra",
            Self::DistilBert => "distilbert",
            Self::Albert => "albert",
            Self::BiGru => "",
        }
    }

    /// Whether it is built of attention layers; the others have neither heads nor positions.
    pub const fn has_attention(self) -> bool {
        !matches!(self, Self::BiGru)
    }

    /// Whether each layer has parameters of its own, so that a student can be made of some of them.
    pub const fn has_distinct_layers(self) -> bool {
        !matches!(self, Self::Albert | Self::BiGru)
    }

    /// Whether positions are counted over real tokens, from `pad_token_id + 1`.
    pub(crate) const fn offsets_positions(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta)
    }

    /// Whether tokens have segments.
    pub(crate) const fn has_token_types(self) -> bool {
        !matches!(self, Self::DistilBert | Self::BiGru)
    }

    /// Whether embeddings may have a width of their own.
    pub(crate) const fn has_embedding_size(self) -> bool {
        matches!(self, Self::Electra | Self::Albert | Self::BiGru)
    }

    const fn class_prefix(self) -> &'static str {
        match self {
            Self::Bert => "Bert",
            Self::Roberta => "Roberta",
            Self::XlmRoberta => "XLMRoberta",
            Self::Electra => "Electra",
            Self::DistilBert => "DistilBert",
            Self::Albert => "Albert",
            Self::BiGru => "BiGru",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

/// What a model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Head {
    /// Labels of whole texts: [`SequenceClassifier`](crate::SequenceClassifier).
    SequenceClassification,
    /// A label of each token: [`TokenClassifier`](crate::TokenClassifier).
    TokenClassification,
    /// Where a span starts and where it ends: [`SpanClassifier`](crate::SpanClassifier).
    QuestionAnswering,
}

impl Head {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::SequenceClassification, Self::TokenClassification, Self::QuestionAnswering];

    /// How the names of such classes of transformers end.
    const fn class_suffix(self) -> &'static str {
        match self {
            Self::SequenceClassification => "ForSequenceClassification",
            Self::TokenClassification => "ForTokenClassification",
            Self::QuestionAnswering => "ForQuestionAnswering",
        }
    }

    /// The class of transformers with this head, as `architectures` names it in a `config.json`.
    pub fn class_name(self, architecture: Architecture) -> String {
        format!("{}{}", architecture.class_prefix(), self.class_suffix())
    }

    /// The head of a class of transformers, if it is one of these.
    pub fn of_class(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|head| name.ends_with(head.class_suffix()))
    }
}

/// What the labels of a text mean, `problem_type` in a `config.json`: transformers picks the loss by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// Numbers, compared by mean square.
    Regression,
    /// One label a text, by cross-entropy.
    SingleLabelClassification,
    /// Any number of labels a text, each by binary cross-entropy.
    MultiLabelClassification,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::from_model_type(architecture.model_type()), Some(architecture));
            for head in Head::ALL {
                assert_eq!(Head::of_class(&head.class_name(architecture)), Some(head));
            }
        }
        assert_eq!(Architecture::from_model_type("t5"), None);
        assert_eq!(Head::of_class("BertForMaskedLM"), None);
        assert_eq!(
            Head::TokenClassification.class_name(Architecture::XlmRoberta),
            "XLMRobertaForTokenClassification"
        );
    }
}
