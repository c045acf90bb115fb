use super::*;
use crate::{DistillationConfig, KdLossType, TrainingConfig};

fn problems<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<String>) {
    let reading = Reading::<T>::of_toml(text);
    (reading.config, reading.problems.iter().map(ToString::to_string).collect())
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_line() {
    let (config, found) = problems::<TrainingConfig>(
        "num_epoch = 3\nseed = \"x\"\nbanana = 1\n[optimizer]\nname = \"adam\"\nlr = [1]\nbeta = 2\n",
    );
    let starts = [
        "num_epoch = 3: line 1: unknown key, did you mean `num_epochs`?",
        "seed = \"x\": line 2: invalid type: string \"x\", expected u64; correct it",
        "banana = 1: line 3: unknown key; known here: ",
        "optimizer.name = \"adam\": line 5: unknown value `adam`, did you mean `adamw`?; allowed here: adamw",
        "optimizer.lr = [1]: line 6: invalid type: sequence, expected f64; correct it",
        "optimizer.beta = 2: line 7: unknown key, did you mean `betas`?",
        "optimizer.beta = 2: line 7: invalid type: integer `2`, expected an array of length 2; correct it",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (one, start) in found.iter().zip(starts) {
        assert!(one.starts_with(start), "{start}: {found:#?}");
    }
    let config = config.unwrap();
    assert_eq!((config.num_epochs, config.optimizer.lr), (3, 1e-4));
}

#[test]
fn json_is_read_to_its_end_too() {
    let text = r#"{"temprature": 8, "kd_loss_type": "cee", "intermediate_matches": [
        {"layer_T": 1, "layer_S": 1, "feature": "hiden", "loss": "cos"}, {"layer_T": "a", "layer_S": 1}]}"#;
    let reading = Reading::<DistillationConfig>::of_json(text);
    let fields: Vec<&str> = reading.problems.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        ["temprature", "intermediate_matches[0].feature", "intermediate_matches[1].layer_T", "kd_loss_type"]
    );
    let config = reading.config.unwrap();
    assert_eq!((config.temperature, config.kd_loss_type), (8.0, KdLossType::Ce));
    assert_eq!(config.intermediate_matches.len(), 1);
}

#[test]
fn entries_keep_their_numbers_when_others_are_left_out() {
    let text = "intermediate_matches = [1, \"banana_x\", {layer_T = 1, layer_S = 1, feature = \"hidden\", loss = \"cos\", \
                wieght = 1}, {layer_T = 1, layer_S = 1, feature = \"hidden\", loss = \"cosine\"}]";
    let reading = Reading::<DistillationConfig>::of_toml(text);
    let fields: Vec<&str> = reading.problems.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        ["intermediate_matches[0]", "intermediate_matches[1]", "intermediate_matches[2].wieght"]
    );
    let found = reading.config.as_ref().unwrap().validate(&["cos".to_owned()]);
    let further = reading.further(found);
    assert_eq!(further.len(), 1);
    assert_eq!(further[0].field, "intermediate_matches[3].loss");
}

#[test]
fn what_follows_from_a_mistake_is_not_told_again() {
    let reading = Reading::<TrainingConfig>::of_toml("seed = \"x\"");
    let found = vec![
        Problem::new("seed", "missing", "give it"),
        Problem::new("seed", "0", "a default that nobody wrote"),
        Problem::new("seeds", "missing", "give it"),
        Problem::new("lr", "missing", "give it"),
    ];
    let left = reading.further(found);
    assert_eq!(left.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["seeds", "lr"]);
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_one_problem() {
    let (config, found) = problems::<TrainingConfig>("num_epochs = = 1");
    assert!(config.is_none() && found.len() == 1 && found[0].starts_with("line 1: "), "{found:?}");
    let reading = Reading::<TrainingConfig>::of_file("nowhere.toml");
    assert!(reading.problems[0].to_string().contains("nowhere.toml"), "{:?}", reading.problems);
    let reading = Reading::<TrainingConfig>::of_file("config.yaml");
    assert!(reading.problems[0].to_string().contains("config.yaml"), "{:?}", reading.problems);
}

#[test]
fn a_right_file_is_read_as_ever() {
    let (config, found) = problems::<TrainingConfig>("num_epochs = 3\n[optimizer]\nlr = 1e-3\n");
    assert_eq!(found, [""; 0]);
    assert_eq!(Some(config.unwrap()), crate::from_toml_str("num_epochs = 3\n[optimizer]\nlr = 1e-3\n").ok());
}
