//! Distillation losses as functions of tensors, and a registry of them by name.
