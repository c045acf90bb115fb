//! The students of TextBrewer's tables, by name.

use std::fmt;
use std::str::FromStr;

use crate::{Architecture, EncoderConfig, ModelError};

/// A model of TextBrewer's tables of results, whose sizes are known but for the vocabulary, which is the teacher's.
///
/// The counts are of parameters with embeddings and without pooler and task head, in millions, for the vocabularies
/// of BERT-base-cased (28,996) and BERT-base-Chinese (21,128, RoBERTa-wwm's as well), as TextBrewer's README has
/// them; see [`count_parameters`](crate::count_parameters).
///
/// | name | layers | width | feed-forward | heads | English | Chinese |
/// |---|---|---|---|---|---|---|
/// | `base` | 12 | 768 | 3072 | 12 | 108 M | 102 M |
/// | `T6` | 6 | 768 | 3072 | 12 | 65 M | |
/// | `T3` | 3 | 768 | 3072 | 12 | 44 M | 38 M |
/// | `T3-small` | 3 | 384 | 1536 | 12 | 17 M | 14 M |
/// | `T4-tiny` | 4 | 312 | 1200 | 12 | 14 M | 11 M |
/// | `T12-nano` | 12 | 256 | 1024 | 4 | 17 M | |
/// | `BiGRU` | 1 | 768 | | | 31 M | |
/// | `Electra-small` | 12 | 256 | 1024 | 4 | | 12 M |
///
/// `base` is the teacher. The heads of the first five are those of TextBrewer's
/// `examples/student_config`; T12-nano, which "has a similar structure to Electra-small" and no file there, has
/// ELECTRA-small's.
///
/// ```
/// use brew_models::{StudentPreset, count_parameters};
///
/// let preset: StudentPreset = "T4-tiny".parse()?;
/// let config = preset.config(28996);
/// assert_eq!((config.num_hidden_layers, config.hidden_size), (4, 312));
/// assert_eq!(count_parameters(&config), 13_776_480);
/// # Ok::<(), brew_models::ModelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StudentPreset {
    /// `base`: BERT-base, RoBERTa-wwm-ext, the teachers.
    Base,
    /// `T6`, the shape of DistilBERT.
    T6,
    /// `T3`.
    T3,
    /// `T3-small`.
    T3Small,
    /// `T4-tiny`, the shape of TinyBERT.
    T4Tiny,
    /// `T12-nano`.
    T12Nano,
    /// `BiGRU`, one bidirectional GRU.
    BiGru,
    /// `Electra-small`, whose embeddings are 128 wide.
    ElectraSmall,
}

impl StudentPreset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Base,
        Self::T6,
        Self::T3,
        Self::T3Small,
        Self::T4Tiny,
        Self::T12Nano,
        Self::BiGru,
        Self::ElectraSmall,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::T6 => "T6",
            Self::T3 => "T3",
            Self::T3Small => "T3-small",
            Self::T4Tiny => "T4-tiny",
            Self::T12Nano => "T12-nano",
            Self::BiGru => "BiGRU",
            Self::ElectraSmall => "Electra-small",
        }
    }

    /// Its configuration with a vocabulary of this size, two labels and the defaults of its family.
    pub fn config(self, vocab_size: usize) -> EncoderConfig {
        let bert = |layers, width, feed_forward, heads| EncoderConfig {
            num_hidden_layers: layers,
            hidden_size: width,
            intermediate_size: feed_forward,
            num_attention_heads: heads,
            ..EncoderConfig::default()
        };
        let config = match self {
            Self::Base => bert(12, 768, 3072, 12),
            Self::T6 => bert(6, 768, 3072, 12),
            Self::T3 => bert(3, 768, 3072, 12),
            Self::T3Small => bert(3, 384, 1536, 12),
            Self::T4Tiny => bert(4, 312, 1200, 12),
            Self::T12Nano => bert(12, 256, 1024, 4),
            Self::BiGru => EncoderConfig::of(Architecture::BiGru),
            Self::ElectraSmall => EncoderConfig::of(Architecture::Electra),
        };
        EncoderConfig { vocab_size, ..config }
    }
}

impl fmt::Display for StudentPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StudentPreset {
    type Err = ModelError;

    /// The preset of a name, in any case.
    fn from_str(name: &str) -> Result<Self, ModelError> {
        Self::ALL.into_iter().find(|preset| preset.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            ModelError::UnknownPreset {
                found: name.to_owned(),
                known: Self::ALL.iter().map(|preset| preset.name()).collect(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count_parameters;

    /// The tables of TextBrewer's README, in millions: BERT-base-cased's vocabulary, then BERT-base-Chinese's.
    #[test]
    fn parameter_counts_are_those_of_textbrewers_tables() {
        let tables = [
            (
                28996,
                vec![
                    ("base", 108),
                    ("T6", 65),
                    ("T3", 44),
                    ("T3-small", 17),
                    ("T4-Tiny", 14),
                    ("T12-nano", 17),
                    ("BiGRU", 31),
                ],
            ),
            (
                21128,
                vec![("base", 102), ("T3", 38), ("T3-small", 14), ("T4-tiny", 11), ("Electra-small", 12)],
            ),
        ];
        for (vocab_size, table) in tables {
            for (name, millions) in table {
                let config = name.parse::<StudentPreset>().unwrap().config(vocab_size);
                config.validate().unwrap();
                let count = count_parameters(&config) as f64 / 1e6;
                assert_eq!(count.round() as usize, millions, "{name} with {vocab_size} words: {count} M");
            }
        }
        let bigru = count_parameters(&StudentPreset::BiGru.config(28996)) as f64;
        assert!((bigru / 1e6 - 30.5).abs() < 0.05, "{bigru}");
    }

    #[test]
    fn students_have_twelve_heads_where_textbrewers_files_say_so() {
        for preset in [StudentPreset::T6, StudentPreset::T3, StudentPreset::T3Small, StudentPreset::T4Tiny] {
            assert_eq!(preset.config(100).num_attention_heads, 12, "{preset}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_presets() {
        let error = "T5".parse::<StudentPreset>().unwrap_err().to_string();
        assert!(error.contains("T5") && error.contains("T4-tiny, T12-nano"), "{error}");
    }
}
