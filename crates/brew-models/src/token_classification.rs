//! A model with a classifier over each token.

use brew_random::Key;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{TensorData, backend::Backend};

use crate::dropout::Dropout;
use crate::encoder::Encoder;
use crate::fused::linear;
use crate::head::{self, StudentHead};
use crate::init::{Builder, Initialiser, ParameterSource};
use crate::packing::Rows;
use crate::{
    EncoderConfig, EncoderInput, Head, Mode, ModelError, ModelOutput, OutputRequest, PretrainedModel,
};

/// An encoder of any family and a linear classifier over each token, without a pooler: transformers'
/// `BertForTokenClassification`, `ElectraForTokenClassification` and so on.
///
/// ```
/// use brew_models::{EncoderConfig, TokenClassifier, EncoderInput, Mode, OutputRequest};
/// use brew_random::Key;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let config = EncoderConfig {
///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2,
///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
/// }
/// .with_labels(["O", "B-PER", "I-PER"].map(String::from).to_vec());
/// let device = Default::default();
/// let model = TokenClassifier::<TestBackend>::try_new(&config, Key::new(42), &device)?;
/// let input = EncoderInput {
///     input_ids: Tensor::from_ints([[2, 7, 3]], &device),
///     attention_mask: Tensor::ones([1, 3], &device),
///     token_type_ids: Tensor::zeros([1, 3], &device),
///     lengths: None,
/// };
/// let output = model.forward(input, OutputRequest::default(), Mode::Eval);
/// assert_eq!(output.logits.dims(), [1, 3, 3]);
/// # Ok::<(), brew_models::ModelError>(())
/// ```
#[derive(Module, Debug)]
pub struct TokenClassifier<B: Backend> {
    /// Embeddings and layers.
    pub encoder: Encoder<B>,
    /// `[hidden, labels]`.
    pub classifier: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> TokenClassifier<B> {
    /// A new model: weights from N(0, `initializer_range`²), zero biases, LayerNorm 1 and 0, a zero word
    /// embedding for the padding token. The same key gives the same weights on every backend, and the same
    /// encoder as a [`SequenceClassifier`](crate::SequenceClassifier) has.
    ///
    /// # Errors
    /// What [`EncoderConfig::validate`] finds.
    pub fn try_new(config: &EncoderConfig, key: Key, device: &B::Device) -> Result<Self, ModelError> {
        Self::build(config, &mut Initialiser::new(config, Self::HEAD, key), device)
    }

    fn build(
        config: &EncoderConfig,
        source: &mut dyn ParameterSource,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = Builder { source, device };
        Ok(Self {
            encoder: Encoder::build(&mut builder, "encoder", config)?,
            classifier: builder.linear("classifier")?,
            dropout: config.head_dropout_rate(Self::HEAD),
        })
    }

    /// A student of some of a teacher's layers, as
    /// [`SequenceClassifier::from_layers`](crate::SequenceClassifier::from_layers).
    ///
    /// # Errors
    /// As there.
    pub fn from_layers<T: Backend>(
        teacher: &TokenClassifier<T>,
        teacher_config: &EncoderConfig,
        layers: &[usize],
        head: StudentHead,
        device: &B::Device,
    ) -> Result<(Self, EncoderConfig), ModelError> {
        head::from_layers(teacher, teacher_config, layers, head, device)
    }

    /// Logits of each token, and what else is asked for.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `logits`: `[batch, length, labels]`; at padding, finite and without meaning
    /// - the others as in [`ModelOutput`]
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> ModelOutput<B, 3> {
        let [batch, length] = input.input_ids.dims();
        let mut dropout = Dropout::new(mode);
        let encoded = self.encoder.forward_with(input, request, Rows::All, &mut dropout);
        let rows = dropout.apply(encoded.output.last_hidden.clone(), self.dropout);
        let logits = encoded.layout.unpack(linear(&self.classifier, rows));
        ModelOutput { logits: logits.reshape([batch as i64, length as i64, -1]), encoder: encoded.output }
    }
}

impl<B: Backend> PretrainedModel for TokenClassifier<B> {
    type Backend = B;
    const HEAD: Head = Head::TokenClassification;

