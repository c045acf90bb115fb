//! Questions about texts, whose answers are parts of them.

use std::path::Path;

use brew_data::metrics::QaReport;
use brew_data::{
    AlignedFeature, AlignedTokenizer, Extent, LabelSet, QuestionExample, QuestionFileSpec, SpanDecoding,
    SpanFeature, SpanPrediction, TextTokenizer, decode_spans, question_features, read_questions,
    training_features,
};

use super::rows::{self, Row};
use super::{Corpus, Judge, Purpose, Split};
use crate::{DataConfig, Prediction, RunError, TaskKind, TaskReport};

#[derive(Debug, Clone)]
pub(super) struct Questions {
    examples: Vec<QuestionExample>,
    note: String,
}

impl Questions {
    pub(super) fn read(path: &Path, data: &DataConfig, extent: Extent) -> Result<Self, RunError> {
        let (examples, report) =
            read_questions(path, &QuestionFileSpec { extent, ..data.questions.file_spec() })?;
        Ok(Self { examples, note: report.to_string() })
    }
}

impl Corpus for Questions {
    fn len(&self) -> usize {
        self.examples.len()
    }

    fn truncate(&mut self, count: usize) {
        self.examples.truncate(count);
    }

    /// A span has two logits a token, start and end, and so transformers gives such a model two labels.
    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        Ok(Some(LabelSet::new(["LABEL_0", "LABEL_1"])?))
    }

    fn require_labels(&self) -> Result<(), RunError> {
        rows::require_labels(&self.examples)
    }

    fn forget_labels(&mut self) {
        self.examples.iter_mut().for_each(Row::forget);
    }

    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError> {
        let more = Self::read(path, data, Extent::Whole)?;
        rows::add_unlabelled(&mut self.examples, more.examples, data.transfer_examples);
        Ok(())
    }

    fn encode(
        &self,
        _labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        purpose: Purpose,
    ) -> Result<Split, RunError> {
        let options = data.questions.options(data.length_limit(TaskKind::QuestionAnswering));
        // Settings of decoding are wrong now rather than at the first checkpoint.
        decode_spans::<Vec<f32>>(&[], &[], &[], &[], &data.questions.decoding())?;
        let (windows, report) = match purpose {
            Purpose::Training => training_features(tokenizer, &self.examples, &options)?,
            Purpose::Prediction => question_features(tokenizer, &self.examples, &options)?,
        };
        let note = format!("{}; {report}", self.note);
        let features = windows.iter().map(|window| window.feature.clone()).collect();
        let judge = Answers {
            examples: self.examples.clone(),
            windows,
            decoding: data.questions.decoding(),
            rules: data.questions.rules,
        };
        Ok(Split { note: Some(note), ..Split::new(features, judge) })
    }

    fn encode_both(
        &self,
        _labels: &LabelSet,
        _both: &AlignedTokenizer,
        _lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        Ok(None)
    }
}

#[derive(Debug)]
struct Answers {
    examples: Vec<QuestionExample>,
    windows: Vec<SpanFeature>,
    decoding: SpanDecoding,
    rules: brew_data::metrics::QaRules,
}

impl Answers {
    fn decode(&self, outputs: &[Vec<f32>]) -> Result<Vec<SpanPrediction>, RunError> {
        // The starts of all tokens, then their ends.
        let halves = outputs.iter().map(|row| row.split_at(row.len() / 2));
        let (starts, ends): (Vec<&[f32]>, Vec<&[f32]>) = halves.unzip();
        Ok(decode_spans(&self.examples, &self.windows, &starts, &ends, &self.decoding)?)
    }
}

impl Judge for Answers {
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        Ok(TaskReport::Answers(QaReport::new(self.rules, &self.decode(outputs)?, &self.examples)?))
    }

    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        Ok(self.decode(&outputs)?.into_iter().map(Prediction::Answer).collect())
    }
}
