use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// A float parameter of a module: where it stands and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedParameter {
    /// Field names from the root, joined by dots.
    pub(crate) path: String,
    pub(crate) id: ParamId,
    pub(crate) shape: Vec<usize>,
}

impl NamedParameter {
    /// Whether this is a bias or a normalisation's scale or shift, by Burn's field names.
    pub(crate) fn is_bias_or_norm(&self) -> bool {
        let name = self.path.rsplit('.').next().unwrap_or_default();
        matches!(name, "bias" | "gamma" | "beta")
    }
}

/// Every float parameter of a module, in its order.
pub(crate) fn named_parameters<B: Backend, M: Module<B>>(module: &M) -> Vec<NamedParameter> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.found
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: Vec<NamedParameter>,
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let shape = param.lazy_shape().dims::<D>().to_vec();
        self.found.push(NamedParameter { path: self.path.join("."), id: param.id, shape });
    }
}
