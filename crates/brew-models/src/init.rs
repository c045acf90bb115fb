//! Parameters of new models, and the one way a module gets its tensors.

use std::collections::HashMap;

use brew_random::Key;
use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::fused::LayerNorm;
use crate::names::{ParameterSpec, Role};
use crate::{EncoderConfig, Head, ModelError};

/// Gives the values of each parameter by its path: from a key, a file, another model.
///
/// Parameters are asked for one by one, so that no second copy of a whole model is ever in memory.
pub(crate) trait ParameterSource {
    fn values(&mut self, path: &str) -> Result<TensorData, ModelError>;
}

impl<F: FnMut(&str) -> Result<TensorData, ModelError>> ParameterSource for F {
    fn values(&mut self, path: &str) -> Result<TensorData, ModelError> {
        self(path)
    }
}

/// Draws parameters as transformers does: N(0, `initializer_range`²), zero bias, LayerNorm 1 and 0,
/// a zero padding row; a GRU as PyTorch does. Each parameter has a key of its own, so its values do not depend on which
/// others were drawn before it.
pub(crate) struct Initialiser {
    specs: HashMap<String, ParameterSpec>,
    key: Key,
    std: f64,
}

impl Initialiser {
    pub(crate) fn new(config: &EncoderConfig, head: Head, key: Key) -> Self {
        let specs = crate::names::parameter_specs(config, Some(head));
        let specs = specs.into_iter().map(|spec| (spec.path.clone(), spec)).collect();
        Self { specs, key, std: config.initializer_range }
    }
}

impl ParameterSource for Initialiser {
    fn values(&mut self, path: &str) -> Result<TensorData, ModelError> {
        let spec = &self.specs[path];
        let len = spec.num_elements();
        let values = match spec.role {
            Role::Bias => vec![0.0; len],
            Role::Scale => vec![1.0; len],
            Role::Weight => self.draw(spec, len),
            Role::Recurrent(hidden) => {
                let bound = 1.0 / (hidden as f64).sqrt();
                let mut stream = self.key.purpose(&spec.name).stream();
                (0..len).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect()
            }
            Role::PaddedEmbedding(padding) => {
                let mut values = self.draw(spec, len);
                if let Some(row) = padding {
                    let width = spec.shape[1];
                    values[row * width..(row + 1) * width].fill(0.0);
                }
                values
            }
        };
        Ok(TensorData::new(values, spec.shape.clone()))
    }
}

impl Initialiser {
    /// Keyed by the name files use: the paths of this crate's structs may change, these will not.
    fn draw(&self, spec: &ParameterSpec, len: usize) -> Vec<f32> {
        self.key.purpose(&spec.name).normal(len, self.std)
    }
}

/// Builds modules out of a [`ParameterSource`].
pub(crate) struct Builder<'a, B: Backend> {
    pub(crate) source: &'a mut dyn ParameterSource,
    pub(crate) device: &'a B::Device,
}

impl<B: Backend> Builder<'_, B> {
    fn parameter<const D: usize>(&mut self, path: String) -> Result<Param<Tensor<B, D>>, ModelError> {
        let values = self.source.values(&path)?;
        Ok(Param::from_tensor(Tensor::from_data(values, self.device)))
    }

    pub(crate) fn linear(&mut self, path: &str) -> Result<Linear<B>, ModelError> {
        let weight = self.parameter(format!("{path}.weight"))?;
        let bias = Some(self.parameter(format!("{path}.bias"))?);
        Ok(Linear { weight, bias })
    }

    pub(crate) fn embedding(&mut self, path: &str) -> Result<Embedding<B>, ModelError> {
        Ok(Embedding { weight: self.parameter(format!("{path}.weight"))? })
    }

    pub(crate) fn layer_norm(&mut self, path: &str, epsilon: f64) -> Result<LayerNorm<B>, ModelError> {
        let gamma = self.parameter(format!("{path}.gamma"))?;
        Ok(LayerNorm { gamma, beta: self.parameter(format!("{path}.beta"))?, epsilon })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;

    fn config() -> EncoderConfig {
        EncoderConfig {
            vocab_size: 50,
            hidden_size: 40,
            num_attention_heads: 4,
            num_hidden_layers: 1,
            intermediate_size: 60,
            initializer_range: 0.5,
            pad_token_id: Some(3),
            ..EncoderConfig::default()
        }
    }

    fn values(key: Key, path: &str) -> Vec<f32> {
        values_of(&config(), key, path)
    }

    fn values_of(config: &EncoderConfig, key: Key, path: &str) -> Vec<f32> {
        let mut initialiser = Initialiser::new(config, Head::SequenceClassification, key);
        initialiser.values(path).unwrap().to_vec().unwrap()
    }

    #[test]
    fn a_gru_starts_as_pytorchs() {
        let config = EncoderConfig { hidden_size: 25, ..EncoderConfig::of(Architecture::BiGru) };
        for path in ["encoder.gru.forward.hidden.weight", "encoder.gru.reverse.input.bias"] {
            let values = values_of(&config, Key::new(1), path);
            assert!(values.iter().all(|value| value.abs() <= 0.2), "{path}: {values:?}");
            let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            assert!(largest > 0.19 && mean.abs() < 0.03, "{path}: largest {largest}, mean {mean}");
        }
    }

    #[test]
    fn robertas_padding_position_is_zero() {
        let config = EncoderConfig {
            hidden_size: 4,
            num_attention_heads: 2,
            ..EncoderConfig::of(Architecture::Roberta)
        };
        let positions = values_of(&config, Key::new(1), "encoder.embeddings.position_embeddings.weight");
        assert!(positions[4..8].iter().all(|&x| x == 0.0) && positions[0] != 0.0 && positions[8] != 0.0);
    }

    #[test]
    fn new_parameters_start_as_those_of_transformers() {
        let key = Key::new(1);
        let words = values(key, "encoder.embeddings.word_embeddings.weight");
        assert!(words[120..160].iter().all(|&x| x == 0.0), "the padding row is not zero");
        assert_eq!(words.iter().filter(|&&x| x == 0.0).count(), 40);
        let mean = words.iter().map(|&x| f64::from(x)).sum::<f64>() / 2000.0;
        let std = (words.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1960.0).sqrt();
        assert!(mean.abs() < 0.05 && (std - 0.5).abs() < 0.05, "mean {mean}, std {std}");
        assert_eq!(values(key, "classifier.bias"), vec![0.0; 2]);
        assert_eq!(values(key, "encoder.layers.0.attention.layer_norm.gamma"), vec![1.0; 40]);
        assert_eq!(values(key, "encoder.layers.0.attention.layer_norm.beta"), vec![0.0; 40]);
    }

    #[test]
    fn each_parameter_has_values_of_its_own_that_repeat_with_the_key() {
        let path = "encoder.layers.0.attention.query.weight";
        assert_eq!(values(Key::new(1), path), values(Key::new(1), path));
        assert_ne!(values(Key::new(1), path), values(Key::new(2), path));
        assert_ne!(values(Key::new(1), path), values(Key::new(1), "encoder.layers.0.attention.key.weight"));
    }
}
