//! `configs/official/`: a run file for every cell of the tables of results in TextBrewer's README, and an
//! `experiment.toml` for each data set with the README's numbers. They are written by this command and not by hand,
//! so that they differ only where the tables do.
//!
//! The settings are the README's (temperature 8, its matches, rate 1e-4 and 30 to 60 epochs for students) and, where
//! that is silent, those of the scripts below `examples/` of <https://github.com/airaria/TextBrewer>.

mod tables;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;

use tables::{DataSet, ELECTRA_TEACHER, SETS, STUDENTS, Student, TEACHER};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only compare what is there with what would be written
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = root.join("configs/official");
    let mut differing = Vec::new();
    for (name, text) in files() {
        let path = folder.join(&name);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if !arguments.check {
            let parent = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        differing.push(name);
    }
    for name in &differing {
        println!("{} {name}", if arguments.check { "differs:" } else { "written:" });
    }
    ensure!(!arguments.check || differing.is_empty(), "run `cargo xtask official`");
    Ok(ExitCode::SUCCESS)
}

/// Every file below `configs/official/` with its text.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for set in &SETS {
        files.push((format!("{}/experiment.toml", set.name), set.experiment()));
        for (name, _) in set.scores {
            let text = match STUDENTS.iter().find(|student| student.name == *name) {
                Some(student) => set.student(student),
                None => set.teacher(name),
            };
            files.push((format!("{}/{name}.toml", set.name), text));
        }
    }
    files
}

impl DataSet {
    fn is_chinese(&self) -> bool {
        ["xnli", "lcqmc", "cmrc2018", "drcd", "msra_ner"].contains(&self.name)
    }

