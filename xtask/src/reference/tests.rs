//! The book: the reference against the types it is about, run files in any page, links, the table of contents.

use std::collections::BTreeSet;
use std::path::PathBuf;

use brew::config::{
    ConfigError, CrdConfig, DistillationConfig, EmdConfig, IntermediateMatch, OptimizerConfig,
    ProjectionName, ScheduleConfig, TrainingConfig, from_toml_str,
};
use brew::data::{Layout, LayoutOptions, TextFileSpec};
use brew::losses::LossRegistry;
use brew::{
    CacheConfig, DataConfig, EvaluationConfig, ModelConfig, MultiLabelConfig, QuestionsConfig, Run,
    RunConfig, RunKind, TagsConfig, TaskConfig, TaskKind, TeacherConfig,
};
use brew_testkit::TestBackend;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

fn root() -> &'static Path {
    crate::workspace_root().unwrap()
}

/// The rows of the first table of a section, its head first, cells trimmed.
fn table(item: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let title = SECTIONS.iter().find(|section| section.item == item).expect(item).title;
    let start = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    let rows = page[start..].lines().skip_while(|line| !line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.take_while(|line| line.starts_with('|')).filter(|line| !line.starts_with("|--")).map(cells).collect()
}

/// The names between backticks of a cell.
fn names(cell: &str) -> BTreeSet<String> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|name| name.trim_matches(['[', ']']).to_owned()).collect()
}

/// The fields that the section of a type lists are those that reading it knows.
fn check_names<T: DeserializeOwned + std::fmt::Debug>(item: &str) {
    let known = match from_toml_str::<T>("no_such_key = 0") {
        Err(ConfigError::UnknownKey { known, .. }) => known.into_iter().collect::<BTreeSet<_>>(),
        other => panic!("{item} takes any key: {other:?}"),
    };
    let listed: BTreeSet<String> = table(item)[1..].iter().flat_map(|row| names(&row[0])).collect();
    assert_eq!(listed, known, "the fields of {item}");
}

/// Besides, each default of the section is the one that a field left out gets. A value, alone or in backticks, is set in
/// a file; words such as `none` or `all` stand for a field that holds nothing, or a table of its own.
fn check_fields<T>(item: &str)
where
    T: DeserializeOwned + Serialize + Default + PartialEq + std::fmt::Debug,
{
    check_names::<T>(item);
    let rows = table(item);
    assert_eq!(rows[0][1], "default", "{item}");
    let defaults = serde_json::to_value(T::default()).unwrap();
    for (row, field) in
        rows[1..].iter().flat_map(|row| names(&row[0]).into_iter().map(move |name| (row, name)))
    {
        let cell = row[1].as_str();
        let quoted =
            cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).filter(|one| !one.contains('`'));
        let set = |value: &str| from_toml_str::<T>(&format!("{field} = {value}"));
        if let Some(text) = quoted {
            let found = set(text).or_else(|_| set(&format!("{text:?}")));
            assert_eq!(found.unwrap(), T::default(), "{item}.{field}: the default is not {cell}");
        } else if set(cell).is_ok() {
            assert_eq!(set(cell).unwrap(), T::default(), "{item}.{field}: the default is not {cell}");
        } else {
            let holds_nothing = match &defaults[&field] {
                Value::Null | Value::Object(_) => true,
                Value::Array(list) => list.is_empty(),
                Value::String(text) => text.is_empty(),
                Value::Bool(_) | Value::Number(_) => false,
            };
            assert!(holds_nothing, "{item}.{field}: the default is {}, not {cell}", defaults[&field]);
        }
    }
}

#[test]
fn the_page_is_the_one_that_this_writes() {
    let found = fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    assert!(found == page(root()).unwrap(), "{PAGE} is another; run `cargo xtask reference`");
}

#[test]
fn fields_and_defaults_of_the_page_are_those_of_the_types() {
    check_names::<RunConfig>("RunConfig");
    check_names::<IntermediateMatch>("IntermediateMatch");
    check_fields::<TaskConfig>("TaskConfig");
    check_fields::<DataConfig>("DataConfig");
    check_fields::<TextFileSpec>("TextFileSpec");
    check_fields::<LayoutOptions>("LayoutOptions");
    check_fields::<MultiLabelConfig>("MultiLabelConfig");
    check_fields::<TagsConfig>("TagsConfig");
    check_fields::<QuestionsConfig>("QuestionsConfig");
    check_fields::<ModelConfig>("ModelConfig");
    check_fields::<TeacherConfig>("TeacherConfig");
    check_fields::<EvaluationConfig>("EvaluationConfig");
    check_fields::<TrainingConfig>("TrainingConfig");
    check_fields::<OptimizerConfig>("OptimizerConfig");
    check_fields::<ScheduleConfig>("ScheduleConfig");
    check_fields::<DistillationConfig>("DistillationConfig");
    check_fields::<EmdConfig>("EmdConfig");
    check_fields::<CrdConfig>("CrdConfig");
    check_fields::<CacheConfig>("CacheConfig");
}

