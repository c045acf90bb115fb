//! Configuration of training and distillation: plain data, checked before anything runs.
