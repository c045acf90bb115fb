//! Checkpoints of zeros that cost no disk: a header and a file that is as long as it says.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use brew::models::{EncoderConfig, Head, tensor_shapes};
use serde_json::{Map, Value, json};

/// Writes `config.json` and the header of `model.safetensors`; `change` may alter the tensors.
pub(crate) fn write(
    folder: &Path,
    config: &EncoderConfig,
    head: Head,
    change: impl Fn(&str, Vec<usize>) -> Option<Vec<usize>>,
) {
    fs::create_dir_all(folder).unwrap();
    let mut file = serde_json::to_value(config).unwrap();
    file["architectures"] = json!([head.class_name(config.architecture)]);
    fs::write(folder.join("config.json"), file.to_string()).unwrap();
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in tensor_shapes(config, head) {
        let Some(shape) = change(&name, shape) else { continue };
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut weights = File::create(folder.join("model.safetensors")).unwrap();
    weights.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    weights.write_all(header.as_bytes()).unwrap();
    weights.set_len((8 + header.len() + end) as u64).unwrap();
}

/// The whole checkpoint.
pub(crate) fn write_whole(folder: &Path, config: &EncoderConfig, head: Head) {
    write(folder, config, head, |_, shape| Some(shape));
}
