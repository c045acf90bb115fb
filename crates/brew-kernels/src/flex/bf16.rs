//! Products of numbers rounded to bfloat16, summed in f32.
//!
//! bfloat16 is the upper half of an f32: its exponent, and 8 bits of precision.

use gemmkit::{MatMut, MatRef, Parallelism, bf16};
use rayon::prelude::*;

use super::matrix::{Matrix, is_worth_sharing};
use super::vector::vectorised;

/// How many numbers a thread converts at once.
const BLOCK: usize = 32 * 1024;

/// Whether the processor has an instruction that multiplies bfloat16 numbers.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `a·b`, each number of both and of the product rounded to bfloat16, added to rows that are there.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn add_product(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    let (rows, columns) = (a.rows(), b.columns());
    assert_eq!((a.columns(), rows * columns), (b.rows(), output.len()), "the shapes of a product do not fit");
    if output.is_empty() || a.columns() == 0 {
        return;
    }
    let threads = if is_worth_sharing(a, b) { Parallelism::Rayon(0) } else { Parallelism::Serial };
    let (of_a, of_b) = rayon::join(|| rounded(a.values()), || rounded(b.values()));
    let mut products = vec![bf16::ZERO; output.len()];
    gemmkit::gemm(
        bf16::ONE,
        view(&of_a, a),
        view(&of_b, b),
        bf16::ZERO,
        MatMut::from_row_major(&mut products, rows, columns),
        threads,
    );
    output.par_chunks_mut(BLOCK).zip(products.par_chunks(BLOCK)).for_each(|(to, from)| add(to, from));
}

fn view<'a>(values: &'a [bf16], of: Matrix<'_>) -> MatRef<'a, bf16> {
    let (row, column) = of.strides();
    MatRef::new(values, of.rows(), of.columns(), row as isize, column as isize)
}

fn rounded(values: &[f32]) -> Vec<bf16> {
    let mut rounded = vec![bf16::ZERO; values.len()];
    rounded.par_chunks_mut(BLOCK).zip(values.par_chunks(BLOCK)).for_each(|(to, from)| round(to, from));
    rounded
}

vectorised! {
    /// To the nearest, of two to the even one.
    fn round(to: &'a mut [bf16], from: &'a [f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            let bits = from.to_bits();
            let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            // One that is none stays one, whatever its lower bits.
            let bits = if from.is_nan() { bits | 0x0040_0000 } else { nearest };
            *to = bf16::from_bits((bits >> 16) as u16);
        }
    }
}

vectorised! {
    fn add(to: &'a mut [f32], from: &'a [bf16]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_the_half_crate_rounds() {
        let bits = (0..=u32::MAX).step_by(65_521);
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1.003_906_2];
        let values: Vec<f32> = bits.map(f32::from_bits).chain(special).collect();
        for (value, found) in values.iter().zip(rounded(&values)) {
            let expected = bf16::from_f32(*value);
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{value:e}: {found} where {expected}"
            );
        }
    }

    #[test]
    fn a_product_is_that_of_the_rounded_numbers_rounded() {
        // The shapes fill no vector and no block; the second is one that is shared among threads.
        for (rows, inner, columns) in [(5, 7, 3), (131, 257, 129)] {
            let numbers = |salt: u64, count: usize| brew_random::Key::new(salt).normal(count, 1.0);
            let (a, b) = (numbers(1, rows * inner), numbers(2, inner * columns));
            let mut found = vec![0.5; rows * columns];
            add_product(
                &mut found,
                Matrix::new(&a, rows, inner, inner),
                Matrix::new(&b, inner, columns, columns),
            );
            let exact = |values: &[f32]| -> Vec<f64> {
                values.iter().map(|&value| bf16::from_f32(value).to_f64()).collect()
            };
            let (a, b) = (exact(&a), exact(&b));
            for row in 0..rows {
                for column in 0..columns {
                    let terms = (0..inner).map(|at| a[row * inner + at] * b[at * columns + column]);
                    let (sum, size) =
                        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let error = f64::from(found[row * columns + column]) - 0.5 - sum;
                    // Half a unit of 8 bits, and the rounding of the sum's terms.
                    let allowed = sum.abs() / 256.0 + size * 1e-6 + 1e-6;
                    assert!(error.abs() <= allowed, "{row}, {column}: off by {error} of {sum}");
                }
            }
        }
    }
}
