//! Relational knowledge distillation: distances and angles between the sequences of a batch.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::hidden::ZERO_SQUARED_NORM;
use crate::masking::{counted_mean, counted_pairs, counted_triples};
use crate::sequences::Sequences;
use crate::{LossError, LossInput};

/// Mean distances up to this are taken for zero.
const ZERO_DISTANCE: f64 = 1e-15;

/// Huber loss of the distances between sequences (RKD-D, <https://arxiv.org/abs/1904.05068>).
///
/// `l(d_S(i, j)/μ_S − d_T(i, j)/μ_T)`, averaged over ordered pairs i ≠ j: `d` is the Euclidean distance of
/// the states at position 0, `μ` the mean of a model's distances, `l(x)` = x²/2 up to |x| = 1 and |x| − ½
/// beyond. Sequences of which no token counts are left out. A gradient of 0 flows through the distance of
/// equal states; where all are equal the distances stay 0.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself, of any width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
///
/// ```
/// use brew_losses::{LossInput, rkd_distance_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// // The same triangle, four times as large and in another space.
/// let student = Tensor::<TestBackend, 2>::from_floats([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], &device);
/// let teacher = Tensor::<_, 2>::from_floats([[7.0, 0.0, 0.0], [7.0, 12.0, 0.0], [7.0, 0.0, 16.0]], &device);
/// let input = LossInput { student: vec![student.into()], teacher: vec![teacher.into()], mask: None, teacher_mask: None };
/// assert!(rkd_distance_loss(&input)?.into_scalar() < 1e-10);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn rkd_distance_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let Sequences { student, teacher, counted } = Sequences::new("rkd_distance", input)?;
    let pairs = counted_pairs(counted);
    let relation = |states: Tensor<B, 2>| {
        let distances = Differences::new(states).distances();
        let mean = counted_mean(distances.clone(), pairs.clone());
        let is_zero = mean.clone().lower_equal_elem(ZERO_DISTANCE);
        distances / mean.mask_fill(is_zero, 1.0).unsqueeze_dim::<2>(1)
    };
    let difference = relation(student) - relation(teacher);
    Ok(counted_mean(huber(difference), pairs))
}

/// Huber loss of the angles between sequences (RKD-A, <https://arxiv.org/abs/1904.05068>).
///
/// `l(cos ∠_S(i, j, k) − cos ∠_T(i, j, k))`, averaged over ordered triples of different i, j, k: the angle
/// is the one at j between the states of i and k at position 0, `l` as in [`rkd_distance_loss`]. Sequences
/// of which no token counts are left out. The cosine at a state that equals i's or k's is 0. Takes memory
/// for batch² · hidden and batch³ numbers.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself, of any width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn rkd_angle_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let Sequences { student, teacher, counted } = Sequences::new("rkd_angle", input)?;
    let triples = counted_triples(counted);
    let cosines = |states: Tensor<B, 2>| {
        let directions = Differences::new(states).directions();
        directions.clone().matmul(directions.swap_dims(1, 2))
    };
    let difference = cosines(student) - cosines(teacher);
    Ok(counted_mean(huber(difference), triples))
}

/// Differences of all pairs of states.
struct Differences<B: Backend> {
    /// `[batch, batch, width]`
    vectors: Tensor<B, 3>,
    /// `[batch, batch, 1]`
    squared_norms: Tensor<B, 3>,
}

impl<B: Backend> Differences<B> {
    fn new(states: Tensor<B, 2>) -> Self {
        // Not from the products of the states: their rounding would hide small distances.
        let vectors = states.clone().unsqueeze_dim::<3>(1) - states.unsqueeze_dim::<3>(0);
        let squared_norms = vectors.clone().square().sum_dim(2);
        Self { vectors, squared_norms }
    }

    /// Norms, with a gradient of 0 where they are 0, `[batch, batch]`.
    fn distances(self) -> Tensor<B, 2> {
        let is_zero = self.squared_norms.clone().lower_equal_elem(ZERO_SQUARED_NORM);
        let norms = self.squared_norms.mask_fill(is_zero.clone(), 1.0).sqrt();
        norms.mask_fill(is_zero, 0.0).squeeze_dim(2)
    }

    /// Vectors of norm 1 or 0, `[batch, batch, width]`.
    fn directions(self) -> Tensor<B, 3> {
        let shape = self.vectors.dims();
        let is_zero = self.squared_norms.clone().lower_equal_elem(ZERO_SQUARED_NORM);
        let norms = self.squared_norms.mask_fill(is_zero.clone(), 1.0).sqrt();
        (self.vectors / norms).mask_fill(is_zero.expand(shape), 0.0)
    }
}

