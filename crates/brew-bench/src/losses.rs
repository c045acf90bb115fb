//! Each of TextBrewer's losses, forward and backward.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use brew::losses::{FeatureTensor, LossInput, LossRegistry, Temperature, kd_ce_loss, kd_mse_loss};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use crate::measure::{Part, measure};
use crate::task::Losses;

/// The temperature of the soft labels.
const TEMPERATURE: f64 = 4.0;

/// Losses on intermediate features: the name here and in TextBrewer, and which tensors it compares.
const OF_FEATURES: [(&str, Features); 9] = [
    ("attention_mse", Features::Attention),
    ("attention_mse_sum", Features::Attention),
    ("attention_ce", Features::Attention),
    ("attention_ce_mean", Features::Attention),
    ("hidden_mse", Features::Projected(1)),
    ("cos", Features::Projected(1)),
    ("pkd", Features::Projected(1)),
    ("fsp", Features::Projected(2)),
    ("nst", Features::Hidden(2)),
];

/// What is compared, of so many layers.
#[derive(Debug, Clone, Copy)]
enum Features {
    /// Scores of attention, `[batch, heads, length, length]`.
    Attention,
    /// Hidden states of the teacher's width: the projection is not measured.
    Projected(usize),
    /// Hidden states of each model's own width.
    Hidden(usize),
}

impl Features {
    fn names(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Attention => ("student_attention", "teacher_attention", 1),
            Self::Projected(layers) => ("student_projected", "teacher_hidden", layers),
            Self::Hidden(layers) => ("student_hidden", "teacher_hidden", layers),
        }
    }
}

/// The tensors of a file.
struct Tensors(Vec<u8>);

impl Tensors {
    fn read(path: &Path) -> Result<Self> {
        Ok(Self(std::fs::read(path).with_context(|| path.display().to_string())?))
    }

    fn get<B: AutodiffBackend, const D: usize>(
        &self,
        name: &str,
        device: &B::Device,
    ) -> Result<Tensor<B, D>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let view = file.tensor(name).with_context(|| name.to_owned())?;
        ensure!(view.dtype() == Dtype::F32, "{name} is of type {:?}, not F32", view.dtype());
        let shape = view.shape().to_vec();
        ensure!(shape.len() == D, "{name} is of shape {shape:?}, not of rank {D}");
        let values = view.data().chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
        Ok(Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), device))
    }
}

pub(crate) fn losses<B: AutodiffBackend>(spec: &Losses, device: &B::Device) -> Result<Vec<Part>> {
    let tensors = Tensors::read(&spec.tensors)?;
    let mask: Tensor<B, 2> = tensors.get("mask", device)?;
    let [batch, _] = mask.dims();
    let mut parts = Vec::new();

    let student = tensors.get::<B, 2>("student_logits", device)?.require_grad();
    let teacher = tensors.get::<B, 2>("teacher_logits", device)?;
    let temperature = Temperature::Scalar(TEMPERATURE);
    for (name, loss) in [("kd_ce", kd_ce_loss::<B> as fn(_, _, &_) -> _), ("kd_mse", kd_mse_loss::<B>)] {
        let (seconds, value) = measure::<B, _>(spec.times, device, || {
            let loss: Tensor<B, 1> = loss(student.clone(), teacher.clone(), &temperature);
            let gradients = loss.backward();
            ensure!(student.grad(&gradients).is_some(), "{name} gives no gradient");
            Ok(loss)
        })?;
        parts.push(Part::new(name, seconds, batch, vec![number(value)]));
    }

    let registry = LossRegistry::<B>::default();
    for (name, features) in OF_FEATURES {
        let loss = registry.get(name)?;
        let (student, teacher, layers) = features.names();
        let input = match features {
            Features::Attention => Compared {
                student: vec![tensors.get::<B, 4>(student, device)?.require_grad()],
                teacher: vec![tensors.get::<B, 4>(teacher, device)?],
            }
            .measured(),
            Features::Projected(_) | Features::Hidden(_) => {
                let read = |name: &str| -> Result<Vec<Tensor<B, 3>>> {
                    (0..layers).map(|layer| tensors.get(&format!("{name}_{layer}"), device)).collect()
                };
                let student = read(student)?.into_iter().map(Tensor::require_grad).collect();
                Compared { student, teacher: read(teacher)? }.measured()
            }
        };
        let (seconds, value) = measure::<B, _>(spec.times, device, || {
            let given = LossInput {
                student: input.student.clone(),
                teacher: input.teacher.clone(),
                mask: Some(mask.clone()),
                teacher_mask: None,
            };
            let value = loss(&given)?;
            let gradients = value.backward();
            ensure!((input.has_gradient)(&gradients), "{name} gives no gradient");
            Ok(value)
        })?;
        parts.push(Part::new(name, seconds, batch, vec![number(value)]));
    }
    Ok(parts)
}

fn number<B: AutodiffBackend>(value: Tensor<B, 1>) -> f64 {
    value.into_data().iter::<f64>().sum()
}

/// The layers of both models.
struct Compared<B: AutodiffBackend, const D: usize> {
    student: Vec<Tensor<B, D>>,
    teacher: Vec<Tensor<B, D>>,
}

/// Whether every layer of the student has a gradient.
type HasGradient<B> = Box<dyn Fn(&<B as AutodiffBackend>::Gradients) -> bool>;

/// The same without their rank.
struct Measured<B: AutodiffBackend> {
    student: Vec<FeatureTensor<B>>,
    teacher: Vec<FeatureTensor<B>>,
    has_gradient: HasGradient<B>,
}

impl<B: AutodiffBackend, const D: usize> Compared<B, D> {
    fn measured(self) -> Measured<B>
    where
        FeatureTensor<B>: From<Tensor<B, D>>,
    {
        Measured {
            student: self.student.iter().cloned().map(FeatureTensor::from).collect(),
            teacher: self.teacher.into_iter().map(FeatureTensor::from).collect(),
            has_gradient: Box::new(move |gradients| {
                self.student.iter().all(|layer| layer.grad(gradients).is_some())
            }),
        }
    }
}
