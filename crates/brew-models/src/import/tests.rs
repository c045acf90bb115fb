use std::fs;

use brew_testkit::TestBackend;
use safetensors::Dtype;
use tempfile::TempDir;

use super::*;
use crate::tiny::{self, Pickle, Weights};
use crate::{
    Architecture, EncoderInput, Mode, OutputRequest, SequenceClassifier, SpanClassifier, TokenClassifier,
    save_pretrained,
};

type Loaded = Result<Pretrained<SequenceClassifier<TestBackend>>, ModelError>;

fn load_with(folder: &Path, options: LoadOptions) -> Loaded {
    load_pretrained(folder, &options, &Default::default())
}

fn load(folder: &Path) -> Loaded {
    load_with(folder, LoadOptions::default())
}

/// A checkpoint folder with these weights as safetensors.
fn checkpoint(weights: &Weights) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_config(folder.path(), &tiny::config());
    tiny::write_safetensors(folder.path(), weights);
    folder
}

/// A checkpoint folder whose `pytorch_model.bin` has these entries.
fn torch_checkpoint(entries: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_config(folder.path(), &tiny::config());
    fs::write(folder.path().join("pytorch_model.bin"), tiny::archive(entries)).unwrap();
    folder
}

fn weights_of(pretrained: &Pretrained<SequenceClassifier<TestBackend>>) -> Weights {
    pretrained.model.state_dict(&pretrained.config).unwrap()
}

fn misfit(loaded: Loaded) -> Misfit {
    match loaded {
        Err(ModelError::Mismatch { misfit, .. }) => *misfit,
        other => panic!("not a mismatch: {other:?}"),
    }
}

/// The message of an error that says the file is damaged.
fn damage(loaded: Loaded) -> String {
    match loaded {
        Err(error @ ModelError::Corrupt { .. }) => error.to_string(),
        other => panic!("not refused as damaged: {other:?}"),
    }
}

#[test]
fn a_checkpoint_is_read_bit_for_bit() {
    let weights = tiny::weights();
    let loaded = load(checkpoint(&weights).path()).unwrap();
    assert_eq!(weights_of(&loaded), weights);
    assert_eq!(loaded.config, tiny::config());
    assert!(loaded.initialised.is_empty() && loaded.ignored.is_empty());
}

#[test]
fn linear_weights_are_transposed() {
    let weights = tiny::weights();
    let loaded = load(checkpoint(&weights).path()).unwrap();
    let name = "bert.encoder.layer.1.intermediate.dense.weight";
    assert_eq!(weights[name].shape.as_slice(), [12, 8]);
    let turned = loaded.model.encoder.layers[1].feed_forward.intermediate.weight.val();
    assert_eq!(turned.dims(), [8, 12]);
    assert_eq!(turned.transpose().into_data(), weights[name]);
}

