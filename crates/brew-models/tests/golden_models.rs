//! Checkpoints against what transformers computes from them: every folder below `models/` of each golden folder,
//! with padding computed and without, and gradients against PyTorch's.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use brew_models::{
    Architecture, EncoderInput, EncoderOutput, Head, LoadOptions, Mode, ModelOutput, OutputRequest,
    PretrainedModel, SequenceClassifier, SpanClassifier, TokenClassifier, load_pretrained, save_pretrained,
};
use brew_testkit::TestAutodiffBackend;
use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::Flex;
use serde_json::Value;

const TOLERANCE: f32 = 1e-4;

/// What attention is made of.
const FEATURES: &str = "attention.safetensors";

/// What a loss on the logits gives for each parameter, and the weights of the loss.
const GRADIENTS: &str = "gradients.safetensors";

type Tensors = BTreeMap<String, TensorData>;

#[test]
fn golden_models_on_ndarray() {
    every_case::<brew_testkit::TestBackend>();
}

#[test]
fn golden_models_on_flex() {
    every_case::<Flex>();
}

#[test]
fn golden_gradients_on_ndarray() {
    every_gradient::<TestAutodiffBackend>();
}

#[test]
fn golden_gradients_on_flex() {
    every_gradient::<Autodiff<Flex>>();
}

/// Written again, read again, the same. `BREW_EXPORT` names a folder that keeps them for `xtask/peer/check_export.py`.
#[test]
fn exported_goldens_are_read_again() {
    let kept = std::env::var_os("BREW_EXPORT").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let root = kept.as_deref().unwrap_or(temporary.path());
    for (folder, is_own) in folders() {
        // Both collections have a `bert_cls`.
        let target = root.join(if is_own { "own" } else { "larger" }).join(folder.file_name().unwrap());
        match head(&folder).0 {
            Head::SequenceClassification => export::<SequenceClassifier<Flex>>(&folder, &target),
            Head::TokenClassification => export::<TokenClassifier<Flex>>(&folder, &target),
            Head::QuestionAnswering => export::<SpanClassifier<Flex>>(&folder, &target),
        }
    }
}

fn export<M: Golden>(folder: &Path, target: &Path) {
    let options = LoadOptions::default();
    let first = load_pretrained::<M>(folder, &options, &Default::default()).unwrap();
    save_pretrained(&first.model, &first.config, None, target).unwrap();
    let second = load_pretrained::<M>(target, &options, &Default::default()).unwrap();
    let (before, after) = (first.model.state_dict(&first.config), second.model.state_dict(&second.config));
    assert_eq!(before.unwrap(), after.unwrap(), "{}", folder.display());
    let config = |folder: &Path| -> Value { brew_testkit::read_json(folder.join("config.json")) };
    let (before, after) = (config(folder), config(target));
    for (name, value) in before.as_object().unwrap().iter().filter(|(name, _)| *name != "dtype") {
        // 0 and 0.0 are the same number.
        let is_same = after[name] == *value || (value.is_number() && after[name].as_f64() == value.as_f64());
        assert!(is_same, "{}: {name} is {}, was {value}", folder.display(), after[name]);
    }
}

/// The folders of all goldens, and whether they are the project's own.
fn folders() -> Vec<(PathBuf, bool)> {
    let mut folders = Vec::new();
    for (number, root) in brew_testkit::golden_dirs().into_iter().enumerate() {
        let root = root.join("models");
        let mut of_root: Vec<PathBuf> = std::fs::read_dir(&root)
            .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        of_root.sort();
        folders.extend(of_root.into_iter().map(|folder| (folder, number == 0)));
    }
    folders
}

fn head(folder: &Path) -> (Head, String) {
    let config: Value = brew_testkit::read_json(folder.join("config.json"));
    let class = config["architectures"][0].as_str().unwrap_or_default().to_owned();
    let head = Head::of_class(&class).unwrap_or_else(|| panic!("{}: {class}", folder.display()));
    (head, class)
}

