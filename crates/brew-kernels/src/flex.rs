//! Kernels on the storage of burn-flex's tensors, and their way into Burn's autodiff.

use std::any::{Any, TypeId};
use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{Backend, BackendTypes};
use burn::tensor::{DType, TensorMetadata};
use burn_flex::{Flex, FlexTensor};

mod adamw;
mod attention;
mod bf16;
mod dropout;
mod embedding;
mod gelu;
mod gradients;
mod layer_norm;
mod linear;
mod losses;
mod matrix;
mod on_demand;
mod rows;
mod softmax;
mod storage;
mod vector;

pub(crate) use adamw::adamw;
pub(crate) use attention::Attention;
pub(crate) use bf16::multiplies_bf16;
pub(crate) use dropout::Dropout;
pub(crate) use embedding::Embedding;
pub(crate) use gelu::Gelu;
pub(crate) use gradients::{scaled, squared_norm, zeros_beside};
pub(crate) use layer_norm::{LayerNorm, ResidualLayerNorm};
pub(crate) use linear::Linear;
pub(crate) use losses::{
    AttentionLoss, FirstStateLoss, SimilarityLoss, StateLoss, loss, loss_of_pairs, mask,
};
pub(crate) use softmax::Softmax;

/// A tensor of flex with a graph behind it.
type Tracked = <Autodiff<Flex> as BackendTypes>::FloatTensorPrimitive;

/// A function of `N` tensors of f32, whose storage is contiguous, and its gradient.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the gradient needs.
    type Saved: Clone + Debug + Send + 'static;

    /// The value, and if asked for what the gradient needs.
    fn forward(&self, inputs: [FlexTensor; N], keep: bool) -> (FlexTensor, Option<Self::Saved>);

    /// The gradients of the inputs that want one.
    fn backward(
        &self,
        saved: Self::Saved,
        gradient: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// The operation on tensors of flex, with or without gradients; on tensors of another backend or type, or without
/// the processor's vector instructions, gives the inputs back.
pub(crate) fn apply<B: Backend, O: Operation<N>, const N: usize>(
    operation: O,
    inputs: [B::FloatTensorPrimitive; N],
) -> Result<B::FloatTensorPrimitive, [B::FloatTensorPrimitive; N]> {
    if !vector::is_supported() || inputs.iter().any(|input| input.dtype() != DType::F32) {
        return Err(inputs);
    }
    if is::<B, FlexTensor>() {
        let inputs = inputs.map(|input| same::<_, FlexTensor>(input).to_contiguous());
        return Ok(same(operation.forward(inputs, false).0));
    }
    if is::<B, Tracked>() {
        return Ok(same(tracked(operation, inputs.map(same))));
    }
    Err(inputs)
}

/// Whether [`apply`] takes tensors of this backend, if they are of f32.
pub(crate) fn takes<B: Backend>() -> bool {
    vector::is_supported() && (is::<B, FlexTensor>() || is::<B, Tracked>())
}

/// Whether a backend's tensors are of a type.
fn is<B: Backend, T: 'static>() -> bool {
    TypeId::of::<B::FloatTensorPrimitive>() == TypeId::of::<T>()
}

/// A value under another name of its type.
fn same<S: 'static, T: 'static>(value: S) -> T {
    let mut slot = Some(value);
    let slot: &mut dyn Any = &mut slot;
    slot.downcast_mut::<Option<T>>().and_then(Option::take).expect("the types were compared before")
}

fn tracked<O: Operation<N>, const N: usize>(operation: O, inputs: [Tracked; N]) -> Tracked {
    let nodes = inputs.each_ref().map(|input| input.node.clone());
    let inputs = inputs.map(|input| input.primitive.to_contiguous());
    match Step::<O>(PhantomData).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(preparation) => {
            let (output, saved) = operation.forward(inputs, true);
            let saved = saved.expect("an operation keeps what its gradient needs");
            preparation.finish((operation, saved), output)
        }
        OpsKind::UnTracked(preparation) => preparation.finish(operation.forward(inputs, false).0),
    }
}

/// The step of an operation in Burn's graph.
#[derive(Debug)]
struct Step<O>(PhantomData<O>);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = (O, O::Saved);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let (operation, saved) = ops.state;
        let of_inputs = operation.backward(saved, gradient, wanted);
        for (parent, of_input) in ops.parents.into_iter().zip(of_inputs) {
            if let (Some(parent), Some(of_input)) = (parent, of_input) {
                // What is used on the way is added to others and multiplied, which is slow number by number.
                let is_on_the_way = !parent.parents.is_empty();
                let of_input = if is_on_the_way { storage::spread(of_input) } else { of_input };
                gradients.register::<Flex>(parent.id, of_input);
            }
        }
    }
}
