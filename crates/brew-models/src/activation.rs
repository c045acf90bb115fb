//! The activation functions Hugging Face configurations name.

use burn::tensor::{Tensor, activation, backend::Backend};
use serde::{Deserialize, Serialize};

use brew_kernels::gelu;
use brew_kernels::plain::silu;

/// `hidden_act` of a Hugging Face `config.json`: what stands between the two layers of a feed-forward block; also what
/// stands after the dense layer of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// `gelu`: `x·Φ(x)`, with the exact error function.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// `gelu_new`: the tanh approximation, `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    #[serde(rename = "gelu_new")]
    GeluNew,
    /// `gelu_pytorch_tanh`: the same approximation under PyTorch's name.
    #[serde(rename = "gelu_pytorch_tanh")]
    GeluPytorchTanh,
    /// `relu`: `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
    /// `silu`, or by its older name `swish`: `x·σ(x)`.
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    /// `tanh`: what BERT's pooler has.
    #[serde(rename = "tanh")]
    Tanh,
}

impl Activation {
    /// Applies the function to each element.
    ///
    /// # Shapes
    /// - input and output: any, the same.
    pub fn forward<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            Self::Gelu => gelu(x),
            Self::GeluNew | Self::GeluPytorchTanh => gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Silu => silu(x),
            Self::Tanh => x.tanh(),
        }
    }
}

/// Burn's `gelu_approximate` cubes with `powf`, which some GPUs cannot do for negative numbers.
fn gelu_tanh<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let sqrt_2_over_pi = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    let slope = (x.clone() * x.clone()).mul_scalar(0.044_715).add_scalar(1.0).mul_scalar(sqrt_2_over_pi);
    let gate = (slope * x.clone()).tanh().add_scalar(1.0).mul_scalar(0.5);
    x * gate
}

#[cfg(test)]
mod tests {
    use super::*;
    use brew_testkit::{TestAutodiffBackend, TestBackend};
    use burn::backend::Autodiff;
    use burn::tensor::backend::AutodiffBackend;
    use burn_flex::Flex;

    fn values(act: Activation, x: [f32; 4]) -> Vec<f32> {
        let x = Tensor::<TestBackend, 1>::from_floats(x, &Default::default());
        act.forward(x).into_data().to_vec().unwrap()
    }

    #[test]
    fn each_function_has_its_known_values() {
        let x = [-1.5, -0.25, 0.0, 2.0];
        let cases = [
            (Activation::Gelu, [-0.100_211, -0.100_323, 0.0, 1.954_5]),
            (Activation::GeluNew, [-0.100_428, -0.100_326, 0.0, 1.954_6]),
            (Activation::GeluPytorchTanh, [-0.100_428, -0.100_326, 0.0, 1.954_6]),
            (Activation::Relu, [0.0, 0.0, 0.0, 2.0]),
            (Activation::Silu, [-0.273_639, -0.109_456, 0.0, 1.761_594]),
            (Activation::Tanh, [-0.905_148, -0.244_919, 0.0, 0.964_028]),
        ];
        for (act, expected) in cases {
            for (got, want) in values(act, x).into_iter().zip(expected) {
                assert!((got - want).abs() < 2e-5, "{act:?}: {got} is not {want}");
            }
        }
    }

    fn check_gradients<B: AutodiffBackend>() {
        let h = 1e-2_f32;
        let x = [-1.5, -0.25, 0.3, 2.0];
        let all = [
            Activation::Gelu,
            Activation::GeluNew,
            Activation::GeluPytorchTanh,
            Activation::Relu,
            Activation::Silu,
            Activation::Tanh,
        ];
        for act in all {
            let leaf = Tensor::<B, 1>::from_floats(x, &Default::default()).require_grad();
            let grads = act.forward(leaf.clone()).sum().backward();
            let grad: Vec<f32> = leaf.grad(&grads).unwrap().into_data().to_vec().unwrap();
            let (up, down) = (values(act, x.map(|v| v + h)), values(act, x.map(|v| v - h)));
            for i in 0..4 {
                let numeric = (up[i] - down[i]) / (2.0 * h);
                assert!(
                    (grad[i] - numeric).abs() < 2e-4,
                    "{act:?} at {}: {} is not {numeric}",
                    x[i],
                    grad[i]
                );
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        check_gradients::<TestAutodiffBackend>();
        check_gradients::<Autodiff<Flex>>();
    }

    #[test]
    fn names_are_those_of_transformers() {
        for (name, act) in
            [("silu", Activation::Silu), ("swish", Activation::Silu), ("gelu_new", Activation::GeluNew)]
        {
            assert_eq!(serde_json::from_value::<Activation>(name.into()).unwrap(), act);
        }
        assert_eq!(serde_json::to_value(Activation::Silu).unwrap(), "silu");
    }

    #[test]
    fn gelu_has_the_gradient_of_the_error_function() {
        // Φ(x) + x·φ(x) with Python's `math`; the tanh approximation gives -0.127711 at -1.5.
        let expected = [-0.127_469_2, 0.304_626_6, 0.732_327_8, 1.085_231_8];
        let x = Tensor::<TestAutodiffBackend, 1>::from_floats([-1.5, -0.25, 0.3, 2.0], &Default::default())
            .require_grad();
        let gradients = Activation::Gelu.forward(x.clone()).sum().backward();
        let found: Vec<f32> = x.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        brew_testkit::assert_close(&found, &expected, 0.0, 1e-6, "derivative of gelu");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = serde_json::from_str::<Activation>("\"swish9\"").unwrap_err().to_string();
        assert!(error.contains("swish9") && error.contains("gelu_new"), "{error}");
    }
}
