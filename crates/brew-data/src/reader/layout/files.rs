//! Which file of a folder is which part of a data set.

use std::path::{Path, PathBuf};

use super::{Layout, LayoutOptions, Split};
use crate::DataError;

impl Layout {
    /// What the file of a part may be called, the likeliest first; `{}` is the language.
    fn names(self, split: Split) -> &'static [&'static str] {
        use Split::{Dev, DevMismatched, Test, TestMismatched, Train};
        match (self, split) {
            (Self::Mnli, Train) => &["train.tsv", "multinli_1.0_train.txt", "multinli_1.0_train.jsonl"],
            (Self::Mnli, Dev) => {
                &["dev_matched.tsv", "multinli_1.0_dev_matched.txt", "multinli_1.0_dev_matched.jsonl"]
            }
            (Self::Mnli, DevMismatched) => &[
                "dev_mismatched.tsv",
                "multinli_1.0_dev_mismatched.txt",
                "multinli_1.0_dev_mismatched.jsonl",
            ],
            (Self::Mnli, Test) => &["test_matched.tsv"],
            (Self::Mnli, TestMismatched) => &["test_mismatched.tsv"],
            (_, DevMismatched | TestMismatched) => &[],
            (Self::Mrpc, Train) => &["train.tsv", "msr_paraphrase_train.txt", "msr-para-train.tsv"],
            (Self::Mrpc, Dev) => &["dev.tsv", "msr-para-val.tsv"],
            (Self::Mrpc, Test) => &["test.tsv", "msr_paraphrase_test.txt", "msr-para-test.tsv"],
            (Self::Xnli, Train) => &[
                "multinli.train.{}.tsv",
                "XNLI-MT-1.0/multinli/multinli.train.{}.tsv",
                "multinli/multinli.train.{}.tsv",
                "train.tsv",
            ],
            (Self::Xnli, Dev) => &["xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv", "dev.tsv"],
            (Self::Xnli, Test) => &["xnli.test.tsv", "XNLI-1.0/xnli.test.tsv", "test.tsv"],
            (Self::Conll2003, Train) => &["eng.train", "train.txt", "train.conll"],
            (Self::Conll2003, Dev) => &["eng.testa", "valid.txt", "dev.txt", "dev.conll", "testa.txt"],
            (Self::Conll2003, Test) => &["eng.testb", "test.txt", "test.conll", "testb.txt"],
            (Self::Wnut17, Train) => &["wnut17train.conll", "train.conll", "train.txt"],
            (Self::Wnut17, Dev) => &["emerging.dev.conll", "dev.conll", "dev.txt"],
            (Self::Wnut17, Test) => &["emerging.test.annotated", "test.conll", "test.txt"],
            (Self::ResumeNer, Train) => &["train.char.bmes", "train.bmes", "train.txt"],
            (Self::ResumeNer, Dev) => &["dev.char.bmes", "dev.bmes", "dev.txt"],
            (Self::ResumeNer, Test) => &["test.char.bmes", "test.bmes", "test.txt"],
            (Self::MsraNer, Train) => {
                &["msra_train_bio.txt", "msra_train_bio", "train.txt", "train.tsv", "train.char.bmes"]
            }
            (Self::MsraNer, Dev) => {
                &["dev.txt", "dev.tsv", "dev.char.bmes", "msra_dev_bio.txt", "msra_dev_bio"]
            }
            (Self::MsraNer, Test) => {
                &["msra_test_bio.txt", "msra_test_bio", "test.txt", "test.tsv", "test.char.bmes"]
            }
            (Self::Afqmc, Train) => &["train.json", "train.jsonl", "train.tsv", "train.txt"],
            (Self::Afqmc, Dev) => &["dev.json", "dev.jsonl", "dev.tsv", "dev.txt"],
            (Self::Afqmc, Test) => &["test.json", "test.jsonl", "test.tsv", "test.txt"],
            (_, Train) => &["train.tsv", "train.txt", "train.jsonl", "train.json"],
            (_, Dev) => &["dev.tsv", "dev.txt", "dev.jsonl", "dev.json"],
            (_, Test) => &["test.tsv", "test.txt", "test.jsonl", "test.json"],
        }
    }

    /// The file of a part in a folder.
    ///
    /// # Errors
    /// No such folder; no file of a name that the part usually has: the error lists these and what is there.
    ///
    /// ```
    /// use brew_data::{Layout, Split};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// std::fs::write(folder.join("eng.testa"), "EU NNP I-NP I-ORG\n").unwrap();
    /// let path = Layout::Conll2003.find(folder, Split::Dev, &Default::default())?;
    /// assert_eq!(path, folder.join("eng.testa"));
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    pub fn find(self, folder: &Path, split: Split, options: &LayoutOptions) -> Result<PathBuf, DataError> {
        if !folder.exists() {
            return Err(DataError::Missing { path: folder.to_path_buf() });
        }
        let names: Vec<String> =
            self.names(split).iter().map(|name| name.replace("{}", &options.language)).collect();
        if let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
            return Ok(path);
        }
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .map_err(|source| DataError::io(folder, source))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        found.sort();
        Err(DataError::MissingSplit {
            path: folder.to_path_buf(),
            layout: self.name(),
            split: split.name(),
            names,
            found,
        })
    }

    /// The file itself where `path` is one, else the part's file in the folder.
    pub(super) fn file(
        self,
        path: &Path,
        split: Split,
        options: &LayoutOptions,
    ) -> Result<PathBuf, DataError> {
        if path.is_dir() { self.find(path, split, options) } else { Ok(path.to_path_buf()) }
    }
}
