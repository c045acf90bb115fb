//! What a run is, and how two of them differ.

use serde_json::Value;

/// Where two values differ, each place with what was there and what is there now.
///
/// Objects are compared field by field and lists of one length entry by entry; anything else as a whole.
pub(crate) fn differences(then: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", then, now, &mut found);
    found
}

fn compare(path: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let names = then.keys().chain(now.keys().filter(|name| !then.contains_key(*name)));
            for name in names {
                let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of =
                    |values: &serde_json::Map<String, Value>| values.get(name).cloned().unwrap_or_default();
                compare(&place, &of(then), &of(now), found);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                compare(&format!("{path}[{index}]"), then, now, found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("{path}: {} then, {} now", shown(then), shown(now))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_named_with_both_values() {
        let then = json!({"training": {"lr": 1e-4, "betas": [0.9, 0.999]}, "files": ["a"], "teacher": "t"});
        let now = json!({"training": {"lr": 2e-4, "betas": [0.9, 0.98]}, "files": ["a", "b"], "cache": true});
        assert_eq!(
            differences(&then, &now),
            [
                "training.lr: 0.0001 then, 0.0002 now",
                "training.betas[1]: 0.999 then, 0.98 now",
                r#"files: ["a"] then, ["a","b"] now"#,
                r#"teacher: "t" then, nothing now"#,
                "cache: nothing then, true now",
            ]
        );
        assert!(differences(&then, &then).is_empty());
    }
}
