use brew_config::{IntermediateMatch, ProjectionName};
use brew_random::Key;
use burn::module::{AutodiffModule, Initializer, Module, ModuleDisplay, Param};
use burn::nn::Linear;
use burn::tensor::activation;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

/// The standard deviation of a new projection's weights, as in TextBrewer.
const PROJECTION_STD: f64 = 0.02;

/// A model that can be trained: any Burn module that can shed its autodiff graph.
///
/// Implemented for every module; it only gives the bounds of a trained module a name.
pub trait Student<B: AutodiffBackend>: AutodiffModule<B, InnerModule: ModuleDisplay> + ModuleDisplay {}

impl<B, M> Student<B> for M
where
    B: AutodiffBackend,
    M: AutodiffModule<B, InnerModule: ModuleDisplay> + ModuleDisplay,
{
}

/// Everything an optimizer moves: the student and what is trained with it.
#[derive(Module, Debug)]
pub struct Trainable<B: Backend, M: Module<B>> {
    /// The student.
    pub student: M,
    /// One entry for each intermediate match, `None` where it has no projection.
    pub projections: Vec<Option<Projection<B>>>,
}

impl<B: Backend, M: Module<B>> Trainable<B, M> {
    /// A student alone.
    pub fn new(student: M) -> Self {
        Self { student, projections: Vec::new() }
    }

    /// A student with the projections its matches ask for, initialised from `key`.
    pub fn with_projections(student: M, matches: &[IntermediateMatch], key: Key, device: &B::Device) -> Self {
        let projections = matches
            .iter()
            .enumerate()
            .map(|(index, one)| {
                let projection = one.proj.as_ref()?;
                let key = key.index(index as u64);
                Some(Projection::new(
                    projection.name,
                    projection.in_features,
                    projection.out_features,
                    key,
                    device,
                ))
            })
            .collect();
        Self { student, projections }
    }
}

/// A trained map from the student's width to the teacher's: a linear layer, then an activation.
#[derive(Module, Debug)]
pub struct Projection<B: Backend> {
    linear: Linear<B>,
    #[module(skip)]
    activation: ProjectionName,
}

impl<B: Backend> Projection<B> {
    /// A projection with weights from N(0, 0.02²) and zero bias.
    pub fn new(name: ProjectionName, inputs: usize, outputs: usize, key: Key, device: &B::Device) -> Self {
        let weight = TensorData::new(key.normal(inputs * outputs, PROJECTION_STD), [inputs, outputs]);
        Self::from_tensors(
            name,
            Tensor::from_data(weight, device),
            Initializer::Zeros.init::<B, 1, _>([outputs], device).val(),
        )
    }

    /// A projection with given parameters.
    ///
    /// # Shapes
    /// - weight: `[in, out]`
    /// - bias: `[out]`
    pub fn from_tensors(name: ProjectionName, weight: Tensor<B, 2>, bias: Tensor<B, 1>) -> Self {
        let linear = Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) };
        Self { linear, activation: name }
    }

    /// Projects the last dimension.
    ///
    /// # Shapes
    /// - input: `[batch, length, in]`
    /// - output: `[batch, length, out]`
    pub fn forward(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, length, width] = hidden.dims();
        // One matrix product over all tokens: its weight gradient is one product too.
        let projected = self.linear.forward(hidden.reshape([batch * length, width]));
        let projected = match self.activation {
            ProjectionName::Linear => projected,
            ProjectionName::Relu => activation::relu(projected),
            ProjectionName::Tanh => activation::tanh(projected),
        };
        projected.reshape([batch as i64, length as i64, -1])
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend;

    use super::*;

    #[test]
    fn projection_maps_the_last_dimension_and_applies_its_activation() {
        let device = Default::default();
        let weight = Tensor::<TestBackend, 2>::from_data([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]], &device);
        let bias = Tensor::from_data([0.0, 0.5, 0.0], &device);
        let hidden = Tensor::from_data([[[1.0, 1.0], [2.0, -1.0]]], &device);
        let linear = Projection::from_tensors(ProjectionName::Linear, weight.clone(), bias.clone());
        linear
            .forward(hidden.clone())
            .into_data()
            .assert_eq(&TensorData::from([[[1.0, 2.5, -1.0], [2.0, -1.5, -2.0]]]), false);
        let relu = Projection::from_tensors(ProjectionName::Relu, weight, bias);
        relu.forward(hidden)
            .into_data()
            .assert_eq(&TensorData::from([[[1.0, 2.5, 0.0], [2.0, 0.0, 0.0]]]), false);
    }

    #[test]
    fn projections_repeat_with_their_key_and_start_small() {
        let device = Default::default();
        let one = |index| {
            Projection::<TestBackend>::new(ProjectionName::Linear, 64, 64, Key::new(1).index(index), &device)
                .linear
                .weight
                .val()
                .into_data()
        };
        assert_eq!(one(0), one(0));
        assert_ne!(one(0), one(1));
        let values = one(0);
        let largest = values.as_slice::<f32>().unwrap().iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(largest > 0.04 && largest < 0.12, "largest weight {largest}");
    }
}
