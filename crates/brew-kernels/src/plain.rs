//! The formulas in Burn's operations, for every backend: what a kernel has to agree with.
//!
//! Some of Burn's functions have gradients that are approximations on some backends. The gradient of a division
//! takes `recip`, which ndarray computes to four or five digits, at some places in memory and not at others; here
//! nothing is divided where gradients flow. On a backend without gradients Burn's own functions serve, which some
//! backends fuse.

use brew_random::Key;
use burn::tensor::{Tensor, TensorData, activation, backend::Backend};

/// What one dropout drops: an element's fate is a function of the key and of its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutMask {
    /// Whose words decide.
    pub key: Key,
    /// The probability of being dropped, in `[0, 1)`.
    pub rate: f64,
}

/// See [`crate::gelu`]. Burn's own has, on most backends, the derivative of the tanh approximation, off by up to
/// 9e-4.
pub fn gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    if !B::ad_enabled(&x.device()) {
        return activation::gelu(x);
    }
    let gate = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    x * gate
}

/// See [`crate::linear`].
pub fn linear<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>, bias: Option<Tensor<B, 1>>) -> Tensor<B, 2> {
    let product = x.matmul(weight);
    match bias {
        Some(bias) => product + bias.unsqueeze_dim(0),
        None => product,
    }
}

/// See [`crate::layer_norm`].
pub fn layer_norm<B: Backend>(
    x: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    if !B::ad_enabled(&x.device()) {
        let [x, gamma, beta] = [crate::primitive(x), crate::primitive(gamma), crate::primitive(beta)];
        return crate::tensor(B::layer_norm(x, gamma, Some(beta), epsilon));
    }
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let scale = variance.add_scalar(epsilon).powf_scalar(-0.5);
    centred * scale * gamma.unsqueeze_dim(0) + beta.unsqueeze_dim(0)
}

/// See [`crate::dropout`].
pub fn dropout<B: Backend, const D: usize>(x: Tensor<B, D>, mask: DropoutMask) -> Tensor<B, D> {
    let shape = x.shape();
    let values = mask.key.dropout_mask(shape.num_elements(), mask.rate);
    let values = Tensor::from_data(TensorData::new(values, shape), &x.device());
    x * values
}

/// See [`crate::softmax`].
pub fn softmax<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    if !B::ad_enabled(&x.device()) {
        return activation::softmax(x, D - 1);
    }
    let exponentials = (x.clone() - x.detach().max_dim(D - 1)).exp();
    // `powf_scalar(-1.0)` would be `recip`.
    let inverse = exponentials.clone().sum_dim(D - 1).powf_scalar(-0.5).square();
    exponentials * inverse
}

/// `1 / (1 + exp(-x))`, as `(1 + tanh(x/2))/2`: neither value nor gradient divides.
///
/// # Shapes
/// - input and output: any, the same.
pub fn sigmoid<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.mul_scalar(0.5).tanh().add_scalar(1.0).mul_scalar(0.5)
}

/// `x·σ(x)`.
///
/// # Shapes
/// - input and output: any, the same.
pub fn silu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() * sigmoid(x)
}

#[cfg(test)]
mod tests {
    use brew_random::Key;
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;

    fn numbers<B: Backend>(salt: u64, shape: [usize; 2]) -> Tensor<B, 2> {
        let values = Key::new(salt).normal(shape[0] * shape[1], 1.5);
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    fn norm<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
        let vector = |salt| numbers::<B>(salt, [1, 64]).squeeze_dim(0);
        layer_norm(x, vector(1), vector(2), 1e-12)
    }

    /// The gradient of Σ w·f(x), where w is fixed.
    fn gradient(f: impl Fn(Tensor<TestAutodiffBackend, 2>) -> Tensor<TestAutodiffBackend, 2>) -> Vec<f32> {
        let x = numbers::<TestAutodiffBackend>(3, [4, 64]).require_grad();
        let gradients = (f(x.clone()) * numbers(4, [4, 64])).sum().backward();
        x.grad(&gradients).unwrap().into_data().to_vec().unwrap()
    }

