//! TextBrewer's configurations load as they are, and mean what TextBrewer's classes make of them.

use brew_config::{DistillationConfig, TrainingConfig, from_json_str, from_toml_str};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Written by `xtask/peer/make_config_goldens.py`.
const GOLDEN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../brew-testkit/golden/configs.json"));

#[derive(Deserialize)]
struct Golden {
    training: Vec<Case>,
    distillation: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// The dictionary as a file holds it.
    given: Map<String, Value>,
    /// The fields of TextBrewer's object.
    made: Map<String, Value>,
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).unwrap()
}

/// The fields of a configuration, loaded from JSON, by name.
fn loaded<T: DeserializeOwned + Serialize>(given: &Map<String, Value>) -> (T, Map<String, Value>) {
    let text = serde_json::to_string(given).unwrap();
    let config: T = from_json_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Value::Object(fields) = serde_json::to_value(&config).unwrap() else { panic!("{text}: no struct") };
    (config, fields)
}

/// Equal but for how a number is written (4 or 4.0) and for what is absent instead of null.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let both = ours.keys().chain(theirs.keys());
            both.into_iter().all(|key| {
                let of = |fields: &Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                same(&of(ours), &of(theirs))
            })
        }
        _ => ours == theirs,
    }
}

/// TextBrewer adds an empty table to a projection of three items; Brew writes none.
fn without_empty_groups(mut made: Map<String, Value>) -> Map<String, Value> {
    let matches = made.get_mut("intermediate_matches").and_then(Value::as_array_mut);
    for one in matches.into_iter().flatten() {
        if let Some(projection) = one["proj"].as_array_mut()
            && projection.last().and_then(Value::as_object).is_some_and(Map::is_empty)
        {
            projection.pop();
        }
    }
    made
}

fn compare(given: &Map<String, Value>, ours: &Map<String, Value>, made: &Map<String, Value>) {
    assert!(!made.is_empty());
    for (field, theirs) in made {
        let ours = ours.get(field).unwrap_or(&Value::Null);
        assert!(same(ours, theirs), "{field} is {ours}, TextBrewer's is {theirs}, of {given:?}");
    }
}

#[test]
fn training_configurations_are_textbrewers_field_by_field() {
    let cases = golden().training;
    assert_eq!(cases.len(), 101);
    for Case { given, made } in cases {
        let (config, fields) = loaded::<TrainingConfig>(&given);
        assert_eq!(made.len(), 6);
        compare(&given, &fields, &made);
        for name in ["device", "fp16", "fp16_opt_level", "data_parallel", "local_rank"] {
            assert_eq!(fields.get(name), given.get(name), "{name} of {given:?}");
        }
        assert_eq!(config.validate(), [], "{given:?}");
        let advised: Vec<&str> = config.ignored_fields().iter().map(|one| one.field).collect();
        let asks = |name: &str| given.get(name) == Some(&Value::Bool(true));
        let expected = [
            ("device", given.contains_key("device")),
            ("fp16", asks("fp16")),
            ("fp16_opt_level", asks("fp16") && given.contains_key("fp16_opt_level")),
            ("data_parallel", asks("data_parallel")),
        ];
        let expected: Vec<&str> = expected.into_iter().filter_map(|(name, is)| is.then_some(name)).collect();
        assert_eq!(advised, expected, "{given:?}");
    }
}

#[test]
fn distillation_configurations_are_textbrewers_field_by_field() {
    let cases = golden().distillation;
    assert_eq!(cases.len(), 128);
    for Case { given, made } in cases {
        let (config, fields) = loaded::<DistillationConfig>(&given);
        assert_eq!(made.len(), 10);
        compare(&given, &fields, &without_empty_groups(made));
        assert_eq!(config.validate(&[]), [], "{given:?}");
        let toml = toml::to_string(&config).unwrap();
        assert_eq!(from_toml_str::<DistillationConfig>(&toml).unwrap(), config, "{toml}");
    }
}

#[test]
fn a_wrong_field_would_be_noticed() {
    let Case { given, mut made } = golden().distillation.swap_remove(1);
    let (_, ours) = loaded::<DistillationConfig>(&given);
    made.insert("temperature".into(), 4.5.into());
    assert!(std::panic::catch_unwind(|| compare(&given, &ours, &made)).is_err());
}

#[test]
fn flsw_by_its_bare_name_crashes_in_textbrewer_and_has_defaults_here() {
    let bare: DistillationConfig = from_json_str(r#"{"temperature_scheduler": "flsw"}"#).unwrap();
    let full: DistillationConfig = from_json_str(r#"{"temperature_scheduler": ["flsw", 1, 1]}"#).unwrap();
    assert_eq!(bare, full);
}

#[test]
fn none_read_from_a_file_fails_in_textbrewer_and_is_none_here() {
    // There, `is not 'none'` is true of every string that a JSON file holds.
    let config: DistillationConfig = from_json_str(
        r#"{"temperature_scheduler": "none", "kd_loss_weight_scheduler": "none",
            "hard_label_weight_scheduler": "none"}"#,
    )
    .unwrap();
    assert_eq!(config, DistillationConfig::default());
}
