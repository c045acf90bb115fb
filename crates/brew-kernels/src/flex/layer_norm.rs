use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;

use super::Operation;
use super::dropout::drop_some;
use super::rows::{each_block, sum_of};
use super::storage::{from_values, own, values, vector, width};
use super::vector::{sum, vectorised};
use crate::DropoutMask;

/// See [`crate::layer_norm`].
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub(crate) epsilon: f64,
}

/// See [`crate::residual_layer_norm`].
#[derive(Debug, Clone)]
pub(crate) struct ResidualLayerNorm {
    pub(crate) epsilon: f64,
    pub(crate) dropout: Option<DropoutMask>,
}

/// What a normalisation keeps: the rows as they came in, and of each its mean and `1/σ`.
#[derive(Debug, Clone)]
pub(crate) struct Normalised {
    rows: FlexTensor,
    moments: Vec<[f32; 2]>,
    gamma: FlexTensor,
}

impl Operation<3> for LayerNorm {
    type Saved = Normalised;

    fn forward(&self, [x, gamma, beta]: [FlexTensor; 3], keep: bool) -> (FlexTensor, Option<Normalised>) {
        normalise(x, gamma, &beta, self.epsilon, keep)
    }

    fn backward(
        &self,
        saved: Normalised,
        gradient: FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [of_rows, of_gamma, of_beta] = gradients(&saved, gradient);
        let [rows, gamma, beta] = wanted;
        [rows.then_some(of_rows), gamma.then_some(of_gamma), beta.then_some(of_beta)]
    }
}

impl Operation<4> for ResidualLayerNorm {
    type Saved = Normalised;

    fn forward(&self, inputs: [FlexTensor; 4], keep: bool) -> (FlexTensor, Option<Normalised>) {
        let [x, residual, gamma, beta] = inputs;
        assert_eq!(x.shape(), residual.shape(), "what is added has another shape");
        let sums = own(x, |x| {
            each_block(x, 1, |start, x| {
                if let Some(mask) = self.dropout {
                    drop_some(mask, start, x);
                }
                let residual = &values(&residual)[start..start + x.len()];
                add(x, residual);
            });
        });
        normalise(sums, gamma, &beta, self.epsilon, keep)
    }

    fn backward(
        &self,
        saved: Normalised,
        gradient: FlexTensor,
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let [of_rows, of_gamma, of_beta] = gradients(&saved, gradient);
        let [x, residual, gamma, beta] = wanted;
        let of_x = x.then(|| match self.dropout {
            Some(mask) => own(of_rows.clone(), |values| {
                each_block(values, 1, |start, values| drop_some(mask, start, values));
            }),
            None => of_rows.clone(),
        });
        [of_x, residual.then_some(of_rows), gamma.then_some(of_gamma), beta.then_some(of_beta)]
    }
}

fn normalise(
    x: FlexTensor,
    gamma: FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
    keep: bool,
) -> (FlexTensor, Option<Normalised>) {
    let width = width(&x);
    let (scale, shift) = (values(&gamma), values(beta));
    assert!(scale.len() == width && shift.len() == width, "the rows are as wide as neither scale nor shift");
    if !keep {
        let output = own(x, |x| {
            each_block(x, width, |_, output| normalise_rows(output, scale, shift, epsilon as f32));
        });
        return (output, None);
    }
    let mut output = vec![0.0; values(&x).len()];
    let moments = each_block(&mut output, width, |first, output| {
        let start = first * width;
        output.copy_from_slice(&values(&x)[start..start + output.len()]);
        normalise_rows(output, scale, shift, epsilon as f32)
    });
    let output = from_values(output, x.shape());
    (output, Some(Normalised { rows: x, moments: moments.into_iter().flatten().collect(), gamma }))
}

/// The gradients of rows, scale and shift.
fn gradients(saved: &Normalised, gradient: FlexTensor) -> [FlexTensor; 3] {
    let width = width(&saved.rows);
    let (rows, scale) = (values(&saved.rows), values(&saved.gamma));
    let mut parts = Vec::new();
    let of_rows = own(gradient, |gradient| {
        parts = each_block(gradient, width, |first, gradient| {
            let mut sums = vec![0.0; 2 * width];
            let (of_gamma, of_beta) = sums.split_at_mut(width);
            let input = &rows[first * width..][..gradient.len()];
            row_gradients(input, &saved.moments[first..], scale, gradient, of_gamma, of_beta);
            sums
        });
    });
    let mut of_gamma = sum_of(parts, 2 * width);
    let of_beta = of_gamma.split_off(width);
    [of_rows, vector(of_gamma), vector(of_beta)]
}

vectorised! {
    fn add(x: &'a mut [f32], y: &'a [f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

vectorised! {
    /// Each row normalised in its place; of each the mean and `1/σ`.
    fn normalise_rows(rows: &'a mut [f32], scale: &'a [f32], shift: &'a [f32], epsilon: f32) -> Vec<[f32; 2]> {
        let width = scale.len();
        let shift = &shift[..width];
        let mut moments = Vec::with_capacity(rows.len() / width);
        for row in rows.chunks_exact_mut(width) {
            let mean = sum!(width, |at| row[at]) / width as f32;
            let squares = sum!(width, |at| (row[at] - mean) * (row[at] - mean));
            let inverse = 1.0 / (squares / width as f32 + epsilon).sqrt();
            for at in 0..width {
                row[at] = ((row[at] - mean) * inverse).mul_add(scale[at], shift[at]);
            }
            moments.push([mean, inverse]);
        }
        moments
    }
}

vectorised! {
    /// `(g − mean(g) − x̂·mean(g·x̂)) / σ` with `g` the gradient times the scale, in place of the gradient; what scale
    /// and shift get is added to theirs.
    fn row_gradients(
        rows: &'a [f32],
        moments: &'a [[f32; 2]],
        scale: &'a [f32],
        gradients: &'a mut [f32],
        of_gamma: &'a mut [f32],
        of_beta: &'a mut [f32],
    ) {
        let width = scale.len();
        let (of_gamma, of_beta) = (&mut of_gamma[..width], &mut of_beta[..width]);
        let rows = rows.chunks_exact(width).zip(moments);
        for (gradient, (row, &[mean, inverse])) in gradients.chunks_exact_mut(width).zip(rows) {
            let across = sum!(width, |at| gradient[at] * scale[at]) / width as f32;
            let along = sum!(width, |at| gradient[at] * scale[at] * ((row[at] - mean) * inverse)) / width as f32;
            for at in 0..width {
                let (of_output, hat) = (gradient[at], (row[at] - mean) * inverse);
                of_gamma[at] = of_output.mul_add(hat, of_gamma[at]);
                of_beta[at] += of_output;
                gradient[at] = (of_output * scale[at] - across - hat * along) * inverse;
            }
        }
    }
}
