//! Encoders that distillation is about, and their Hugging Face checkpoints in and out.
