//! Whether a run may write where it is to.

use std::path::Path;

use brew_config::Problem;

use crate::output::{RunFolder, foreign_file};
use crate::{OutputPolicy, RunError};

const FIELD: &str = "training.output_dir";

/// What keeps a run from writing to its folder. Nothing is left there.
pub(super) fn problems(root: &Path, policy: OutputPolicy) -> Option<Problem> {
    let path = root.to_path_buf();
    let problem = |error: RunError| Problem::new(FIELD, root.display(), error.to_string()).in_file(root);
    let is_run = RunFolder::config_in(root).exists();
    match policy {
        OutputPolicy::Fresh if is_run => return Some(problem(RunError::OutputInUse { path })),
        policy if policy.is_resuming() && !is_run => {
            return Some(problem(RunError::NothingToResume { path }));
        }
        OutputPolicy::Fresh | OutputPolicy::Overwrite if !is_run => {
            if let Ok(Some(found)) = foreign_file(root) {
                return Some(problem(RunError::OutputNotARun { path, found }));
            }
        }
        _ => {}
    }
    // The folder is made by the run; the one that it will be in has to be there and to take files.
    let above =
        root.ancestors().find(|folder| folder.exists()).filter(|folder| !folder.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    let error = tempfile::tempfile_in(above).err()?;
    Some(problem(RunError::io("write to the output folder", root)(error)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_left_behind_and_a_path_below_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("runs/a");
        assert_eq!(problems(&new, OutputPolicy::Fresh), None);
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let found = problems(&file.join("run"), OutputPolicy::Fresh).unwrap().to_string();
        assert!(found.starts_with("training.output_dir: cannot write to the output folder"), "{found}");
        for (policy, part) in [
            (OutputPolicy::Fresh, "holds files that are not a run (file)"),
            (OutputPolicy::Overwrite, "holds files that are not a run (file)"),
            (OutputPolicy::Resume, "no run to continue"),
        ] {
            let found = problems(folder.path(), policy).unwrap().to_string();
            assert!(found.contains(part), "{found}");
        }
        fs::write(folder.path().join("run.json"), "{}").unwrap();
        let found = problems(folder.path(), OutputPolicy::Fresh).unwrap().to_string();
        assert!(found.contains("--resume"), "{found}");
        assert_eq!(problems(folder.path(), OutputPolicy::Resume), None);
        assert_eq!(problems(folder.path(), OutputPolicy::Overwrite), None);
    }
}
