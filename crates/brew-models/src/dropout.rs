//! Dropout whose masks are a function of a key and of the place in the forward pass.

use brew_kernels::DropoutMask;
use brew_random::Key;
use burn::tensor::{Tensor, backend::Backend};

use crate::Mode;

/// The dropout of one forward pass: site `n`, counted in the order of the pass, draws from
/// `key.index(n)`, so the same key always drops the same activations, on every backend.
///
/// A site with rate 0 counts too: changing one rate leaves the masks of the others as they are.
#[derive(Debug)]
pub(crate) struct Dropout {
    key: Option<Key>,
    site: u64,
}

impl Dropout {
    pub(crate) fn new(mode: Mode) -> Self {
        let key = match mode {
            Mode::Eval => None,
            Mode::Train { dropout } => Some(dropout),
        };
        Self { key, site: 0 }
    }

    /// Inverted dropout: each element is 0 with probability `rate`, else scaled by `1/(1 - rate)`.
    pub(crate) fn apply<B: Backend, const D: usize>(&mut self, x: Tensor<B, D>, rate: f64) -> Tensor<B, D> {
        match self.next(rate) {
            Some(mask) => brew_kernels::dropout(x, mask),
            None => x,
        }
    }

    /// The next site's mask, if it drops anything.
    pub(crate) fn next(&mut self, rate: f64) -> Option<DropoutMask> {
        let site = self.site;
        self.site += 1;
        let key = self.key.filter(|_| rate > 0.0)?;
        Some(DropoutMask { key: key.index(site), rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brew_testkit::TestAutodiffBackend;

    #[test]
    fn value_and_gradient_are_both_masked() {
        let x = Tensor::<TestAutodiffBackend, 2>::ones([8, 25], &Default::default()).require_grad();
        let y = Dropout::new(Mode::Train { dropout: Key::new(1) }).apply(x.clone(), 0.25);
        let grads = y.clone().sum().backward();
        let values: Vec<f32> = y.into_data().to_vec().unwrap();
        let grad: Vec<f32> = x.grad(&grads).unwrap().into_data().to_vec().unwrap();
        assert_eq!(values, grad);
        assert_eq!(values, Key::new(1).index(0).dropout_mask(200, 0.25));
        let dropped = values.iter().filter(|&&v| v == 0.0).count();
        assert!((20..80).contains(&dropped), "{dropped} of 200 dropped");
    }

    #[test]
    fn evaluation_and_rate_zero_change_nothing_but_count_as_sites() {
        let x = Tensor::<TestAutodiffBackend, 1>::from_floats([1.0, -2.0], &Default::default());
        assert_eq!(Dropout::new(Mode::Eval).apply(x.clone(), 0.9).into_data(), x.to_data());
        let mut dropout = Dropout::new(Mode::Train { dropout: Key::new(3) });
        assert_eq!(dropout.apply(x.clone(), 0.0).into_data(), x.to_data());
        let wide = Tensor::<TestAutodiffBackend, 1>::ones([64], &Default::default());
        let second: Vec<f32> = dropout.apply(wide, 0.5).into_data().to_vec().unwrap();
        assert_eq!(second, Key::new(3).index(1).dropout_mask(64, 0.5));
    }
}
