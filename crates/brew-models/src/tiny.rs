//! What the tests of this crate build on: a tiny model, and weight files made by hand.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write};
use std::path::Path;

use brew_random::Key;
use brew_testkit::TestBackend;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData, bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use zip::write::SimpleFileOptions;

use crate::names::{ParameterSpec, parameter_specs};
use crate::{Activation, Architecture, EncoderConfig, Head, SequenceClassifier};

pub(crate) type Weights = BTreeMap<String, TensorData>;

pub(crate) fn config() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 13,
        hidden_size: 8,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        intermediate_size: 12,
        max_position_embeddings: 9,
        initializer_range: 0.3,
        ..EncoderConfig::default()
    }
    .with_labels(["no", "maybe", "yes"])
}

pub(crate) fn model() -> SequenceClassifier<TestBackend> {
    SequenceClassifier::new(&config(), Key::new(7), &Default::default())
}

/// A tiny configuration of each family; ALBERT's has two groups of two layers, run four times in all.
pub(crate) fn config_of(architecture: Architecture) -> EncoderConfig {
    let config = EncoderConfig { architecture, ..config() };
    match architecture {
        Architecture::Roberta | Architecture::XlmRoberta => {
            EncoderConfig { pad_token_id: Some(1), max_position_embeddings: 11, type_vocab_size: 1, ..config }
        }
        Architecture::Electra => EncoderConfig { embedding_size: Some(6), ..config },
        Architecture::DistilBert => {
            EncoderConfig { classifier_dropout: Some(0.2), qa_dropout: 0.1, ..config }
        }
        Architecture::Albert => EncoderConfig {
            embedding_size: Some(6),
            num_hidden_layers: 4,
            num_hidden_groups: 2,
            inner_group_num: 2,
            hidden_act: Activation::GeluNew,
            ..config
        },
        Architecture::BiGru => EncoderConfig {
            vocab_size: config.vocab_size,
            embedding_size: Some(6),
            hidden_size: config.hidden_size,
            initializer_range: config.initializer_range,
            labels: config.labels,
            ..EncoderConfig::of(architecture)
        },
        _ => config,
    }
}

/// Weights none of which are 0 or 1, so that a lost bias or scale shows.
pub(crate) fn weights() -> Weights {
    weights_of(&config(), Head::SequenceClassification)
}

/// The same of any configuration and head.
pub(crate) fn weights_of(config: &EncoderConfig, head: Head) -> Weights {
    let draw = |spec: ParameterSpec| {
        let values = Key::new(8).purpose(&spec.name).normal(spec.num_elements(), 0.3);
        let data = TensorData::new(values, spec.file_shape());
        (spec.name, data)
    };
    parameter_specs(config, Some(head)).into_iter().map(draw).collect()
}

/// The gradients of a module's parameters by path, those that have one.
pub(crate) fn gradients<B: AutodiffBackend>(
    module: &impl Module<B>,
    gradients: &B::Gradients,
) -> HashMap<String, Vec<f32>> {
    struct Visitor<'a, B: AutodiffBackend> {
        gradients: &'a B::Gradients,
        path: Vec<String>,
        found: HashMap<String, Vec<f32>>,
    }

    impl<B: AutodiffBackend> ModuleVisitor<B> for Visitor<'_, B> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                self.found.insert(self.path.join("."), gradient.into_data().iter().collect());
            }
        }
    }

    let mut visitor = Visitor::<B> { gradients, path: Vec::new(), found: HashMap::new() };
    module.visit(&mut visitor);
    visitor.found
}

pub(crate) fn renamed(weights: Weights, rename: impl Fn(&str) -> String) -> Weights {
    weights.into_iter().map(|(name, data)| (rename(&name), data)).collect()
}

pub(crate) fn write_config(folder: &Path, config: &EncoderConfig) {
    std::fs::write(folder.join("config.json"), serde_json::to_string(config).unwrap()).unwrap();
}

/// The bytes of `weights` in a type of the file.
fn encode(data: &TensorData, dtype: Dtype) -> Vec<u8> {
    data.iter::<f32>()
        .flat_map(|x| match dtype {
            Dtype::F64 => f64::from(x).to_le_bytes().to_vec(),
            Dtype::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::I32 => (x as i32).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        })
        .collect()
}

pub(crate) fn safetensors_bytes(weights: &Weights, dtype: Dtype) -> Vec<u8> {
    let encoded: Vec<(&String, Vec<usize>, Vec<u8>)> =
        weights.iter().map(|(name, data)| (name, data.shape.to_vec(), encode(data, dtype))).collect();
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

pub(crate) fn write_safetensors(folder: &Path, weights: &Weights) {
    std::fs::write(folder.join("model.safetensors"), safetensors_bytes(weights, Dtype::F32)).unwrap();
}

/// A stream of pickle instructions, as `torch.save` writes them for a state dict.
#[derive(Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub(crate) fn int(&mut self, number: usize) -> &mut Self {
        self.raw(b"J").raw(&(number as i32).to_le_bytes())
    }

    pub(crate) fn ints(&mut self, numbers: &[usize]) -> &mut Self {
        self.raw(b"(");
        for &number in numbers {
            self.int(number);
        }
        self.raw(b"t")
    }

    /// A call of `_rebuild_tensor_v2` on a view of a storage of floats.
    pub(crate) fn tensor(
        &mut self,
        storage: usize,
        elements: usize,
        offset: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> &mut Self {
        self.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((").text("storage").raw(b"ctorch\nFloatStorage\n");
        self.text(&storage.to_string()).text("cpu").int(elements).raw(b"tQ").int(offset);
        self.ints(shape).ints(strides).raw(b"\x89ccollections\nOrderedDict\n)RtR")
    }
}

pub(crate) fn contiguous(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// A zip archive with the given entries, uncompressed.
pub(crate) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The entries of a `pytorch_model.bin`: the pickle first, then one storage a tensor.
pub(crate) fn torch_entries(weights: &Weights) -> Vec<(String, Vec<u8>)> {
    let mut pickle = Pickle::default();
    pickle.raw(b"\x80\x02ccollections\nOrderedDict\n)R(");
    let mut entries = vec![(String::new(), Vec::new())];
    for (index, (name, data)) in weights.iter().enumerate() {
        let shape = data.shape.to_vec();
        pickle.text(name).tensor(index, data.num_elements(), 0, &shape, &contiguous(&shape));
        entries.push((format!("archive/data/{index}"), encode(data, Dtype::F32)));
    }
    pickle.raw(b"u.");
    entries[0] = ("archive/data.pkl".to_owned(), pickle.0);
    entries
}
