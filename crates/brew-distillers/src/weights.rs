//! The parameters of a module as a file, by their paths.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::parameters::parameters_and_values;
use crate::tensor_file::{Deferred, load_tensors};

/// Every float parameter of a module. What else a module holds is not trained, and is as it was made.
pub(crate) fn weights_of<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, Deferred<'static>> {
    parameters_and_values(module).into_iter().map(|(parameter, values)| (parameter.path, values)).collect()
}

/// The module with the parameters of a file.
///
/// # Errors
/// In words, what is wrong with the file, or which parameter it does not fit.
pub(crate) fn load_weights<B: Backend, M: Module<B>>(
    module: M,
    path: &Path,
    device: &B::Device,
) -> Result<M, String> {
    let mut load = Load { path: Vec::new(), tensors: load_tensors(path)?, device, problem: None };
    let module = module.map(&mut load);
    match (load.problem, load.tensors.keys().next()) {
        (Some(problem), _) => Err(problem),
        (None, Some(name)) => Err(format!("{name} belongs to no parameter")),
        (None, None) => Ok(module),
    }
}

struct Load<'a, B: Backend> {
    path: Vec<String>,
    tensors: BTreeMap<String, TensorData>,
    device: &'a B::Device,
    problem: Option<String>,
}

impl<B: Backend> ModuleMapper<B> for Load<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let path = self.path.join(".");
        let shape = tensor.dims();
        let loaded = match self.tensors.remove(&path) {
            Some(data) if data.shape.as_slice() == shape => {
                let data = data.convert::<B::FloatElem>();
                Tensor::from_data(data, self.device).set_require_grad(tensor.is_require_grad())
            }
            other => {
                let found = other.map_or("nothing".to_owned(), |data| format!("{:?}", data.shape.as_slice()));
                self.problem.get_or_insert(format!("{path} is {shape:?}, and the file has {found}"));
                tensor
            }
        };
        Param::from_mapped_value(id, loaded, mapper)
    }
}
