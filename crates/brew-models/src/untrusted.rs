//! Model folders as nobody should have written them: an error or a model, never a panic.

use std::fs;
use std::path::Path;

use brew_testkit::{TestBackend, fuzz};
use burn::module::Module;
use safetensors::Dtype;

use crate::pickle::read_state_dict;
use crate::{
    Architecture, EncoderConfig, Head, LoadOptions, SequenceClassifier, WeightHeader, load_pretrained, tiny,
};

/// Loads a folder; what its header tells has to agree.
fn load(folder: &Path) {
    let options = LoadOptions::default();
    let config = EncoderConfig::check_file(&folder.join("config.json"));
    let header = WeightHeader::read(folder);
    let loaded = load_pretrained::<SequenceClassifier<TestBackend>>(folder, &options, &Default::default());
    if let Ok(loaded) = loaded {
        let fit = header.unwrap().fit(&config.unwrap(), Head::SequenceClassification, &options).unwrap();
        assert_eq!(fit.initialised, loaded.initialised);
        assert!(loaded.model.num_params() < 1 << 20, "{}", loaded.model.num_params());
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_config(folder.path(), &tiny::config());
    folder
}

#[test]
fn fuzz_pickle() {
    let valid = &tiny::torch_entries(&tiny::weights())[0].1;
    fuzz(&[valid], |bytes| drop(read_state_dict(bytes)));
}

#[test]
fn fuzz_pickle_in_an_archive() {
    let entries = tiny::torch_entries(&tiny::weights());
    let folder = folder();
    fuzz(&[&entries[0].1], |bytes| {
        let mut entries = entries.clone();
        entries[0].1 = bytes.to_vec();
        fs::write(folder.path().join("pytorch_model.bin"), tiny::archive(&entries)).unwrap();
        load(folder.path());
    });
}

#[test]
fn fuzz_torch_archive() {
    let archive = tiny::archive(&tiny::torch_entries(&tiny::weights()));
    let folder = folder();
    fuzz(&[&archive], |bytes| {
        fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
        load(folder.path());
    });
}

#[test]
fn fuzz_safetensors() {
    let folder = folder();
    let files = [Dtype::F32, Dtype::BF16].map(|dtype| tiny::safetensors_bytes(&tiny::weights(), dtype));
    fuzz(&[&files[0], &files[1]], |bytes| {
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        load(folder.path());
    });
}

/// The header alone, which is little of the file and so seldom hit there.
#[test]
fn fuzz_safetensors_header() {
    let folder = folder();
    let whole = tiny::safetensors_bytes(&tiny::weights(), Dtype::F32);
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (header, numbers) = whole[8..].split_at(length);
    fuzz(&[header], |bytes| {
        let file = [&(bytes.len() as u64).to_le_bytes()[..], bytes, numbers].concat();
        fs::write(folder.path().join("model.safetensors"), file).unwrap();
        load(folder.path());
    });
}

#[test]
fn fuzz_model_config() {
    let folder = folder();
    tiny::write_safetensors(folder.path(), &tiny::weights());
    let valid = Architecture::ALL.map(|family| serde_json::to_vec(&tiny::config_of(family)).unwrap());
    let valid: Vec<&[u8]> = valid.iter().map(Vec::as_slice).collect();
    fuzz(&valid, |bytes| {
        fs::write(folder.path().join("config.json"), bytes).unwrap();
        load(folder.path());
    });
}