#[test]
fn names_of_the_page_are_those_of_the_types() {
    let first = |item: &str| table(item)[1..].iter().flat_map(|row| names(&row[0])).collect::<BTreeSet<_>>();
    let tasks: BTreeSet<String> = TaskKind::ALL.iter().map(|task| task.name().to_owned()).collect();
    assert_eq!(first("TaskKind"), tasks);
    assert_eq!(first("Metric"), tasks);
    for row in &table("Metric")[1..] {
        let task = TaskKind::ALL.into_iter().find(|task| names(&row[0]).contains(task.name())).unwrap();
        let metrics: BTreeSet<String> =
            brew::Metric::of(task).iter().map(|metric| metric.name().to_owned()).collect();
        // `positive` is a field.
        let listed: BTreeSet<String> = names(&row[1]).into_iter().filter(|name| name != "positive").collect();
        assert_eq!(listed, metrics, "{task}");
    }
    let layouts: BTreeSet<String> = Layout::ALL.iter().map(|layout| layout.name().to_owned()).collect();
    assert_eq!(first("Layout"), layouts);
    let losses: BTreeSet<String> = LossRegistry::<TestBackend>::default().names().into_iter().collect();
    assert_eq!(first("LossRegistry"), losses);
    let projections: BTreeSet<String> = ProjectionName::ALL
        .iter()
        .map(|name| serde_json::to_value(name).unwrap().as_str().unwrap().to_owned())
        .collect();
    assert_eq!(first("ProjectionName"), projections);
}

#[test]
fn rustdoc_becomes_markdown() {
    let source = "/// One [`Layout`], [`drawn`](crate::DataConfig::drawn) from [here](other.md).\n///\n/// ```\n/// # let a = 1;\n/// ```\n///\n\
        /// ```toml\n/// [`Layout`]\n/// ```\n/// # Errors\n/// None.\n#[derive(Debug)]\n#[serde(default)]\npub struct Sample {\n";
    let text = as_markdown(&documentation(source, "Sample").unwrap());
    assert_eq!(text, "One [Layouts](#layouts), `drawn` from [here](other.md).\n\n```toml\n[`Layout`]\n```\n");
    assert_eq!(documentation(source, "Sampl"), None);
}

/// The pages of the book, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = root().join("docs");
    let folders = [docs.clone(), docs.join("recipes"), docs.join("adr")];
    let files =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a language in a page.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    let parts = text.split(start.as_str()).skip(1);
    parts.map(|rest| rest.split_once("\n```").expect("a block ends").0).collect()
}

/// Every block of TOML is a run file that loads; those of the recipes, which train something, have nothing wrong with
/// them that shows before a file is looked for.
#[test]
fn run_files_of_the_book_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let mut whole = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "toml") {
            let place = || format!("{}:\n{block}", path.display());
            fs::write(&file, block).unwrap();
            let config = brew::load_run(&file, &[]).unwrap_or_else(|error| panic!("{}\n{error}", place()));
            let is_recipe = path.parent().is_some_and(|parent| parent.ends_with("recipes"));
            // A part that goes into another file; a student of several tasks is checked with its data.
            if !is_recipe || config.training == TrainingConfig::default() || !config.tasks.is_empty() {
                continue;
            }
            whole += 1;
            let kind = if config.teacher.is_some() { RunKind::Distill } else { RunKind::Train };
            let problems = Run::problems::<TestBackend>(&config, kind);
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(said.is_empty(), "{}\n{said:?}", place());
        }
    }
    assert!(whole >= 20, "{whole} recipes");
}

/// A misspelt key is found in a page as anywhere.
#[test]
fn a_run_file_with_an_unknown_key_does_not_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let page = "Text\n\n```toml\n[training]\nnum_epoch = 3\n```\n";
    fs::write(&file, blocks(page, "toml")[0]).unwrap();
    assert!(brew::load_run(&file, &[]).unwrap_err().to_string().contains("`num_epochs`"));
}

/// The relative links of a text, outside of code.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut all = pages();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        all.push((root().join(name), fs::read_to_string(root().join(name)).unwrap()));
    }
    let docs = root().join("docs");
    for (path, text) in &all {
        for link in links(text) {
            // What is beside the book has no page in it.
            let up = link.matches("../").count();
            let depth = path.strip_prefix(&docs).map_or(up, |inside| inside.components().count() - 1);
            assert!(up <= depth, "{}: {link} leaves the book; name the file without a link", path.display());
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if let Some(heading) = heading {
                let text = fs::read_to_string(&target).unwrap();
                let mut titles = text.lines().filter(|line| line.starts_with('#'));
                let found = titles.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{}: {link} has no such heading", path.display());
            }
        }
    }
}

#[test]
fn every_page_stands_in_the_table_of_contents_once() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<PathBuf> = links(&summary).into_iter().map(|link| docs.join(link)).collect();
    listed.sort();
    let mut found: Vec<PathBuf> = pages().into_iter().map(|(path, _)| path).collect();
    found.retain(|path| !path.ends_with("SUMMARY.md"));
    found.sort();
    assert_eq!(listed, found);
}
