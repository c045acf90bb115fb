//! Loops over slices that the compiler turns into vector instructions, chosen at run time.
//!
//! A loop is written for single numbers; `vectorised!` compiles it for each set of instructions that `pulp` knows and
//! runs the best one that the processor has. What it calls has to be `inline(always)`, closures as well, which is what
//! `sum!` is for: what is not inlined is compiled for the oldest processor, where `mul_add` is a call. Sums go into
//! several lanes, and nothing branches.

use pulp::Arch;

/// Whether the processor has vector instructions with fused multiply-add. Without, `mul_add` would be a call.
pub(super) fn is_supported() -> bool {
    !matches!(Arch::new(), Arch::Scalar)
}

/// Declares a function whose loop is compiled for each set of vector instructions; the best one that the processor has
/// is run. References have the lifetime `'a`.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name<'a>($($argument: $type),*) $(-> $output)? {
            struct Loop<'a> {
                $($argument: $type,)*
                lifetime: std::marker::PhantomData<&'a ()>,
            }
            impl<'a> pulp::WithSimd for Loop<'a> {
                type Output = vectorised!(@output $($output)?);

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
                    let Self { $($argument,)* .. } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Loop { $($argument,)* lifetime: std::marker::PhantomData })
        }
    };
    (@output) => { () };
    (@output $output:ty) => { $output };
}

/// `Σ f(i)` over the indexes below a length: `sum!(length, |i| f(i))`.
macro_rules! sum {
    ($length:expr, |$at:ident| $term:expr) => {
        crate::flex::vector::sum_lanes(
            $length,
            #[inline(always)]
            |$at: usize| $term,
        )
    };
}

pub(super) use {sum, vectorised};

/// How many sums run side by side: two vectors of the widest instructions.
const LANES: usize = 32;

/// What `sum!` comes to.
#[inline(always)]
pub(super) fn sum_lanes(length: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = length / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for (lane, at) in (whole..length).enumerate() {
        lanes[lane] += f(at);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest number; of none, negative infinity. Not a number if one is not.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let blocks = values.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *value);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// 3·2²²: a number below 2²² added to it has no digits after the point left.
const ROUND: f32 = 12_582_912.0;

/// `exp(x)` to 1e-7 of its value, and 0 below −87, where that would soon be no normal number; above 88 that of 88.
/// Not a number stays none.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (is_nothing, x) = (x < -87.0, if x > 88.0 { 88.0 } else { x });
    // x = n·ln 2 + r, |r| ≤ ln 2 / 2; ln 2 in two parts, the first with few digits, so that its product is exact.
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    // Taylor's series; what is left out is below r⁸/8! = 6e-9.
    let mut series = 1.0 / 5040.0_f32;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series.mul_add(r, coefficient);
    }
    // The last bits of `shifted` are n in two's complement: shifted left they are 2ⁿ's exponent.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if is_nothing { 0.0 } else { series * power }
}

/// Φ(x), the normal distribution's probability of at most `x`, and `exp(−x²/2)`.
///
/// `1 − Φ(|x|) = exp(−x²/2)·P(t)/2` with `t = 1/(1 + 0.45·|x|/√2)`, where P approximates `exp(a²)·erfc(a)`, a
/// smooth function of t, to 2.3e-8 of its value for a below 10 (coefficients by weighted least squares, the
/// weights raised where the error is largest). Φ is right to 1.5e-7, and to 4e-7 of its value.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const P: [f32; 10] = [
        2.194_057_7e-5,
        0.253_325_4,
        0.260_055_84,
        0.189_610_67,
        0.327_536_34,
        -0.274_411_5,
        0.658_477_4,
        -0.632_794_9,
        0.257_754_18,
        -0.039_575_26,
    ];
    let bell = exp(x * x * -0.5);
    let t = 1.0 / x.abs().mul_add(0.45 * std::f32::consts::FRAC_1_SQRT_2, 1.0);
    let mut series = P[9];
    for at in (0..9).rev() {
        series = series.mul_add(t, P[at]);
    }
    let tail = 0.5 * bell * series;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (below, bell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_double_precision() {
        for at in -8700..=8800 {
            let x = at as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(error < 2e-7, "exp({x}) is off by {error}");
        }
        assert_eq!([exp(-87.1), exp(-1e9), exp(f32::MIN), exp(f32::NEG_INFINITY)], [0.0; 4]);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Values of Φ by mpmath 1.3.
    #[test]
    fn the_normal_distribution_has_its_known_values() {
        let cases = [
            (-6.0, 9.865_876_450_376_98e-10),
            (-3.0, 1.349_898_031_630_094_5e-3),
            (-1.0, 0.158_655_253_931_457_05),
            (-0.1, 0.460_172_162_722_971),
            (0.0, 0.5),
            (0.5, 0.691_462_461_274_013_1),
            (1.5, 0.933_192_798_731_141_9),
            (4.0, 0.999_968_328_758_166_9),
        ];
        for (x, expected) in cases {
            let (found, bell) = normal(x);
            assert!((f64::from(found) - expected).abs() < 2e-7, "Φ({x}) = {found}");
            assert!((f64::from(found) / expected - 1.0).abs() < 5e-7, "Φ({x}) = {found}");
            assert!((f64::from(bell) - (-f64::from(x * x) / 2.0).exp()).abs() < 2e-7);
        }
        assert!(normal(f32::NAN).0.is_nan());
    }

    #[test]
    fn sums_and_the_largest_take_every_number() {
        for length in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..length).map(|at| ((at * 37) % 101) as f32).collect();
            assert_eq!(sum!(length, |at| values[at]), values.iter().sum::<f32>());
            let expected = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(largest(&values), expected);
        }
        assert!(largest(&[1.0, f32::NAN, 3.0]).is_nan());
    }
}
