//! Every case of the golden `losses_beyond.json`, value and gradient, on two CPU backends: the losses that
//! TextBrewer does not have, against formulas written out in PyTorch and transport problems solved by scipy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use brew_config::KdLossType;
use brew_losses::{
    FeatureTensor, LossInput, LossRegistry, Temperature, crd_in_batch_loss, earth_mover, kd_loss,
    transport_plan,
};
use brew_testkit::{GoldenTensor, TestAutodiffBackend, assert_close, read_json};
use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use serde::Deserialize;

const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-6;

/// Tolerances of gradients on ndarray, whose vectorised reciprocal, the gradient of the logarithm, is off by up
/// to 4e-5 of its value.
const NDARRAY_GRADIENT: [f64; 2] = [1e-4, 5e-6];

/// The losses that must have cases.
const NAMES: [&str; 14] = [
    "bce",
    "crd_in_batch",
    "dkd",
    "emd",
    "js",
    "kl",
    "minilm_relation",
    "pkt",
    "reverse_kl",
    "rkd_angle",
    "rkd_distance",
    "skew_kl",
    "skew_reverse_kl",
    "sp",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goldens {
    #[serde(rename = "source")]
    _source: serde::de::IgnoredAny,
    losses: Vec<LossCase>,
    transport: Vec<TransportCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LossCase {
    loss_fn: String,
    student: Vec<GoldenTensor>,
    teacher: Vec<GoldenTensor>,
    mask: Option<GoldenTensor>,
    temperature: Option<GoldenTemperature>,
    labels: Option<GoldenTensor>,
    #[serde(default)]
    parameters: Parameters,
    loss: f32,
    grad_student: Vec<GoldenTensor>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GoldenTemperature {
    Scalar(f64),
    PerPosition(GoldenTensor),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parameters {
    alpha: Option<f64>,
    beta: Option<f64>,
    tau: Option<f64>,
    relation_heads: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransportCase {
    cost: Vec<Vec<f64>>,
    supply: Vec<f64>,
    demand: Vec<f64>,
    flow: Vec<Vec<f64>>,
    total: f64,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../brew-testkit/golden/losses_beyond.json")
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

fn tracked<B: AutodiffBackend>(feature: FeatureTensor<B>) -> FeatureTensor<B> {
    match feature {
        FeatureTensor::D2(tensor) => tensor.require_grad().into(),
        FeatureTensor::D3(tensor) => tensor.require_grad().into(),
        FeatureTensor::D4(tensor) => tensor.require_grad().into(),
    }
}

fn gradient<B: AutodiffBackend>(feature: &FeatureTensor<B>, gradients: &B::Gradients) -> Option<TensorData> {
    match feature {
        FeatureTensor::D2(tensor) => tensor.grad(gradients).map(Tensor::into_data),
        FeatureTensor::D3(tensor) => tensor.grad(gradients).map(Tensor::into_data),
        FeatureTensor::D4(tensor) => tensor.grad(gradients).map(Tensor::into_data),
    }
}

fn values(data: TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

/// The KD loss of a case, `None` where its name is not one of a KD loss.
fn kd_loss_type(case: &LossCase, what: &str) -> Option<KdLossType> {
    let needed =
        |parameter: Option<f64>| parameter.unwrap_or_else(|| panic!("{what}: a parameter is missing"));
    let Parameters { alpha, beta, .. } = case.parameters;
    Some(match case.loss_fn.as_str() {
        "kl" => KdLossType::Kl,
        "reverse_kl" => KdLossType::ReverseKl,
        "js" => KdLossType::Js { beta: needed(beta) },
        "skew_kl" => KdLossType::SkewKl { alpha: needed(alpha) },
        "skew_reverse_kl" => KdLossType::SkewReverseKl { alpha: needed(alpha) },
        "dkd" => KdLossType::Dkd { alpha: needed(alpha), beta: needed(beta) },
        "bce" => KdLossType::Bce,
        _ => return None,
    })
}

fn check_loss<B: AutodiffBackend>(case: &LossCase, [relative, absolute]: [f64; 2], what: &str) {
    let device = B::Device::default();
    let student: Vec<_> = case.student.iter().map(|golden| tracked(feature::<B>(golden, &device))).collect();
    let teacher: Vec<_> = case.teacher.iter().map(|golden| feature::<B>(golden, &device)).collect();
    let mask = case.mask.as_ref().map(|golden| Tensor::<B, 2>::from_data(golden.to_data(), &device));
    let loss = match kd_loss_type(case, what) {
        Some(kind) => {
            let temperature = match &case.temperature {
                Some(GoldenTemperature::Scalar(temperature)) => Temperature::Scalar(*temperature),
                Some(GoldenTemperature::PerPosition(golden)) => {
                    Temperature::PerPosition(Tensor::from_data(golden.to_data(), &device))
                }
                None => panic!("{what}: a KD loss has a temperature"),
            };
            assert!(mask.is_none(), "{what}: a KD loss has no mask");
            let ([student], [teacher]) = (student.as_slice(), teacher.as_slice()) else {
                panic!("{what}: a KD loss has one student's and one teacher's tensor");
            };
            let labels = case.labels.as_ref().map(|golden| {
                let labels: Vec<i64> = golden.data.iter().map(|label| *label as i64).collect();
                Tensor::<B, 1, Int>::from_data(TensorData::new(labels, golden.shape.clone()), &device)
            });
            let (student, teacher) = (student.clone().into_positions(), teacher.clone().into_positions());
            kd_loss(kind, student, teacher, labels, &temperature)
        }
        None => {
            let input = LossInput { student: student.clone(), teacher, mask, teacher_mask: None };
            match case.parameters.tau {
                Some(tau) => {
                    assert_eq!(case.loss_fn, "crd_in_batch", "{what}: takes no temperature");
                    crd_in_batch_loss(&input, tau)
                }
                None => {
                    let registry = match case.parameters.relation_heads {
                        Some(heads) => LossRegistry::<B>::default().with_relation_heads(heads),
                        None => LossRegistry::default(),
                    };
                    let loss = registry.get(&case.loss_fn).unwrap_or_else(|error| panic!("{what}: {error}"));
                    loss(&input)
                }
            }
        }
    };
    let loss = loss.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_close(&values(loss.clone().into_data()), &[case.loss], RELATIVE, ABSOLUTE, what);

    let gradients = loss.backward();
    assert_eq!(student.len(), case.grad_student.len(), "{what}: number of gradients");
    for (index, (student, golden)) in student.iter().zip(&case.grad_student).enumerate() {
        let what = format!("{what}, gradient of student tensor {index}");
        assert_eq!(student.dims(), golden.shape, "{what}: shape");
        let gradient = gradient(student, &gradients).unwrap_or_else(|| panic!("{what}: there is none"));
        assert_close(&values(gradient), &golden.data, relative, absolute, &what);
    }
}

fn check_all<B: AutodiffBackend>(of_gradients: [f64; 2]) {
    let goldens: Goldens = read_json(path());
    let found: BTreeSet<&str> = goldens.losses.iter().map(|case| case.loss_fn.as_str()).collect();
    assert_eq!(found, BTreeSet::from(NAMES));
    for (index, case) in goldens.losses.iter().enumerate() {
        check_loss::<B>(case, of_gradients, &format!("losses[{index}] ({})", case.loss_fn));
    }
}

#[test]
fn golden_losses_beyond_on_ndarray() {
    check_all::<TestAutodiffBackend>(NDARRAY_GRADIENT);
}

#[test]
fn golden_losses_beyond_on_flex() {
    check_all::<Autodiff<burn_flex::Flex>>([RELATIVE, ABSOLUTE]);
}

#[test]
fn golden_transport_problems() {
    let goldens: Goldens = read_json(path());
    assert!(!goldens.transport.is_empty());
    for (index, case) in goldens.transport.iter().enumerate() {
        let what = format!("transport[{index}]");
        let plan = transport_plan(&case.cost, &case.supply, &case.demand).unwrap();
        assert!((plan.cost - case.total).abs() < 1e-9, "{what}: {}, expected {}", plan.cost, case.total);
        // Costs without a pattern have one optimal flow.
        assert_eq!(plan.flow.len(), case.flow.len(), "{what}");
        for (found, expected) in plan.flow.concat().iter().zip(case.flow.concat()) {
            assert!((found - expected).abs() < 1e-9, "{what}: {:?}, expected {:?}", plan.flow, case.flow);
        }

        let device = Default::default();
        let (rows, columns) = (case.supply.len(), case.demand.len());
        let cost: Vec<f32> = case.cost.concat().iter().map(|cost| *cost as f32).collect();
        let cost =
            Tensor::<TestAutodiffBackend, 2>::from_data(TensorData::new(cost, [rows, columns]), &device)
                .require_grad();
        let distance = earth_mover(cost.clone(), &case.supply, &case.demand).unwrap();
        let gradient = values(cost.grad(&distance.loss.backward()).unwrap().into_data());
        let flow: Vec<f32> = case.flow.concat().iter().map(|flow| *flow as f32).collect();
        assert_close(&[distance.loss.into_scalar()], &[case.total as f32], RELATIVE, ABSOLUTE, &what);
        assert_close(&gradient, &flow, RELATIVE, ABSOLUTE, &what);
    }
}