#[test]
fn an_exported_model_is_read_back_bit_for_bit() {
    let (model, config) = (tiny::model(), tiny::config());
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("deep/target"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("vocab.txt"), "[PAD]\n").unwrap();
    fs::write(source.join("tokenizer.json"), "{}").unwrap();
    fs::write(source.join("secret.txt"), "not a tokenizer").unwrap();

    // The first time the folder is new, the second time it is replaced file by file.
    for round in 0..2 {
        save_pretrained(&model, &config, Some(&source), &target).unwrap();
        let loaded = load(&target).unwrap();
        assert_eq!(weights_of(&loaded), model.state_dict(&config).unwrap());
        assert_eq!(loaded.config.labels, config.labels);
        let mut files: Vec<String> = fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut expected = vec!["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
        if round == 1 {
            expected.insert(2, "notes.md");
        }
        assert_eq!(files, expected, "round {round}");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1, "something is left beside it");
        fs::write(target.join("notes.md"), "the user's own").unwrap();
    }

    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(target.join("config.json")).unwrap()).unwrap();
    assert_eq!(json["architectures"], serde_json::json!(["BertForSequenceClassification"]));
    assert_eq!(json["torch_dtype"], "float32");
    assert_eq!(json["id2label"]["1"], "maybe");
    assert_eq!(json["label2id"]["yes"], 2);
    let bytes = fs::read(target.join("model.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    assert!(header.tensors().contains_key("bert.encoder.layer.2.attention.self.query.weight"));
}

#[test]
fn a_failed_export_leaves_the_target_as_it_was() {
    let folder = checkpoint(&tiny::weights());
    let other = EncoderConfig { num_hidden_layers: 2, ..tiny::config() };
    let error = save_pretrained(&tiny::model(), &other, None, folder.path()).unwrap_err().to_string();
    assert!(error.contains("not in its configuration"), "{error}");
    let other = EncoderConfig { hidden_size: 16, ..tiny::config() };
    let error = save_pretrained(&tiny::model(), &other, None, folder.path()).unwrap_err().to_string();
    assert!(error.contains("not that of the model"), "{error}");
    assert_eq!(weights_of(&load(folder.path()).unwrap()), tiny::weights());
}

#[test]
fn every_float_type_is_read() {
    let weights = tiny::weights();
    for (dtype, tolerance) in [(Dtype::F64, 0.0), (Dtype::F16, 1e-3), (Dtype::BF16, 8e-3)] {
        let folder = checkpoint(&weights);
        let bytes = tiny::safetensors_bytes(&weights, dtype);
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let loaded = weights_of(&load(folder.path()).unwrap());
        for (name, data) in &weights {
            for (got, want) in loaded[name].iter::<f32>().zip(data.iter::<f32>()) {
                assert!(
                    (got - want).abs() <= tolerance * want.abs() + 1e-7,
                    "{dtype:?} {name}: {got} {want}"
                );
            }
        }
    }
    let folder = checkpoint(&weights);
    fs::write(folder.path().join("model.safetensors"), tiny::safetensors_bytes(&weights, Dtype::I32))
        .unwrap();
    assert_eq!(misfit(load(folder.path())).wrong_type.len(), weights.len());
}

#[test]
fn names_without_prefix_and_of_old_layer_norms_are_read() {
    let weights = tiny::weights();
    let bare = tiny::renamed(weights.clone(), |name| name.trim_start_matches("bert.").to_owned());
    assert_eq!(weights_of(&load(checkpoint(&bare).path()).unwrap()), weights);
    let old = tiny::renamed(weights.clone(), |name| {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    });
    assert!(old.contains_key("bert.embeddings.LayerNorm.gamma"));
    assert_eq!(weights_of(&load(checkpoint(&old).path()).unwrap()), weights);

    let mut both = weights.clone();
    let twice = weights["bert.embeddings.LayerNorm.weight"].clone();
    both.insert("bert.embeddings.LayerNorm.gamma".to_owned(), twice);
    let ambiguous = misfit(load(checkpoint(&both).path())).ambiguous;
    assert_eq!(ambiguous, ["bert.embeddings.LayerNorm.gamma and bert.embeddings.LayerNorm.weight"]);
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let mut weights = tiny::weights();
    let missing = [
        "bert.embeddings.position_embeddings.weight",
        "bert.encoder.layer.2.output.LayerNorm.bias",
        // Half a head or pooler is a damaged file, not a missing part.
        "bert.pooler.dense.bias",
        "classifier.bias",
    ];
    for name in missing {
        weights.remove(name).unwrap();
    }
    let unused = ["bert.encoder.layer.3.output.dense.bias", "qa_outputs.bias", "strange"];
    for name in unused {
        weights.insert(name.to_owned(), TensorData::zeros::<f32, _>([8]));
    }
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    let words = "bert.embeddings.word_embeddings.weight";
    weights.insert(query.to_owned(), TensorData::zeros::<f32, _>([8, 4]));
    weights.insert(words.to_owned(), TensorData::zeros::<f32, _>([14, 8]));

    let folder = checkpoint(&weights);
    let error = load(folder.path()).unwrap_err();
    let text = error.to_string();
    for name in missing.iter().chain(&unused).chain(&[query, words, "model.safetensors"]) {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
    let misfit = misfit(Err(error));
    assert_eq!(misfit.missing, missing);
    assert_eq!(misfit.unused, unused);
    assert_eq!(
        misfit.wrong_shape,
        [
            ShapeMismatch { name: words.to_owned(), expected: vec![13, 8], found: vec![14, 8] },
            ShapeMismatch { name: query.to_owned(), expected: vec![8, 8], found: vec![8, 4] },
        ]
    );
}

#[test]
fn a_bare_encoder_gets_a_new_head_and_pooler_from_the_key() {
    let mut weights = tiny::weights();
    weights.retain(|name, _| !name.starts_with("classifier.") && !name.contains("pooler"));
    let folder = checkpoint(&weights);
    let load = |seed| {
        let options = LoadOptions { num_labels: Some(5), key: Key::new(seed), ..LoadOptions::default() };
        load_with(folder.path(), options).unwrap()
    };
    let loaded = load(1);
    let drawn =
        ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"];
    assert_eq!(loaded.initialised, drawn);
    assert_eq!(loaded.config.num_labels(), 5);
    let (first, again, other) = (weights_of(&loaded), weights_of(&load(1)), weights_of(&load(2)));
    assert_eq!(first, again);
    assert_ne!(first["classifier.weight"], other["classifier.weight"]);
    assert_eq!(first["classifier.weight"].shape.as_slice(), [5, 8]);
    for (name, data) in &weights {
        assert_eq!(&first[name], data, "{name}");
    }
}

#[test]
fn heads_of_pretraining_and_buffers_are_left_out() {
    let mut weights = tiny::weights();
    let heads = ["cls.predictions.bias", "cls.seq_relationship.weight"];
    for name in heads {
        weights.insert(name.to_owned(), TensorData::zeros::<f32, _>([8]));
    }
    weights.insert("bert.embeddings.position_ids".to_owned(), TensorData::zeros::<f32, _>([1, 9]));
    let loaded = load(checkpoint(&weights).path()).unwrap();
    assert_eq!(loaded.ignored, heads);
    assert_eq!(weights_of(&loaded), tiny::weights());
}

#[test]
fn a_head_for_another_number_of_labels_is_an_error_with_a_remedy() {
    let folder = checkpoint(&tiny::weights());
    let options = LoadOptions { num_labels: Some(2), ..LoadOptions::default() };
    let error = load_with(folder.path(), options).unwrap_err();
    assert!(matches!(error, ModelError::LabelCount { found: 3, asked: 2, .. }), "{error}");
    assert!(error.to_string().contains("reinitialise_head"), "{error}");
    let loaded = load_with(folder.path(), LoadOptions { reinitialise_head: true, ..options }).unwrap();
    assert_eq!(loaded.config.labels, ["LABEL_0", "LABEL_1"]);
    assert_eq!(loaded.initialised, ["classifier.weight", "classifier.bias"]);
    assert_eq!(loaded.ignored, ["classifier.weight", "classifier.bias"]);
    for count in [0, usize::MAX] {
        let options = LoadOptions { num_labels: Some(count), ..LoadOptions::default() };
        assert!(matches!(load_with(folder.path(), options), Err(ModelError::Config { .. })));
    }
}

#[test]
fn folders_without_a_model_this_crate_reads_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load(folder.path()), Err(ModelError::Io { .. })));
    tiny::write_config(folder.path(), &tiny::config());
    assert!(matches!(load(folder.path()), Err(ModelError::NoWeights { .. })));
    fs::write(folder.path().join("model.safetensors.index.json"), "{}").unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("shards"));
    for (json, part) in [
        (r#"{"model_type": "t5"}"#, "supported model types: bert, roberta, xlm-roberta, electra, distilbert"),
        (r#"{"hidden_size": "#, "not a JSON"),
        (r#"{"hidden_size": "wide"}"#, "wide"),
    ] {
        fs::write(folder.path().join("config.json"), json).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("config.json"), "{error}");
    }
}

#[test]
fn a_truncated_safetensors_file_is_an_error_at_every_length() {
    let bytes = tiny::safetensors_bytes(&tiny::weights(), Dtype::F32);
    let folder = checkpoint(&tiny::weights());
    let path = folder.path().join("model.safetensors");
    for len in [0, 1, 7, 8, 9, 100, 1000, bytes.len() / 2, bytes.len() - 4, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(load(folder.path()).is_err(), "{len} of {} bytes were accepted", bytes.len());
    }
    let mut absurd = bytes.clone();
    absurd[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, &absurd).unwrap();
    assert!(damage(load(folder.path())).contains("model.safetensors"));
}

#[test]
fn a_pytorch_file_is_read_as_the_safetensors_file_is() {
    let weights = tiny::weights();
    let folder = torch_checkpoint(&tiny::torch_entries(&weights));
    assert_eq!(weights_of(&load(folder.path()).unwrap()), weights);

    let other = tiny::model().state_dict(&tiny::config()).unwrap();
    tiny::write_safetensors(folder.path(), &other);
    assert_eq!(weights_of(&load(folder.path()).unwrap()), other, "the safetensors file is preferred");
}

#[test]
fn a_truncated_pytorch_file_is_an_error_at_every_length() {
    let folder = torch_checkpoint(&tiny::torch_entries(&tiny::weights()));
    let path = folder.path().join("pytorch_model.bin");
    let bytes = fs::read(&path).unwrap();
    let step = bytes.len() / 40;
    for len in (0..40).map(|i| i * step).chain([1, 21, bytes.len() - 22, bytes.len() - 1]) {
        fs::write(&path, &bytes[..len]).unwrap();
        let message = damage(load(folder.path()));
        assert!(message.contains("pytorch_model.bin") && message.contains("fetch it again"), "{message}");
    }
}

#[test]
fn a_flipped_byte_of_a_pytorch_file_never_changes_a_number() {
    let weights = tiny::weights();
    let folder = torch_checkpoint(&tiny::torch_entries(&weights));
    let path = folder.path().join("pytorch_model.bin");
    let bytes = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(149) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x55;
        fs::write(&path, &broken).unwrap();
        // A flip in a time stamp of the archive does no harm.
        match load(folder.path()) {
            Ok(loaded) => assert_eq!(weights_of(&loaded), weights, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > bytes.len() / 149 / 2, "only {refused} flips were noticed");
}

#[test]
fn a_pytorch_file_whose_tensors_are_not_all_there_is_refused() {
    let entries = tiny::torch_entries(&tiny::weights());
    let mut short = entries.clone();
    short[3].1.truncate(8);
    assert!(damage(load(torch_checkpoint(&short).path())).contains("has 8 bytes"));
    let mut absent = entries.clone();
    absent.remove(5);
    assert!(damage(load(torch_checkpoint(&absent).path())).contains("archive/data/4 is not in the archive"));
    let mut big_endian = entries.clone();
    big_endian.push(("archive/byteorder".to_owned(), b"big".to_vec()));
    assert!(damage(load(torch_checkpoint(&big_endian).path())).contains("little-endian"));
    let mut two = entries;
    two.push(("archive/x/data/0".to_owned(), vec![0; 4]));
    assert!(damage(load(torch_checkpoint(&two).path())).contains("several storages"));
}

#[test]
fn a_state_dict_inside_another_dictionary_is_refused() {
    let mut entries = tiny::torch_entries(&tiny::weights());
    let mut outer = Pickle::default();
    let inner = &entries[0].1[2..entries[0].1.len() - 1];
    outer.raw(b"\x80\x02}").text("state_dict").raw(inner).raw(b"s").text("bias").tensor(0, 8, 0, &[8], &[1]);
    outer.raw(b"s.");
    entries[0].1 = outer.0;
    entries[1].1.truncate(32);
    let folder = torch_checkpoint(&entries);
    assert!(damage(load(folder.path())).contains("not a flat state dict"));
}

#[test]
fn a_state_dict_has_to_be_complete() {
    let (config, device) = (tiny::config(), Default::default());
    let mut weights: HashMap<String, TensorData> = tiny::weights().into_iter().collect();
    let model =
        from_state_dict::<SequenceClassifier<TestBackend>>(&config, weights.clone(), &device).unwrap();
    assert_eq!(model.state_dict(&config).unwrap(), tiny::weights());
    weights.retain(|name, _| !name.starts_with("classifier."));
    let error = from_state_dict::<SequenceClassifier<TestBackend>>(&config, weights, &device).unwrap_err();
    assert!(error.to_string().contains("classifier.weight, classifier.bias"), "{error}");
}

/// Real checkpoints, where they have been fetched: `BREW_MODELS` names a folder of folders.
#[test]
fn fetched_checkpoints_are_read_and_compute() {
    let Some(root) = std::env::var_os("BREW_MODELS") else {
        eprintln!("skipping: BREW_MODELS names no folder of checkpoints");
        return;
    };
    let mut read = 0;
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("config.json").is_file() {
            continue;
        }
        let loaded = load(&folder).unwrap();
        let device = Default::default();
        let input = EncoderInput {
            input_ids: burn::tensor::Tensor::from_ints([[2, 7, 3]], &device),
            attention_mask: burn::tensor::Tensor::ones([1, 3], &device),
            token_type_ids: burn::tensor::Tensor::zeros([1, 3], &device),
            lengths: None,
        };
        let logits = loaded.model.forward(input, OutputRequest::default(), Mode::Eval).logits.into_data();
        assert!(logits.iter::<f32>().all(f32::is_finite), "{}: {logits}", folder.display());
        eprintln!("{}: new: {:?}, ignored: {:?}", folder.display(), loaded.initialised, loaded.ignored);
        read += 1;
    }
    assert!(read > 0, "BREW_MODELS holds no checkpoint");
}

/// Written, read again, and named as transformers names it.
fn check_round_trip<M: PretrainedModel<Backend = TestBackend>>(config: &EncoderConfig) {
    let weights = tiny::weights_of(config, M::HEAD);
    let device = Default::default();
    let model: M = from_state_dict(config, weights.clone().into_iter().collect(), &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save_pretrained(&model, config, None, folder.path()).unwrap();
    let loaded = load_pretrained::<M>(folder.path(), &LoadOptions::default(), &device).unwrap();
    assert_eq!(loaded.model.state_dict(&loaded.config).unwrap(), weights);
    assert!(loaded.initialised.is_empty() && loaded.ignored.is_empty());
    let class = M::HEAD.class_name(config.architecture);
    assert_eq!(loaded.config.other["architectures"], serde_json::json!([class]));
    let mut expected = config.clone();
    if M::HEAD == Head::QuestionAnswering {
        expected = expected.with_num_labels(2);
    }
    expected.other = loaded.config.other.clone();
    assert_eq!(loaded.config, expected, "{class}");
}

#[test]
fn every_model_is_read_back_as_it_was_written() {
    for config in Architecture::ALL.map(tiny::config_of) {
        check_round_trip::<SequenceClassifier<TestBackend>>(&config);
        check_round_trip::<TokenClassifier<TestBackend>>(&config);
        check_round_trip::<SpanClassifier<TestBackend>>(&config);
    }
}

/// From a classifier of texts to each other head: a checkpoint of another head is refused, and its encoder taken
/// where a new head is asked for.
fn check_change_of_head<M: PretrainedModel<Backend = TestBackend>>(architecture: Architecture) {
    let config = tiny::config_of(architecture);
    let weights = tiny::weights_of(&config, Head::SequenceClassification);
    let device = Default::default();
    let texts: SequenceClassifier<TestBackend> =
        from_state_dict(&config, weights.clone().into_iter().collect(), &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save_pretrained(&texts, &config, None, folder.path()).unwrap();
    let refused = load_pretrained::<M>(folder.path(), &LoadOptions::default(), &device).err().unwrap();
    assert!(matches!(refused, ModelError::OtherHead { .. }), "{refused}");
    let asked = M::HEAD.class_name(architecture);
    assert!(refused.to_string().contains(&asked), "{refused}");
    let options = LoadOptions { reinitialise_head: true, ..LoadOptions::default() };
    let loaded = load_pretrained::<M>(folder.path(), &options, &device).unwrap();
    let state = loaded.model.state_dict(&loaded.config).unwrap();
    let specs = parameter_specs(&loaded.config, Some(M::HEAD));
    assert_eq!(loaded.initialised.len(), 2, "{:?}", loaded.initialised);
    for spec in specs.iter().filter(|spec| !spec.is_head()) {
        assert_eq!(state[&spec.name], weights[&spec.name], "{architecture} {}", spec.name);
    }
    let of_texts = parameter_specs(&config, Some(Head::SequenceClassification));
    let let_go = of_texts.iter().filter(|spec| spec.is_head() || spec.is_pooler()).count();
    assert_eq!(loaded.ignored.len(), let_go, "{architecture}: {:?}", loaded.ignored);
}

#[test]
fn the_encoder_of_every_family_can_get_another_head() {
    for architecture in Architecture::ALL {
        check_change_of_head::<TokenClassifier<TestBackend>>(architecture);
        check_change_of_head::<SpanClassifier<TestBackend>>(architecture);
    }
}

#[test]
fn bare_encoders_of_every_family_get_a_new_head() {
    for architecture in Architecture::ALL {
        let config = tiny::config_of(architecture);
        let prefix = format!("{}.", architecture.prefix());
        let weights = tiny::weights_of(&config, Head::TokenClassification)
            .into_iter()
            .filter(|(name, _)| !name.starts_with("classifier."));
        let bare = weights
            .map(|(name, data)| (name.strip_prefix(&prefix).unwrap_or(&name).to_owned(), data))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        tiny::write_config(folder.path(), &config);
        tiny::write_safetensors(folder.path(), &bare);
        let loaded = load(folder.path()).unwrap();
        let is_new = |spec: &ParameterSpec| spec.is_head() || spec.is_pooler();
        let specs = parameter_specs(&config, Some(Head::SequenceClassification));
        let expected: Vec<String> = specs.into_iter().filter(is_new).map(|spec| spec.name).collect();
        assert_eq!(loaded.initialised, expected, "{architecture}");
    }
}

#[test]
fn a_span_classifier_has_two_outputs_whatever_the_labels() {
    let config = tiny::config();
    let weights = tiny::weights_of(&config, Head::QuestionAnswering);
    let folder = checkpoint(&weights);
    let load = |options| {
        load_pretrained::<SpanClassifier<TestBackend>>(folder.path(), &options, &Default::default())
    };
    assert_eq!(load(LoadOptions::default()).unwrap().config.num_labels(), 2);
    let three = LoadOptions { num_labels: Some(3), ..LoadOptions::default() };
    assert!(load(three).unwrap_err().to_string().contains("start and end"));
}

#[test]
fn a_configuration_of_far_more_than_the_file_holds_takes_no_memory() {
    let mut encoder = tiny::weights();
    encoder.retain(|name, _| !name.starts_with("classifier") && !name.starts_with("bert.pooler"));
    let folder = checkpoint(&encoder);
    // Labels that nobody named, so that the file is small.
    let mut config = serde_json::to_value(tiny::config()).unwrap();
    let fields = config.as_object_mut().unwrap();
    fields.remove("id2label");
    fields.remove("label2id");
    fields.insert("num_labels".to_owned(), (1 << 20).into());
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    assert!(load(folder.path()).is_ok(), "8 million numbers are few");
    let error = refuse_mostly_new((1 << 24) + 101, 100, Path::new("model.safetensors")).unwrap_err();
    assert!(
        error.to_string().contains("16777317 numbers that the file does not have, which holds 100"),
        "{error}"
    );
    assert!(refuse_mostly_new((1 << 24) + 100, 100, Path::new("model.safetensors")).is_ok());
}
