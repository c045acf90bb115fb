//! The operations of a transformer's layers that a training step spends its time in.
//!
//! Each function takes tensors of any backend and is first of all a formula in Burn's operations. Where the
//! tensors turn out to be those of `burn-flex`, with or without Burn's autodiff around them, and the processor
//! has vector instructions with fused multiply-add, a kernel on their storage does the work, forward and
//! backward: feature `flex`. The caller's bound stays `B: Backend`, and a backend of one's own needs nothing
//! here (docs/adr/0008-kernels.md says how and why).
//!
//! Kernels and formulas agree to 1e-5, values and gradients; the tests hold them to it.
//!
//! ```
//! use burn_flex::Flex;
//! use burn::tensor::Tensor;
//!
//! let x = Tensor::<Flex, 1>::from_floats([-1.0, 0.0, 1.0], &Default::default());
//! let y: Vec<f32> = brew_kernels::gelu(x).into_data().to_vec().unwrap();
//! assert!((y[2] - 0.841_345).abs() < 1e-6);
//! ```

use burn::tensor::module::embedding as embedding_of;
use burn::tensor::{Int, Tensor, TensorPrimitive, backend::Backend};

mod adamw;
mod attention;
#[cfg(feature = "flex")]
mod flex;
pub mod losses;
pub mod plain;
mod precision;

pub use adamw::{AdamWStep, adamw};
pub use attention::{Sequences, attention};
pub use plain::DropoutMask;
pub use precision::{multiplies_bf16, with_bf16_products};

/// `x·Φ(x)` with the exact error function (Hendrycks and Gimpel, <https://arxiv.org/abs/1606.08415>).
///
/// # Shapes
/// - input and output: any, the same.
pub fn gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::apply::<B, _, _>(flex::Gelu, [primitive(x)]) {
        Ok(output) => return tensor(output),
        Err([x]) => tensor(x),
    };
    plain::gelu(x)
}

/// `x·W + b`; its product in bfloat16 within [`with_bf16_products`].
///
/// # Shapes
/// - `x`: `[rows, inputs]`, `weight`: `[inputs, outputs]`, `bias`: `[outputs]`
/// - output: `[rows, outputs]`
///
/// # Panics
/// If the shapes do not fit.
pub fn linear<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>, bias: Option<Tensor<B, 1>>) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let (x, weight, bias) = match bias {
        Some(bias) => {
            match flex::apply::<B, _, _>(
                flex::Linear::here(),
                [primitive(x), primitive(weight), primitive(bias)],
            ) {
                Ok(output) => return tensor(output),
                Err([x, weight, bias]) => (tensor(x), tensor(weight), Some(tensor(bias))),
            }
        }
        None => match flex::apply::<B, _, _>(flex::Linear::here(), [primitive(x), primitive(weight)]) {
            Ok(output) => return tensor(output),
            Err([x, weight]) => (tensor(x), tensor(weight), None),
        },
    };
    plain::linear(x, weight, bias)
}

/// Normalisation of each row to mean 0 and variance 1, then a scale and a shift (Ba et al.,
/// <https://arxiv.org/abs/1607.06450>).
///
/// # Shapes
/// - `x`, output: `[rows, width]`
/// - `gamma`, `beta`: `[width]`
///
/// # Panics
/// If the shapes do not fit.
pub fn layer_norm<B: Backend>(
    x: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let (x, gamma, beta) = {
        let inputs = [primitive(x), primitive(gamma), primitive(beta)];
        match flex::apply::<B, _, _>(flex::LayerNorm { epsilon }, inputs) {
            Ok(output) => return tensor(output),
            Err([x, gamma, beta]) => (tensor(x), tensor(gamma), tensor(beta)),
        }
    };
    plain::layer_norm(x, gamma, beta, epsilon)
}

