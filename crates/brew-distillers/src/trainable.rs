use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use brew_config::{ProjectionConfig, ProjectionName};
use brew_losses::FeatureTensor;
use brew_random::Key;
use burn::module::{AutodiffModule, Initializer, Module, ModuleDisplay, Param};
use burn::nn::Linear;
use burn::tensor::activation;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

/// The constants of SELU (Klambauer et al., <https://arxiv.org/abs/1706.02515>).
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// The standard deviation of a new projection's weights, as in TextBrewer.
const PROJECTION_STD: f64 = 0.02;

/// A model that can be trained: any Burn module that can shed its autodiff graph.
///
/// Implemented for every module; it only gives the bounds of a trained module a name.
pub trait Student<B: AutodiffBackend>:
    AutodiffModule<B, InnerModule: ModuleDisplay> + ModuleDisplay + 'static
{
}

impl<B, M> Student<B> for M
where
    B: AutodiffBackend,
    M: AutodiffModule<B, InnerModule: ModuleDisplay> + ModuleDisplay + 'static,
{
}

/// Everything an optimizer moves: the student and what is trained with it.
#[derive(Module, Debug)]
pub struct Trainable<B: Backend, M: Module<B>> {
    /// The student.
    pub student: M,
    /// One entry for each match, intermediate ones before custom ones, `None` where it has no projection; behind
    /// them what else an objective trains: EMD's projection, the heads of CRD.
    pub projections: Vec<Option<Projection<B>>>,
}

impl<B: Backend, M: Module<B>> Trainable<B, M> {
    /// A student alone.
    pub fn new(student: M) -> Self {
        Self { student, projections: Vec::new() }
    }

    /// A student with new projections, where there is a configuration, initialised from `key`.
    pub fn with_projections(
        student: M,
        projections: &[Option<ProjectionConfig>],
        key: Key,
        device: &B::Device,
    ) -> Self {
        let projections = projections
            .iter()
            .enumerate()
            .map(|(index, config)| {
                let config = config.as_ref()?;
                let key = key.index(index as u64);
                Some(Projection::new(config.name, config.in_features, config.out_features, key, device))
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
        let projected = self.project(hidden.reshape([batch * length, width]));
        projected.reshape([batch as i64, length as i64, -1])
    }

    /// `[rows, in]` → `[rows, out]`
    pub(crate) fn project(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let Linear { weight, bias } = &self.linear;
        activate(self.activation, brew_kernels::linear(rows, weight.val(), bias.as_ref().map(Param::val)))
    }

    /// The last dimension of a feature projected; attention, which has no width, stays as it is.
    pub(crate) fn map(&self, feature: FeatureTensor<B>) -> FeatureTensor<B> {
        match feature {
            FeatureTensor::D2(pooled) => self.project(pooled).into(),
            FeatureTensor::D3(hidden) => self.forward(hidden).into(),
            attention @ FeatureTensor::D4(_) => attention,
        }
    }
}

/// The activation of a projection.
///
/// Written out where Burn's function will not do: its softplus, mish, elu and selu take eˣ of a large x on
/// their way, which makes the gradient not a number, and its gelu has, on most backends, the gradient of the
/// approximation.
fn activate<B: Backend>(name: ProjectionName, x: Tensor<B, 2>) -> Tensor<B, 2> {
    match name {
        ProjectionName::Linear => x,
        ProjectionName::Relu => activation::relu(x),
        ProjectionName::LeakyRelu => activation::leaky_relu(x, 0.01),
        ProjectionName::Tanh => activation::tanh(x),
        ProjectionName::Gelu => x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
        ProjectionName::GeluTanh => {
            let cube = x.clone() * x.clone() * x.clone();
            let inner = (x.clone() + cube * 0.044715) * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
            x * (inner.tanh() + 1.0) * 0.5
        }
        ProjectionName::Sigmoid => activation::sigmoid(x),
        ProjectionName::LogSigmoid => activation::log_sigmoid(x),
        ProjectionName::HardSigmoid => activation::hard_sigmoid(x, 1.0 / 6.0, 0.5),
        ProjectionName::Silu => activation::silu(x),
        ProjectionName::HardSwish => activation::hard_swish(x),
        ProjectionName::Softplus => softplus(x),
        ProjectionName::Mish => x.clone() * softplus(x).tanh(),
        ProjectionName::Elu => activation::relu(x.clone()) + below_zero(x),
        ProjectionName::Selu => (activation::relu(x.clone()) + below_zero(x) * SELU_ALPHA) * SELU_SCALE,
        ProjectionName::Softsign => activation::softsign(x),
    }
}

/// ln(1 + eˣ) = −ln(sigmoid(−x)).
fn softplus<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    activation::log_sigmoid(x.neg()).neg()
}

/// eˣ − 1 below 0, and 0.
fn below_zero<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    x.clamp_max(0.0).exp() - 1.0
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

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

