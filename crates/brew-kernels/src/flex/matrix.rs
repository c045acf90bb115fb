//! Products of matrices that are parts of slices.

use gemm::Parallelism;

/// A matrix in a slice: its rows `row` numbers apart, its columns `column`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

/// A matrix to be written: no two of its numbers have one place.
pub(super) struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers one after the other, each starting `row` numbers after the one before.
    ///
    /// # Panics
    /// If the slice is too short for it.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize, row: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row), "{rows} rows are not in {} numbers", values.len());
        Self { values, rows, columns, row, column: 1 }
    }

    /// The slice that it is a part of.
    pub(super) fn values(self) -> &'a [f32] {
        self.values
    }

    pub(super) fn rows(self) -> usize {
        self.rows
    }

    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// How many numbers rows are apart, and columns.
    pub(super) fn strides(self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row: self.column,
            column: self.row,
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// As [`Matrix::new`].
    ///
    /// # Panics
    /// If the slice is too short for it, or rows overlap.
    pub(super) fn new(values: &'a mut [f32], rows: usize, columns: usize, row: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row), "{rows} rows are not in {} numbers", values.len());
        assert!(rows <= 1 || row >= columns, "rows of {columns} numbers overlap when {row} apart");
        Self { values, rows, columns, row }
    }
}

/// Whether the last number of the last row is among them.
fn fits(length: usize, rows: usize, columns: usize, row: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row + columns <= length
}

/// What becomes of the numbers that stand where a product goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// They are overwritten.
    Empty,
    /// The product is added to them.
    Sum,
}

/// Below as many multiplications a product stays on its thread.
const WORTH_SHARING: usize = 1 << 22;

/// `output ← [output] + scale·a·b`, on as many threads as are worth it.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn multiply(output: MatrixMut<'_>, into: Into, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    multiply_on(threads_for(a, b), output, into, scale, a, b);
}

/// The same on this thread alone, for work that is shared otherwise.
pub(super) fn multiply_here(output: MatrixMut<'_>, into: Into, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    multiply_on(Parallelism::None, output, into, scale, a, b);
}

/// `a·b`, in memory of its own, which is written once.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let (rows, columns) = (a.rows, b.columns);
    if a.columns == 0 {
        return vec![0.0; rows * columns];
    }
    let mut values = Vec::with_capacity(rows * columns);
    let output = Output { values: values.as_mut_ptr(), rows, columns, row: columns };
    // SAFETY: the vector has room for the output's numbers and nobody else has it; they are not read before they are
    // written, for nothing is added to them, and `run` writes all of them.
    #[expect(unsafe_code, reason = "the numbers need not be written twice")]
    unsafe {
        run(threads_for(a, b), output, Into::Empty, 1.0, a, b);
        values.set_len(rows * columns);
    }
    values
}

/// As many threads as a product is worth.
fn threads_for(a: Matrix<'_>, b: Matrix<'_>) -> Parallelism {
    if is_worth_sharing(a, b) { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// Whether more than one thread is worth it.
pub(super) fn is_worth_sharing(a: Matrix<'_>, b: Matrix<'_>) -> bool {
    a.rows * a.columns * b.columns >= WORTH_SHARING
}

fn multiply_on(
    threads: Parallelism,
    output: MatrixMut<'_>,
    into: Into,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    let MatrixMut { values, rows, columns, row } = output;
    if a.columns == 0 {
        assert_eq!((a.rows, b.columns), (rows, columns), "the shapes of a product do not fit");
        if into == Into::Empty && columns > 0 {
            (0..rows).for_each(|at| values[at * row..at * row + columns].fill(0.0));
        }
        return;
    }
    let output = Output { values: values.as_mut_ptr(), rows, columns, row };
    // SAFETY: the constructor of `MatrixMut` has compared the place of the output's last number with the slice's
    // length; the slice is borrowed alone, and its numbers are initialised.
    #[expect(unsafe_code, reason = "gemm takes pointers")]
    unsafe {
        run(threads, output, into, scale, a, b);
    }
}

/// Where a product goes, which may be memory that was never written.
struct Output {
    values: *mut f32,
    rows: usize,
    columns: usize,
    row: usize,
}

/// The product, if it is one over more than nothing; all numbers of the output are written.
///
/// # Safety
/// The output's numbers are within one allocation that nobody else reads or writes meanwhile, and no two have one
/// place. They are initialised if the product is added to them.
#[expect(unsafe_code, reason = "gemm takes pointers")]
unsafe fn run(threads: Parallelism, output: Output, into: Into, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let Output { values, rows, columns, row } = output;
    assert_eq!((a.rows, a.columns, b.columns), (rows, b.rows, columns), "the shapes of a product do not fit");
    assert!(a.columns > 0, "a product over nothing");
    if rows == 0 || columns == 0 {
        return;
    }
    // SAFETY: `gemm` reads the numbers of `a` and `b` and writes those of the output at their rows and columns, and
    // no others; it reads the output's if it adds to them. Those of `a` and `b` are inside their slices: the
    // constructor has compared the place of the last one with the slice's length, and exchanging rows and columns
    // keeps it. The caller answers for the output. No dimension is 0.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            a.columns,
            values,
            1,
            row as isize,
            into == Into::Sum,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_parts_and_transposed_parts_are_those_by_hand() {
        // Of each row of four the two in the middle.
        let a = [9.0, 1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 9.0, 9.0, 5.0, 6.0, 9.0];
        let part = Matrix::new(&a[1..], 3, 2, 4);
        let mut output = [7.0; 8];
        multiply(MatrixMut::new(&mut output, 2, 2, 4), Into::Empty, 1.0, part.transposed(), part);
        assert_eq!(output, [35.0, 44.0, 7.0, 7.0, 44.0, 56.0, 7.0, 7.0]);
        multiply_here(MatrixMut::new(&mut output, 2, 2, 4), Into::Sum, -0.5, part.transposed(), part);
        assert_eq!(output, [17.5, 22.0, 7.0, 7.0, 22.0, 28.0, 7.0, 7.0]);
    }

    #[test]
    fn a_product_over_nothing_is_zero() {
        let mut output = [7.0; 4];
        let (a, b) = (Matrix::new(&[], 2, 0, 0), Matrix::new(&[], 0, 2, 2));
        multiply(MatrixMut::new(&mut output, 2, 2, 2), Into::Sum, 1.0, a, b);
        assert_eq!(output, [7.0; 4]);
        multiply(MatrixMut::new(&mut output, 2, 2, 2), Into::Empty, 1.0, a, b);
        assert_eq!(output, [0.0; 4]);
        assert_eq!(product(a, b), [0.0; 4]);
    }

    #[test]
    fn a_product_in_memory_of_its_own_is_that_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0, 2.0]);
        assert_eq!(
            product(Matrix::new(&a, 3, 2, 2), Matrix::new(&b, 2, 2, 2)),
            [-1.0, 4.0, -1.0, 8.0, -1.0, 12.0]
        );
        assert_eq!(product(Matrix::new(&[], 0, 2, 2), Matrix::new(&b, 2, 2, 2)), [0.0; 0]);
    }

    #[test]
    #[should_panic(expected = "3 rows are not in 11 numbers")]
    fn a_matrix_beyond_its_slice_is_refused() {
        Matrix::new(&[0.0; 11], 3, 4, 4);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn shapes_that_do_not_fit_are_refused() {
        let a = Matrix::new(&[0.0; 4], 2, 2, 2);
        multiply(MatrixMut::new(&mut [0.0; 6], 2, 3, 3), Into::Empty, 1.0, a, a);
    }
}
