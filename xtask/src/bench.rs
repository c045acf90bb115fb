//! `cargo xtask bench`: Brew against TextBrewer on PyTorch, row by row and pair by pair.
//!
//! Both sides are processes that do the same with the same weights, texts and threads, in turn and in alternating
//! order, so that a machine that is slower for a while is so for both. A ratio is the median over the pairs.

mod ceiling;
mod machine;
mod measured;
mod process;
mod programs;
mod report;
mod rows;
mod run_files;
mod session;
mod sizes;
mod statistics;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use ceiling::Ceiling;
use machine::{BUSY, Machine, brew_versions};
use measured::ensure_same;
use programs::Programs;
use report::{Report, RowReport, Settings};
use rows::Row;
use session::{Inputs, Session};
use sizes::Sizes;

const MODEL: &str = "all-MiniLM-L6-v2, a Hugging Face folder with config.json, weights and tokenizer \
                     (huggingface.co/sentence-transformers/all-MiniLM-L6-v2)";
const DATA: &str = "a folder with train.tsv and dev.tsv of SST-2, one text<TAB>label a line \
                    (github.com/clairett/pytorch-sentiment-classification, data/SST2)";

/// Positions of a BERT.
const LONGEST: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rows to measure [default: all]
    #[arg(long, value_name = "ROWS", value_delimiter = ',', ignore_case = true)]
    rows: Vec<Row>,

    /// How often each row is measured on both sides
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pairs: usize,

    /// Threads of each side, which is kept to as many cores
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    threads: usize,

    /// Print JSON instead of a Markdown table
    #[arg(long)]
    json: bool,

    /// Write what is printed to a file too
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Texts of a batch in rows A to F [default: 16]
    #[arg(long, value_name = "COUNT")]
    batch: Option<usize>,

    /// Tokens of a text in rows A to F [default: 128]
    #[arg(long, value_name = "COUNT")]
    length: Option<usize>,

    /// How many times as many layers the models of rows A to E have
    #[arg(long, value_name = "FACTOR", default_value_t = 1)]
    depth: usize,

    /// Tiny models and few texts, to see that both sides run: no figure means anything
    #[arg(long)]
    quick: bool,

    /// A pretrained MiniLM-L6 with its tokenizer, for rows G to K
    #[arg(long, value_name = "FOLDER", env = "BREW_MODEL")]
    model: Option<PathBuf>,

    /// The folder with train.tsv and dev.tsv of SST-2, for rows G to K
    #[arg(long, value_name = "FOLDER", env = "BREW_DATA")]
    data: Option<PathBuf>,

    /// A Python environment with torch, transformers and textbrewer [default: .venv-peer, made where it is
    /// missing: several GB]
    #[arg(long, value_name = "FOLDER", env = "BREW_PEER_VENV")]
    venv: Option<PathBuf>,

    /// Cargo's profile in which Brew's side is built
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,

    /// A folder with `textbrew` and `brew-bench` to use instead of building them
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    programs: Option<PathBuf>,

    /// Where models, logs and runs go, about 1.5 GB [default: runs/bench, or runs/bench-quick]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Change a field of Brew's run files in rows G to I, such as `distillation.is_caching_logits=true`; may be
    /// repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Arguments {
    /// The rows asked for, each once, in order.
    fn rows(&self) -> Vec<Row> {
        let asked = |row: &Row| self.rows.is_empty() || self.rows.contains(row);
        Row::ALL.into_iter().filter(asked).collect()
    }

    /// The sizes of all rows.
    fn sizes(&self, rows: &[Row]) -> Result<Sizes> {
        for (flag, value) in
            [("--batch", self.batch), ("--length", self.length), ("--depth", Some(self.depth))]
        {
            ensure!(value != Some(0), "{flag} 0: give at least 1");
        }
        ensure!(
            self.length.is_none_or(|length| length <= LONGEST),
            "--length {}: a BERT reads at most {LONGEST} tokens",
            self.length.unwrap_or_default()
        );
        let is_scaled = self.batch.is_some() || self.length.is_some() || self.depth != 1;
        ensure!(
            !is_scaled || rows.iter().all(|row| !row.reads_texts()),
            "--batch, --length and --depth are of rows A to F: name those with --rows"
        );
        let sizes = if self.quick { Sizes::quick() } else { Sizes::full() };
        Ok(sizes.scaled(self.batch, self.length, self.depth))
    }

    /// What the rows read, or how to get what is missing.
    fn inputs(&self, rows: &[Row]) -> Result<Inputs> {
        let mut inputs = Inputs { pretrained: None, data: None };
        let is_needed = rows.iter().any(|row| row.reads_texts());
        let given = |value: &Option<PathBuf>, flag: &str, variable: &str, what: &str| -> Result<_> {
            if is_needed || value.is_some() {
                return super::experiment::given(value.as_deref(), flag, variable, what).map(Some);
            }
            Ok(None)
        };
        inputs.pretrained = given(&self.model, "--model", "BREW_MODEL", MODEL)?;
        inputs.data = given(&self.data, "--data", "BREW_DATA", DATA)?;
        Ok(inputs)
    }
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.pairs > 0, "--pairs 0: measure at least once");
    ensure!(arguments.threads > 0, "--threads 0: give at least one");
    // Before anything is built: what that leaves in the load is the benchmark's own.
    let machine = Machine::now();
    if machine.is_busy() {
        eprintln!("warning: {BUSY}");
    }
    let rows = arguments.rows();
    let inputs = arguments.inputs(&rows)?;
    let sizes = arguments.sizes(&rows)?;
    let name = if arguments.quick { "runs/bench-quick" } else { "runs/bench" };
    let folder = arguments.folder.clone().unwrap_or_else(|| root.join(name));

    let programs = Programs::ready(
        root,
        arguments.programs.as_deref(),
        &arguments.profile,
        arguments.venv.as_deref(),
        arguments.threads,
    )?;
    let changed = arguments.settings.clone();
    let session = Session::new(root, &folder, programs, sizes.clone(), inputs, arguments.threads, changed)?;
    let (peer, peer_idle_kib) = session.peer_versions()?;
    session.prepare()?;

    let profile = match &arguments.programs {
        Some(folder) => folder.display().to_string(),
        None => arguments.profile.clone(),
    };
    let mut report = Report {
        rows: Vec::new(),
        ceiling: Ceiling::new(sizes.clone(), &rows),
        machine,
        brew: brew_versions(root),
        peer,
        peer_idle_kib,
        settings: Settings {
            threads: arguments.threads,
            profile,
            quick: arguments.quick,
            batch: sizes.batch,
            length: sizes.length,
            depth: arguments.depth,
            changed: arguments.settings.clone(),
        },
    };
    let shapes = report.ceiling.shapes();
    if !shapes.is_empty() {
        for pair in 0..arguments.pairs {
            eprintln!("products, pair {} of {}", pair + 1, arguments.pairs);
            let (brew, peer) = session.products(&shapes)?;
            ensure_same(&brew, &peer).context("matrix products")?;
            report.ceiling.add(&brew, &peer);
        }
    }
    for row in rows {
        report.rows.push(measure(&session, row, arguments.pairs));
        // After every row, so that a benchmark that is cut off leaves what it has.
        write(&folder.join("report.json"), &format!("{:#}\n", report.json()))?;
    }

    let text = if arguments.json { format!("{:#}\n", report.json()) } else { report.markdown() };
    print!("{text}");
    if let Some(output) = &arguments.output {
        write(output, &text)?;
    }
    let is_whole = !report.rows.iter().any(RowReport::is_refused);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// All pairs of a row; it is refused where a side fails or both do not compute the same.
