//! The work of both sides: what each row gives them to do, and one pair of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::measured::{Measured, Part, parse};
use super::process::{Finished, Sign, run};
use super::programs::Programs;
use super::rows::{Measure, Row};
use super::run_files::{Distillation, Places};
use super::sizes::{Sizes, Times};

/// The layers of MiniLM-L6 that row H's student starts with, as in the experiment.
const STUDENT_LAYERS: [usize; 3] = [1, 3, 5];

/// What both sides read.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    /// A pretrained MiniLM-L6 with its tokenizer, and the folder with the sentences.
    pub(super) pretrained: Option<PathBuf>,
    pub(super) data: Option<PathBuf>,
}

/// Both sides on one folder.
pub(super) struct Session<'a> {
    root: &'a Path,
    folder: PathBuf,
    programs: Programs,
    sizes: Sizes,
    inputs: Inputs,
    threads: usize,
    /// `--set` of whole runs.
    changed: Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        root: &'a Path,
        folder: &Path,
        programs: Programs,
        sizes: Sizes,
        inputs: Inputs,
        threads: usize,
        changed: Vec<String>,
    ) -> Result<Self> {
        for part in ["models", "specs", "logs", "runs"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        let folder = fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
        Ok(Self { root, folder, programs, sizes, inputs, threads, changed })
    }

    fn model(&self, name: &str) -> PathBuf {
        self.folder.join("models").join(name)
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// A task as a file.
    fn spec(&self, name: &str, mut task: Value) -> Result<PathBuf> {
        task["threads"] = self.threads.into();
        let path = self.folder.join("specs").join(format!("{name}.json"));
        self.write(&path, &format!("{task:#}\n"))?;
        Ok(path)
    }

    fn run(&self, name: &str, mut command: Command, sign: Option<&Sign>) -> Result<Finished> {
        run(&mut command, sign, &self.folder.join("logs").join(format!("{name}.log")))
    }

    /// The peer's versions and the size of a process that has loaded it.
    pub(super) fn peer_versions(&self) -> Result<(BTreeMap<String, String>, Option<u64>)> {
        self.programs.peer_versions(&self.folder.join("logs/versions.log"))
    }

    /// Writes the models that both sides read, unless they are there.
    pub(super) fn prepare(&self) -> Result<()> {
        let (student, teacher) = (self.sizes.model("T4-tiny"), self.sizes.model("base"));
        let models: Value =
            self.sizes.models.iter().map(|model| (model.name.to_owned(), model.config())).collect();
        let task = json!({
            "task": "prepare", "folder": self.folder.join("models"), "models": models,
            "tokenizer": self.inputs.pretrained, "layers": STUDENT_LAYERS,
            "batch": self.sizes.batch, "length": self.sizes.length, "heads": teacher.heads,
            "student_width": student.width, "teacher_width": teacher.width,
        });
        let prepared = task.to_string();
        let stamp = self.folder.join("models/prepared.json");
        if fs::read_to_string(&stamp).is_ok_and(|text| text == prepared) {
            return Ok(());
        }
        let spec = self.spec("prepare", task)?;
        self.run("prepare", self.programs.peer(&spec), None).context("the models of the benchmark")?;
        if let Some(tokenizer) = &self.inputs.pretrained {
            let task = json!({
                "task": "export", "model": self.model("T4-tiny"), "tokenizer": tokenizer,
                "folder": self.model("exported"),
            });
            let spec = self.spec("export", task)?;
            self.run("export", self.programs.bench(&spec), None).context("the export of T4-tiny")?;
        }
        self.write(&stamp, &prepared)
    }

    /// The first sentences of a file, as a file.
    fn texts(&self, name: &str, count: usize) -> Result<PathBuf> {
        let data = self.inputs.data.as_deref().context("rows G to K read sentences: give --data")?;
        let source = data.join(name);
        let text = fs::read_to_string(&source).with_context(|| source.display().to_string())?;
        let lines: Vec<&str> = text.lines().take(count).collect();
        ensure!(!lines.is_empty(), "{} is empty", source.display());
        let path = self.folder.join(format!("{}-{name}", lines.len()));
        self.write(&path, &(lines.join("\n") + "\n"))?;
        Ok(path)
    }

    /// One side's task of a row that is no whole run.
    fn task(&self, row: Row) -> Result<Value> {
        let timed = |mut task: Value, times: Times| {
            task["warmup"] = times.warmup.into();
            task["iterations"] = times.iterations.into();
            task
        };
        let Sizes { batch, length, max_length, .. } = self.sizes;
        let padded = |task: &str, model: &str| {
            let task = json!({"task": task, "model": self.model(model), "batch": batch, "length": length});
            Ok(timed(task, self.sizes.passes))
        };
        match row {
            Row::A => padded("forward", "base"),
            Row::B => padded("step", "T3"),
            Row::C => padded("step", "T4-tiny"),
            Row::D => padded("step", "T12-nano"),
            Row::E => padded("step", "MiniLM-L6"),
            Row::F => {
                let task = json!({"task": "losses", "tensors": self.model("losses.safetensors")});
                Ok(timed(task, self.sizes.losses))
            }
            Row::J => {
                let task = json!({
                    "task": "tokenize", "tokenizer": self.inputs.pretrained, "max_length": max_length, "batch": 32,
                    "texts": self.texts("train.tsv", self.sizes.tokenized)?,
                });
                Ok(timed(task, self.sizes.texts))
            }
            Row::K => {
                let task = json!({
                    "task": "infer", "model": self.model("exported"), "max_length": max_length,
                    "batches": [1, 32], "texts": self.texts("dev.tsv", self.sizes.inferred)?,
                });
                Ok(timed(task, self.sizes.texts))
            }
            Row::G | Row::H | Row::I => anyhow::bail!("row {row} is a whole run"),
        }
    }

    /// A whole run: of rows G to I, on one side.
    fn distillation(&self, row: Row, side: &str) -> Result<(Distillation, Places, usize)> {
        let (distillation, models, sentences) = match row {
            Row::G => (Distillation::large(&self.sizes)?, ["base", "T4-tiny"], self.sizes.large_run.0),
            _ => (
                Distillation::small(self.root, &self.sizes)?,
                ["pretrained-teacher", "pretrained-student"],
                self.sizes.small_run.0,
            ),
        };
        let distillation = if row == Row::I { distillation.first_step()? } else { distillation };
        let [teacher, student] = models.map(|name| self.model(name));
        let output = self.folder.join("runs").join(format!("{row}-{side}"));
        // The folders of G's models are the bench's own; a run before this one is of no use.
        if output.exists() {
            fs::remove_dir_all(&output).with_context(|| output.display().to_string())?;
        }
        let texts = self.texts("train.tsv", sentences)?;
        let sentences = fs::read_to_string(&texts)?.lines().count();
        Ok((distillation, Places { teacher, student, texts, output }, sentences))
    }

    /// Brew's side of a row.
    pub(super) fn brew(&self, row: Row) -> Result<Measured> {
        let name = format!("{row}-brew");
        if row.measure() == Measure::Iteration {
            let spec = self.spec(&name, self.task(row)?)?;
            return self.report(&name, self.programs.bench(&spec));
        }
        let (distillation, places, sentences) = self.distillation(row, "brew")?;
        let file = self.folder.join("specs").join(format!("{name}.toml"));
        self.write(&file, &distillation.file(&places)?)?;
        let mut command = self.programs.textbrew();
        command.arg("distill").arg(&file).arg("--quiet");
        for setting in &self.changed {
            command.arg("--set").arg(setting);
        }
        let sign = Sign::File(places.output.join("log.jsonl"), r#""event":"report""#);
        let sign = (row.measure() == Measure::FirstStep).then_some(&sign);
        let finished = self.run(&name, command, sign)?;
        let seconds = whole(row, &finished)?;
        let part = Part {
            name: String::new(),
            seconds,
            shortest: seconds,
            items: sentences as f64,
            check: vec![steps(&places.output.join("result.json"))?],
        };
        Ok(Measured { parts: vec![part], peak_kib: finished.peak_kib })
    }

    /// The peer's side of a row.
    pub(super) fn peer(&self, row: Row) -> Result<Measured> {
        let name = format!("{row}-peer");
        if row.measure() == Measure::Iteration {
            let spec = self.spec(&name, self.task(row)?)?;
            return self.report(&name, self.programs.peer(&spec));
        }
        let (distillation, places, _) = self.distillation(row, "peer")?;
        let spec = self.spec(&name, distillation.peer(&places)?)?;
        let sign = (row.measure() == Measure::FirstStep).then_some(&Sign::Line("first step"));
        let finished = self.run(&name, self.programs.peer(&spec), sign)?;
        let parts = parse(&finished.stdout, Some(whole(row, &finished)?))?;
        Ok(Measured { parts, peak_kib: finished.peak_kib })
    }

    /// A pair of matrix products.
    pub(super) fn products(&self, shapes: &[[usize; 3]]) -> Result<(Measured, Measured)> {
        let Times { warmup, iterations } = self.sizes.products;
        let task = json!({"task": "products", "shapes": shapes, "warmup": warmup, "iterations": iterations});
        let spec = self.spec("products", task)?;
        let brew = self.report("products-brew", self.programs.bench(&spec))?;
        Ok((brew, self.report("products-peer", self.programs.peer(&spec))?))
    }

    /// What a side that measures itself says.
    fn report(&self, name: &str, command: Command) -> Result<Measured> {
        let finished = self.run(name, command, None)?;
        let parts = parse(&finished.stdout, None).with_context(|| name.to_owned())?;
        Ok(Measured { parts, peak_kib: finished.peak_kib })
    }
}

/// The seconds of a row that times processes.
fn whole(row: Row, finished: &Finished) -> Result<f64> {
    match row.measure() {
        Measure::FirstStep => finished.first.context("it did not say when its first step was done"),
        _ => Ok(finished.seconds),
    }
}

/// The optimizer steps of a finished run.
fn steps(result: &Path) -> Result<f64> {
    let text = fs::read_to_string(result).with_context(|| result.display().to_string())?;
    let result_of: Value = serde_json::from_str(&text).with_context(|| result.display().to_string())?;
    result_of["steps"].as_f64().with_context(|| format!("{} has no steps", result.display()))
}