    /// An activation of these numbers and its derivative there.
    fn activated(name: ProjectionName, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let device = Default::default();
        let x = TensorData::new(x.to_vec(), [1, x.len()]);
        let x = Tensor::<TestAutodiffBackend, 2>::from_data(x, &device).require_grad();
        let y = activate(name, x.clone());
        let gradient = x.grad(&y.clone().sum().backward()).unwrap();
        (y.into_data().to_vec().unwrap(), gradient.into_data().to_vec().unwrap())
    }

    #[test]
    fn activations_and_their_derivatives_are_their_formulas() {
        // At -2, -1/2 and 1, with Python's `math` from the formulas in `ProjectionName`; derivatives by
        // central differences.
        let expected: [(ProjectionName, [f32; 3], [f32; 3]); 16] = [
            (ProjectionName::Linear, [-2.0, -0.5, 1.0], [1.0, 1.0, 1.0]),
            (ProjectionName::Relu, [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
            (ProjectionName::LeakyRelu, [-0.02, -0.005, 1.0], [0.01, 0.01, 1.0]),
            (ProjectionName::Tanh, [-0.964028, -0.462117, 0.761594], [0.07065, 0.78645, 0.41997]),
            (ProjectionName::Gelu, [-0.0455, -0.154269, 0.841345], [-0.08523, 0.1325, 1.08332]),
            (ProjectionName::GeluTanh, [-0.045402, -0.154286, 0.841192], [-0.0861, 0.13263, 1.08296]),
            (ProjectionName::Sigmoid, [0.119203, 0.377541, 0.731059], [0.10499, 0.235, 0.19661]),
            (ProjectionName::LogSigmoid, [-2.126928, -0.974077, -0.313262], [0.8808, 0.62246, 0.26894]),
            (ProjectionName::HardSigmoid, [0.166667, 0.416667, 0.666667], [0.16667, 0.16667, 0.16667]),
            (ProjectionName::Silu, [-0.238406, -0.18877, 0.731059], [-0.09078, 0.26004, 0.92767]),
            (ProjectionName::HardSwish, [-0.333333, -0.208333, 0.666667], [-0.16667, 0.33333, 0.83333]),
            (ProjectionName::Softplus, [0.126928, 0.474077, 1.313262], [0.1192, 0.37754, 0.73106]),
            (ProjectionName::Mish, [-0.252501, -0.220744, 0.865098], [-0.10836, 0.28951, 1.04904]),
            (ProjectionName::Elu, [-0.864665, -0.393469, 1.0], [0.13534, 0.60653, 1.0]),
            (ProjectionName::Selu, [-1.520166, -0.691758, 1.050701], [0.23793, 1.06634, 1.0507]),
            (ProjectionName::Softsign, [-0.666667, -0.333333, 0.5], [0.11111, 0.44444, 0.25]),
        ];
        assert_eq!(expected.map(|(name, ..)| name), ProjectionName::ALL);
        for (name, values, derivatives) in expected {
            let (found, gradient) = activated(name, &[-2.0, -0.5, 1.0]);
            assert_close(&found, &values, 1e-5, 2e-6, name.as_str());
            assert_close(&gradient, &derivatives, 1e-4, 2e-5, &format!("derivative of {name}"));
        }
    }

    #[test]
    fn activations_of_large_numbers_and_of_zero_have_finite_derivatives() {
        for name in ProjectionName::ALL {
            let (values, gradient) = activated(name, &[-200.0, 0.0, 200.0]);
            assert!(values.iter().chain(&gradient).all(|x| x.is_finite()), "{name}: {values:?} {gradient:?}");
        }
        for name in [ProjectionName::Softplus, ProjectionName::Mish, ProjectionName::Elu] {
            let (values, gradient) = activated(name, &[200.0]);
            assert_eq!((values[0], gradient[0]), (200.0, 1.0), "{name}");
        }
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