    fn f64s(tensor: Tensor<TestBackend, 2>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    /// In double precision: `s·(w − Σ w s)` in each row.
    #[test]
    fn the_gradient_of_softmax_is_exact_where_ndarrays_division_is_not() {
        let (x, w) = (f64s(numbers(3, [4, 64])), f64s(numbers(4, [4, 64])));
        let expected: Vec<f32> = x
            .chunks(64)
            .zip(w.chunks(64))
            .flat_map(|(x, w)| {
                let sum: f64 = x.iter().map(|x| x.exp()).sum();
                let s: Vec<f64> = x.iter().map(|x| x.exp() / sum).collect();
                let mean: f64 = s.iter().zip(w).map(|(s, w)| s * w).sum();
                s.iter().zip(w).map(|(s, w)| (s * (w - mean)) as f32).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&gradient(softmax), &expected, 2e-6, 1e-8, "gradient of softmax");
    }

    /// In double precision: `w·s·(1 − s)`, and `w·(s + x·s·(1 − s))`.
    #[test]
    fn the_gradients_of_the_sigmoid_and_of_silu_are_exact() {
        let (x, w) = (f64s(numbers(3, [4, 64])), f64s(numbers(4, [4, 64])));
        let each = |f: fn(f64, f64) -> f64| -> Vec<f32> {
            x.iter().zip(&w).map(|(&x, w)| (w * f(x, 1.0 / (1.0 + (-x).exp()))) as f32).collect()
        };
        let expected = each(|_, s| s * (1.0 - s));
        assert_close(&gradient(sigmoid), &expected, 2e-6, 2e-7, "gradient of the sigmoid");
        let expected = each(|x, s| s + x * s * (1.0 - s));
        assert_close(&gradient(silu), &expected, 2e-6, 5e-7, "gradient of silu");
    }

    /// In double precision: `(g − mean(g) − x̂·mean(g x̂)) / σ` with `g = w γ`.
    #[test]
    fn the_gradient_of_the_normalisation_is_exact_where_ndarrays_division_is_not() {
        let (x, w) = (f64s(numbers(3, [4, 64])), f64s(numbers(4, [4, 64])));
        let gamma = f64s(numbers(1, [1, 64]));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 64.0;
        let expected: Vec<f32> = x
            .chunks(64)
            .zip(w.chunks(64))
            .flat_map(|(x, w)| {
                let centre = mean(x);
                let variance = x.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / 64.0;
                let hat: Vec<f64> = x.iter().map(|x| (x - centre) / variance.sqrt()).collect();
                let g: Vec<f64> = w.iter().zip(&gamma).map(|(w, gamma)| w * gamma).collect();
                let along = mean(&g.iter().zip(&hat).map(|(g, hat)| g * hat).collect::<Vec<_>>());
                let across = mean(&g);
                let one = |(g, hat): (&f64, &f64)| ((g - across - hat * along) / variance.sqrt()) as f32;
                g.iter().zip(&hat).map(one).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&gradient(norm), &expected, 2e-6, 2e-6, "gradient of the normalisation");
    }

    #[test]
    fn values_are_the_same_with_gradients_and_without() {
        let x = || numbers::<TestBackend>(3, [4, 64]);
        let with = |x: Tensor<TestAutodiffBackend, 2>| x.into_data().to_vec::<f32>().unwrap();
        let without = |x: Tensor<TestBackend, 2>| x.into_data().to_vec::<f32>().unwrap();
        let tracked = || Tensor::<TestAutodiffBackend, 2>::from_inner(x());
        for (found, expected, name) in [
            (with(softmax(tracked())), without(softmax(x())), "softmax"),
            (with(gelu(tracked())), without(gelu(x())), "gelu"),
            (with(norm(tracked())), without(norm(x())), "normalisation"),
        ] {
            assert_close(&found, &expected, 2e-6, 1e-6, name);
        }
    }
}
