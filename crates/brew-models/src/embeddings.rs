//! Word, position and segment embeddings.

use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::{Int, Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::exact::LayerNorm;
use crate::init::Builder;
use crate::packing::Layout;
use crate::{EncoderConfig, ModelError};

/// The sum of a token's word, segment and position embedding, normalised.
#[derive(Module, Debug)]
pub struct Embeddings<B: Backend> {
    /// `[vocab_size, hidden]`.
    pub word_embeddings: Embedding<B>,
    /// `[max_position_embeddings, hidden]`.
    pub position_embeddings: Embedding<B>,
    /// `[type_vocab_size, hidden]`.
    pub token_type_embeddings: Embedding<B>,
    /// Over the sum of the three.
    pub layer_norm: LayerNorm<B>,
    #[module(skip)]
    pad_token_id: Option<usize>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> Embeddings<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            word_embeddings: builder.embedding(&format!("{path}.word_embeddings"))?,
            position_embeddings: builder.embedding(&format!("{path}.position_embeddings"))?,
            token_type_embeddings: builder.embedding(&format!("{path}.token_type_embeddings"))?,
            layer_norm: builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps)?,
            pad_token_id: config.pad_token_id,
            dropout: config.hidden_dropout_prob,
        })
    }

    /// # Shapes
    /// - `input_ids`, `token_type_ids`: `[batch, length]`
    /// - output: `[rows, hidden]`
    pub(crate) fn forward(
        &self,
        input_ids: Tensor<B, 2, Int>,
        token_type_ids: Tensor<B, 2, Int>,
        layout: &Layout<B>,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let table = self.position_embeddings.weight.val();
        let [longest, hidden] = table.dims();
        let length = layout.length;
        assert!(length <= longest, "a batch of {length} tokens, and the model has {longest} positions");
        let words = self.words(layout.pack_ids(input_ids), layout);
        let segments = self.token_type_embeddings.forward(layout.pack_ids(token_type_ids));
        let sum: Tensor<B, 2> = (words + segments + layout.by_place(table)).reshape([-1, hidden as i32]);
        dropout.apply(self.layer_norm.forward(sum), self.dropout)
    }

    /// PyTorch's `padding_idx`: the word row of the padding token gets no gradient. Packed rows hold none of it.
    fn words(&self, input_ids: Tensor<B, 2, Int>, layout: &Layout<B>) -> Tensor<B, 3> {
        let words = self.word_embeddings.forward(input_ids.clone());
        let Some(pad) = self.pad_token_id else { return words };
        if !layout.holds_padding() || !B::ad_enabled(&words.device()) {
            return words;
        }
        let is_padding = input_ids.equal_elem(pad as i64).unsqueeze_dim::<3>(2).expand(words.shape());
        words.clone().mask_where(is_padding, words.detach())
    }
}
