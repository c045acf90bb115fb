//! Gradients against central differences.

use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
use burn::tensor::{Tensor, TensorData};

const STEP: f32 = 1e-2;

/// Asserts that the gradient of `loss` at `at` is what moving each entry says.
///
/// In float32 that is good to about three digits, for a loss that is smooth within `STEP`.
pub(crate) fn assert_gradient<const D: usize>(
    at: TensorData,
    loss: impl Fn(Tensor<TestAutodiffBackend, D>) -> Tensor<TestAutodiffBackend, 1>,
) {
    let device = Default::default();
    let point = Tensor::<TestAutodiffBackend, D>::from_data(at.clone(), &device).require_grad();
    let gradients = loss(point.clone()).backward();
    let gradient: Tensor<TestBackend, D> =
        point.grad(&gradients).expect("the loss must depend on its argument");

    let values: Vec<f32> = at.iter::<f32>().collect();
    let loss_with = |index: usize, step: f32| {
        let mut moved = values.clone();
        moved[index] += step;
        loss(Tensor::from_data(TensorData::new(moved, at.shape.clone()), &device)).into_scalar()
    };
    let differences: Vec<f32> = (0..values.len())
        .map(|index| (loss_with(index, STEP) - loss_with(index, -STEP)) / (2.0 * STEP))
        .collect();
    assert!(differences.iter().any(|difference| difference.abs() > 1e-3), "a flat loss checks nothing");
    let gradient: Vec<f32> = gradient.into_data().iter::<f32>().collect();
    assert_close(&gradient, &differences, 5e-3, 1e-3, "gradient against central differences");
}

/// Value and gradient of `loss` at `at`, asserted to be finite.
pub(crate) fn finite_gradient<const D: usize>(
    at: Tensor<TestAutodiffBackend, D>,
    loss: impl FnOnce(Tensor<TestAutodiffBackend, D>) -> Tensor<TestAutodiffBackend, 1>,
) -> (f32, Vec<f32>) {
    let point = at.detach().require_grad();
    let value = loss(point.clone());
    let gradient: Tensor<TestBackend, D> =
        point.grad(&value.backward()).expect("the loss must depend on its argument");
    let value = value.into_scalar();
    let gradient: Vec<f32> = gradient.into_data().iter::<f32>().collect();
    assert!(value.is_finite(), "the loss is {value}");
    assert!(gradient.iter().all(|entry| entry.is_finite()), "the gradient is {gradient:?}");
    (value, gradient)
}

/// Numbers without a pattern, in about [-1.5, 1.5], the same every time.
pub(crate) fn numbers<const D: usize>(shape: [usize; D], salt: u32) -> TensorData {
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|index| 1.5 * ((index as f32 + 1.0) * 1.7 + salt as f32 * 0.9).sin()).collect();
    TensorData::new(values, shape)
}
