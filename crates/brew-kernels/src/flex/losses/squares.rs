//! Sums of squares with weights, and what they are by each number.

use crate::flex::vector::{sum, vectorised};

vectorised! {
    /// `Σ w_q Σ m_k d²` over rows of differences `d`, each of which becomes `scale · w_q · m_k · d`.
    ///
    /// A row of weight 0 becomes zeros.
    pub(super) fn weigh_rows(rows: &'a mut [f32], weights: &'a [f32], keys: &'a [f32], scale: f32) -> f64 {
        let mut total = 0.0;
        for (row, &weight) in rows.chunks_exact_mut(keys.len()).zip(weights) {
            total += weigh(row, weight, keys, scale);
        }
        total
    }
}

vectorised! {
    /// `Σ d²` over differences `d`, each of which becomes `scale · d`.
    pub(super) fn weigh_all(values: &'a mut [f32], scale: f32) -> f64 {
        f64::from(square(values, scale))
    }
}

vectorised! {
    /// As [`weigh_rows`] of `student − teacher`.
    pub(super) fn weigh_differences(
        student: &'a [f32],
        teacher: &'a [f32],
        gradient: &'a mut [f32],
        weights: &'a [f32],
        keys: &'a [f32],
        scale: f32,
    ) -> f64 {
        let width = keys.len();
        let mut total = 0.0;
        for (rows, &weight) in rows(student, teacher, gradient, width).zip(weights) {
            let (gradient, (student, teacher)) = rows;
            if weight != 0.0 {
                let both = student.iter().zip(teacher).zip(keys);
                for (gradient, ((student, teacher), &key)) in gradient.iter_mut().zip(both) {
                    *gradient = if key == 0.0 { 0.0 } else { student - teacher };
                }
            }
            total += weigh(gradient, weight, keys, scale);
        }
        total
    }
}

vectorised! {
    /// `Σ w (student − teacher)²` over rows with weights, and by the student times `scale / 2`.
    pub(super) fn row_differences(
        student: &'a [f32],
        teacher: &'a [f32],
        gradient: &'a mut [f32],
        weights: &'a [f32],
        scale: f32,
    ) -> f64 {
        let width = gradient.len() / weights.len();
        let mut total = 0.0;
        for (rows, &weight) in rows(student, teacher, gradient, width).zip(weights) {
            let (gradient, (student, teacher)) = rows;
            if weight == 0.0 {
                gradient.fill(0.0);
                continue;
            }
            for (gradient, (student, teacher)) in gradient.iter_mut().zip(student.iter().zip(teacher)) {
                *gradient = student - teacher;
            }
            total += f64::from(weight * square(gradient, weight * scale));
        }
        total
    }
}

vectorised! {
    /// `Σ (student − teacher)²`, and by the student times `scale / 2`.
    pub(super) fn differences(student: &'a [f32], teacher: &'a [f32], gradient: &'a mut [f32], scale: f32) -> f64 {
        let mut total = 0.0;
        for (gradient, (student, teacher)) in rows(student, teacher, gradient, PART) {
            for (gradient, (student, teacher)) in gradient.iter_mut().zip(student.iter().zip(teacher)) {
                *gradient = student - teacher;
            }
            total += f64::from(square(gradient, scale));
        }
        total
    }
}

vectorised! {
    /// As [`differences`] where each of both is 0 if it is itself at most `threshold`.
    pub(super) fn differences_above(
        student: &'a [f32],
        teacher: &'a [f32],
        gradient: &'a mut [f32],
        threshold: f32,
        scale: f32,
    ) -> f64 {
        let mut total = 0.0;
        for (gradient, (student, teacher)) in rows(student, teacher, gradient, PART) {
            for (gradient, (&student, &teacher)) in gradient.iter_mut().zip(student.iter().zip(teacher)) {
                let above = if student <= threshold { 0.0 } else { student };
                *gradient = above - if teacher <= threshold { 0.0 } else { teacher };
            }
            total += f64::from(sum!(gradient.len(), |at| gradient[at] * gradient[at]));
            for (gradient, &student) in gradient.iter_mut().zip(student) {
                *gradient = if student <= threshold { 0.0 } else { *gradient * scale };
            }
        }
        total
    }
}

/// How many numbers are summed up in single precision.
const PART: usize = 1024;

/// Rows of the gradient with the student's and the teacher's; the last may be shorter.
#[inline(always)]
fn rows<'a>(
    student: &'a [f32],
    teacher: &'a [f32],
    gradient: &'a mut [f32],
    width: usize,
) -> impl Iterator<Item = (&'a mut [f32], (&'a [f32], &'a [f32]))> {
    gradient.chunks_mut(width).zip(student.chunks(width).zip(teacher.chunks(width)))
}

#[inline(always)]
fn weigh(row: &mut [f32], weight: f32, keys: &[f32], scale: f32) -> f64 {
    let width = keys.len();
    let row = &mut row[..width];
    if weight == 0.0 {
        row.fill(0.0);
        return 0.0;
    }
    let squares = sum!(width, |at| row[at] * row[at] * keys[at]);
    for at in 0..width {
        row[at] *= keys[at] * (weight * scale);
    }
    f64::from(weight * squares)
}

#[inline(always)]
fn square(values: &mut [f32], scale: f32) -> f32 {
    let squares = sum!(values.len(), |at| values[at] * values[at]);
    for value in values {
        *value *= scale;
    }
    squares
}
