//! Earth mover's distance: many layers of the teacher to many of the student, at the least cost.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::transport_problem::{TransportPlan, transport_plan};
use crate::{LossError, LossInput, Side, hidden_mse_loss};

/// An earth mover's distance and the flow that attains it.
#[derive(Debug, Clone)]
pub struct EarthMover<B: Backend> {
    /// `Σ flow · cost`, `[1]`.
    pub loss: Tensor<B, 1>,
    /// The flow, a constant of the loss.
    pub plan: TransportPlan,
}

/// Least cost of moving the masses `supply` of the rows to the masses `demand` of the columns (Rubner et
/// al., <https://doi.org/10.1023/A:1026543900054>; between layers as in BERT-EMD,
/// <https://arxiv.org/abs/2010.06133>).
///
/// `Σ f_ij cost_ij` with the optimal flow `f`, which is computed exactly from the values of the costs and
/// is a constant of the loss: the gradient for `cost_ij` is `f_ij`. Reads the costs back from the device.
///
/// # Shapes
/// - `cost`: `[rows, columns]`
/// - `supply`: one mass a row, `demand`: one a column, with equal sums
///
/// # Errors
/// [`LossError::Transport`], as [`transport_plan`].
///
/// ```
/// use brew_losses::earth_mover;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let cost = Tensor::<TestBackend, 2>::from_floats([[1.0, 4.0], [2.0, 1.0]], &Default::default());
/// let distance = earth_mover(cost, &[0.5, 0.5], &[0.25, 0.75])?;
/// assert_eq!(distance.plan.flow, [[0.25, 0.25], [0.0, 0.5]]);
/// assert_eq!(distance.loss.into_scalar(), 0.25 + 1.0 + 0.5);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn earth_mover<B: Backend>(
    cost: Tensor<B, 2>,
    supply: &[f64],
    demand: &[f64],
) -> Result<EarthMover<B>, LossError> {
    let [rows, columns] = cost.dims();
    let values: Vec<f64> = cost.clone().detach().into_data().iter::<f64>().collect();
    let values: Vec<Vec<f64>> = match columns {
        0 => vec![Vec::new(); rows],
        _ => values.chunks(columns).map(<[f64]>::to_vec).collect(),
    };
    let plan = transport_plan(&values, supply, demand)?;
    let flow: Vec<f64> = plan.flow.concat();
    let flow = TensorData::new(flow, [rows, columns]);
    let flow = Tensor::<B, 2>::from_data(flow, (&cost.device(), cost.dtype()));
    Ok(EarthMover { loss: (cost * flow).sum(), plan })
}

/// The loss between each layer of the student and each of the teacher, the costs of [`earth_mover`].
///
/// # Shapes
/// - `input`: any number of layers of each model, and their mask
/// - result: `[student's layers, teacher's layers]`
///
/// # Errors
/// Those of `loss`, and a side without layers.
pub fn layer_costs<B: Backend>(
    input: &LossInput<B>,
    loss: impl Fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError>,
) -> Result<Tensor<B, 2>, LossError> {
    for (side, layers) in [(Side::Student, &input.student), (Side::Teacher, &input.teacher)] {
        if layers.is_empty() {
            return Err(LossError::LayerCount { loss: "emd".to_string(), side, expected: 1, found: 0 });
        }
    }
    let mut costs = Vec::with_capacity(input.student.len() * input.teacher.len());
    for student in &input.student {
        for teacher in &input.teacher {
            let pair = LossInput {
                student: vec![student.clone()],
                teacher: vec![teacher.clone()],
                mask: input.mask.clone(),
                teacher_mask: None,
            };
            costs.push(loss(&pair)?);
        }
    }
    Ok(Tensor::cat(costs, 0).reshape([input.student.len(), input.teacher.len()]))
}

/// Earth mover's distance between hidden states of any number of layers (BERT-EMD,
/// <https://arxiv.org/abs/2010.06133>).
///
/// [`earth_mover`] of the costs [`hidden_mse_loss`], where the layers of a model have equal masses that
/// sum to 1. For masses that change over training use [`layer_costs`] and [`earth_mover`].
///
/// # Shapes
/// - student, teacher: any number of `[batch, length, hidden]`
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other, or a cost is not finite.
pub fn emd_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let cost = layer_costs(input, |pair| hidden_mse_loss(pair).map_err(|error| error.renamed("emd")))?;
    let equal = |layers: usize| vec![1.0 / layers as f64; layers];
    Ok(earth_mover(cost, &equal(input.student.len()), &equal(input.teacher.len()))?.loss)
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::FeatureTensor;
    use crate::gradient_check::{assert_gradient, numbers};

    fn layer<B: Backend>(salt: u32) -> FeatureTensor<B> {
        Tensor::<B, 3>::from_data(numbers([2, 3, 2], salt), &Default::default()).into()
    }

    #[test]
    fn the_gradient_of_a_cost_is_its_flow() {
        let device = Default::default();
        let cost = Tensor::<TestAutodiffBackend, 2>::from_floats([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0]], &device)
            .require_grad();
        let distance = earth_mover(cost.clone(), &[0.5, 0.5], &[0.25, 0.5, 0.25]).unwrap();
        assert_eq!(distance.plan.flow, [[0.0, 0.5, 0.0], [0.25, 0.0, 0.25]]);
        let gradient = cost.grad(&distance.loss.backward()).unwrap().into_data().to_vec::<f32>().unwrap();
        assert_eq!(gradient, [0.0, 0.5, 0.0, 0.25, 0.0, 0.25]);
        assert_eq!(distance.loss.into_scalar(), 1.75);
    }

    #[test]
    fn one_layer_of_the_student_learns_from_all_of_the_teacher() {
        let input = LossInput::<TestBackend> {
            student: vec![layer(1)],
            teacher: vec![layer(2), layer(3)],
            mask: Some(Tensor::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &Default::default())),
            teacher_mask: None,
        };
        let alone = |index: usize| {
            let teacher = vec![input.teacher[index].clone()];
            hidden_mse_loss(&LossInput { teacher, ..input.clone() }).unwrap().into_scalar()
        };
        let expected = (alone(0) + alone(1)) / 2.0;
        assert_close(&[emd_loss(&input).unwrap().into_scalar()], &[expected], 1e-6, 0.0, "loss");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        for mask in [None, Some(mask)] {
            assert_gradient::<3>(numbers([2, 3, 2], 6), |student| {
                emd_loss(&LossInput {
                    student: vec![student.into(), layer(4)],
                    teacher: vec![layer(1), layer(2), layer(3)],
                    mask: mask.clone(),
                    teacher_mask: None,
                })
                .unwrap()
            });
        }
    }

    #[test]
    fn a_side_without_layers_and_costs_that_are_no_numbers_are_errors() {
        let input = LossInput::<TestBackend> {
            student: vec![],
            teacher: vec![layer(1)],
            mask: None,
            teacher_mask: None,
        };
        let error = emd_loss(&input).unwrap_err();
        assert!(matches!(&error, LossError::LayerCount { side: Side::Student, found: 0, .. }), "{error}");

        let lost = Tensor::<TestBackend, 3>::full([2, 3, 2], f32::NAN, &Default::default());
        let input =
            LossInput { student: vec![lost.into()], teacher: vec![layer(1)], mask: None, teacher_mask: None };
        let error = emd_loss(&input).unwrap_err().to_string();
        assert!(error.contains("NaN"), "{error}");
    }
}
