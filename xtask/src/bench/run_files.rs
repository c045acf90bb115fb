//! The distillations of rows G to I: as a run file of `textbrew`'s and as what the peer's side reads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use toml::Table;

use super::sizes::Sizes;

/// The recipe of row H, an arm of `cargo xtask experiment sst2`.
const RECIPE: &str = "configs/sst2/distilled.toml";

/// Layers of the teacher and of the student that row G matches: TextBrewer's `L4t_hidden_mse` and `L4_hidden_smmd`.
const MATCHED: [(usize, usize); 5] = [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)];

/// A distillation.
#[derive(Debug, Clone)]
pub(super) struct Distillation {
    /// The run file.
    pub(super) run: Table,
}

/// Where its models, its sentences and its results are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) teacher: PathBuf,
    pub(super) student: PathBuf,
    pub(super) texts: PathBuf,
    pub(super) output: PathBuf,
}

impl Distillation {
    /// Row G: settings of Brew's are its defaults.
    pub(super) fn large(sizes: &Sizes) -> Result<Self> {
        let widths = (sizes.model("T4-tiny").width, sizes.model("base").width);
        let hidden = MATCHED.map(|(teacher, student)| {
            json!({
                "layer_T": teacher, "layer_S": student, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
                "proj": ["linear", widths.0, widths.1],
            })
        });
        let similarities = MATCHED.map(|(teacher, student)| {
            json!({
                "layer_T": [teacher, teacher], "layer_S": [student, student], "feature": "hidden",
                "loss": "mmd", "weight": 1,
            })
        });
        let run = json!({
            "data": {"max_length": sizes.max_length, "batch_size": 32},
            "training": {
                "num_epochs": sizes.large_run.1, "max_grad_norm": 1.0,
                "optimizer": {"lr": 1e-4, "weight_decay": 0.01},
                "schedule": {"name": "linear", "warmup_ratio": 0.1},
            },
            "distillation": {
                "temperature": 8, "hard_label_weight": 0,
                "intermediate_matches": hidden.iter().chain(&similarities).collect::<Vec<_>>(),
            },
        });
        Ok(Self { run: Table::try_from(run)? })
    }

    /// Row H: the recipe, with as many epochs.
    pub(super) fn small(root: &Path, sizes: &Sizes) -> Result<Self> {
        let path = root.join(RECIPE);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut run: Table = text.parse().with_context(|| path.display().to_string())?;
        // The student's folder has these layers alone, and neither side measures on other files.
        run.insert("model".to_owned(), Table::new().into());
        for split in ["dev", "test"] {
            table(&mut run, "data")?.remove(split);
        }
        table(&mut run, "training")?
            .insert("num_epochs".to_owned(), i64::try_from(sizes.small_run.1)?.into());
        Ok(Self { run })
    }

    /// Row I: one step of it, reported at once.
    pub(super) fn first_step(mut self) -> Result<Self> {
        let training = table(&mut self.run, "training")?;
        training.insert("num_steps".to_owned(), 1.into());
        training.insert("log_every".to_owned(), 1.into());
        Ok(self)
    }

    /// The text of the run file.
    pub(super) fn file(&self, places: &Places) -> Result<String> {
        let mut run = self.run.clone();
        let mut set = |part: &str, key: &str, path: &Path| -> Result<()> {
            let of = run.entry(part).or_insert_with(|| Table::new().into());
            let of = of.as_table_mut().with_context(|| format!("[{part}] is no table"))?;
            of.insert(key.to_owned(), path.display().to_string().into());
            Ok(())
        };
        set("data", "train", &places.texts)?;
        set("model", "from", &places.student)?;
        set("teacher", "from", &places.teacher)?;
        set("training", "output_dir", &places.output)?;
        Ok(toml::to_string(&run)?)
    }

    /// The same for the peer's side.
    pub(super) fn peer(&self, places: &Places) -> Result<Value> {
        let run = serde_json::to_value(&self.run)?;
        let (data, training) = (&run["data"], &run["training"]);
        Ok(json!({
            "task": "distill",
            "teacher": places.teacher, "student": places.student, "texts": places.texts, "output": places.output,
            "tokenizer": places.student,
            "max_length": data["max_length"], "batch": data["batch_size"],
            "num_epochs": training["num_epochs"], "num_steps": training.get("num_steps"),
            "max_grad_norm": training["max_grad_norm"],
            "lr": training["optimizer"]["lr"], "weight_decay": training["optimizer"]["weight_decay"],
            "temperature": run["distillation"]["temperature"],
            "matches": run["distillation"]["intermediate_matches"],
        }))
    }
}

fn table<'a>(run: &'a mut Table, name: &str) -> Result<&'a mut Table> {
    run.get_mut(name).and_then(toml::Value::as_table_mut).with_context(|| format!("{RECIPE} has no [{name}]"))
}

#[cfg(test)]
mod tests {
    use brew::RunConfig;
    use brew::config::{DistillationConfig, from_toml_str};

    use super::*;

    fn places() -> Places {
        let at = |name: &str| PathBuf::from("bench").join(name);
        Places { teacher: at("teacher"), student: at("student"), texts: at("texts.tsv"), output: at("run") }
    }

    #[test]
    fn the_large_run_is_the_one_of_textbrewers_match_tables() {
        let distillation = Distillation::large(&Sizes::full()).unwrap();
        let run: RunConfig = from_toml_str(&distillation.file(&places()).unwrap()).unwrap();
        let named = r#"intermediate_matches = ["L4t_hidden_mse", "L4_hidden_smmd"]"#;
        let named: DistillationConfig = from_toml_str(named).unwrap();
        assert_eq!(run.distillation.intermediate_matches, named.intermediate_matches);
        assert_eq!(run.training.num_epochs, 10);
        assert_eq!(run.teacher.unwrap().from, [PathBuf::from("bench/teacher")]);

        let peer = distillation.peer(&places()).unwrap();
        assert_eq!((&peer["num_epochs"], &peer["num_steps"]), (&json!(10), &Value::Null));
        assert_eq!(peer["matches"][4]["proj"], json!(["linear", 312, 768]));
        assert_eq!(peer["lr"], 1e-4);
    }

    #[test]
    fn the_small_run_is_the_experiments_arm() {
        let root = crate::workspace_root().unwrap();
        let distillation = Distillation::small(root, &Sizes::full()).unwrap();
        let run: RunConfig = from_toml_str(&distillation.file(&places()).unwrap()).unwrap();
        let text = std::fs::read_to_string(root.join(RECIPE)).unwrap();
        let recipe: RunConfig = from_toml_str(&text).unwrap();
        assert_eq!(run.distillation, recipe.distillation);
        assert_eq!(run.training.num_epochs, recipe.training.num_epochs);
        assert_eq!((run.data.dev, run.data.test, run.model.layers), (None, None, None));

        let peer = distillation.first_step().unwrap().peer(&places()).unwrap();
        assert_eq!(peer["num_steps"], 1);
        assert!(
            ["max_length", "batch", "max_grad_norm", "temperature"].iter().all(|key| !peer[key].is_null())
        );
    }
}
