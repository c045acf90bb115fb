//! `cargo xtask experiment <name>`: the run files of `configs/<name>` over several seeds, as one table.
//!
//! Every finished arm leaves its `result.json`, by which it is skipped when the experiment is started
//! again; an arm that was cut off goes on from its last checkpoint.

mod chart;
mod data;
mod report;
mod statistics;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Deserialize;

use data::Data;
use report::{ArmResult, Report};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder under `configs/` with an experiment.toml, such as `sst2`
    name: String,

    /// The pretrained checkpoint the arms start from; or a folder that holds several, called as the run files
    /// call them
    #[arg(long, value_name = "FOLDER", env = "BREW_MODEL")]
    model: Option<PathBuf>,

    /// The folder with train.tsv, dev.tsv and test.tsv; of an experiment on several data sets, with a folder
    /// for each
    #[arg(long, value_name = "FOLDER", env = "BREW_DATA")]
    data: Option<PathBuf>,

    /// How many seeds, counted from 0
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    seeds: u64,

    /// Where the runs and the report go [default: runs/NAME]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// Change a field of every run file, such as `training.num_steps=2` for a trial; may be repeated. Finished
    /// arms are not run again, so give such a trial an --output of its own
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// A `textbrew` program to use instead of building this workspace's
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// `experiment.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    title: String,
    /// What `--model` is and where to get it.
    model: String,
    data: Data,
    /// What is reported, by its name in results; arms are compared by the first.
    #[serde(default = "accuracy")]
    metrics: Vec<String>,
    arms: Vec<Arm>,
    peer: Option<Peer>,
}

fn accuracy() -> Vec<String> {
    vec!["accuracy".to_owned()]
}

/// One run file with its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    name: String,
    /// `train` or `distill`.
    command: String,
    /// The run file beside the experiment's, `<name>.toml` where it is left out.
    file: Option<String>,
    /// Settings of this arm, as `--set` takes them.
    #[serde(default)]
    set: Vec<String>,
    /// Added to the seed, so that arms of the same file differ.
    #[serde(default)]
    seed_offset: u64,
    /// The data set, where there are several.
    data: Option<String>,
    /// The arms whose models teach.
    #[serde(default)]
    teachers: Vec<String>,
    /// The same for each task of a run file with `[[tasks]]`, by the task's name.
    #[serde(default)]
    tasks: BTreeMap<String, TaskOfArm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskOfArm {
    data: String,
    teachers: Vec<String>,
}

impl Arm {
    fn file(&self) -> String {
        self.file.clone().unwrap_or_else(|| format!("{}.toml", self.name))
    }

    /// The data sets that it names.
    fn sets(&self) -> impl Iterator<Item = &String> {
        self.tasks.values().map(|task| &task.data).chain(&self.data)
    }

    /// The arms that teach it.
    fn teachers(&self) -> impl Iterator<Item = &String> {
        self.tasks.values().flat_map(|task| &task.teachers).chain(&self.teachers)
    }
}

/// Another program's figures for the same arms.
#[derive(Debug, Deserialize)]
struct Peer {
    name: String,
    #[serde(flatten)]
    arms: BTreeMap<String, PeerScores>,
}

/// Scores in per cent, one a seed, by the first metric.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerScores {
    dev: Vec<f64>,
    test: Vec<f64>,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = root.join("configs").join(&arguments.name);
    let experiment = read(root, &folder)?;
    let model = given(arguments.model.as_deref(), "--model", "BREW_MODEL", &experiment.model)?;
    let data = experiment.data.given(arguments.data.as_deref())?;
    ensure!(arguments.seeds > 0, "--seeds 0: give at least one");
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => root.join("runs").join(&arguments.name),
    };
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => build(root)?,
    };

    let runs = Runs {
        folder: &folder,
        output: &output,
        program: &program,
        model: &model,
        data: &data,
        sets: &experiment.data,
        more: &arguments.settings,
    };
    let mut results = Vec::new();
    for seed in 0..arguments.seeds {
        for arm in &experiment.arms {
            results.extend(runs.arm(arm, seed)?);
            // After every arm, so that an experiment that is cut off leaves what it has.
            Report::new(&experiment, &results).write(&output)?;
        }
    }
    print!("\n{}", Report::new(&experiment, &results).markdown());
    println!("\nreport: {}", output.join("report.md").display());
    Ok(ExitCode::SUCCESS)
}