    fn from_parameters(
        config: &EncoderConfig,
        mut values: &mut dyn FnMut(&str) -> Result<TensorData, ModelError>,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, &mut values, device)
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend;

    use super::*;
    use crate::{LoadOptions, SequenceClassifier, load_pretrained, save_pretrained, tiny};

    type Tokens = TokenClassifier<TestBackend>;
    type Texts = SequenceClassifier<TestBackend>;

    fn input(lengths: Option<Vec<usize>>) -> EncoderInput<TestBackend> {
        let device = Default::default();
        EncoderInput {
            input_ids: burn::tensor::Tensor::from_ints([[1, 4, 2, 0], [3, 5, 2, 6]], &device),
            attention_mask: burn::tensor::Tensor::from_floats(
                [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]],
                &device,
            ),
            token_type_ids: burn::tensor::Tensor::zeros([2, 4], &device),
            lengths,
        }
    }

    #[test]
    fn a_text_classifiers_encoder_becomes_a_token_classifiers_and_the_pooler_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        save_pretrained(&tiny::model(), &tiny::config(), None, folder.path()).unwrap();
        // The classifier would fit by its shape.
        let plain = load_pretrained::<Tokens>(folder.path(), &LoadOptions::default(), &Default::default());
        let error = plain.err().unwrap().to_string();
        assert!(
            error.contains("BertForSequenceClassification") && error.contains("reinitialise_head"),
            "{error}"
        );

        let options = LoadOptions { reinitialise_head: true, ..LoadOptions::default() };
        let loaded = load_pretrained::<Tokens>(folder.path(), &options, &Default::default()).unwrap();
        assert!(loaded.ignored.iter().any(|name| name == "bert.pooler.dense.weight"), "{:?}", loaded.ignored);
        assert_eq!(loaded.initialised, ["classifier.weight", "classifier.bias"]);
        let of_tokens = loaded.model.state_dict(&loaded.config).unwrap();
        let of_texts = tiny::model().state_dict(&tiny::config()).unwrap();
        assert_eq!(of_tokens.len() + 2, of_texts.len());
        assert!(
            of_tokens
                .iter()
                .filter(|(name, _)| name.starts_with("bert."))
                .all(|(name, values)| { of_texts[name] == *values })
        );
    }

    #[test]
    fn what_is_written_is_read_back_and_named_as_transformers_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let device = Default::default();
        let model = Tokens::try_new(&tiny::config(), Key::new(3), &device).unwrap();
        save_pretrained(&model, &tiny::config(), None, folder.path()).unwrap();
        let json = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
        assert!(json.contains("BertForTokenClassification"), "{json}");
        let loaded = load_pretrained::<Tokens>(folder.path(), &LoadOptions::default(), &device).unwrap();
        assert!(loaded.initialised.is_empty() && loaded.ignored.is_empty());
        let logits = |model: &Tokens| {
            model.forward(input(None), OutputRequest::default(), Mode::Eval).logits.into_data()
        };
        assert_eq!(logits(&loaded.model), logits(&model));
        let error = load_pretrained::<Texts>(folder.path(), &LoadOptions::default(), &device);
        assert!(error.err().unwrap().to_string().contains("BertForTokenClassification"));
    }

    #[test]
    fn tokens_get_the_same_logits_with_padding_computed_and_without() {
        let device = Default::default();
        let model = Tokens::try_new(&tiny::config(), Key::new(3), &device).unwrap();
        let logits = |lengths: Option<Vec<usize>>| -> Vec<f32> {
            let output = model.forward(input(lengths), OutputRequest::default(), Mode::Eval);
            assert_eq!(output.logits.dims(), [2, 4, 3]);
            output.logits.into_data().to_vec().unwrap()
        };
        let (padded, packed) = (logits(None), logits(Some(vec![3, 4])));
        // All but the three at the padding of the first text.
        let real = |values: &[f32]| [&values[..9], &values[12..]].concat();
        brew_testkit::assert_close(&real(&padded), &real(&packed), 1e-5, 1e-6, "logits");
        assert!(packed.iter().all(|value| value.is_finite()));
    }
}
