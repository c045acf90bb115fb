//! Kernels against formulas, in value and gradient, on shapes whose ends fill no vector.

use brew_random::Key;
use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
use burn::backend::Autodiff;
use burn::tensor::TensorData;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

use super::*;

fn numbers<B: Backend, const D: usize>(salt: u64, shape: [usize; D]) -> Tensor<B, D> {
    let values = Key::new(salt).normal(shape.iter().product(), 1.5);
    Tensor::from_data(TensorData::new(values, shape), &B::Device::default())
}

fn mask(salt: u64) -> DropoutMask {
    DropoutMask { key: Key::new(salt).purpose("dropout"), rate: 0.3 }
}

fn floats<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().to_vec().unwrap()
}

/// A kernel and the formula it has to agree with.
trait Agreement {
    /// Of the inputs.
    const SHAPES: &'static [[usize; 2]];
    fn kernel<B: Backend>(x: &[Tensor<B, 2>]) -> Tensor<B, 2>;
    fn formula<B: Backend>(x: &[Tensor<B, 2>]) -> Tensor<B, 2>;
}

fn given<A: Agreement, B: Backend>() -> Vec<Tensor<B, 2>> {
    A::SHAPES.iter().zip(1..).map(|(shape, salt)| numbers(salt, *shape)).collect()
}

/// The value of a function, and the gradients of Σ w·f for each input, where w is fixed.
fn value_and_gradients<B: AutodiffBackend>(
    inputs: Vec<Tensor<B, 2>>,
    f: impl Fn(&[Tensor<B, 2>]) -> Tensor<B, 2>,
) -> Vec<Vec<f32>> {
    let inputs: Vec<_> = inputs.into_iter().map(Tensor::require_grad).collect();
    let output = f(&inputs);
    let weights = numbers::<B, 2>(99, output.dims());
    let gradients = (output.clone() * weights).sum().backward();
    let mut all = vec![floats(output)];
    all.extend(inputs.iter().map(|input| floats(input.grad(&gradients).unwrap())));
    all
}

/// Holds a function on the fast backend, with gradients and without, to its formula on ndarray.
fn check<A: Agreement>() {
    let expected = value_and_gradients(given::<A, TestAutodiffBackend>(), A::formula);
    let found = value_and_gradients(given::<A, Autodiff<Flex>>(), A::kernel);
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(found, expected, 1e-5, 1e-5, &format!("part {number}"));
    }
    // Whoever holds an input finds it as it was.
    let held = given::<A, Flex>();
    assert_close(&floats(A::kernel(&held)), &expected[0], 1e-5, 1e-5, "without gradients");
    for (held, given) in held.into_iter().zip(given::<A, Flex>()) {
        assert_eq!(floats(held), floats(given), "an input was changed");
    }
    // One's own is overwritten.
    let values = floats(A::kernel(&given::<A, Flex>().into_iter().map(|x| x * 1.0).collect::<Vec<_>>()));
    assert_close(&values, &expected[0], 1e-5, 1e-5, "on one's own");
    // Numbers that do not stand one after the other.
    let turned: Vec<_> = given::<A, Autodiff<Flex>>()
        .into_iter()
        .map(|x| Tensor::from_data(x.transpose().into_data(), &Default::default()))
        .collect();
    let found = value_and_gradients(turned, |x: &[Tensor<Autodiff<Flex>, 2>]| {
        A::kernel(&x.iter().map(|x| x.clone().transpose()).collect::<Vec<_>>())
    });
    assert_close(&found[0], &expected[0], 1e-5, 1e-5, "of transposed inputs");
}

macro_rules! agreement {
    ($name:ident, $shapes:expr, |$x:ident| $kernel:expr, $formula:expr) => {
        #[test]
        fn $name() {
            struct Case;
            impl Agreement for Case {
                const SHAPES: &'static [[usize; 2]] = &$shapes;
                fn kernel<B: Backend>($x: &[Tensor<B, 2>]) -> Tensor<B, 2> {
                    $kernel
                }
                fn formula<B: Backend>($x: &[Tensor<B, 2>]) -> Tensor<B, 2> {
                    $formula
                }
            }
            check::<Case>();
        }
    };
}

