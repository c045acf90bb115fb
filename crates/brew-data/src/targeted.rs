//! Texts with a target of any task.

use crate::cores::on_every_core;
use crate::{DataError, Example, Feature, RawExample, Target, TextTokenizer};

/// A text with what a model should say of it, for tasks whose answer is not one class.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetedExample {
    /// The text; its `label` plays no part.
    pub example: Example,
    /// What a model should say of it, where that is known.
    pub target: Option<Target>,
}

impl From<Example> for TargetedExample {
    /// A text with its class, if it has one.
    fn from(example: Example) -> Self {
        let target = example.label.map(Target::Class);
        Self { example, target }
    }
}

impl TextTokenizer {
    /// The features of some examples with their targets, in order, on every core: see
    /// [`encode_all`](Self::encode_all).
    ///
    /// # Errors
    /// The first error in the order of the examples.
    pub fn encode_targeted(
        &self,
        examples: &[TargetedExample],
        max_length: usize,
    ) -> Result<Vec<Feature>, DataError> {
        on_every_core(examples, |targeted| {
            let mut feature = self.encode(&targeted.example, max_length)?;
            feature.target.clone_from(&targeted.target);
            Ok(feature)
        })
    }
}

/// Takes labels for numbers, as regression needs them. An example without a label has no target.
///
/// ```
/// use brew_data::{RawExample, Target, value_examples};
/// let raw = [RawExample::new(0, "a plane").with_pair("an air plane").with_label("5.000"), RawExample::new(1, "new")];
/// let examples = value_examples(&raw)?;
/// assert_eq!((&examples[0].target, &examples[1].target), (&Some(Target::Value(5.0)), &None));
/// # Ok::<(), brew_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::BadNumber`] at the first label that is no finite number.
pub fn value_examples(raw: &[RawExample]) -> Result<Vec<TargetedExample>, DataError> {
    raw.iter()
        .map(|example| {
            let value = |label: &String| {
                label.parse().ok().filter(|value: &f32| value.is_finite()).ok_or_else(|| {
                    DataError::BadNumber {
                        path: example.origin.path_buf(),
                        line: example.origin.line,
                        value: label.clone(),
                    }
                })
            };
            let target = example.label.as_ref().map(value).transpose()?.map(Target::Value);
            Ok(TargetedExample { example: example.resolve(None), target })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WordPieceOptions;

    #[test]
    fn a_label_that_is_no_number_is_named() {
        for label in ["five", "nan", "inf", "1e999"] {
            let raw = [RawExample::new(0, "a").with_label("1"), RawExample::new(1, "b").with_label(label)];
            let error = value_examples(&raw).unwrap_err().to_string();
            assert_eq!(error, format!("<memory>, line 2: the label `{label}` is no finite number"));
        }
    }

    #[test]
    fn features_carry_the_targets() {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"].map(String::from).to_vec();
        let tokenizer = TextTokenizer::from_vocabulary(words, WordPieceOptions::default()).unwrap();
        let examples = [
            TargetedExample { example: Example::new(3, "a a"), target: Some(Target::Value(-0.5)) },
            TargetedExample::from(Example::new(4, "a").with_label(1)),
            TargetedExample { example: Example::new(5, "a").with_label(1), target: None },
        ];
        let features = tokenizer.encode_targeted(&examples, 8).unwrap();
        assert_eq!(features[0].input_ids, [2, 4, 4, 3]);
        let targets: Vec<_> = features.into_iter().map(|feature| feature.target).collect();
        assert_eq!(targets, [Some(Target::Value(-0.5)), Some(Target::Class(1)), None]);
    }
}
