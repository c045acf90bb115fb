use burn_flex::FlexTensor;

use super::Operation;
use super::rows::each_block;
use super::storage::own;
use super::vector::vectorised;
use crate::DropoutMask;

/// See [`crate::dropout`]. The mask is drawn again for the gradient.
#[derive(Debug, Clone)]
pub(crate) struct Dropout {
    pub(crate) mask: DropoutMask,
}

impl Operation<1> for Dropout {
    type Saved = ();

    fn forward(&self, [x]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<()>) {
        (self.applied(x), Some(()))
    }

    fn backward(&self, (): (), gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(self.applied(gradient))]
    }
}

impl Dropout {
    fn applied(&self, x: FlexTensor) -> FlexTensor {
        own(x, |values| drop(each_block(values, 1, |start, values| drop_some(self.mask, start, values))))
    }
}

vectorised! {
    /// Applies a part of the mask, from element `start`, to as many numbers.
    pub(super) fn drop_some(mask: DropoutMask, start: usize, values: &'a mut [f32]) {
        mask.key.dropout(mask.rate).apply(start, values);
    }
}
