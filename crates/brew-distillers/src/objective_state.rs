//! What an objective keeps between batches.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use serde_json::Value;

/// What an objective keeps between batches besides what is trained, for a checkpoint.
///
/// ```
/// use brew_distillers::ObjectiveState;
///
/// let state = ObjectiveState::from(serde_json::json!({ "batches": 3 }));
/// assert!(state.tensors.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectiveState {
    /// What JSON can say in few words; numbers that must come back to the last bit as their bits.
    pub values: Value,
    /// Tables of numbers by name. They are kept as float32, which comes back to the last bit.
    pub tensors: BTreeMap<String, TensorData>,
}

impl From<Value> for ObjectiveState {
    fn from(values: Value) -> Self {
        Self { values, tensors: BTreeMap::new() }
    }
}