/// What ends each half of a transformer's layer: `layer_norm(dropout(x) + residual)`.
///
/// # Shapes
/// - `x`, `residual`, output: `[rows, width]`
/// - `gamma`, `beta`: `[width]`
///
/// # Panics
/// If the shapes do not fit, or the rate of `dropout` is not in `[0, 1)`.
pub fn residual_layer_norm<B: Backend>(
    x: Tensor<B, 2>,
    residual: Tensor<B, 2>,
    dropout: Option<DropoutMask>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let (x, residual, gamma, beta) = {
        let inputs = [primitive(x), primitive(residual), primitive(gamma), primitive(beta)];
        match flex::apply::<B, _, _>(flex::ResidualLayerNorm { epsilon, dropout }, inputs) {
            Ok(output) => return tensor(output),
            Err([x, residual, gamma, beta]) => (tensor(x), tensor(residual), tensor(gamma), tensor(beta)),
        }
    };
    let dropped = match dropout {
        Some(mask) => plain::dropout(x, mask),
        None => x,
    };
    plain::layer_norm(dropped + residual, gamma, beta, epsilon)
}

/// Inverted dropout: each element is 0 with the mask's rate, else scaled up by what the dropped ones had.
///
/// # Shapes
/// - input and output: any, the same.
///
/// # Panics
/// If the mask's rate is not in `[0, 1)`.
pub fn dropout<B: Backend, const D: usize>(x: Tensor<B, D>, mask: DropoutMask) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::apply::<B, _, _>(flex::Dropout { mask }, [primitive(x)]) {
        Ok(output) => return tensor(output),
        Err([x]) => tensor(x),
    };
    plain::dropout(x, mask)
}

/// `exp(x) / Σ exp(x)` along the last dimension.
///
/// # Shapes
/// - input and output: any, the same.
pub fn softmax<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::apply::<B, _, _>(flex::Softmax, [primitive(x)]) {
        Ok(output) => return tensor(output),
        Err([x]) => tensor(x),
    };
    plain::softmax(x)
}

/// The rows of a table.
///
/// # Shapes
/// - `table`: `[entries, width]`, `ids`: any number of them
/// - output: `[ids, width]`
///
/// # Panics
/// If an id is not below the number of entries, on most backends.
pub fn embedding<B: Backend>(table: Tensor<B, 2>, ids: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let table = if flex::takes::<B>() {
        let [entries, _] = table.dims();
        let of = |id: i64| {
            let row = usize::try_from(id).ok().filter(|&row| row < entries);
            row.unwrap_or_else(|| panic!("id {id} of a table with {entries} entries"))
        };
        let ids: Vec<usize> = ids.to_data().iter::<i64>().map(of).collect();
        match flex::apply::<B, _, _>(flex::Embedding { ids: ids.into() }, [primitive(table)]) {
            Ok(output) => return tensor(output),
            Err([table]) => tensor(table),
        }
    } else {
        table
    };
    let [_, width] = table.dims();
    embedding_of(table, ids.unsqueeze_dim(0)).reshape([-1, width as i32])
}

/// `Σ x²`.
///
/// # Shapes
/// - `x`: any, output: `[1]`
pub fn squared_norm<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, 1> {
    #[cfg(feature = "flex")]
    let x = match flex::squared_norm::<B>(primitive(x)) {
        Ok(sum) => return tensor(sum),
        Err(x) => tensor::<B, D>(x),
    };
    x.square().sum()
}

/// Zeros beside a tensor. Where most of a large one is zero itself, they take memory where they are written to.
///
/// # Shapes
/// - input and output: any, the same.
pub fn zeros_like<B: Backend, const D: usize>(x: &Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    if x.dtype() == burn::tensor::DType::F32
        && let Some(zeros) = flex::zeros_beside::<B>(primitive(x.clone()))
    {
        return tensor(zeros);
    }
    x.zeros_like()
}

/// `scale · x`, in the same memory where there is a kernel and nobody else holds it.
///
/// # Shapes
/// - input and output: any, the same.
pub fn scaled<B: Backend, const D: usize>(x: Tensor<B, D>, scale: f64) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::scaled::<B>(primitive(x), scale) {
        Ok(x) => return tensor(x),
        Err(x) => tensor::<B, D>(x),
    };
    x.mul_scalar(scale)
}

fn primitive<B: Backend, const D: usize>(x: Tensor<B, D>) -> B::FloatTensorPrimitive {
    x.into_primitive().tensor()
}

fn tensor<B: Backend, const D: usize>(x: B::FloatTensorPrimitive) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

#[cfg(test)]
mod tests;
