use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{ConfigError, nearest};

/// Reads a configuration from JSON text.
///
/// ```
/// use brew_config::{TrainingConfig, from_json_str};
///
/// let config: TrainingConfig = from_json_str(r#"{"gradient_accumulation_steps": 2, "fp16": true}"#)?;
/// assert_eq!(config.gradient_accumulation_steps, 2);
/// assert_eq!(config.ignored_fields()[0].field, "fp16");
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
///
/// # Errors
/// An unknown key or value, malformed JSON or a value of the wrong type, with its line.
pub fn from_json_str<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    serde_json::from_str(text).map_err(|error| {
        let line = (error.line() > 0).then_some(error.line());
        let message = error.to_string();
        let message = match message.rfind(" at line ") {
            Some(end) => &message[..end],
            None => &message,
        };
        diagnose(message, line)
    })
}

/// Reads a configuration from TOML text.
///
/// ```
/// use brew_config::{TrainingConfig, from_toml_str};
///
/// let error = from_toml_str::<TrainingConfig>("num_epochs = 3\nnum_epoch = 2").unwrap_err();
/// assert!(error.to_string().starts_with("line 2: unknown key `num_epoch`, did you mean `num_epochs`?"));
/// ```
///
/// # Errors
/// An unknown key or value, malformed TOML or a value of the wrong type, with its line.
pub fn from_toml_str<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        diagnose(error.message(), line)
    })
}

/// Reads a configuration from a `.toml` or `.json` file.
///
/// ```
/// let path = std::env::temp_dir().join(format!("brew-config-{}.json", std::process::id()));
/// std::fs::write(&path, r#"{"temperature": 8}"#)?;
/// let config: brew_config::DistillationConfig = brew_config::load(&path)?;
/// assert_eq!(config.temperature, 8.0);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The file cannot be read, has another extension, or does not hold a `T`.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    let path = path.as_ref();
    let (text, is_toml) = text_of(path)?;
    let config = if is_toml { from_toml_str(&text) } else { from_json_str(&text) };
    config.map_err(|error| error.in_file(path.to_path_buf()))
}

/// The text of a configuration file, and whether it is TOML rather than JSON.
pub(crate) fn text_of(path: &Path) -> Result<(String, bool), ConfigError> {
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_toml = match extension.as_str() {
        "json" => false,
        "toml" => true,
        _ => return Err(ConfigError::UnknownFormat { path: path.to_path_buf(), extension }),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    Ok((text, is_toml))
}

/// serde gives unknown names as text only: the name and then what it expected, each in backticks.
pub(crate) fn diagnose(message: &str, line: Option<usize>) -> ConfigError {
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_string);
    let is_key = message.starts_with("unknown field `");
    if message.starts_with("unknown preset `") {
        ConfigError::unknown_preset(&quoted.next().unwrap_or_default(), line)
    } else if is_key || message.starts_with("unknown variant `") {
        let name = quoted.next().unwrap_or_default();
        let known: Vec<String> = quoted.collect();
        let nearest = nearest(&name, known.iter().map(String::as_str)).map(str::to_string);
        if is_key {
            ConfigError::UnknownKey { path: None, line, key: name, nearest, known }
        } else {
            ConfigError::UnknownValue { path: None, line, value: name, nearest, known }
        }
    } else {
        ConfigError::Malformed { path: None, line, message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistillationConfig, TrainingConfig};

    #[test]
    fn an_unknown_json_key_is_named_with_its_line_and_the_nearest_key() {
        let error =
            from_json_str::<DistillationConfig>("{\n  \"temperature\": 4,\n  \"kd_los_weight\": 1\n}")
                .unwrap_err();
        let ConfigError::UnknownKey { line, key, nearest, known, .. } = error else { panic!("{error}") };
        assert_eq!(
            (line, key.as_str(), nearest.as_deref()),
            (Some(3), "kd_los_weight", Some("kd_loss_weight"))
        );
        assert!(known.contains(&"temperature".to_string()));
    }

    #[test]
    fn an_unknown_key_of_a_match_is_found_too() {
        let text = "[[intermediate_matches]]\nlayer_T = 1\nlayer_s = 1\n";
        let message = from_toml_str::<DistillationConfig>(text).unwrap_err().to_string();
        assert!(message.starts_with("line 3: unknown key `layer_s`, did you mean `layer_S`?"), "{message}");
    }

    #[test]
    fn an_unknown_name_lists_what_is_allowed() {
        let message =
            from_json_str::<DistillationConfig>(r#"{"kd_loss_type": "cee"}"#).unwrap_err().to_string();
        assert_eq!(
            message,
            "line 1: unknown value `cee`, did you mean `ce`?; allowed here: ce, mse, kl, reverse_kl, js, skew_kl, skew_reverse_kl, dkd, bce"
        );
    }

    #[test]
    fn a_wrong_type_and_broken_text_say_where() {
        let message =
            from_json_str::<TrainingConfig>("{\n\"num_epochs\": \"three\"}").unwrap_err().to_string();
        assert!(message.starts_with("line 2: invalid type: string \"three\""), "{message}");
        let message = from_toml_str::<TrainingConfig>("num_epochs = 1\nseed = = 2").unwrap_err().to_string();
        assert!(message.starts_with("line 2: "), "{message}");
    }

    #[test]
    fn files_are_read_by_extension_and_named_in_errors() {
        let path = std::env::temp_dir().join(format!("brew-config-load-{}.toml", std::process::id()));
        std::fs::write(&path, "num_epochs = 3\nsede = 1\n").unwrap();
        let message = load::<TrainingConfig>(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(
            message.starts_with(&format!("{}:2: unknown key `sede`, did you mean `seed`?", path.display()))
        );
        assert!(matches!(load::<TrainingConfig>(&path), Err(ConfigError::Read { .. })));
        assert!(matches!(load::<TrainingConfig>("config.yaml"), Err(ConfigError::UnknownFormat { .. })));
    }
}
