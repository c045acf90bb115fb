//! AdamW, whose state is kept by the path of each parameter.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::path::Path;

use brew_config::OptimizerConfig;
use brew_kernels::{AdamWStep, adamw, zeros_like};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

use crate::parameters::NamedParameter;
use crate::recipe::GroupOptimizer;
use crate::tensor_file::{Deferred, load_tensors, save_tensors};
use crate::{DistillError, Student, Trainable};

/// Adam with decoupled weight decay, as `torch.optim.AdamW`
/// (Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>; the formula: [`AdamWStep`]), with t counted for each
/// parameter.
pub(crate) struct AdamW<B: Backend> {
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    moments: HashMap<ParamId, Moments<B>>,
}

/// What is kept of one parameter, as `[numbers]`.
struct Moments<B: Backend> {
    steps: u32,
    first: Tensor<B, 1>,
    second: Tensor<B, 1>,
}

impl<B: Backend> AdamW<B> {
    pub(crate) fn new(settings: &OptimizerConfig) -> Self {
        Self {
            betas: settings.betas,
            eps: settings.eps,
            weight_decay: settings.weight_decay,
            moments: HashMap::new(),
        }
    }

    /// A parameter after a step.
    fn stepped<const D: usize>(
        &mut self,
        id: ParamId,
        value: Tensor<B, D>,
        gradient: Tensor<B, D>,
        lr: f64,
    ) -> Tensor<B, D> {
        let shape = value.dims();
        let count = shape.iter().product::<usize>();
        let (value, gradient) = (value.reshape([count]), gradient.reshape([count]));
        let kept = self.moments.remove(&id).unwrap_or_else(|| Moments {
            steps: 0,
            first: zeros_like(&gradient),
            second: zeros_like(&gradient),
        });
        let steps = kept.steps + 1;
        let step =
            AdamWStep { lr, betas: self.betas, eps: self.eps, weight_decay: self.weight_decay, step: steps };
        let [value, first, second] = adamw([value, gradient, kept.first, kept.second], &step);
        self.moments.insert(id, Moments { steps, first, second });
        value.reshape(shape)
    }
}

/// The parts of a parameter's state, by PyTorch's names.
const PARTS: [&str; 3] = ["step", "exp_avg", "exp_avg_sq"];

impl<B, M> GroupOptimizer<B, M> for AdamW<B::InnerBackend>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn step(&mut self, lr: f64, trainable: Trainable<B, M>, gradients: GradientsParams) -> Trainable<B, M> {
        Module::<B>::map(trainable, &mut Step { optimizer: self, gradients, lr })
    }

    fn save(&self, stem: &Path, parameters: &[NamedParameter]) -> Result<(), DistillError> {
        let mut tensors = BTreeMap::new();
        for NamedParameter { path, id, .. } in parameters {
            let Some(kept) = self.moments.get(id) else { continue };
            // Whole numbers up to 2²⁴ are float32 numbers.
            let steps = TensorData::new(vec![kept.steps as f32], [1]);
            let moments = [&kept.first, &kept.second].map(|moment| Deferred::tensor(moment.clone()));
            let values = iter::once(Deferred::data(Cow::Owned(steps))).chain(moments);
            tensors.extend(PARTS.iter().zip(values).map(|(part, value)| (format!("{path}.{part}"), value)));
        }
        let path = stem.with_extension("safetensors");
        save_tensors(&tensors, &path).map_err(DistillError::io("write", &path))
    }

    fn load(&mut self, stem: &Path, parameters: &[NamedParameter], device: &B::Device) -> Result<(), String> {
        let mut tensors = load_tensors(&stem.with_extension("safetensors"))?;
        self.moments.clear();
        for NamedParameter { path, id, shape } in parameters {
            let [steps, first, second] = PARTS.map(|part| tensors.remove(&format!("{path}.{part}")));
            let (Some(steps), Some(first), Some(second)) = (steps, first, second) else { continue };
            let count = shape.iter().product::<usize>();
            let sizes = [steps.num_elements(), first.num_elements(), second.num_elements()];
            if sizes != [1, count, count] {
                return Err(format!("it holds {sizes:?} numbers for {path}, which has {count}"));
            }
            let steps = steps.iter::<f32>().next().unwrap_or_default() as u32;
            let moment = |data: TensorData| {
                let values: Vec<f32> = data.iter::<f32>().collect();
                Tensor::from_data(TensorData::new(values, [count]), device)
            };
            self.moments.insert(*id, Moments { steps, first: moment(first), second: moment(second) });
        }
        match tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("{name} belongs to no parameter")),
        }
    }
}

/// One step of the parameters that have a gradient.
struct Step<'a, B: AutodiffBackend> {
    optimizer: &'a mut AdamW<B::InnerBackend>,
    gradients: GradientsParams,
    lr: f64,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Step<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let requires_gradient = tensor.is_require_grad();
        let stepped = self.optimizer.stepped(id, tensor.inner(), gradient, self.lr);
        let tensor = Tensor::from_inner(stepped).set_require_grad(requires_gradient);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestBackend as B, assert_close};

    use super::*;

    /// Three steps of `torch.optim.AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)` in PyTorch 2.8 on
    /// [1, −2] with the gradients [0.5, −1], [0.1, 3], [−2, 0].
    #[test]
    fn three_steps_are_pytorchs() {
        let settings =
            OptimizerConfig { lr: 0.1, betas: [0.9, 0.99], weight_decay: 0.1, ..OptimizerConfig::default() };
        let mut optimizer = AdamW::<B>::new(&settings);
        let device = Default::default();
        let id = ParamId::new();
        let mut value = Tensor::<B, 2>::from_floats([[1.0, -2.0]], &device);
        let expected = [[0.89, -1.88], [0.8006276, -1.91053], [0.8390201, -1.929643]];
        for (gradient, expected) in [[0.5, -1.0], [0.1, 3.0], [-2.0, 0.0]].into_iter().zip(expected) {
            value = optimizer.stepped(id, value, Tensor::from_floats([gradient], &device), 0.1);
            let values: Vec<f32> = value.to_data().to_vec().unwrap();
            assert_close(&values, &expected, 1e-6, 1e-7, "parameter");
        }
    }
}
