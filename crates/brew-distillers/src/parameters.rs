use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::tensor_file::Deferred;

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
    parameters_and_values(module).into_iter().map(|(parameter, _)| parameter).collect()
}

/// The same with their values, which are read when they are asked for.
pub(crate) fn parameters_and_values<B: Backend, M: Module<B>>(
    module: &M,
) -> Vec<(NamedParameter, Deferred<'static>)> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.found
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: Vec<(NamedParameter, Deferred<'static>)>,
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let parameter = NamedParameter { path: self.path.join("."), id: param.id, shape };
        self.found.push((parameter, Deferred::tensor(tensor)));
    }
}

/// The same module with parameters that are known by their paths: each id is a hash of the path, whatever it
/// was. An optimizer keeps its state by id, so that the state of a parameter is found wherever the weights came
/// from. Parameters that share an id go on sharing one.
pub(crate) fn keyed_by_path<B: Backend, M: Module<B>>(module: M) -> M {
    module.map(&mut Keyed::default())
}

#[derive(Default)]
struct Keyed {
    path: Vec<String>,
    known: HashMap<ParamId, ParamId>,
}

impl<B: Backend> ModuleMapper<B> for Keyed {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let path = self.path.join(".");
        let id = *self.known.entry(id).or_insert_with(|| ParamId::from(hash(&path)));
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// FNV-1a of 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend as B;
    use burn::module::Initializer;
    use burn::nn::Linear;

    use super::*;

    fn linear() -> Linear<B> {
        let device = Default::default();
        Linear {
            weight: Initializer::Zeros.init([2, 3], &device),
            bias: Some(Initializer::Zeros.init([3], &device)),
        }
    }

    #[test]
    fn two_modules_made_alike_have_the_same_ids() {
        let of = |module| named_parameters::<B, Linear<B>>(&keyed_by_path::<B, _>(module));
        assert_eq!(of(linear()), of(linear()));
        assert_ne!(of(linear())[0].id, of(linear())[1].id);
    }

    #[test]
    fn shared_parameters_stay_shared() {
        let one = linear();
        let both = keyed_by_path::<B, _>(vec![one.clone(), one]);
        let parameters = named_parameters::<B, _>(&both);
        assert_eq!(parameters[0].id, parameters[2].id);
        assert_ne!(parameters[0].path, parameters[2].path);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // From the test vectors of its authors.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
