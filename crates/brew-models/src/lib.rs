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
mod attention;
mod classification;
mod config;
mod dropout;
mod embeddings;
mod encoder;
mod error;
mod exact;
mod export;
mod head;
mod import;
mod init;
mod layer;
mod names;
mod output;
mod packing;
mod parameters;
mod pickle;
mod state;
#[cfg(test)]
mod tiny;
mod token_classification;
mod torch_archive;

pub use activation::Activation;
pub use attention::SelfAttention;
pub use classification::{Pooler, SequenceClassifier, StudentHead};
pub use config::EncoderConfig;
pub use embeddings::Embeddings;
pub use encoder::Encoder;
pub use error::{Misfit, ModelError, ShapeMismatch};
pub use exact::LayerNorm;
pub use export::{TOKENIZER_FILES, save_pretrained};
pub use head::PretrainedModel;
pub use import::{LoadOptions, Pretrained, from_state_dict, load_pretrained};
pub use layer::{EncoderLayer, FeedForward};
pub use output::{EncoderInput, EncoderOutput, Mode, ModelOutput, OutputRequest};
pub use parameters::{ParameterRow, ParameterTable};
pub use token_classification::TokenClassifier;