fn vector<B: Backend>(x: &Tensor<B, 2>) -> Tensor<B, 1> {
    x.clone().squeeze_dim(0)
}

agreement!(gelu_agrees, [[37, 41]], |x| gelu(x[0].clone()), plain::gelu(x[0].clone()));

agreement!(softmax_agrees, [[37, 41]], |x| softmax(x[0].clone()), plain::softmax(x[0].clone()));

agreement!(
    dropout_agrees,
    [[37, 41]],
    |x| dropout(x[0].clone(), mask(5)),
    plain::dropout(x[0].clone(), mask(5))
);

agreement!(
    a_linear_layer_agrees,
    [[37, 19], [19, 45], [1, 45]],
    |x| linear(x[0].clone(), x[1].clone(), Some(vector(&x[2]))),
    plain::linear(x[0].clone(), x[1].clone(), Some(vector(&x[2])))
);

agreement!(
    a_linear_layer_without_bias_agrees,
    [[37, 19], [19, 45]],
    |x| linear(x[0].clone(), x[1].clone(), None),
    plain::linear(x[0].clone(), x[1].clone(), None)
);

agreement!(
    a_normalisation_agrees,
    [[37, 1001], [1, 1001], [1, 1001]],
    |x| layer_norm(x[0].clone(), vector(&x[1]), vector(&x[2]), 1e-5),
    plain::layer_norm(x[0].clone(), vector(&x[1]), vector(&x[2]), 1e-5)
);

agreement!(
    the_end_of_a_sublayer_agrees,
    [[37, 41], [37, 41], [1, 41], [1, 41]],
    |x| residual_layer_norm(x[0].clone(), x[1].clone(), Some(mask(6)), vector(&x[2]), vector(&x[3]), 1e-5),
    plain::layer_norm(
        plain::dropout(x[0].clone(), mask(6)) + x[1].clone(),
        vector(&x[2]),
        vector(&x[3]),
        1e-5
    )
);

agreement!(
    the_end_of_a_sublayer_without_dropout_agrees,
    [[37, 41], [37, 41], [1, 41], [1, 41]],
    |x| residual_layer_norm(x[0].clone(), x[1].clone(), None, vector(&x[2]), vector(&x[3]), 1e-5),
    plain::layer_norm(x[0].clone() + x[1].clone(), vector(&x[2]), vector(&x[3]), 1e-5)
);

fn sequences() -> Sequences {
    Sequences { lengths: vec![5, 1, 37, 12], padded: 40 }
}

const HEADS: usize = 3;

/// Sequence by sequence and head by head; of the dropout's mask the part that its places have. The queries are of all
/// rows, or of each sequence's first.
fn attention_by_hand<B: Backend>(x: &[Tensor<B, 2>], dropout: Option<DropoutMask>) -> Tensor<B, 2> {
    let sequences = sequences();
    let (padded, batch) = (sequences.padded, sequences.lengths.len());
    let [rows, width] = x[1].dims();
    let of_all = x[0].dims()[0] == rows;
    let size = width / HEADS;
    let padded_queries = if of_all { padded } else { 1 };
    let places = batch * HEADS * padded_queries * padded;
    let values = dropout.map(|mask| mask.key.dropout_mask(places, mask.rate));
    let mut start = 0;
    let mut outputs = Vec::new();
    for (number, &length) in sequences.lengths.iter().enumerate() {
        let asking = if of_all { start..start + length } else { number..number + 1 };
        let queries = asking.len();
        let heads = (0..HEADS).map(|head| {
            let columns = head * size..(head + 1) * size;
            let query = x[0].clone().slice([asking.clone(), columns.clone()]);
            let [key, value] =
                [1, 2].map(|input| x[input].clone().slice([start..start + length, columns.clone()]));
            let scores = query.matmul(key.transpose()).div_scalar((size as f64).sqrt());
            let mut probabilities = plain::softmax(scores);
            if let Some(values) = &values {
                let of_row = |row: usize| ((number * HEADS + head) * padded_queries + row) * padded;
                let part = (0..queries).flat_map(|row| values[of_row(row)..of_row(row) + length].to_vec());
                let part = TensorData::new(part.collect::<Vec<f32>>(), [queries, length]);
                probabilities = probabilities * Tensor::from_data(part, &Default::default());
            }
            probabilities.matmul(value)
        });
        outputs.push(Tensor::cat(heads.collect(), 1));
        start += length;
    }
    Tensor::cat(outputs, 0)
}

