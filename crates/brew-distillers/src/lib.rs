//! The training loop, the objectives that make it a distiller, and what watches it.
