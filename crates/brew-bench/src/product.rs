//! Matrix products, the ceiling of what a model's step can reach.

use anyhow::Result;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::measure::{Part, measure};
use crate::task::Products;

/// Numbers around 0 that differ.
fn matrix<B: Backend>(rows: usize, columns: usize, device: &B::Device) -> Tensor<B, 2> {
    let values: Vec<f32> = (0..rows * columns).map(|at| (at * 7919 % 1000) as f32 / 1000.0 - 0.5).collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

pub(crate) fn products<B: Backend>(spec: &Products, device: &B::Device) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for &[m, k, n] in &spec.shapes {
        let (left, right) = (matrix::<B>(m, k, device), matrix::<B>(k, n, device));
        let (seconds, product) =
            measure::<B, _>(spec.times, device, || Ok(left.clone().matmul(right.clone())))?;
        let first = product.slice([0..1, 0..n]).into_data().iter::<f64>().collect();
        parts.push(Part::new(format!("{m}x{k}x{n}"), seconds, 2 * m * k * n, first));
    }
    Ok(parts)
}