fn every_case<B: Backend>() {
    let (mut own, mut with_features) = (Vec::new(), 0);
    for (folder, is_own) in folders() {
        let (head, class) = head(&folder);
        match head {
            Head::SequenceClassification => check::<SequenceClassifier<B>>(&folder),
            Head::TokenClassification => check::<TokenClassifier<B>>(&folder),
            Head::QuestionAnswering => check::<SpanClassifier<B>>(&folder),
        }
        eprintln!("reproduced {}", folder.display());
        own.extend(is_own.then_some(class));
        with_features += usize::from(folder.join(FEATURES).exists());
    }
    for architecture in Architecture::ALL {
        let is_of = |class: &String| Head::ALL.iter().any(|head| head.class_name(architecture) == *class);
        assert!(own.iter().any(is_of), "the project has no golden of {architecture}");
    }
    assert!(with_features > 0, "no golden has what attention is made of");
}

/// The models, as one for these tests.
trait Golden: PretrainedModel {
    /// Logits by the names they have in transformers, and what else the encoder computes.
    fn run(
        &self,
        input: EncoderInput<Self::Backend>,
        mode: Mode,
    ) -> (Vec<Logits<Self::Backend>>, EncoderOutput<Self::Backend>);
}

struct Logits<B: Backend> {
    name: &'static str,
    /// `[rows, numbers]`.
    values: Tensor<B, 2>,
    /// Whether there is a row for each token.
    of_tokens: bool,
}

/// What a model's output shares with an encoder's.
fn split<B: Backend, const D: usize>(output: ModelOutput<B, D>) -> (Vec<Logits<B>>, EncoderOutput<B>) {
    let numbers = output.logits.dims()[D - 1];
    let values = output.logits.reshape([-1, numbers as i64]);
    (vec![Logits { name: "logits", values, of_tokens: D == 3 }], output.encoder)
}

impl<B: Backend> Golden for SequenceClassifier<B> {
    fn run(&self, input: EncoderInput<B>, mode: Mode) -> (Vec<Logits<B>>, EncoderOutput<B>) {
        split(self.forward(input, OutputRequest::ALL, mode))
    }
}

impl<B: Backend> Golden for TokenClassifier<B> {
    fn run(&self, input: EncoderInput<B>, mode: Mode) -> (Vec<Logits<B>>, EncoderOutput<B>) {
        split(self.forward(input, OutputRequest::ALL, mode))
    }
}

impl<B: Backend> Golden for SpanClassifier<B> {
    fn run(&self, input: EncoderInput<B>, mode: Mode) -> (Vec<Logits<B>>, EncoderOutput<B>) {
        let output = self.forward(input, OutputRequest::ALL, mode);
        let named = [("start_logits", output.start_logits), ("end_logits", output.end_logits)];
        let logits =
            named.map(|(name, values)| Logits { name, values: values.reshape([-1, 1]), of_tokens: true });
        (logits.into(), output.encoder)
    }
}

/// The input of a golden, padded or packed. What has no segments has none in the file.
fn input<B: Backend>(expected: &Tensors, packed: bool) -> EncoderInput<B> {
    let device = Default::default();
    let ints = |name: &str| Tensor::<B, 2, Int>::from_data(expected[name].clone(), &device);
    let attention_mask = ints("attention_mask").float();
    let token_type_ids = match expected.contains_key("token_type_ids") {
        true => ints("token_type_ids"),
        false => Tensor::zeros(attention_mask.dims(), &device),
    };
    let lengths = packed.then(|| lengths(&attention_mask));
    EncoderInput { input_ids: ints("input_ids"), attention_mask, token_type_ids, lengths }
}

