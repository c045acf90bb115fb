//! The parameters of a module, read out by path.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::names::{ParameterSpec, parameter_specs};
use crate::{EncoderConfig, ModelError, PretrainedModel};

/// A float parameter, whose values are read when they are asked for, so that those of a whole model are never in
/// memory twice.
pub(crate) struct Parameter {
    pub(crate) shape: Vec<usize>,
    read: Box<dyn Fn() -> TensorData>,
}

impl Parameter {
    /// Its values as f32.
    pub(crate) fn values(&self) -> TensorData {
        (self.read)().convert::<f32>()
    }
}

/// Collects every float parameter with its path.
#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: Vec<(String, Parameter)>,
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let read = Box::new(move || tensor.to_data());
        self.found.push((self.path.join("."), Parameter { shape, read }));
    }
}

/// Every float parameter with its path, in the order of the module's fields.
pub(crate) fn parameters_of<B: Backend, M: Module<B>>(module: &M) -> Vec<(String, Parameter)> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.found
}

/// Whether a model is the one its configuration describes.
pub(crate) fn check_shapes<'a>(
    specs: impl Iterator<Item = (&'a str, &'a ParameterSpec)>,
    parameters: &HashMap<String, Parameter>,
) -> Result<(), ModelError> {
    let mut problems = Vec::new();
    for (path, spec) in specs {
        match parameters.get(path) {
            Some(parameter) if parameter.shape == spec.shape => {}
            Some(Parameter { shape, .. }) => {
                problems.push(format!("{path} is {shape:?}, not {:?}", spec.shape))
            }
            None => problems.push(format!("{path} is missing")),
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    let message = format!("the configuration is not that of the model: {}", problems.join(", "));
    Err(ModelError::config(Path::new("config.json"), message))
}

/// A parameter as a Hugging Face file has it.
pub(crate) struct Exported {
    pub(crate) shape: Vec<usize>,
    transposed: bool,
    parameter: Parameter,
}

impl Exported {
    /// Its values in PyTorch's layout, as f32.
    pub(crate) fn values(&self) -> TensorData {
        let values = self.parameter.values();
        if self.transposed { transpose(values) } else { values }
    }
}

/// The parameters of a model under their Hugging Face names.
///
/// # Errors
/// If the configuration is not this model's.
pub(crate) fn exported<M: PretrainedModel>(
    model: &M,
    config: &EncoderConfig,
) -> Result<BTreeMap<String, Exported>, ModelError> {
    let specs = parameter_specs(config, Some(M::HEAD));
    let mut parameters: HashMap<String, Parameter> = parameters_of(model).into_iter().collect();
    check_shapes(specs.iter().map(|spec| (spec.path.as_str(), spec)), &parameters)?;
    if parameters.len() > specs.len() {
        let more = parameters.len() - specs.len();
        let message = format!("the model has {more} parameters that are not in its configuration");
        return Err(ModelError::config(Path::new("config.json"), message));
    }
    let named = specs.into_iter().filter_map(|spec| {
        let parameter = parameters.remove(&spec.path)?;
        let shape = spec.file_shape();
        Some((spec.name, Exported { shape, transposed: spec.transposed, parameter }))
    });
    Ok(named.collect())
}

/// The transpose of a row-major f32 matrix.
///
/// # Shapes
/// - input: `[rows, columns]`, output: `[columns, rows]`
pub(crate) fn transpose(data: TensorData) -> TensorData {
    let &[rows, columns] = data.shape.as_slice() else { return data };
    let values = data.as_slice::<f32>().expect("only f32 matrices are transposed, in memory as numbers are");
    let mut turned = vec![0.0; values.len()];
    // In blocks, so that both sides stay in cache.
    const BLOCK: usize = 32;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..(top + BLOCK).min(rows) {
                for column in left..(left + BLOCK).min(columns) {
                    turned[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    TensorData::new(turned, [columns, rows])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Initialiser, ParameterSource};
    use crate::{Architecture, SequenceClassifier, SpanClassifier, TokenClassifier, tiny};
    use brew_random::Key;
    use brew_testkit::TestBackend;

    fn check<M: PretrainedModel<Backend = TestBackend>>(config: &EncoderConfig) {
        let mut draw = Initialiser::new(config, M::HEAD, Key::new(0));
        let model = M::from_parameters(config, &mut |path| draw.values(path), &Default::default()).unwrap();
        let parameters = parameters_of(&model).into_iter();
        let found: Vec<_> = parameters.map(|(path, parameter)| (path, parameter.shape)).collect();
        let specs = parameter_specs(config, Some(M::HEAD)).into_iter();
        let specs: Vec<_> = specs.map(|spec| (spec.path, spec.shape)).collect();
        assert_eq!(found, specs, "{} {:?}", config.architecture, M::HEAD);
    }

    #[test]
    fn paths_and_shapes_of_the_module_are_those_of_the_specs() {
        let many_layers = EncoderConfig {
            vocab_size: 11,
            hidden_size: 4,
            num_hidden_layers: 12,
            num_attention_heads: 2,
            intermediate_size: 6,
            max_position_embeddings: 5,
            type_vocab_size: 3,
            ..EncoderConfig::default()
        }
        .with_num_labels(7);
        let of_families = Architecture::ALL.map(tiny::config_of);
        for config in of_families.iter().chain([&many_layers]) {
            check::<SequenceClassifier<TestBackend>>(config);
            check::<TokenClassifier<TestBackend>>(config);
            check::<SpanClassifier<TestBackend>>(config);
        }
    }

    #[test]
    fn transpose_turns_rows_into_columns() {
        let (rows, columns) = (70, 33);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let turned = transpose(TensorData::new(values.clone(), [rows, columns]));
        assert_eq!(turned.shape.as_slice(), [columns, rows]);
        let turned: Vec<f32> = turned.into_vec().unwrap();
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(turned[column * rows + row], values[row * columns + column]);
            }
        }
    }
}