/// x²/2 up to |x| = 1, and |x| − ½ beyond.
fn huber<B: Backend, const D: usize>(difference: Tensor<B, D>) -> Tensor<B, D> {
    let size = difference.abs();
    let inner = size.clone().clamp_max(1.0);
    inner.clone() * (size - inner * 0.5)
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, finite_gradient, numbers};

    type Loss<B> = fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError>;

    const LOSSES: [Loss<TestAutodiffBackend>; 2] = [rkd_distance_loss, rkd_angle_loss];

    fn input<const S: usize, const T: usize>(
        student: [[f32; S]; 4],
        teacher: [[f32; T]; 4],
    ) -> LossInput<TestBackend> {
        let device = Default::default();
        LossInput {
            student: vec![Tensor::<_, 2>::from_floats(student, &device).into()],
            teacher: vec![Tensor::<_, 2>::from_floats(teacher, &device).into()],
            mask: None,
            teacher_mask: None,
        }
    }

    /// Four corners of a square, and four points on a line.
    const SQUARE: [[f32; 2]; 4] = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
    const LINE: [[f32; 1]; 4] = [[0.0], [1.0], [2.0], [3.0]];

    #[test]
    fn distances_by_hand() {
        // The square's six distances are 4 times 1 and 2 times √2, the line's 1 2 3 1 2 1.
        let square = (4.0 + 2.0 * 2f32.sqrt()) / 6.0;
        let line = 10.0 / 6.0;
        let pairs = [(1.0, 1.0), (2f32.sqrt(), 2.0), (1.0, 3.0), (1.0, 1.0), (2f32.sqrt(), 2.0), (1.0, 1.0)];
        let expected: f32 = pairs
            .map(|(of_square, of_line)| 0.5 * (of_square / square - of_line / line).powi(2))
            .iter()
            .sum::<f32>()
            / 6.0;
        let loss = rkd_distance_loss(&input(SQUARE, LINE)).unwrap().into_scalar();
        assert_close(&[loss], &[expected], 1e-5, 0.0, "loss");
    }

    #[test]
    fn angles_by_hand() {
        // At each corner of the square: cos 45°, 45° and 90°. On the line: at the ends 1, 1, 1; inside −1, −1
        // and 1. At vertex 0 the others are 1, 2, 3, of which 1 and 3 are at a right angle.
        let diagonal = 0.5f32.sqrt();
        let huber = |x: f32| if x.abs() <= 1.0 { 0.5 * x * x } else { x.abs() - 0.5 };
        let vertices = [
            [diagonal - 1.0, 0.0 - 1.0, diagonal - 1.0],
            [0.0 + 1.0, diagonal + 1.0, diagonal - 1.0],
            [diagonal - 1.0, 0.0 + 1.0, diagonal + 1.0],
            [diagonal - 1.0, 0.0 - 1.0, diagonal - 1.0],
        ];
        let expected = vertices.as_flattened().iter().copied().map(huber).sum::<f32>() / 12.0;
        let loss = rkd_angle_loss(&input(SQUARE, LINE)).unwrap().into_scalar();
        assert_close(&[loss], &[expected], 1e-5, 0.0, "loss");
    }

    #[test]
    fn a_turned_and_stretched_figure_has_the_same_relations() {
        let turned = SQUARE.map(|[x, y]| [5.0 - 3.0 * y, 2.0, 3.0 * x]);
        for loss in [rkd_distance_loss, rkd_angle_loss] {
            assert_close(&[loss(&input(SQUARE, turned)).unwrap().into_scalar()], &[0.0], 0.0, 1e-10, "loss");
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([5, 3], 5), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats(
            [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0]],
            &device,
        );
        for loss in LOSSES {
            for mask in [None, Some(mask.clone())] {
                assert_gradient::<3>(numbers([5, 2, 4], 4), |student| {
                    loss(&LossInput {
                        student: vec![student.into()],
                        teacher: vec![teacher.clone().into()],
                        mask: mask.clone(),
                        teacher_mask: None,
                    })
                    .unwrap()
                });
            }
        }
    }

    #[test]
    fn a_sequence_that_is_all_padding_is_left_out_whatever_it_holds() {
        let device = Default::default();
        let rows = |kept: usize, salt: u32, last: f32| {
            let states = Tensor::<TestAutodiffBackend, 3>::from_data(numbers([4, 2, 3], salt), &device);
            match kept {
                4 => states.slice_fill(3..4, last),
                _ => states.narrow(0, 0, kept),
            }
        };
        let mask = Tensor::from_floats([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], &device);
        for loss in LOSSES {
            let whole = LossInput {
                student: vec![rows(4, 1, f32::NAN).into()],
                teacher: vec![rows(4, 2, f32::NAN).into()],
                mask: Some(mask.clone()),
                teacher_mask: None,
            };
            let three = LossInput {
                student: vec![rows(3, 1, 0.0).into()],
                teacher: vec![rows(3, 2, 0.0).into()],
                mask: None,
                teacher_mask: None,
            };
            let (whole, three) = (loss(&whole).unwrap().into_scalar(), loss(&three).unwrap().into_scalar());
            assert_close(&[whole], &[three], 1e-6, 0.0, "loss");
        }
    }

    #[test]
    fn equal_points_few_points_and_none_are_finite_in_value_and_gradient() {
        let device = Default::default();
        let teachers: [TensorData; 2] = [numbers([4, 3], 5), TensorData::from([[7.0f32; 3]; 4])];
        let students: [TensorData; 3] = [
            TensorData::from([[0.0f32; 3]; 4]),
            TensorData::from([[1.0f32, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.0]]),
            numbers([4, 3], 6),
        ];
        let none = Tensor::<TestAutodiffBackend, 2>::zeros([4, 2], &device);
        for (loss, batch) in LOSSES.iter().flat_map(|loss| (1..=4).map(move |batch| (loss, batch))) {
            for (student, teacher) in
                students.iter().flat_map(|student| teachers.iter().map(move |teacher| (student, teacher)))
            {
                for mask in [None, Some(none.clone())] {
                    let is_masked = mask.is_some();
                    let rows = |data: &TensorData| {
                        Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device).narrow(0, 0, batch)
                    };
                    let mask = mask.map(|mask| mask.narrow(0, 0, batch));
                    let (value, gradient) = finite_gradient(rows(student), |student| {
                        let teacher = vec![rows(teacher).into()];
                        loss(&LossInput { student: vec![student.into()], teacher, mask, teacher_mask: None })
                            .unwrap()
                    });
                    if is_masked || batch == 1 {
                        assert_eq!(value, 0.0);
                        assert!(gradient.iter().all(|entry| *entry == 0.0), "{gradient:?}");
                    }
                }
            }
        }
    }
}