    /// The pretrained model of a teacher.
    fn pretrained(&self, teacher: &str) -> &'static str {
        match (self.is_chinese(), teacher) {
            (false, _) => "bert-base-cased",
            (true, TEACHER) => "chinese-roberta-wwm-ext",
            (true, _) => "chinese-electra-base",
        }
    }

    /// What its files are, and those of the set that is distilled beside it.
    fn about(&self) -> String {
        match self.students.augmentation {
            None => self.about.to_owned(),
            Some((file, _)) => format!(
                "{}; for some students also data/{file}, below the folder that the command is run in",
                self.about
            ),
        }
    }

    /// The pretrained models that its run files start from.
    fn models(&self) -> Vec<&'static str> {
        let mut models = Vec::new();
        for (name, _) in self.scores {
            match *name {
                TEACHER | ELECTRA_TEACHER => models.push(self.pretrained(name)),
                "Electra-small" => models.push("chinese-electra-small"),
                _ => {}
            }
        }
        models
    }

    fn teacher_of(&self, student: &str) -> &'static str {
        if student == "Electra-small" { ELECTRA_TEACHER } else { TEACHER }
    }

    /// TextBrewer's numbers as it writes them.
    fn reported(&self, name: &str) -> String {
        let scores = self.scores.iter().find(|(row, _)| *row == name).map_or(&[][..], |(_, scores)| scores);
        scores.iter().map(ToString::to_string).collect::<Vec<_>>().join(" / ")
    }

    fn data_table(&self, transfer: Option<&str>) -> String {
        let mut out = "[data]\n".to_owned();
        for (split, file) in ["train", "dev", "test"].into_iter().zip(self.files) {
            if let Some(file) = file {
                let _ = writeln!(out, "{split} = \"data/{}/{file}\"", self.name);
            }
        }
        if let Some(file) = transfer {
            let _ = writeln!(out, "transfer = [\"data/{file}\"]");
            if file.ends_with(".conll") {
                // The README does not say how many of HotpotQA's sentences, of some two million.
                let _ = writeln!(out, "transfer_examples = 50000");
            }
        }
        if !self.data.is_empty() {
            let _ = writeln!(out, "{}", self.data);
        }
        let _ = writeln!(out, "max_length = {}\nbatch_size = {}", self.max_length, self.batch_size);
        out
    }

    fn head(&self, what: &str, name: &str) -> String {
        let metrics = match self.name {
            "mnli" => "accuracy, matched / mismatched".to_owned(),
            _ => self.metrics.join(" / ").replace("exact_match", "exact match").replace("f1", "F1"),
        };
        format!(
            "# {what} of TextBrewer's table for {}, where it has {metrics} {}.\n# Written by `cargo xtask official`.\n\n\
             task = \"{}\"\n\n",
            self.title,
            self.reported(name),
            self.task
        )
    }

    fn teacher(&self, name: &str) -> String {
        let pretrained = self.pretrained(name);
        let (lr, epochs) = (self.teacher.lr, self.teacher.epochs);
        format!(
            "{}{}\n[model]\nfrom = \"models/{pretrained}\"\n\n[training]\noutput_dir = \"runs/official/{}/{name}\"\n\
             num_epochs = {epochs}\nmax_grad_norm = 1.0\noptimizer = {{ lr = {lr}, weight_decay = 0.01 }}\n\
             schedule = {{ name = \"linear\", warmup_ratio = 0.1 }}\n",
            self.head("The teacher", name),
            self.data_table(None),
            self.name
        )
    }

    fn student(&self, student: &Student) -> String {
        let Student { name, model, matches } = student;
        let teacher = self.teacher_of(name);
        let transfer =
            self.students.augmentation.filter(|(_, names)| names.contains(name)).map(|(file, _)| file);
        let schedule = match self.students.decays {
            true => "schedule = { name = \"linear\", warmup_ratio = 0.1 }",
            false => {
                "# Without decay, as TextBrewer's README says of this data set.\n\
                 schedule = { name = \"constant\", warmup_ratio = 0.1 }"
            }
        };
        let matches: Vec<String> = matches.iter().map(|name| format!("\"{name}\"")).collect();
        format!(
            "{}{}\n[model]\n{}\n\n[teacher]\nfrom = \"runs/official/{}/{teacher}\"\n\n[training]\n\
             output_dir = \"runs/official/{}/{name}\"\nnum_epochs = {}\nmax_grad_norm = 1.0\n\
             optimizer = {{ lr = 1e-4, weight_decay = 0.01 }}\n{schedule}\n\n[distillation]\ntemperature = 8\n\
             intermediate_matches = [{}]\n",
            self.head(name, name),
            self.data_table(transfer),
            model.replace("PRETRAINED", self.pretrained(TEACHER)),
            self.name,
            self.name,
            self.students.epochs,
            matches.join(", ")
        )
    }

    /// The teachers, every student on labels alone and distilled, and TextBrewer's numbers beside.
    fn experiment(&self) -> String {
        let mut out = format!(
            "# Written by `cargo xtask official`. A GPU is needed: students are trained for {} epochs.\n#\n\
             #   cargo xtask experiment official/{} --model MODELS --data {}\n\n\
             title = \"{}: the students of TextBrewer's table\"\n\
             model = \"a folder that holds {}\"\nmetrics = {:?}\n\n[data]\nabout = \"{}\"\n",
            self.students.epochs,
            self.name,
            self.name.to_uppercase(),
            self.title,
            self.models().join(", "),
            self.metrics,
            self.about(),
        );
        for (split, file) in ["train", "dev", "test"].into_iter().zip(self.files) {
            if let Some(file) = file {
                let _ = writeln!(out, "{split} = \"{file}\"");
            }
        }
        for (name, _) in self.scores {
            match STUDENTS.iter().any(|student| student.name == *name) {
                false => {
                    let _ = write!(out, "\n[[arms]]\nname = \"{name}\"\ncommand = \"train\"\n");
                }
                true => {
                    let _ = write!(
                        out,
                        "\n[[arms]]\nname = \"{name}-labels\"\ncommand = \"train\"\nfile = \"{name}.toml\"\n\n\
                         [[arms]]\nname = \"{name}\"\ncommand = \"distill\"\nteachers = [\"{}\"]\n",
                        self.teacher_of(name)
                    );
                }
            }
        }
        out.push_str("\n# From the README of TextBrewer.\n[peer]\nname = \"TextBrewer\"\n");
        let has_dev_and_test = self.name == "mnli";
        // CoNLL-2003's figures are those of its test set, by their size; the README does not say.
        let is_dev = self.files[1].is_some() && self.name != "conll2003";
        for (name, scores) in self.scores {
            let (dev, test) = match has_dev_and_test {
                true => (vec![scores[0]], vec![scores[1]]),
                false if is_dev => (vec![scores[0]], vec![]),
                false => (vec![], vec![scores[0]]),
            };
            let _ = writeln!(out, "{name} = {{ dev = {dev:?}, test = {test:?} }}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_that_this_writes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, text) in files() {
            let found = fs::read_to_string(root.join("configs/official").join(&name)).unwrap_or_default();
            assert!(found == text, "configs/official/{name} is another; run `cargo xtask official`");
        }
    }

    /// 19 cells of the English table, 16 and 10 of the two Chinese ones.
    #[test]
    fn every_cell_of_the_tables_has_a_run_file() {
        let cells: usize = SETS.iter().map(|set| set.scores.len()).sum();
        assert_eq!(cells, 19 + 16 + 10);
        assert_eq!(files().len(), cells + SETS.len());
        // Every score belongs to a teacher or a student that is known.
        let known = |name: &str| {
            [TEACHER, ELECTRA_TEACHER].contains(&name) || STUDENTS.iter().any(|student| student.name == name)
        };
        assert!(SETS.iter().flat_map(|set| set.scores).all(|(name, _)| known(name)));
    }
}
