//! Every case of the golden `losses.json`, value and gradient, on two CPU backends.

use brew_config::NstScale;
use brew_losses::{
    FeatureTensor, LossInput, LossRegistry, Temperature, cwsm_temperature, flsw_temperature, kd_ce_loss,
    kd_mse_loss, probability_shift, select_positions,
};
use brew_testkit::{GoldenTensor, TestAutodiffBackend, assert_close, golden_dirs, read_json};
use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use serde::Deserialize;

const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goldens {
    #[serde(rename = "source")]
    _source: serde::de::IgnoredAny,
    losses: Vec<LossCase>,
    helpers: Vec<HelperCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LossCase {
    loss_fn: String,
    student: Vec<GoldenTensor>,
    teacher: Vec<GoldenTensor>,
    mask: Option<GoldenTensor>,
    temperature: Option<GoldenTemperature>,
    loss: f32,
    grad_student: Vec<GoldenTensor>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GoldenTemperature {
    Scalar(f64),
    PerPosition(GoldenTensor),
}

#[derive(Deserialize)]
#[serde(tag = "fn", rename_all = "snake_case", deny_unknown_fields)]
enum HelperCase {
    Flsw {
        beta: f64,
        gamma: f64,
        temperature: f64,
        student: GoldenTensor,
        teacher: GoldenTensor,
        out: GoldenTensor,
    },
    Cwsm {
        beta: f64,
        temperature: f64,
        student: GoldenTensor,
        teacher: GoldenTensor,
        out: GoldenTensor,
    },
    ProbabilityShift {
        teacher: GoldenTensor,
        labels: GoldenTensor,
        out: GoldenTensor,
    },
    LogitsMask {
        logits: GoldenTensor,
        mask: GoldenTensor,
        out: GoldenTensor,
    },
}

fn feature<B: Backend>(golden: &GoldenTensor, device: &B::Device) -> FeatureTensor<B> {
    let data = golden.to_data();
    match golden.shape.len() {
        2 => Tensor::<B, 2>::from_data(data, device).into(),
        3 => Tensor::<B, 3>::from_data(data, device).into(),
        4 => Tensor::<B, 4>::from_data(data, device).into(),
        rank => panic!("a golden feature of rank {rank}, shape {:?}", golden.shape),
    }
}

fn positions<B: Backend>(golden: &GoldenTensor, device: &B::Device) -> Tensor<B, 2> {
    feature::<B>(golden, device).into_positions()
}

fn flat<B: Backend>(golden: &GoldenTensor, device: &B::Device) -> Tensor<B, 1> {
    Tensor::from_data(TensorData::new(golden.data.clone(), [golden.data.len()]), device)
}

fn labels<B: Backend>(golden: &GoldenTensor, device: &B::Device) -> Tensor<B, 1, Int> {
    let labels: Vec<i64> = golden.data.iter().map(|label| *label as i64).collect();
    Tensor::from_data(TensorData::new(labels, [golden.data.len()]), device)
}

fn tracked<B: AutodiffBackend>(feature: FeatureTensor<B>) -> FeatureTensor<B> {
    match feature {
        FeatureTensor::D2(tensor) => tensor.require_grad().into(),
        FeatureTensor::D3(tensor) => tensor.require_grad().into(),
        FeatureTensor::D4(tensor) => tensor.require_grad().into(),
    }
}

fn gradient<B: AutodiffBackend>(
    feature: &FeatureTensor<B>,
    gradients: &B::Gradients,
    what: &str,
) -> Vec<f32> {
    let data = match feature {
        FeatureTensor::D2(tensor) => tensor.grad(gradients).map(Tensor::into_data),
        FeatureTensor::D3(tensor) => tensor.grad(gradients).map(Tensor::into_data),
        FeatureTensor::D4(tensor) => tensor.grad(gradients).map(Tensor::into_data),
    };
    values(data.unwrap_or_else(|| panic!("{what}: the student has no gradient")))
}

fn values(data: TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

fn check_loss<B: AutodiffBackend>(case: &LossCase, what: &str) {
    let device = B::Device::default();
    let student: Vec<_> = case.student.iter().map(|golden| tracked(feature::<B>(golden, &device))).collect();
    let teacher: Vec<_> = case.teacher.iter().map(|golden| feature::<B>(golden, &device)).collect();
    let mask = case.mask.as_ref().map(|golden| Tensor::<B, 2>::from_data(golden.to_data(), &device));
    let loss = match &case.temperature {
        Some(temperature) => {
            let temperature = match temperature {
                GoldenTemperature::Scalar(temperature) => Temperature::Scalar(*temperature),
                GoldenTemperature::PerPosition(golden) => Temperature::PerPosition(flat(golden, &device)),
            };
            assert!(mask.is_none(), "{what}: a KD loss has no mask");
            let ([student], [teacher]) = (student.as_slice(), teacher.as_slice()) else {
                panic!("{what}: a KD loss has one student's and one teacher's tensor");
            };
            let (student, teacher) = (student.clone().into_positions(), teacher.clone().into_positions());
            match case.loss_fn.as_str() {
                "kd_ce" => kd_ce_loss(student, teacher, &temperature),
                "kd_mse" => kd_mse_loss(student, teacher, &temperature),
                other => panic!("{what}: `{other}` is no KD loss"),
            }
        }
        None => {
            let registry = LossRegistry::<B>::default().with_nst_scale(NstScale::Length);
            let loss = registry.get(&case.loss_fn).unwrap_or_else(|error| panic!("{what}: {error}"));
            let input = LossInput { student: student.clone(), teacher, mask, teacher_mask: None };
            loss(&input).unwrap_or_else(|error| panic!("{what}: {error}"))
        }
    };
    assert_close(&values(loss.clone().into_data()), &[case.loss], RELATIVE, ABSOLUTE, what);

    let gradients = loss.backward();
    assert_eq!(student.len(), case.grad_student.len(), "{what}: number of gradients");
    for (index, (student, golden)) in student.iter().zip(&case.grad_student).enumerate() {
        let what = format!("{what}, gradient of student tensor {index}");
        assert_eq!(student.dims(), golden.shape, "{what}: shape");
        assert_close(&gradient(student, &gradients, &what), &golden.data, RELATIVE, ABSOLUTE, &what);
    }
}

fn check_helper<B: Backend>(case: &HelperCase, what: &str) {
    let device = B::Device::default();
    let (actual, out) = match case {
        HelperCase::Flsw { beta, gamma, temperature, student, teacher, out } => {
            let (student, teacher) = (positions::<B>(student, &device), positions(teacher, &device));
            (flsw_temperature(student, teacher, *temperature, *beta, *gamma).into_data(), out)
        }
        HelperCase::Cwsm { beta, temperature, student, teacher, out } => {
            let (student, teacher) = (positions::<B>(student, &device), positions(teacher, &device));
            (cwsm_temperature(student, teacher, *temperature, *beta).into_data(), out)
        }
        HelperCase::ProbabilityShift { teacher, labels: golden, out } => {
            (probability_shift(positions::<B>(teacher, &device), labels(golden, &device)).into_data(), out)
        }
        HelperCase::LogitsMask { logits, mask, out } => {
            let kept = select_positions(positions::<B>(logits, &device), flat(mask, &device));
            assert_eq!(kept.dims().to_vec(), out.shape, "{what}: shape");
            (kept.into_data(), out)
        }
    };
    assert_close(&values(actual), &out.data, RELATIVE, ABSOLUTE, what);
}

fn check_all<B: AutodiffBackend>() {
    for folder in golden_dirs() {
        let path = folder.join("losses.json");
        let goldens: Goldens = read_json(&path);
        let path = path.display();
        assert!(!goldens.losses.is_empty() && !goldens.helpers.is_empty(), "{path} holds no cases");
        for (index, case) in goldens.losses.iter().enumerate() {
            check_loss::<B>(case, &format!("{path}: losses[{index}] ({})", case.loss_fn));
        }
        for (index, case) in goldens.helpers.iter().enumerate() {
            check_helper::<B>(case, &format!("{path}: helpers[{index}]"));
        }
    }
}

#[test]
fn golden_losses_on_ndarray() {
    check_all::<TestAutodiffBackend>();
}

#[test]
fn golden_losses_on_flex() {
    check_all::<Autodiff<burn_flex::Flex>>();
}