fn attend<B: Backend>(x: &[Tensor<B, 2>], dropout: Option<DropoutMask>) -> Tensor<B, 2> {
    attention(x[0].clone(), x[1].clone(), x[2].clone(), &sequences(), HEADS, dropout)
        .unwrap_or_else(|_| panic!("no kernel for flex"))
}

agreement!(attention_agrees, [[55, 33], [55, 33], [55, 33]], |x| attend(x, None), attention_by_hand(x, None));

agreement!(
    attention_with_dropout_agrees,
    [[55, 33], [55, 33], [55, 33]],
    |x| attend(x, Some(mask(7))),
    attention_by_hand(x, Some(mask(7)))
);

agreement!(
    attention_of_first_rows_agrees,
    [[4, 33], [55, 33], [55, 33]],
    |x| attend(x, None),
    attention_by_hand(x, None)
);

agreement!(
    attention_of_first_rows_with_dropout_agrees,
    [[4, 33], [55, 33], [55, 33]],
    |x| attend(x, Some(mask(8))),
    attention_by_hand(x, Some(mask(8)))
);

#[test]
#[should_panic(expected = "3 queries for 55 rows of 4 sequences")]
fn attention_refuses_queries_of_some_rows() {
    let [query, key, value] = [3, 55, 55].map(|rows| numbers::<Flex, 2>(1, [rows, 33]));
    let _ = attention(query, key, value, &sequences(), HEADS, None);
}

#[test]
fn attention_without_a_kernel_gives_back_its_inputs() {
    let inputs = [1, 2, 3].map(|salt| numbers::<TestAutodiffBackend, 2>(salt, [55, 33]));
    let [query, key, value] = inputs.clone();
    let back = attention(query, key, value, &sequences(), HEADS, None).unwrap_err();
    for (back, input) in back.into_iter().zip(inputs) {
        assert_eq!(floats(back), floats(input));
    }
}

#[test]
#[should_panic(expected = "a sequence is empty")]
fn attention_refuses_an_empty_sequence() {
    let [query, key, value] = [1, 2, 3].map(|salt| numbers::<Flex, 2>(salt, [4, 6]));
    let sequences = Sequences { lengths: vec![4, 0], padded: 4 };
    let _ = attention(query, key, value, &sequences, 2, None);
}

const IDS: [i64; 9] = [3, 0, 799, 3, 5, 3, 0, 421, 5];

fn ids<B: Backend>() -> Tensor<B, 1, Int> {
    Tensor::from_data(TensorData::new(IDS.to_vec(), [IDS.len()]), &Default::default())
}

// More of the table than one thread's block.
agreement!(
    rows_of_a_table_agree,
    [[800, 70]],
    |x| embedding(x[0].clone(), ids()),
    x[0].clone().select(0, ids())
);

#[test]
#[should_panic(expected = "id 800 of a table with 800 entries")]
fn a_row_beyond_the_table_is_refused() {
    let id = Tensor::from_data(TensorData::new(vec![800i64], [1]), &Default::default());
    embedding(numbers::<Flex, 2>(1, [800, 2]), id);
}