fn measure(session: &Session<'_>, row: Row, pairs: usize) -> RowReport {
    let mut report = RowReport::new(row);
    for pair in 0..pairs {
        eprintln!("{row} ({}), pair {} of {pairs}", row.what(), pair + 1);
        let both = || {
            let (brew, peer);
            if pair.is_multiple_of(2) {
                brew = session.brew(row).context("Brew's side")?;
                peer = session.peer(row).context("the peer's side")?;
            } else {
                peer = session.peer(row).context("the peer's side")?;
                brew = session.brew(row).context("Brew's side")?;
            }
            ensure_same(&brew, &peer)?;
            Ok::<_, anyhow::Error>((brew, peer))
        };
        match both() {
            Ok((brew, peer)) => report.add(&brew, &peer),
            Err(error) => {
                eprintln!("row {row} is refused: {error:#}");
                report.refuse(format!("{error:#}").replace(['\n', '|'], " "));
                break;
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(line: &[&str]) -> Arguments {
        Line::try_parse_from([&["bench"], line].concat()).unwrap().arguments
    }

    #[test]
    fn rows_are_taken_once_in_order_in_either_case() {
        assert_eq!(arguments(&["--rows", "f,A,f"]).rows(), [Row::A, Row::F]);
        assert_eq!(arguments(&[]).rows(), Row::ALL);
        let error = Line::try_parse_from(["bench", "--rows", "A,Z"]).err().unwrap().to_string();
        assert!(error.contains('Z') && error.contains("K"), "{error}");
    }

    #[test]
    fn only_rows_that_read_sentences_ask_for_them() {
        let mut given = arguments(&["--rows", "A,J"]);
        // Whatever the environment of the test says.
        (given.model, given.data) = (None, None);
        let inputs = given.inputs(&[Row::A]).unwrap();
        assert!(inputs.pretrained.is_none() && inputs.data.is_none());
        let error = given.inputs(&given.rows()).unwrap_err().to_string();
        assert!(error.contains("--model FOLDER") && error.contains("all-MiniLM-L6-v2"), "{error}");
    }

    #[test]
    fn only_padded_rows_take_another_size() {
        let sizes = |line: &[&str]| {
            let arguments = arguments(line);
            arguments.sizes(&arguments.rows()).map_err(|error| error.to_string())
        };
        let scaled = sizes(&["--rows", "A", "--batch", "32", "--depth", "2"]).unwrap();
        assert_eq!((scaled.batch, scaled.length, scaled.model("base").layers), (32, 128, 24));
        assert!(sizes(&["--length", "64"]).unwrap_err().contains("rows A to F"));
        assert!(sizes(&["--rows", "A", "--length", "1024"]).unwrap_err().contains("at most 512"));
        assert_eq!(sizes(&["--rows", "A", "--depth", "0"]).unwrap_err(), "--depth 0: give at least 1");
    }

    #[test]
    fn nothing_is_measured_no_times() {
        let root = crate::workspace_root().unwrap();
        let error = run(root, &arguments(&["--pairs", "0"])).unwrap_err().to_string();
        assert_eq!(error, "--pairs 0: measure at least once");
    }
}