fn load<M: Golden>(folder: &Path) -> (M, Tensors, usize) {
    let expected = brew_testkit::read_safetensors(folder.join("expected.safetensors"));
    let loaded = load_pretrained::<M>(folder, &LoadOptions::default(), &Default::default())
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.initialised.is_empty(), "{}: drawn anew: {:?}", folder.display(), loaded.initialised);
    let layers = loaded.config.num_hidden_layers;
    (loaded.model, expected, layers)
}

/// Compares a model of the folder.
fn check<M: Golden>(folder: &Path) {
    let (model, mut expected, layers) = load::<M>(folder);
    let has_features = folder.join(FEATURES).exists();
    if has_features {
        expected.extend(brew_testkit::read_safetensors(folder.join(FEATURES)));
    }
    for packed in [false, true] {
        let (logits, output) = model.run(input(&expected, packed), Mode::Eval);
        compare(folder, logits, output, &expected, layers, has_features);
    }
}

fn every_gradient<B: AutodiffBackend>() {
    let mut ran = 0;
    for (folder, _) in folders().into_iter().filter(|(folder, _)| folder.join(GRADIENTS).exists()) {
        match head(&folder).0 {
            Head::SequenceClassification => check_gradients::<B, SequenceClassifier<B>>(&folder),
            Head::TokenClassification => check_gradients::<B, TokenClassifier<B>>(&folder),
            Head::QuestionAnswering => check_gradients::<B, SpanClassifier<B>>(&folder),
        }
        ran += 1;
    }
    assert!(ran > 0, "no golden has gradients");
}

/// The gradients of Σ weights·logits, padded and packed, with dropout's rates as they are and no dropout.
fn check_gradients<B: AutodiffBackend, M: Golden<Backend = B>>(folder: &Path) {
    let (model, expected, _) = load::<M>(folder);
    let golden = brew_testkit::read_safetensors(folder.join(GRADIENTS));
    let config = brew_models::EncoderConfig::from_file(&folder.join("config.json")).unwrap();
    for packed in [false, true] {
        let (logits, _) = model.run(input(&expected, packed), Mode::Eval);
        let terms = logits.into_iter().map(|logits| {
            let shape = logits.values.dims();
            let weights = values(&golden[&format!("weights.{}", logits.name)]);
            let weights = Tensor::<B, 2>::from_data(TensorData::new(weights, shape), &Default::default());
            (logits.values * weights).sum()
        });
        let loss = terms.reduce(|sum, term| sum + term).expect("a model has logits");
        let found = Gradients::of(&model, &loss.backward());
        // By the names of the file, in its layout: what a model of these gradients would be written as.
        let mut source = |path: &str| Ok(found.0[path].clone());
        let as_model = M::from_parameters(&config, &mut source, &Default::default()).unwrap();
        let named = as_model.state_dict(&config).unwrap();
        assert_eq!(
            named.len() + golden.keys().filter(|name| name.starts_with("weights.")).count(),
            golden.len()
        );
        for (name, found) in named {
            let (found, expected) = (values(&found), values(&golden[&name]));
            // Of the largest entry, for the others are differences of such.
            let largest = expected.iter().fold(1.0f32, |most, value| most.max(value.abs()));
            let what = format!("{}: {name}, packed: {packed}", folder.display());
            brew_testkit::assert_close(&found, &expected, 0.0, 1e-5 * f64::from(largest), &what);
        }
    }
}

fn values(data: &TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

/// The gradients of a module by path, 0 where there is none.
struct Gradients(HashMap<String, TensorData>);

impl Gradients {
    fn of<B: AutodiffBackend>(module: &impl Module<B>, gradients: &B::Gradients) -> Self {
        struct Visitor<'a, B: AutodiffBackend> {
            gradients: &'a B::Gradients,
            path: Vec<String>,
            found: HashMap<String, TensorData>,
        }

        impl<B: AutodiffBackend> ModuleVisitor<B> for Visitor<'_, B> {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.path.push(name.to_owned());
            }

            fn exit_module(&mut self, _: &str, _: &str) {
                self.path.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
                let gradient = param.val().grad(self.gradients).map(Tensor::into_data);
                let gradient = gradient.unwrap_or_else(|| TensorData::zeros::<f32, _>(param.dims()));
                self.found.insert(self.path.join("."), gradient);
            }
        }

        let mut visitor = Visitor::<B> { gradients, path: Vec::new(), found: HashMap::new() };
        module.visit(&mut visitor);
        Self(visitor.found)
    }
}