#[test]
fn norms_and_scaled_tensors_agree() {
    fn by_formula<B: Backend>(x: Tensor<B, 2>) -> [Vec<f32>; 2] {
        [floats(x.clone().square().sum()), floats(x.mul_scalar(-0.3))]
    }
    fn by_kernel<B: Backend>(x: Tensor<B, 2>) -> [Vec<f32>; 2] {
        [floats(squared_norm(x.clone())), floats(scaled(x, -0.3))]
    }
    for shape in [[1, 1], [3, 5], [333, 222]] {
        let expected = by_formula(numbers::<TestBackend, 2>(4, shape));
        let whole = numbers::<Flex, 2>(4, shape);
        for found in [by_kernel(whole.clone()), by_kernel(numbers::<TestBackend, 2>(4, shape))] {
            assert_close(&found[0], &expected[0], 1e-5, 0.0, "squared norm");
            assert_close(&found[1], &expected[1], 1e-6, 0.0, "scaled");
        }
        assert_eq!(
            floats(whole.clone()),
            floats(numbers::<Flex, 2>(4, shape)),
            "whoever holds it finds it as it was"
        );
        assert_eq!(floats(zeros_like(&whole)), vec![0.0; shape[0] * shape[1]]);
        // Of a view, too.
        let turned = by_kernel(numbers::<Flex, 2>(4, shape).transpose());
        assert_close(&turned[0], &expected[0], 1e-5, 0.0, "squared norm of a transposed matrix");
    }
}

/// Only what needs a gradient gets one, and a graph may be left out altogether.
#[test]
fn inputs_without_gradients_get_none() {
    type B = Autodiff<Flex>;
    let x = numbers::<B, 2>(1, [5, 4]).require_grad();
    let weight = numbers::<B, 2>(2, [4, 3]);
    let gradients = linear(x.clone(), weight.clone(), None).sum().backward();
    assert!(x.grad(&gradients).is_some() && weight.grad(&gradients).is_none());
    let output = gelu(linear(weight.clone(), numbers::<B, 2>(3, [3, 2]), None));
    assert_eq!(output.dims(), [4, 2]);
}

/// An input twice, and an output used twice.
#[test]
fn gradients_add_up() {
    let gradient = |of: fn(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>| {
        let x = numbers::<Autodiff<Flex>, 2>(1, [6, 6]).require_grad();
        floats(x.grad(&of(x.clone()).sum().backward()).unwrap())
    };
    let kernels = gradient(|x| {
        let y = gelu(linear(x.clone(), x.clone(), None));
        y.clone() * y + x
    });
    let formulas = gradient(|x| {
        let y = plain::gelu(plain::linear(x.clone(), x.clone(), None));
        y.clone() * y + x
    });
    assert_close(&kernels, &formulas, 1e-5, 1e-5, "gradient");
}

#[test]
fn numbers_of_double_precision_take_the_formulas() {
    let x = Tensor::<Flex, 1>::from_data(
        TensorData::new(vec![0.5_f64], [1]),
        (&Default::default(), burn::tensor::DType::F64),
    );
    let found = gelu(x).into_data();
    assert_eq!(found.dtype, burn::tensor::DType::F64);
    assert!((found.iter::<f64>().next().unwrap() - 0.345_731_23).abs() < 1e-7);
}

#[test]
fn what_is_not_a_number_stays_none() {
    let x = || Tensor::<Flex, 2>::from_floats([[1.0, f32::NAN, 2.0]], &Default::default());
    for output in [
        gelu(x()),
        softmax(x()),
        dropout(x(), mask(1)),
        linear(x(), Tensor::ones([3, 2], &Default::default()), None),
    ] {
        assert!(floats(output).iter().any(|value| value.is_nan()));
    }
}

/// Blocks are handed to threads; what they come to must not depend on how many there are.
#[test]
fn the_number_of_threads_changes_nothing() {
    type B = Autodiff<Flex>;
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let inputs = [[900, 64], [900, 64], [1, 64], [1, 64]];
            let inputs = inputs.iter().zip(1..).map(|(shape, salt)| numbers::<B, 2>(salt, *shape)).collect();
            value_and_gradients(inputs, |x: &[Tensor<B, 2>]| {
                let x_of = |at: usize| x[at].clone();
                residual_layer_norm(x_of(0), x_of(1), Some(mask(1)), vector(&x[2]), vector(&x[3]), 1e-5)
            })
        })
    };
    assert_eq!(run(1), run(3));
}