fn read(root: &Path, folder: &Path) -> anyhow::Result<Experiment> {
    let path = folder.join("experiment.toml");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; there are: {}", path.display(), names(root)))?;
    let experiment: Experiment = toml::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(!experiment.metrics.is_empty(), "{}: metrics names none", path.display());
    for (index, arm) in experiment.arms.iter().enumerate() {
        check(arm, &experiment.arms[..index], &experiment.data)
            .with_context(|| format!("{}: arm {}", path.display(), arm.name))?;
    }
    Ok(experiment)
}

/// Whether an arm can be run after the `earlier` ones.
fn check(arm: &Arm, earlier: &[Arm], data: &Data) -> anyhow::Result<()> {
    let Arm { command, tasks, .. } = arm;
    ensure!(
        ["train", "distill"].contains(&command.as_str()),
        "command {command:?} is neither train nor distill"
    );
    for teacher in arm.teachers() {
        ensure!(earlier.iter().any(|one| one.name == *teacher), "its teacher {teacher} is no earlier arm");
    }
    if !tasks.is_empty() {
        let is_clear = command == "distill" && arm.data.is_none() && arm.teachers.is_empty();
        ensure!(is_clear, "an arm with tasks is a distill whose tasks have data and teachers");
    }
    match data.names() {
        None => ensure!(arm.sets().next().is_none(), "names a data set, and there is one without a name"),
        Some(names) => {
            ensure!(arm.sets().next().is_some(), "names no data set; there are {names:?}");
            for set in arm.sets() {
                ensure!(names.contains(&set.as_str()), "data {set:?} is none of {names:?}");
            }
        }
    }
    Ok(())
}

