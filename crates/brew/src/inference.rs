//! Using a trained model: evaluation, prediction, parameter counts, export.

use std::io::Write;
use std::path::Path;

use brew_data::{
    ClassificationReport, Collator, DataError, Example, Feature, LabelSet, TextFileSpec, TextTokenizer,
    label_examples, read_examples, unlabelled_examples,
};
use brew_models::{LoadOptions, ParameterTable, SequenceClassifier, load_pretrained, save_pretrained};
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;

use crate::classification::{argmax, classify, probabilities};
use crate::{BackendJob, BackendKind, RunError, dispatch, model_folder};

/// A file of texts and how it is read.
#[derive(Debug, Clone)]
pub struct TextSource<'a> {
    /// TSV, CSV or JSON lines.
    pub path: &'a Path,
    /// Which columns hold texts and label.
    pub columns: TextFileSpec,
    /// Tokens of a text or pair, special tokens included.
    pub max_length: usize,
    /// Texts computed at once.
    pub batch_size: usize,
}

/// What a model says of one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The row of the file, from 0.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
    /// The most likely label.
    pub label: String,
    /// Its probability.
    pub probability: f32,
    /// The model's output for each label, before the softmax.
    pub logits: Vec<f32>,
}

/// Measures a model on a labelled file.
///
/// # Errors
/// A folder that is no model, a file that cannot be read, a label the model does not know.
pub fn evaluate_file(
    backend: BackendKind,
    model: &Path,
    source: &TextSource<'_>,
) -> Result<ClassificationReport, RunError> {
    let model = Classifier::open(backend, model)?;
    let raw = read_examples(source.path, &source.columns)?;
    let examples = label_examples(&raw, &model.labels)?;
    let gold: Vec<usize> = examples.iter().filter_map(|example| example.label).collect();
    let logits = model.logits(&examples, source)?;
    let predictions: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
    Ok(ClassificationReport::new(&predictions, &gold, &model.labels)?)
}

/// Labels the texts of a file, which needs no labels itself.
///
/// # Errors
/// A folder that is no model, a file that cannot be read.
pub fn predict_file(
    backend: BackendKind,
    model: &Path,
    source: &TextSource<'_>,
) -> Result<Vec<Prediction>, RunError> {
    let model = Classifier::open(backend, model)?;
    let examples = unlabelled_examples(&read_examples(source.path, &source.columns)?);
    let logits = model.logits(&examples, source)?;
    let predictions = examples.into_iter().zip(logits).map(|(example, logits)| {
        let best = argmax(&logits);
        Prediction {
            id: example.id,
            text: example.text,
            text_pair: example.text_pair,
            label: model.labels.name(best).unwrap_or_default().to_owned(),
            probability: probabilities(&logits)[best],
            logits,
        }
    });
    Ok(predictions.collect())
}

/// Writes predictions as JSON lines, the whole file or nothing.
///
/// # Errors
/// [`RunError::Io`].
pub fn write_predictions(predictions: &[Prediction], path: &Path) -> Result<(), RunError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for prediction in predictions {
            serde_json::to_writer(&mut file, prediction)?;
            file.write_all(b"\n")?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(RunError::io("write", path))
}

/// The parameters of a checkpoint, by module down to a depth.
///
/// # Errors
/// A folder that is no model.
pub fn parameter_table(model: &Path, depth: usize) -> Result<ParameterTable, RunError> {
    struct Job<'a>(&'a Path, usize);
    impl BackendJob for Job<'_> {
        type Output = Result<ParameterTable, RunError>;
        fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
            let loaded = load_pretrained::<SequenceClassifier<B::InnerBackend>>(
                self.0,
                &LoadOptions::default(),
                &device,
            )?;
            Ok(ParameterTable::new(&loaded.model, Some(self.1)))
        }
    }
    let folder = model_folder(model)?;
    dispatch(cpu()?, Job(&folder, depth))
}

/// Reads a checkpoint and writes it as a new Hugging Face folder with its tokenizer.
///
/// # Errors
/// A source that is no model, a target that exists already or cannot be written.
pub fn export(source: &Path, target: &Path) -> Result<(), RunError> {
    struct Job<'a>(&'a Path, &'a Path);
    impl BackendJob for Job<'_> {
        type Output = Result<(), RunError>;
        fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
            let loaded = load_pretrained::<SequenceClassifier<B::InnerBackend>>(
                self.0,
                &LoadOptions::default(),
                &device,
            )?;
            Ok(save_pretrained(&loaded.model, &loaded.config, Some(self.0), self.1)?)
        }
    }
    if target.exists() {
        return Err(RunError::TargetExists { path: target.to_path_buf() });
    }
    dispatch(cpu()?, Job(source, target))
}

/// Any backend of this build, for work that is only reading and writing.
fn cpu() -> Result<BackendKind, RunError> {
    BackendKind::first().ok_or(RunError::NoBackend)
}

/// Features and a batch size to one row of logits a feature.
type Logits = dyn Fn(&[Feature], usize) -> Result<Vec<Vec<f32>>, DataError>;

/// A model with its tokenizer and labels, ready to be run.
struct Classifier {
    run: Box<Logits>,
    tokenizer: TextTokenizer,
    labels: LabelSet,
}

impl Classifier {
    fn open(backend: BackendKind, path: &Path) -> Result<Self, RunError> {
        let folder = model_folder(path)?;
        dispatch(backend, OpenJob(&folder))
    }

    fn logits(&self, examples: &[Example], source: &TextSource<'_>) -> Result<Vec<Vec<f32>>, RunError> {
        let features = self.tokenizer.encode_all(examples, source.max_length)?;
        Ok((self.run)(&features, source.batch_size)?)
    }
}

struct OpenJob<'a>(&'a Path);

impl BackendJob for OpenJob<'_> {
    type Output = Result<Classifier, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let loaded =
            load_pretrained::<SequenceClassifier<B::InnerBackend>>(self.0, &LoadOptions::default(), &device)?;
        if loaded.initialised.iter().any(|name| name.starts_with("classifier")) {
            return Err(RunError::NoClassifier { path: self.0.to_path_buf() });
        }
        let tokenizer = TextTokenizer::from_folder(self.0)?;
        let labels = LabelSet::new(loaded.config.labels.clone())?;
        let collator = Collator::new(tokenizer.pad_id());
        let model: SequenceClassifier<B::InnerBackend> = loaded.model;
        let run = Box::new(move |features: &[Feature], batch_size: usize| {
            classify(&model, features, batch_size, collator, &device)
        });
        Ok(Classifier { run, tokenizer, labels })
    }
}
