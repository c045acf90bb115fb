//! What a token is before any layer has seen it.

use brew_kernels::embedding;
use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Int, Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::fused::{LayerNorm, linear};
use crate::init::Builder;
use crate::names::projection_name;
use crate::packing::Layout;
use crate::{EncoderConfig, ModelError};

/// The sum of a token's word, segment and position embedding, normalised, and where they are narrower than the
/// layers brought to their width.
///
/// A part that the family does not have is `None`.
#[derive(Module, Debug)]
pub struct Embeddings<B: Backend> {
    /// `[vocab_size, width]`.
    pub word_embeddings: Embedding<B>,
    /// `[max_position_embeddings, width]`.
    pub position_embeddings: Option<Embedding<B>>,
    /// `[type_vocab_size, width]`.
    pub token_type_embeddings: Option<Embedding<B>>,
    /// Over the sum of the three.
    pub layer_norm: Option<LayerNorm<B>>,
    /// `[width, hidden]`: ELECTRA's `embeddings_project`, ALBERT's `embedding_hidden_mapping_in`.
    pub projection: Option<Linear<B>>,
    #[module(skip)]
    pad_token_id: Option<usize>,
    /// RoBERTa's: positions are counted over tokens that are not this one, and from the next number.
    #[module(skip)]
    positions_after: Option<usize>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> Embeddings<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        let architecture = config.architecture;
        let word_embeddings = builder.embedding(&format!("{path}.word_embeddings"))?;
        let mut table = |name: &str, is_there: bool| {
            is_there.then(|| builder.embedding(&format!("{path}.{name}"))).transpose()
        };
        let position_embeddings = table("position_embeddings", architecture.has_attention())?;
        let token_type_embeddings = table("token_type_embeddings", architecture.has_token_types())?;
        let layer_norm = architecture
            .has_attention()
            .then(|| builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps))
            .transpose()?;
        let projection =
            projection_name(config).map(|_| builder.linear(&format!("{path}.projection"))).transpose()?;
        Ok(Self {
            word_embeddings,
            position_embeddings,
            token_type_embeddings,
            layer_norm,
            projection,
            pad_token_id: config.pad_token_id,
            positions_after: config.pad_token_id.filter(|_| architecture.offsets_positions()),
            dropout: config.hidden_dropout_prob,
        })
    }

    /// Segments that the family does not have are not looked at; where there is but one, all tokens are in it.
    ///
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
        let ids = layout.pack_ids(input_ids.clone());
        let mut sum = lookup(&self.word_embeddings, ids, self.pad_token_id, layout);
        if let Some(segments) = &self.token_type_embeddings {
            sum = sum
                + match segments.weight.dims() {
                    [1, _] => segments.weight.val().unsqueeze_dim(0),
                    _ => lookup(segments, layout.pack_ids(token_type_ids), None, layout),
                };
        }
        if let Some(positions) = &self.position_embeddings {
            sum = sum + self.places(positions, input_ids, layout);
        }
        let [_, _, width] = sum.dims();
        let mut rows: Tensor<B, 2> = sum.reshape([-1, width as i32]);
        if let Some(layer_norm) = &self.layer_norm {
            rows = layer_norm.forward(rows);
        }
        rows = dropout.apply(rows, self.dropout);
        match &self.projection {
            Some(projection) => linear(projection, rows),
            None => rows,
        }
    }

    /// What each row takes from the table of positions, `[1, rows, width]` or `[batch, length, width]`.
    fn places(
        &self,
        positions: &Embedding<B>,
        input_ids: Tensor<B, 2, Int>,
        layout: &Layout<B>,
    ) -> Tensor<B, 3> {
        let [rows, _] = positions.weight.dims();
        let longest = rows - self.positions_after.map_or(0, |pad| pad + 1);
        let length = layout.length;
        assert!(length <= longest, "a batch of {length} tokens, and the model has {longest} positions");
        let Some(pad) = self.positions_after else { return layout.by_place(positions.weight.val()) };
        let is_token = input_ids.not_equal_elem(pad as i64).int();
        let places = (is_token.clone().cumsum(1) * is_token).add_scalar(pad as i64);
        lookup(positions, layout.pack_ids(places), Some(pad), layout)
    }
}

/// The rows of a table, of which that of padding gets no gradient: PyTorch's `padding_idx`. Packed rows hold none
/// of it.
fn lookup<B: Backend>(
    table: &Embedding<B>,
    ids: Tensor<B, 2, Int>,
    padding: Option<usize>,
    layout: &Layout<B>,
) -> Tensor<B, 3> {
    let [batch, length] = ids.dims();
    let rows = embedding(table.weight.val(), ids.clone().reshape([batch * length]));
    let rows = rows.unsqueeze_dim::<3>(0).reshape([batch as i32, length as i32, -1]);
    let Some(padding) = padding else { return rows };
    if !layout.holds_padding() || !B::ad_enabled(&rows.device()) {
        return rows;
    }
    let is_padding = ids.equal_elem(padding as i64).unsqueeze_dim::<3>(2).expand(rows.shape());
    rows.clone().mask_where(is_padding, rows.detach())
}
