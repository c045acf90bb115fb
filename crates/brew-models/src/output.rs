//! What goes into a forward pass and what comes out.

use brew_random::Key;
use burn::tensor::{Int, Tensor, backend::Backend};

/// A padded batch of token ids.
///
/// # Shapes
/// - the three tensors: `[batch, length]`
/// - `lengths`: one a sequence
#[derive(Debug, Clone)]
pub struct EncoderInput<B: Backend> {
    /// Token ids, below the model's `vocab_size`.
    pub input_ids: Tensor<B, 2, Int>,
    /// 1 at tokens, 0 at padding.
    pub attention_mask: Tensor<B, 2>,
    /// Segment ids, below the model's `type_vocab_size`; not looked at by a model that has no segments, or one.
    pub token_type_ids: Tensor<B, 2, Int>,
    /// How many tokens each sequence has, if they come first and `attention_mask` is 1 at them and 0
    /// after them. The model then computes no padding, without reading the mask back from its device;
    /// with `None` it computes every position, whatever the mask. Real tokens come out the same.
    pub lengths: Option<Vec<usize>>,
}

/// Which inner activations a forward pass keeps. Nothing that is not asked for is held in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputRequest {
    /// Embeddings and the output of each layer.
    pub hidden_states: bool,
    /// Attention probabilities of each layer.
    pub attentions: bool,
    /// Attention scores of each layer, before mask and softmax.
    pub attention_scores: bool,
    /// Queries, keys and values of each layer.
    pub queries_keys_values: bool,
}

impl OutputRequest {
    /// All of them.
    pub const ALL: Self =
        Self { hidden_states: true, attentions: true, attention_scores: true, queries_keys_values: true };
}

/// Whether dropout acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No dropout.
    Eval,
    /// Dropout with masks drawn from a key: the n-th site of the pass uses `dropout.index(n)`.
    Train {
        /// The key of this pass, such as `run.purpose("dropout").index(step)`.
        dropout: Key,
    },
}

/// What a classifier computes: of whole texts (`D` = 2) or of each token (`D` = 3).
#[derive(Debug, Clone)]
pub struct ModelOutput<B: Backend, const D: usize = 2> {
    /// `[batch, labels]` or `[batch, length, labels]`.
    pub logits: Tensor<B, D>,
    /// What the encoder kept.
    pub encoder: EncoderOutput<B>,
}

/// What an encoder computes.
///
/// At padding, the inner activations are finite and mean nothing: where the input had `lengths`,
/// those of the sequence's first token, else what the model makes of the padding.
#[derive(Debug, Clone)]
pub struct EncoderOutput<B: Backend> {
    /// The last layer's output, `[rows, hidden]`: one row a position, `batch · length` of them, if
    /// the input has no `lengths`; else one a token, sequence by sequence (a sequence of length 0
    /// has a row for each of its positions). Of a classifier of whole texts that is asked for nothing else of
    /// its encoder: the first token's alone, `[batch, hidden]`, for the last layer computes no other.
    pub last_hidden: Tensor<B, 2>,
    /// `[batch, length, hidden]` each: the embeddings, then each layer's output (layers + 1
    /// entries; of BiGRU the embeddings, in their own width, and the output); empty unless asked for.
    pub hidden_states: Vec<Tensor<B, 3>>,
    /// `[batch, heads, length, length]` each: a layer's attention probabilities, as transformers
    /// gives them (in training, after dropout); empty unless asked for, and of BiGRU.
    pub attentions: Vec<Tensor<B, 4>>,
    /// `[batch, heads, length, length]` each: a layer's `Q·Kᵀ/√d` with `d` the width of a head, before
    /// mask, softmax and dropout; empty unless asked for.
    pub attention_scores: Vec<Tensor<B, 4>>,
    /// `[batch, length, hidden]` each: what a layer's tokens ask with, heads side by side, not scaled;
    /// empty unless asked for.
    pub queries: Vec<Tensor<B, 3>>,
    /// As `queries`: what a layer's tokens are asked for.
    pub keys: Vec<Tensor<B, 3>>,
    /// As `queries`: what a layer's tokens pass on.
    pub values: Vec<Tensor<B, 3>>,
}
