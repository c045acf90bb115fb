//! What the header of a checkpoint says, before its numbers are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::import::{fit_header, weight_file};
use crate::{EncoderConfig, Head, LoadOptions, ModelError, safetensors_header, torch_archive};

/// A tensor as a header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHeader {
    /// Its shape, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// The type of its numbers, as safetensors writes it: `F32`, `BF16`, ….
    pub dtype: String,
}

/// The tensors of a checkpoint folder's weight file by name, shape and type. The numbers are not read.
///
/// ```no_run
/// use brew_models::{EncoderConfig, Head, LoadOptions, WeightHeader};
///
/// let folder = std::path::Path::new("bert-base-uncased");
/// let config = EncoderConfig::from_file(&folder.join("config.json"))?;
/// let fit = WeightHeader::read(folder)?.fit(&config, Head::SequenceClassification, &LoadOptions::default())?;
/// println!("drawn anew: {:?}", fit.initialised);
/// # Ok::<(), brew_models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightHeader {
    /// The weight file.
    pub path: PathBuf,
    /// Its tensors, under their names in the file.
    pub tensors: BTreeMap<String, TensorHeader>,
}

/// How a checkpoint fits a model, see [`Pretrained`](crate::Pretrained).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderFit {
    /// Names of the parameters that are drawn anew because the file does not have them.
    pub initialised: Vec<String>,
    /// Names of tensors in the file that have no use.
    pub ignored: Vec<String>,
}

impl WeightHeader {
    /// Reads the header of `model.safetensors`, or the index and the names of `pytorch_model.bin`, in a folder.
    ///
    /// # Errors
    /// A folder without weights; a file whose header is damaged, or does not fit the file's size.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = weight_file(folder)?;
        if path.extension().is_none_or(|extension| extension != "bin") {
            let tensors = safetensors_header::read(&path)?;
            return Ok(Self { path, tensors });
        }
        let stored = torch_archive::describe(&path)?;
        let described = stored.into_iter().map(|(name, tensor)| {
            let dtype = torch_archive::dtype_of(&tensor.storage.kind);
            let dtype = dtype.map_or(tensor.storage.kind, |dtype| format!("{dtype:?}"));
            (name, TensorHeader { shape: tensor.shape, dtype })
        });
        let tensors = described.collect();
        Ok(Self { path, tensors })
    }

    /// Whether the tensors make a model of this configuration and head, as
    /// [`load_pretrained`](crate::load_pretrained) would find.
    ///
    /// # Errors
    /// Those of [`load_pretrained`](crate::load_pretrained) that have to do with names, shapes and types.
    pub fn fit(
        &self,
        config: &EncoderConfig,
        head: Head,
        options: &LoadOptions,
    ) -> Result<HeaderFit, ModelError> {
        let (initialised, ignored) = fit_header(self, config, head, options)?;
        Ok(HeaderFit { initialised, ignored })
    }
}

/// A tensor whose shape and type are known.
pub(crate) trait Described {
    fn shape(&self) -> Vec<usize>;
    /// The type as safetensors writes it.
    fn dtype(&self) -> String;
}

impl Described for TensorHeader {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn dtype(&self) -> String {
        self.dtype.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use brew_testkit::TestBackend;

    use super::*;
    use crate::tiny::{self, Weights};
    use crate::{Misfit, SequenceClassifier, load_pretrained};

    const HEAD: Head = Head::SequenceClassification;

    /// What the header says and what loading says, which must be the same, of both kinds of files.
    fn both(weights: &Weights, options: &LoadOptions) -> Result<HeaderFit, String> {
        let mut found = Vec::new();
        for is_torch in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            tiny::write_config(folder.path(), &tiny::config());
            match is_torch {
                true => {
                    let archive = tiny::archive(&tiny::torch_entries(weights));
                    fs::write(folder.path().join("pytorch_model.bin"), archive).unwrap();
                }
                false => tiny::write_safetensors(folder.path(), weights),
            }
            let header = WeightHeader::read(folder.path()).unwrap();
            let fit = header.fit(&tiny::config(), HEAD, options);
            let loaded = load_pretrained::<SequenceClassifier<TestBackend>>(
                folder.path(),
                options,
                &Default::default(),
            );
            match (&fit, loaded) {
                (Ok(fit), Ok(loaded)) => {
                    assert_eq!((&fit.initialised, &fit.ignored), (&loaded.initialised, &loaded.ignored));
                }
                (Err(fit), Err(loaded)) => assert_eq!(fit.to_string(), loaded.to_string()),
                other => panic!("{other:?}"),
            }
            let misfit = |error: ModelError| match error {
                ModelError::Mismatch { misfit, .. } => Misfit::to_string(&misfit),
                other => format!("{other:?}").split(' ').next().unwrap_or_default().to_owned(),
            };
            found.push(fit.map_err(misfit));
        }
        assert_eq!(found[0], found[1]);
        found.remove(0)
    }

    #[test]
    fn a_header_tells_what_loading_would() {
        let options = LoadOptions::default();
        let weights = tiny::weights();
        assert_eq!(both(&weights, &options), Ok(HeaderFit::default()));
        let mut encoder = weights.clone();
        encoder.retain(|name, _| !name.starts_with("classifier"));
        assert_eq!(both(&encoder, &options).unwrap().initialised, ["classifier.weight", "classifier.bias"]);
        let mut lacking = weights.clone();
        lacking.remove("bert.encoder.layer.1.output.dense.bias");
        lacking.insert("extra".to_owned(), weights["classifier.bias"].clone());
        let misfit = both(&lacking, &options).unwrap_err();
        assert!(misfit.contains("missing (1): bert.encoder.layer.1.output.dense.bias"), "{misfit}");
        assert!(misfit.contains("not used by this model (1): extra"), "{misfit}");
        let asked = LoadOptions { num_labels: Some(5), ..options };
        assert_eq!(both(&weights, &asked).unwrap_err(), "LabelCount");
        let anew = LoadOptions { reinitialise_head: true, ..asked };
        assert_eq!(both(&weights, &anew).unwrap().ignored.len(), 2);
    }

    #[test]
    fn a_torch_archive_is_told_without_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = tiny::archive(&tiny::torch_entries(&tiny::weights()));
        // A flipped bit among the numbers is found by loading alone.
        let middle = archive.len() / 2;
        archive[middle] ^= 1;
        fs::write(folder.path().join("pytorch_model.bin"), &archive).unwrap();
        let header = WeightHeader::read(folder.path()).unwrap();
        assert_eq!(header.tensors.len(), tiny::weights().len());
        assert!(torch_archive::verify(&header.path).is_err());
        fs::write(folder.path().join("pytorch_model.bin"), &archive[..middle]).unwrap();
        assert!(WeightHeader::read(folder.path()).is_err());
    }
}