/// In double precision, from the formula in the documentation.
#[test]
fn three_steps_of_adamw_are_those_of_its_formula() {
    fn check<B: Backend>() {
        let count = 70_001;
        let step = AdamWStep { lr: 0.01, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.1, step: 1 };
        let mut state = [
            numbers::<B, 1>(1, [count]),
            Tensor::zeros([count], &B::Device::default()),
            Tensor::zeros([count], &B::Device::default()),
        ];
        let doubles = |x: &Tensor<B, 1>| x.to_data().iter::<f64>().collect::<Vec<f64>>();
        let mut expected = state.each_ref().map(doubles);
        for t in 1..=3 {
            // Numbers that never had a gradient, that have none yet, and that have none any more.
            let gradient = numbers::<B, 1>(10 + t, [count]).slice_fill(20_000..21_000, 0.0);
            let gradient = gradient.slice_fill(if t < 3 { 0..1_000 } else { 5_000..40_000 }, 0.0);
            let [p, m, v] = &mut expected;
            for (at, g) in doubles(&gradient).into_iter().enumerate() {
                m[at] = 0.9 * m[at] + 0.1 * g;
                v[at] = 0.99 * v[at] + 0.01 * g * g;
                let (c1, c2) = (1.0 - 0.9_f64.powi(t as i32), 1.0 - 0.99_f64.powi(t as i32));
                p[at] = (1.0 - 0.01 * 0.1) * p[at] - 0.01 / c1 * m[at] / (v[at].sqrt() / c2.sqrt() + 1e-8);
            }
            let [p, m, v] = state;
            state = adamw([p, gradient, m, v], &AdamWStep { step: t as u32, ..step });
        }
        for (found, expected) in state.into_iter().zip(expected) {
            let expected: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
            assert_close(&floats(found), &expected, 1e-5, 1e-6, "AdamW");
        }
    }
    check::<Flex>();
    check::<brew_testkit::TestBackend>();
}

/// An embedding table's gradient, most of which is zero.
#[test]
fn adamw_is_the_same_from_zeros_that_take_no_memory() {
    let count = 1_100_000;
    let step = AdamWStep { lr: 0.01, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.1, step: 1 };
    let gradients = [3_000..9_000, 700_000..700_100]
        .map(|range| Tensor::<Flex, 1>::zeros([count], &Default::default()).slice_fill(range, 0.5));
    let after = |zeros: fn(&Tensor<Flex, 1>) -> Tensor<Flex, 1>| {
        let mut state = [numbers::<Flex, 1>(1, [count]), zeros(&gradients[0]), zeros(&gradients[0])];
        for (gradient, t) in gradients.iter().zip(1..) {
            let [p, m, v] = state;
            state = adamw([p, gradient.clone(), m, v], &AdamWStep { step: t, ..step });
        }
        state.map(floats)
    };
    assert_eq!(after(zeros_like), after(|x| x.zeros_like()));
}

/// The value, and the gradients of input, weight and bias, whose computing begins behind the scope.
fn linear_in_bf16(enabled: bool) -> Vec<Vec<f32>> {
    let inputs = [numbers::<Autodiff<Flex>, 2>(1, [37, 19]), numbers(2, [19, 45]), numbers(3, [1, 45])];
    value_and_gradients(inputs.into(), |x| {
        with_bf16_products(enabled, || linear(x[0].clone(), x[1].clone(), Some(vector(&x[2]))))
    })
}

#[test]
fn products_in_bf16_are_near_those_in_f32() {
    let (exact, rounded) = (linear_in_bf16(false), linear_in_bf16(true));
    assert_eq!(linear_in_bf16(false), exact, "the scope is left");
    if !multiplies_bf16::<Autodiff<Flex>>() {
        assert_eq!(rounded, exact, "without the instruction nothing changes");
        return;
    }
    for (part, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = exact.iter().zip(rounded).map(|(x, y)| x - y).collect();
        let relative = norm(&difference) / norm(exact);
        // Three roundings to 8 bits; the bias's gradient is no product.
        let expected = if part == 3 { 0.0..=0.0 } else { 1e-4..=6e-3 };
        assert!(expected.contains(&relative), "part {part} differs by {relative}");
    }
}

#[test]
fn other_backends_know_no_bf16_products() {
    assert!(!multiplies_bf16::<TestBackend>());
    let product = || linear(numbers::<TestBackend, 2>(1, [5, 4]), numbers(2, [4, 3]), None);
    assert_eq!(floats(with_bf16_products(true, product)), floats(product()));
}
