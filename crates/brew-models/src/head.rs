//! What the models have in common: an encoder, perhaps a pooler, and a linear classifier.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::Module;
use burn::tensor::{TensorData, backend::Backend};

use crate::names::parameter_specs;
use crate::state::{check_shapes, read_parameters, transpose};
use crate::{EncoderConfig, ModelError};

/// A BERT with a task's head, which Hugging Face files are read into and written from.
pub trait PretrainedModel: Module<Self::Backend> {
    /// The backend it runs on.
    type Backend: Backend;

    /// The class of transformers that it is, as `architectures` names it.
    const ARCHITECTURE: &'static str;

    /// Whether a pooler stands between encoder and classifier.
    const HAS_POOLER: bool;

    /// A model whose parameters are what `values` gives for their paths, in Burn's layout.
    ///
    /// # Errors
    /// A configuration out of range, and what `values` says.
    fn from_parameters(
        config: &EncoderConfig,
        values: &mut dyn FnMut(&str) -> Result<TensorData, ModelError>,
        device: &<Self::Backend as burn::tensor::backend::BackendTypes>::Device,
    ) -> Result<Self, ModelError>;

    /// The parameters under their Hugging Face names, in PyTorch's layout, as f32.
    ///
    /// # Errors
    /// If the configuration is not this model's.
    fn state_dict(&self, config: &EncoderConfig) -> Result<BTreeMap<String, TensorData>, ModelError> {
        let specs = parameter_specs(config, Self::HAS_POOLER);
        let mut parameters: HashMap<String, TensorData> =
            read_parameters(self, |_| true).into_iter().collect();
        check_shapes(specs.iter().map(|spec| (spec.path.as_str(), spec)), &parameters)?;
        if parameters.len() > specs.len() {
            let more = parameters.len() - specs.len();
            let message = format!("the model has {more} parameters that are not in its configuration");
            return Err(ModelError::config(Path::new("config.json"), message));
        }
        let named = specs.into_iter().filter_map(|spec| {
            let data = parameters.remove(&spec.path)?;
            Some((spec.name, if spec.transposed { transpose(data) } else { data }))
        });
        Ok(named.collect())
    }
}
