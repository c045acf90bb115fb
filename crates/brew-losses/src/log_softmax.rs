//! The logarithm of a softmax, with the exact gradient on every backend.

use burn::tensor::{Tensor, activation, backend::Backend};

/// `x − ln Σ exp(x)` along a dimension.
///
/// The gradient of Burn's own takes `recip`, which ndarray computes to four or five digits, at some places in
/// memory and not at others. Here the logarithm is a constant beside a term that is 0 and has its gradient.
///
/// # Shapes
/// - input and output: any, the same.
pub(crate) fn log_softmax<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize) -> Tensor<B, D> {
    if !B::ad_enabled(&x.device()) {
        return activation::log_softmax(x, dim);
    }
    let shifted = x.clone() - x.detach().max_dim(dim);
    let sum = shifted.clone().exp().sum_dim(dim);
    let constant = sum.clone().detach();
    let inverse = constant.ones_like() / constant.clone();
    shifted - (constant.clone().log() + (sum - constant) * inverse)
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::numbers;

    fn f64s(salt: u32) -> Vec<f64> {
        numbers([4, 64], salt).iter::<f64>().collect()
    }

    /// In double precision: `w − softmax(x)·Σ w` in each row.
    #[test]
    fn the_gradient_is_exact_where_ndarrays_logarithm_is_not() {
        let device = Default::default();
        let x = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([4, 64], 1), &device).require_grad();
        let w = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([4, 64], 2), &device);
        let gradients = (log_softmax(x.clone(), 1) * w).sum().backward();
        let found: Vec<f32> = x.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        let expected: Vec<f32> = f64s(1)
            .chunks(64)
            .zip(f64s(2).chunks(64))
            .flat_map(|(x, w)| {
                let sum: f64 = x.iter().map(|x| x.exp()).sum();
                let total: f64 = w.iter().sum();
                x.iter().zip(w).map(|(x, w)| (w - x.exp() / sum * total) as f32).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&found, &expected, 2e-6, 1e-6, "gradient");
    }

    #[test]
    fn values_are_burns_own_and_large_ones_do_not_overflow() {
        let device = Default::default();
        let data = numbers([4, 64], 1);
        let tracked = Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device);
        let plain = Tensor::<TestBackend, 2>::from_data(data, &device);
        let found: Vec<f32> = log_softmax(tracked, 1).into_data().to_vec().unwrap();
        let expected: Vec<f32> = log_softmax(plain, 1).into_data().to_vec().unwrap();
        assert_close(&found, &expected, 1e-6, 1e-6, "values");
        let large = Tensor::<TestAutodiffBackend, 2>::from_floats([[1000.0, 0.0]], &device);
        let found: Vec<f32> = log_softmax(large, 1).into_data().to_vec().unwrap();
        assert_eq!(found, [0.0, -1000.0]);
    }
}
