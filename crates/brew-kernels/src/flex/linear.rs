use burn::tensor::{Shape, TensorMetadata};
use burn_flex::FlexTensor;

use super::Operation;
use super::bf16::{add_product, multiplies_bf16};
use super::matrix::{Into, Matrix, MatrixMut, multiply, product};
use super::rows::{block_rows, sum_of};
use super::storage::{from_values, repeated, values, vector, width, zeros};
use super::vector::vectorised;
use crate::precision::is_bf16;

/// See [`crate::linear`].
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// Whether its products, those of its gradients too, are computed in bfloat16.
    is_bf16: bool,
}

impl Linear {
    /// With products as they are to be computed here and now.
    pub(crate) fn here() -> Self {
        Self { is_bf16: is_bf16() && multiplies_bf16() }
    }

    /// `a·b`.
    fn product(&self, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        if !self.is_bf16 {
            return product(a, b);
        }
        let mut output = zeros(a.rows() * b.columns());
        add_product(&mut output, a, b);
        output
    }

    /// `x·W + b`.
    fn value(&self, x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
        let (rows, outputs) = (x.shape()[0], width(weight));
        let output = match bias {
            None => self.product(matrix(x), matrix(weight)),
            Some(bias) => {
                assert_eq!(values(bias).len(), outputs, "there is not one bias an output");
                let mut output = repeated(values(bias), rows);
                if self.is_bf16 {
                    add_product(&mut output, matrix(x), matrix(weight));
                } else {
                    let into = MatrixMut::new(&mut output, rows, outputs, outputs);
                    multiply(into, Into::Sum, 1.0, matrix(x), matrix(weight));
                }
                output
            }
        };
        from_values(output, Shape::new([rows, outputs]))
    }

    fn gradients(
        &self,
        [x, weight]: &Kept,
        gradient: &FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let ([rows, inputs], outputs) = ([x.shape()[0], width(x)], width(gradient));
        let product = |shape, a, b| from_values(self.product(a, b), Shape::new(shape));
        let of_x = || product([rows, inputs], matrix(gradient), matrix(weight).transposed());
        let of_weight = || product([inputs, outputs], matrix(x).transposed(), matrix(gradient));
        [
            wanted[0].then(of_x),
            wanted[1].then(of_weight),
            wanted[2].then(|| vector(sum_of_rows(values(gradient), outputs))),
        ]
    }
}

/// Rows and weights.
type Kept = [FlexTensor; 2];

impl Operation<2> for Linear {
    type Saved = Kept;

    fn forward(&self, [x, weight]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<Kept>) {
        (self.value(&x, &weight, None), Some([x, weight]))
    }

    fn backward(&self, saved: Kept, gradient: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let [of_x, of_weight, _] = self.gradients(&saved, &gradient, [wanted[0], wanted[1], false]);
        [of_x, of_weight]
    }
}

impl Operation<3> for Linear {
    type Saved = Kept;

    fn forward(&self, [x, weight, bias]: [FlexTensor; 3], _: bool) -> (FlexTensor, Option<Kept>) {
        (self.value(&x, &weight, Some(&bias)), Some([x, weight]))
    }

    fn backward(&self, saved: Kept, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        self.gradients(&saved, &gradient, wanted)
    }
}

/// A tensor's numbers as a matrix.
fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let width = width(tensor);
    let values = values(tensor);
    Matrix::new(values, values.len() / width.max(1), width, width)
}

fn sum_of_rows(values: &[f32], width: usize) -> Vec<f32> {
    use rayon::prelude::*;
    let of_block = |block: &[f32]| {
        let mut sum = vec![0.0; width];
        add_rows(&mut sum, block);
        sum
    };
    let blocks = values.par_chunks((block_rows(width) * width).max(1));
    sum_of(blocks.map(of_block).collect(), width)
}

vectorised! {
    fn add_rows(sum: &'a mut [f32], rows: &'a [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}
