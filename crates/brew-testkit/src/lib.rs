//! What the tests of the other crates share: the test backend, the golden loader, damaged files.

mod close;
mod data;
mod golden;
mod untrusted;

pub use close::assert_close;
pub use data::real_data;
pub use golden::{GoldenTensor, golden_dir, golden_dirs, read_json, read_safetensors};
pub use untrusted::fuzz;

/// The backend that unit tests run on.
pub type TestBackend = burn_ndarray::NdArray<f32>;

/// The same, with gradients.
pub type TestAutodiffBackend = burn::backend::Autodiff<TestBackend>;
