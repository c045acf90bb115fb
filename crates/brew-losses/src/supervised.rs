//! Losses on gold labels that are not one class.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::Backend;

/// Binary cross-entropy of each label, averaged over labels and known examples; 0 where there are none.
///
/// `−(y log σ(x) + (1 − y) log(1 − σ(x)))`: `torch.nn.BCEWithLogitsLoss`, and so what transformers computes for
/// `problem_type = "multi_label_classification"`.
///
/// # Shapes
/// - `logits`, `flags`: `[batch, labels]`, flags 0 or 1
/// - `known`: `[batch]`, 0 where an example does not count
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let logits = Tensor::<TestBackend, 2>::from_floats([[0.0, 0.0], [9.0, 9.0]], &device);
/// let flags = Tensor::from_floats([[0.0, 1.0], [0.0, 0.0]], &device);
/// let known = Tensor::from_floats([1.0, 0.0], &device);
/// let loss = brew_losses::binary_cross_entropy(logits, flags, known).into_scalar();
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// ```
pub fn binary_cross_entropy<B: Backend>(
    logits: Tensor<B, 2>,
    flags: Tensor<B, 2>,
    known: Tensor<B, 1>,
) -> Tensor<B, 1> {
    let [_, labels] = logits.dims();
    // log(1 − σ(x)) = log σ(x) − x
    let loss = (flags.neg() + 1.0) * logits.clone() - log_sigmoid(logits);
    mean_of_known(loss.sum_dim(1).squeeze_dim(1) / labels.max(1) as f64, known)
}

/// Squared error, averaged over known examples; 0 where there are none: `torch.nn.MSELoss`, and so what
/// transformers computes for `problem_type = "regression"`.
///
/// # Shapes
/// - `predictions`, `values`: `[batch]`
/// - `known`: `[batch]`, 0 where an example does not count
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let row = |values: [f32; 3]| Tensor::<TestBackend, 1>::from_floats(values, &Default::default());
/// let loss = brew_losses::squared_error(row([1.0, 2.0, 3.0]), row([1.0, 4.0, 0.0]), row([1.0, 1.0, 0.0]));
/// assert_eq!(loss.into_scalar(), 2.0);
/// ```
pub fn squared_error<B: Backend>(
    predictions: Tensor<B, 1>,
    values: Tensor<B, 1>,
    known: Tensor<B, 1>,
) -> Tensor<B, 1> {
    let difference = predictions - values;
    mean_of_known(difference.clone() * difference, known)
}

fn mean_of_known<B: Backend>(losses: Tensor<B, 1>, known: Tensor<B, 1>) -> Tensor<B, 1> {
    let count = known.clone().sum().clamp_min(1.0);
    (losses * known).sum() / count
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    type B = TestAutodiffBackend;

    #[test]
    fn gradients_agree_with_differences_and_unknown_examples_have_none() {
        let device = Default::default();
        let flags = Tensor::<B, 2>::from_floats([[1., 0., 1.], [0., 0., 1.], [1., 1., 0.]], &device);
        let known = Tensor::<B, 1>::from_floats([1., 0., 1.], &device);
        assert_gradient::<2>(numbers([3, 3], 1), |logits| {
            binary_cross_entropy(logits, flags.clone(), known.clone())
        });
        let values = Tensor::<B, 1>::from_floats([0.5, -1.0, 2.0], &device);
        assert_gradient::<1>(numbers([3], 2), |predictions| {
            squared_error(predictions, values.clone(), known.clone())
        });

        let logits = Tensor::<B, 2>::ones([3, 3], &device).require_grad();
        let gradients = binary_cross_entropy(logits.clone(), flags, known).backward();
        let gradient: Vec<f32> = logits.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        assert_eq!(gradient[3..6], [0.0; 3]);
    }

    #[test]
    fn certain_logits_are_finite() {
        let device = Default::default();
        let logits = Tensor::<B, 2>::from_floats([[1e4, -1e4]], &device);
        let flags = Tensor::from_floats([[0.0, 0.0]], &device);
        let loss = binary_cross_entropy(logits, flags, Tensor::ones([1], &device)).into_scalar();
        assert_close(&[loss], &[5e3], 1e-6, 0.0, "loss");
    }

    #[test]
    fn nothing_known_is_no_loss() {
        let device = Default::default();
        let logits = Tensor::<B, 2>::ones([2, 3], &device);
        let none = Tensor::<B, 1>::zeros([2], &device);
        assert_eq!(
            binary_cross_entropy(logits, Tensor::zeros([2, 3], &device), none.clone()).into_scalar(),
            0.0
        );
        assert_eq!(squared_error(none.clone(), none.clone() + 1.0, none).into_scalar(), 0.0);
    }
}