/// The number of tokens of each row of a mask, all of which come first.
fn lengths<B: Backend>(mask: &Tensor<B, 2>) -> Vec<usize> {
    let values: Vec<f32> = mask.to_data().iter::<f32>().collect();
    let of_row = |row: &[f32]| {
        let length = row.iter().filter(|&&value| value == 1.0).count();
        assert!(row[..length].iter().all(|&value| value == 1.0), "padding among the tokens: {row:?}");
        length
    };
    values.chunks(mask.dims()[1]).map(of_row).collect()
}

fn compare<B: Backend>(
    folder: &Path,
    logits: Vec<Logits<B>>,
    output: EncoderOutput<B>,
    expected: &Tensors,
    layers: usize,
    has_features: bool,
) {
    let values = |name: &str| -> Vec<f32> {
        let data = expected.get(name).unwrap_or_else(|| panic!("{}: no {name}", folder.display()));
        data.iter::<f32>().collect()
    };
    let mask = values("attention_mask");
    let what = |name: &str| format!("{}: {name}", folder.display());
    for Logits { name, values: found, of_tokens } in logits {
        let [_, numbers] = found.dims();
        let found = found.into_data().iter().collect::<Vec<f32>>();
        // Those of a whole text, or of each real token.
        close(&what(name), &found, &values(name), |at| !of_tokens || mask[at / numbers] == 1.0);
    }
    let count = |list: &str| expected.keys().filter(|name| name.starts_with(&format!("{list}."))).count();
    assert_eq!(output.hidden_states.len(), layers + 1, "{}", folder.display());
    let mut of_tokens = vec![("hidden", output.hidden_states)];
    let mut of_pairs = vec![("attention", output.attentions)];
    if has_features {
        of_tokens.extend([("query", output.queries), ("key", output.keys), ("value", output.values)]);
        of_pairs.push(("scores", output.attention_scores));
    }
    for (list, features) in of_tokens {
        assert_eq!(features.len(), count(list), "{}: {list}", folder.display());
        for (index, feature) in features.into_iter().enumerate() {
            let width = feature.dims()[2];
            let name = format!("{list}.{index}");
            let got: Vec<f32> = feature.into_data().iter().collect();
            close(&what(&name), &got, &values(&name), |at| mask[at / width] == 1.0);
        }
    }
    for (list, features) in of_pairs {
        assert_eq!(features.len(), count(list), "{}: {list}", folder.display());
        for (index, feature) in features.into_iter().enumerate() {
            let [_, heads, length, _] = feature.dims();
            let name = format!("{list}.{index}");
            let got: Vec<f32> = feature.into_data().iter().collect();
            // [batch, head, query, key]: rows of real tokens, and in them all probabilities, 0 at
            // padding, but the scores of real tokens only.
            let counts = |at: usize| {
                let (batch, query, key) = (at / (heads * length * length), at / length % length, at % length);
                let is_real = |token: usize| mask[batch * length + token] == 1.0;
                is_real(query) && (list == "attention" || is_real(key))
            };
            close(&what(&name), &got, &values(&name), counts);
        }
    }
}

fn close(what: &str, got: &[f32], want: &[f32], counts: impl Fn(usize) -> bool) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    let mut compared = 0;
    for (at, (got, want)) in got.iter().zip(want).enumerate().filter(|(at, _)| counts(*at)) {
        assert!((got - want).abs() <= TOLERANCE, "{what}, value {at}: {got}, expected {want}");
        compared += 1;
    }
    assert!(compared > 0, "{what}: nothing was compared");
}