/// The experiments there are.
fn names(root: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(root.join("configs"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("experiment.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.join(", ")
}

/// A folder the user has to name, or how to get it.
pub(super) fn given(value: Option<&Path>, flag: &str, variable: &str, what: &str) -> anyhow::Result<PathBuf> {
    let Some(path) = value else {
        bail!("give {flag} FOLDER or set {variable}. It is {what}");
    };
    ensure!(path.is_dir(), "{flag}: {} is no folder. It should be {what}", path.display());
    // The runs' settings are read in another folder.
    fs::canonicalize(path).with_context(|| path.display().to_string())
}

/// Builds the program and says where it is.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--bin", "textbrew", "--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build --bin textbrew failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo build --bin textbrew named no program")
}

/// What every arm has in common.
struct Runs<'a> {
    folder: &'a Path,
    output: &'a Path,
    program: &'a Path,
    model: &'a Path,
    data: &'a Path,
    sets: &'a Data,
    /// `--set` of the user's.
    more: &'a [String],
}

impl Runs<'_> {
    fn place(&self, arm: &str, seed: u64) -> PathBuf {
        self.output.join(format!("{arm}-{seed}"))
    }

    /// The results of one arm, one a task, which is run unless it has them.
    fn arm(&self, arm: &Arm, seed: u64) -> anyhow::Result<Vec<ArmResult>> {
        let place = self.place(&arm.name, seed);
        let result = place.join("result.json");
        if result.exists() {
            println!("{} {seed}: finished before", arm.name);
        } else {
            println!("{} {seed}: {}", arm.name, place.display());
            let mut command = Command::new(self.program);
            command.arg(&arm.command).arg(self.folder.join(arm.file()));
            let settings = self.settings(arm, seed)?.into_iter().map(|(key, value)| format!("{key}={value}"));
            for setting in arm.set.iter().cloned().chain(settings).chain(self.more.iter().cloned()) {
                command.arg("--set").arg(setting);
            }
            if place.join("checkpoints/index.json").exists() {
                command.arg("--resume");
            } else if place.join("run.json").exists() {
                command.arg("--overwrite");
            }
            let status =
                command.status().with_context(|| format!("cannot start {}", self.program.display()))?;
            ensure!(status.success(), "{} {seed} ended with {status}", arm.name);
        }
        ArmResult::read(&arm.name, seed, &result)
    }

    fn settings(&self, arm: &Arm, seed: u64) -> anyhow::Result<Vec<(String, String)>> {
        let mut settings = vec![
            ("training.output_dir".to_owned(), self.place(&arm.name, seed).display().to_string()),
            ("training.seed".to_owned(), (seed + arm.seed_offset).to_string()),
        ];
        settings.extend(self.models(&self.folder.join(arm.file()))?);
        if arm.tasks.is_empty() {
            settings.extend(self.taught("", arm.data.as_deref(), &arm.teachers, seed));
        }
        for (name, task) in &arm.tasks {
            let of = format!("tasks[{name}].");
            settings.extend(self.taught(&of, Some(&task.data), &task.teachers, seed));
        }
        Ok(settings)
    }

    /// The pretrained checkpoint in the places where a run file names one.
    fn models(&self, file: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let run: toml::Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let model = run.get("model").and_then(toml::Value::as_table);
        let named =
            ["from", "tokenizer"].into_iter().filter_map(|key| Some((key, model?.get(key)?.as_str()?)));
        named
            .map(|(key, name)| {
                let name = Path::new(name).file_name().unwrap_or_default();
                let is_checkpoint = self.model.join("config.json").is_file();
                let folder = if is_checkpoint { self.model.to_path_buf() } else { self.model.join(name) };
                Ok((format!("model.{key}"), folder.display().to_string()))
            })
            .collect()
    }

    /// The files of a data set and the models of teachers, as fields below `of`.
    fn taught(&self, of: &str, data: Option<&str>, teachers: &[String], seed: u64) -> Vec<(String, String)> {
        let files = self.sets.files(self.data, data);
        let mut settings: Vec<_> = files
            .into_iter()
            .map(|(split, file)| (format!("{of}data.{split}"), file.display().to_string()))
            .collect();
        if !teachers.is_empty() {
            let models = teachers.iter().map(|teacher| {
                // A TOML string: a path may hold what TOML takes for more.
                toml::Value::from(self.place(teacher, seed).join("model").display().to_string()).to_string()
            });
            let models: Vec<String> = models.collect();
            settings.push((format!("{of}teacher.from"), format!("[{}]", models.join(", "))));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_experiment_of_the_project_can_be_read_and_has_its_run_files() {
        let root = crate::workspace_root().unwrap();
        let names = names(root);
        assert!(names.contains("sst2"), "{names}");
        for name in names.split(", ") {
            let folder = root.join("configs").join(name);
            let experiment = read(root, &folder).unwrap();
            for arm in &experiment.arms {
                let text = fs::read_to_string(folder.join(arm.file())).unwrap();
                let file: toml::Table = toml::from_str(&text).unwrap();
                let tasks = file.get("tasks").and_then(toml::Value::as_array).into_iter().flatten();
                let tasks: BTreeSet<_> = tasks.filter_map(|task| task["name"].as_str()).collect();
                let named: BTreeSet<_> = arm.tasks.keys().map(String::as_str).collect();
                assert_eq!(tasks, named, "{name}: {}", arm.name);
            }
            let peer = experiment.peer.iter().flat_map(|peer| peer.arms.keys());
            for arm in peer {
                let arm = arm.split('/').next().unwrap();
                assert!(experiment.arms.iter().any(|one| one.name == arm), "{name}: peer's {arm}");
            }
        }
    }

    #[test]
    fn a_missing_folder_says_how_to_get_it() {
        let error = given(None, "--data", "BREW_DATA", "the SST-2 files").unwrap_err().to_string();
        assert!(error.contains("--data FOLDER") && error.contains("the SST-2 files"), "{error}");
        let error = given(Some(Path::new("/nowhere")), "--data", "BREW_DATA", "the SST-2 files").unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }

    fn arms(text: &str) -> Experiment {
        let before = "title = \"T\"\nmodel = \"m\"\ndata.a.about = \"A\"\n\
            data.b = { about = \"B\", train = \"b-train.tsv\", test = \"b-test.tsv\" }\n";
        toml::from_str(&format!("{before}{text}")).unwrap()
    }

    #[test]
    fn tasks_are_given_their_data_and_teachers() {
        let experiment = arms(
            "[[arms]]\nname = \"ta\"\ncommand = \"train\"\ndata = \"a\"\n\
             [[arms]]\nname = \"both\"\ncommand = \"distill\"\n\
             tasks.x = { data = \"a\", teachers = [\"ta\"] }\ntasks.y = { data = \"b\", teachers = [\"ta\"] }\n",
        );
        for (index, arm) in experiment.arms.iter().enumerate() {
            check(arm, &experiment.arms[..index], &experiment.data).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        for (file, model) in
            [("ta", "from = \"models/bert\""), ("both", "preset = \"T3\"\ntokenizer = \"x/bert\"")]
        {
            fs::write(folder.path().join(format!("{file}.toml")), format!("[model]\n{model}\n")).unwrap();
        }
        let runs = Runs {
            folder: folder.path(),
            output: Path::new("runs"),
            program: Path::new("textbrew"),
            model: Path::new("pretrained"),
            data: Path::new("data"),
            sets: &experiment.data,
            more: &[],
        };
        let settings = |arm: usize| {
            let settings = runs.settings(&experiment.arms[arm], 1).unwrap();
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        assert!(settings(0).contains(&"data.test=data/a/test.tsv".to_owned()), "{:?}", settings(0));
        let expected = [
            "tasks[x].data.train=data/a/train.tsv",
            "tasks[x].data.dev=data/a/dev.tsv",
            "tasks[x].data.test=data/a/test.tsv",
            "tasks[x].teacher.from=[\"runs/ta-1/model\"]",
            "tasks[y].data.train=data/b/b-train.tsv",
            "tasks[y].data.test=data/b/b-test.tsv",
            "tasks[y].teacher.from=[\"runs/ta-1/model\"]",
        ];
        assert_eq!(settings(1)[3..], expected);
        // Only what a run file names is given, by its name in a folder of several checkpoints.
        assert_eq!(settings(0)[2], "model.from=pretrained/bert");
        assert_eq!(settings(1)[2], "model.tokenizer=pretrained/bert");
    }

    #[test]
    fn arms_that_cannot_be_run_are_refused() {
        let tasks = "tasks.x = { data = \"a\", teachers = [\"one\"] }";
        for (arm, part) in [
            ("command = \"run\"\ndata = \"a\"", "neither train nor distill"),
            ("command = \"train\"", "names no data set"),
            ("command = \"train\"\ndata = \"c\"", "\"c\" is none of"),
            ("command = \"distill\"\ndata = \"a\"\nteachers = [\"two\"]", "two is no earlier arm"),
            (&format!("command = \"train\"\n{tasks}"), "is a distill"),
            (&format!("command = \"distill\"\ndata = \"a\"\n{tasks}"), "is a distill"),
        ] {
            let one = "[[arms]]\nname = \"one\"\ncommand = \"train\"\ndata = \"a\"\n";
            let experiment = arms(&format!("{one}[[arms]]\nname = \"last\"\n{arm}\n"));
            let [one, last] = &experiment.arms[..] else { panic!("two arms") };
            let error = check(last, std::slice::from_ref(one), &experiment.data).unwrap_err().to_string();
            assert!(error.contains(part), "{arm}: {error}");
        }
    }

    #[test]
    fn an_unknown_experiment_lists_those_there_are() {
        let root = crate::workspace_root().unwrap();
        let error = read(root, &root.join("configs/imagenet")).unwrap_err().to_string();
        assert!(error.contains("imagenet") && error.contains("sst2"), "{error}");
    }
}
