//! Every run file below `configs/`.

use std::path::{Path, PathBuf};

use brew::{Run, RunKind, load_run};
use brew_testkit::TestBackend;

fn run_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            run_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml")
            && !path.ends_with("experiment.toml")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_run_file_loads_and_fits_its_task() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut files = Vec::new();
    run_files(&root, &mut files);
    assert!(files.len() > 50, "{files:?}");
    for file in files {
        let config = load_run(&file, &[]).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let tasks = config.tasks.len();
        let kind = if config.teacher.is_some() { RunKind::Distill } else { RunKind::Train };
        let problems = Run::problems::<TestBackend>(&config, kind);
        // A student of several tasks is checked with its data; here it is enough that it says so.
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.is_empty() || tasks > 0, "{}: {said:?}", file.display());
    }
}
