//! Encoders that distillation is about, and their Hugging Face checkpoints in and out.
//!
//! ```no_run
//! use brew_models::{SequenceClassifier, LoadOptions, load_pretrained};
//! use brew_testkit::TestBackend;
//!
//! let folder = std::path::Path::new("bert-base-uncased");
//! let pretrained = load_pretrained::<SequenceClassifier<TestBackend>>(folder, &LoadOptions::default(), &Default::default())?;
//! println!("{} labels, new: {:?}", pretrained.config.num_labels(), pretrained.initialised);
//! # Ok::<(), brew_models::ModelError>(())
//! ```

mod activation;
mod architecture;
mod attention;
mod classification;
mod config;
mod dropout;
mod embeddings;
mod encoder;
mod error;

mod export;
mod fused;
mod gru;
mod head;
mod header;
mod import;
mod init;
mod layer;
mod lazy;
mod names;
mod output;
mod packing;
mod parameters;
mod pickle;
mod presets;
mod safetensors_header;
mod span_classification;
mod state;
#[cfg(test)]
mod tiny;
mod token_classification;
mod torch_archive;
#[cfg(test)]
mod untrusted;

pub use activation::Activation;
pub use architecture::{Architecture, Head, ProblemType};
pub use attention::SelfAttention;
pub use classification::SequenceClassifier;
pub use config::EncoderConfig;
pub use embeddings::Embeddings;
pub use encoder::Encoder;
pub use error::{Misfit, ModelError, ShapeMismatch};
pub use export::{STAGING_PREFIX, TOKENIZER_FILES, save_pretrained, write_pretrained};
pub use fused::LayerNorm;
pub use gru::{BiGru, GruDirection};
pub use head::{Pooler, PretrainedModel, StudentHead};
pub use header::{HeaderFit, TensorHeader, WeightHeader};
pub use import::{LoadOptions, Pretrained, from_state_dict, load_pretrained, weight_file};
pub use layer::{EncoderLayer, FeedForward};
pub use names::{count_parameters, tensor_shapes};
pub use output::{EncoderInput, EncoderOutput, Mode, ModelOutput, OutputRequest};
pub use parameters::{ParameterRow, ParameterTable};
pub use presets::StudentPreset;
pub use span_classification::{SpanClassifier, SpanOutput};
pub use token_classification::TokenClassifier;
