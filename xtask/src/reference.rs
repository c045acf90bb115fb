//! `docs/configuration.md`: what a run file may hold, taken from the documentation comments of the types that read it,
//! so that it is written once. Tests compare its tables with those types and look after the other pages of the book.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only compare what is there with what would be written
    #[arg(long)]
    check: bool,
}

const PAGE: &str = "docs/configuration.md";

pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (path, text) = (root.join(PAGE), page(root)?);
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(!arguments.check, "{PAGE} is another; run `cargo xtask reference`");
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    println!("written: {PAGE}");
    Ok(ExitCode::SUCCESS)
}

/// A section of the page.
struct Section {
    title: &'static str,
    file: &'static str,
    /// The type or function whose documentation it is.
    item: &'static str,
}

const fn section(title: &'static str, file: &'static str, item: &'static str) -> Section {
    Section { title, file, item }
}

/// In the order of the page.
const SECTIONS: &[Section] = &[
    section("Run file", "crates/brew/src/run_config.rs", "RunConfig"),
    section("`task`", "crates/brew/src/task.rs", "TaskKind"),
    section("`[data]`", "crates/brew/src/run_config.rs", "DataConfig"),
    section("`data.columns`", "crates/brew-data/src/reader.rs", "TextFileSpec"),
    section("`data.columns.format`", "crates/brew-data/src/reader.rs", "TextFormat"),
    section("Layouts", "crates/brew-data/src/reader/layout.rs", "Layout"),
    section("`data.layout_options`", "crates/brew-data/src/reader/layout/options.rs", "LayoutOptions"),
    section("`data.multi_label`", "crates/brew/src/run_config/multi_label.rs", "MultiLabelConfig"),
    section("`data.tags`", "crates/brew/src/run_config/tags.rs", "TagsConfig"),
    section("`data.questions`", "crates/brew/src/run_config/questions.rs", "QuestionsConfig"),
    section("`data.augmentation`", "crates/brew-data/src/augmenter.rs", "Augmentation"),
    section("`[model]`", "crates/brew/src/run_config.rs", "ModelConfig"),
    section("`[teacher]`", "crates/brew/src/run_config.rs", "TeacherConfig"),
    section("`[cache]`", "crates/brew/src/run_config/cache.rs", "CacheConfig"),
    section("`[evaluation]`", "crates/brew/src/run_config.rs", "EvaluationConfig"),
    section("Metrics", "crates/brew/src/run_config.rs", "Metric"),
    section("`[training]`", "crates/brew-config/src/training.rs", "TrainingConfig"),
    section("`training.optimizer`", "crates/brew-config/src/training.rs", "OptimizerConfig"),
    section("`training.schedule`", "crates/brew-config/src/schedule.rs", "ScheduleConfig"),
    section("`[distillation]`", "crates/brew-config/src/distillation.rs", "DistillationConfig"),
    section("`kd_loss_type`", "crates/brew-config/src/kd_loss_type.rs", "KdLossType"),
    section("Schedulers of weights", "crates/brew-config/src/schedule.rs", "WeightScheduler"),
    section("`temperature_scheduler`", "crates/brew-config/src/schedule.rs", "TemperatureScheduler"),
    section("`intermediate_matches`", "crates/brew-config/src/matches.rs", "IntermediateMatch"),
    section("Losses", "crates/brew-losses/src/registry.rs", "LossRegistry"),
    section("`proj`", "crates/brew-config/src/projection.rs", "ProjectionConfig"),
    section("Projections", "crates/brew-config/src/projection.rs", "ProjectionName"),
    section("Matches by name", "crates/brew-config/src/presets.rs", "preset"),
    section("`[emd]`", "crates/brew-config/src/emd.rs", "EmdConfig"),
    section("`[crd]`", "crates/brew-config/src/crd.rs", "CrdConfig"),
    section("`[[tasks]]`", "crates/brew/src/run_config.rs", "TaskConfig"),
];

const INTRODUCTION: &str = "\
# Configuration

A run is one file in TOML or JSON. Whatever is left out has its default; an unknown key is an error that names the nearest
known one; all mistakes are told at once, before anything is computed: [Checking a run](check.md). `--set key=value` changes a field from
the command line: `--set training.optimizer.lr=1e-4`, `--set 'model.layers=[1, 3]'`, `--set 'tasks[sst2].data.train=FILE'`.

This page is made of the code's own documentation by `cargo xtask reference`; a test compares its tables with the types
that read run files.
";

/// The whole page.
fn page(root: &Path) -> anyhow::Result<String> {
    let mut page = INTRODUCTION.to_owned();
    for Section { title, file, item } in SECTIONS {
        let source = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        let text = documentation(&source, item).with_context(|| format!("{file} documents no {item}"))?;
        writeln!(page, "\n## {title}\n\n{}", as_markdown(&text).trim_end())?;
    }
    Ok(page)
}

/// The documentation comment before the declaration of a public item.
fn documentation(source: &str, item: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    let declares = |line: &str| {
        ["pub struct ", "pub enum ", "pub fn "].iter().any(|kind| {
            let name = line.strip_prefix(kind).and_then(|rest| rest.split([' ', '(', '<', '{', ';']).next());
            name == Some(item)
        })
    };
    let declaration = lines.iter().position(|line| declares(line))?;
    let before = lines[..declaration].iter().rev().skip_while(|line| line.starts_with("#["));
    let mut comment: Vec<&str> = before.map_while(|line| line.strip_prefix("///")).collect();
    comment.reverse();
    let text: Vec<&str> = comment.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!text.is_empty()).then(|| text.join("\n"))
}

/// Documentation as rustdoc reads it, for a reader of run files: without examples in Rust and what follows a heading,
/// and with links to items as links to their sections, or none.
fn as_markdown(text: &str) -> String {
    let mut page = String::new();
    // Within a block of code: whether it is shown.
    let mut block = None;
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        if block.is_none() && line.starts_with("# ") {
            break;
        }
        let shown = block.unwrap_or(!is_fence || line == "```toml");
        if shown {
            page.push_str(&if block.is_none() { with_links(line) } else { line.to_owned() });
            page.push('\n');
        }
        if is_fence {
            block = if block.is_none() { Some(shown) } else { None };
        }
    }
    // Where an example was left out, two empty lines are one.
    while page.contains("\n\n\n") {
        page = page.replace("\n\n\n", "\n\n");
    }
    page
}

/// A line with rustdoc's links to items replaced: ``[`Layout`]``, ``[`preset`](crate::preset)``.
fn with_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("[`") {
        let (before, link) = rest.split_at(start);
        text.push_str(before);
        let Some((name, after)) = link[2..].split_once("`]") else {
            rest = link;
            break;
        };
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        let (path, after) = target.unwrap_or((name, after));
        let item = path.rsplit("::").next().unwrap_or(path);
        match SECTIONS.iter().find(|section| section.item == item) {
            _ if path.contains('/') => write!(text, "[`{name}`]({path})"),
            // The section's own name says more to a reader of run files than the type's.
            Some(section) => {
                write!(text, "[{}](#{})", section.title.replace(['[', ']'], ""), anchor(section.title))
            }
            None => write!(text, "`{name}`"),
        }
        .expect("a string takes all");
        rest = after;
    }
    text + rest
}

/// The name that a heading has in addresses, on GitHub and in mdBook.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|&one| one.is_alphanumeric() || "-_".contains(one)).collect()
}
