//! The parameters of a module, read out by path.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::ModelError;
use crate::names::ParameterSpec;

/// Visits every float parameter with its path; what it does with them is up to `each`.
struct PathVisitor<F> {
    path: Vec<String>,
    each: F,
}

impl<B: Backend, F: FnMut(&str, &[usize], &dyn Fn() -> TensorData)> ModuleVisitor<B> for PathVisitor<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let path = self.path.join(".");
        let shape = param.dims();
        (self.each)(&path, &shape, &|| param.val().into_data());
    }
}

/// Calls `each` with every float parameter, in the order of the module's fields.
pub(crate) fn visit_parameters<B: Backend, M: Module<B>>(
    module: &M,
    each: impl FnMut(&str, &[usize], &dyn Fn() -> TensorData),
) {
    module.visit(&mut PathVisitor { path: Vec::new(), each });
}

/// The values of the parameters whose path is wanted, as f32, in the order of the module's fields.
pub(crate) fn read_parameters<B: Backend, M: Module<B>>(
    module: &M,
    mut wanted: impl FnMut(&str) -> bool,
) -> Vec<(String, TensorData)> {
    let mut parameters = Vec::new();
    visit_parameters(module, |path, _, values| {
        if wanted(path) {
            parameters.push((path.to_owned(), values().convert::<f32>()));
        }
    });
    parameters
}

/// Whether a model is the one its configuration describes.
pub(crate) fn check_shapes<'a>(
    specs: impl Iterator<Item = (&'a str, &'a ParameterSpec)>,
    parameters: &HashMap<String, TensorData>,
) -> Result<(), ModelError> {
    let mut problems = Vec::new();
    for (path, spec) in specs {
        match parameters.get(path) {
            Some(data) if data.shape.as_slice() == spec.shape => {}
            Some(data) => {
                problems.push(format!("{path} is {:?}, not {:?}", data.shape.as_slice(), spec.shape))
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

/// The transpose of a row-major f32 matrix.
///
/// # Shapes
/// - input: `[rows, columns]`, output: `[columns, rows]`
pub(crate) fn transpose(data: TensorData) -> TensorData {
    let &[rows, columns] = data.shape.as_slice() else { return data };
    let values = data.into_vec::<f32>().expect("only f32 matrices are transposed");
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
    use crate::names::parameter_specs;
    use crate::{
        Architecture, EncoderConfig, PretrainedModel, SequenceClassifier, SpanClassifier, TokenClassifier,
        tiny,
    };
    use brew_random::Key;
    use brew_testkit::TestBackend;

    fn check<M: PretrainedModel<Backend = TestBackend>>(config: &EncoderConfig) {
        let mut draw = Initialiser::new(config, M::HEAD, Key::new(0));
        let model = M::from_parameters(config, &mut |path| draw.values(path), &Default::default()).unwrap();
        let mut found = Vec::new();
        visit_parameters(&model, |path, shape, _| found.push((path.to_owned(), shape.to_vec())));
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
