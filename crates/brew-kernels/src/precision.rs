//! What products are computed in.

use std::cell::Cell;

use burn::tensor::backend::Backend;

thread_local! {
    /// Of the operations that this thread begins.
    static BF16: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` with the products of [`linear`](crate::linear) in bfloat16 if `enabled`, in f32 if not: both factors and
/// the product rounded to it, sums in f32. Gradients of what is computed within are computed so as well, whenever they
/// are; what other threads begin meanwhile is not.
///
/// It holds where [`multiplies_bf16`] says so. Other backends, and processors without such an instruction, compute as
/// they always do.
///
/// ```
/// use brew_kernels::{linear, with_bf16_products};
/// use burn::tensor::Tensor;
/// use burn_flex::Flex;
///
/// let row = Tensor::<Flex, 2>::from_floats([[1.0, 2.0]], &Default::default());
/// let eleven = with_bf16_products(true, || linear(row.clone(), Tensor::from_floats([[3.0], [4.0]], &row.device()), None));
/// assert_eq!(eleven.into_scalar(), 11.0);
/// ```
pub fn with_bf16_products<T>(enabled: bool, work: impl FnOnce() -> T) -> T {
    struct Restored(bool);
    impl Drop for Restored {
        fn drop(&mut self) {
            BF16.set(self.0);
        }
    }
    let _before = Restored(BF16.replace(enabled));
    work()
}

/// Whether [`with_bf16_products`] changes anything for tensors of this backend on this processor.
pub fn multiplies_bf16<B: Backend>() -> bool {
    #[cfg(feature = "flex")]
    return crate::flex::takes::<B>() && crate::flex::multiplies_bf16();
    #[cfg(not(feature = "flex"))]
    false
}

/// Whether products are to be computed in bfloat16 here and now.
#[cfg(feature = "flex")]
pub(crate) fn is_bf16() -> bool {
    BF16.get()
}
