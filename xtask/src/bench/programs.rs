//! The programs of both sides: built, found, and started with the same number of threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The peer's script, from the root of the workspace.
const SCRIPT: &str = "xtask/peer/bench.py";
const SETUP: &str = "scripts/setup-peer.sh";
const REQUIREMENTS: &str = "xtask/peer/requirements.txt";

/// Where everything is.
#[derive(Debug)]
pub(super) struct Programs {
    textbrew: PathBuf,
    bench: PathBuf,
    python: PathBuf,
    script: PathBuf,
    threads: usize,
    /// The cores it is kept to, where there are more than threads.
    cores: Option<String>,
}

impl Programs {
    /// Builds Brew's in a profile of Cargo's, or takes those of a folder, and finds or makes the peer's environment.
    pub(super) fn ready(
        root: &Path,
        folder: Option<&Path>,
        profile: &str,
        environment: Option<&Path>,
        threads: usize,
    ) -> Result<Self> {
        let (textbrew, bench) = match folder {
            Some(folder) => (in_folder(folder, "textbrew")?, in_folder(folder, "brew-bench")?),
            None => build(root, profile)?,
        };
        let python = python(root, environment)?;
        Ok(Self { textbrew, bench, python, script: root.join(SCRIPT), threads, cores: cores(threads) })
    }

    /// `brew-bench` on a task.
    pub(super) fn bench(&self, spec: &Path) -> Command {
        let mut command = self.command(&self.bench);
        // What `textbrew` sets for itself: pages once taken are kept.
        command.env("MIMALLOC_PURGE_DELAY", "-1").arg(spec);
        command
    }

    /// `textbrew` without arguments.
    pub(super) fn textbrew(&self) -> Command {
        self.command(&self.textbrew)
    }

    /// The peer's side on a task.
    pub(super) fn peer(&self, spec: &Path) -> Command {
        let mut command = self.command(&self.python);
        // Nothing is to be fetched or asked while the clock runs.
        command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "true");
        command.arg(&self.script).arg(spec);
        command
    }

    /// The versions of what the peer's side uses, and the size of a process that has loaded it.
    pub(super) fn peer_versions(&self, log: &Path) -> Result<(BTreeMap<String, String>, Option<u64>)> {
        let mut command = self.peer(Path::new("--versions"));
        let finished = super::process::run(&mut command, None, log)
            .with_context(|| format!("the peer cannot be loaded; {SETUP} makes an environment that can"))?;
        Ok((serde_json::from_str(&finished.stdout)?, finished.peak_kib))
    }

    /// A program that is kept to so many threads, and to so many cores where there are more.
    fn command(&self, program: &Path) -> Command {
        let mut command = match &self.cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.arg("--cpu-list").arg(cores).arg(program);
                command
            }
            None => Command::new(program),
        };
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, self.threads.to_string());
        }
        command
    }
}

/// The first so many of the cores that this process may use, if it may use more and `taskset` is there: not all that
/// a library starts goes by the variables.
fn cores(threads: usize) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let cores = first_cores(allowed.trim(), threads)?;
    let is_there =
        Command::new("taskset").arg("--version").output().is_ok_and(|output| output.status.success());
    is_there.then_some(cores)
}

/// Of a list such as `0-3,8` the first `count`; `None` where it has no more than those.
fn first_cores(list: &str, count: usize) -> Option<String> {
    let mut all: Vec<usize> = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        all.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    let named: Vec<String> = all.iter().take(count).map(usize::to_string).collect();
    (all.len() > count).then(|| named.join(","))
}

fn in_folder(folder: &Path, name: &str) -> Result<PathBuf> {
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "--programs: there is no {}", program.display());
    Ok(std::fs::canonicalize(&program)?)
}

/// Builds `textbrew` and `brew-bench`, with the features they have together.
fn build(root: &Path, profile: &str) -> Result<(PathBuf, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--bin", "textbrew", "--bin", "brew-bench", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build of textbrew and brew-bench failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let find = |name| executable(&text, name).with_context(|| format!("cargo build named no {name}"));
    Ok((find("textbrew")?, find("brew-bench")?))
}

/// The file of a program in Cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
}

/// The interpreter of the peer's environment. The workspace's own is made where it is missing or behind the
/// requirements; one that the user names only where it is missing.
fn python(root: &Path, environment: Option<&Path>) -> Result<PathBuf> {
    let own = root.join(".venv-peer");
    let folder = environment.unwrap_or(&own);
    let python = folder.join("bin/python");
    let requirements = std::fs::read(root.join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let is_current =
        std::fs::read(folder.join("installed-requirements.txt")).is_ok_and(|it| it == requirements);
    if python.exists() && (is_current || environment.is_some()) {
        if !is_current {
            eprintln!("note: {} is not made of {REQUIREMENTS} as it is now", folder.display());
        }
        return absolute(&python);
    }
    eprintln!(
        "making {} with {SETUP}: PyTorch, transformers and TextBrewer take 1 to 2 GB, or 6 to 8 GB where only the \
         package index with its CUDA build can be reached; it is kept for the next time",
        folder.display()
    );
    let status = Command::new("bash")
        .arg(root.join(SETUP))
        .env("BREW_PEER_VENV", absolute(folder)?)
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .with_context(|| format!("cannot start {SETUP}"))?;
    if !status.success() || !python.exists() {
        bail!(
            "{SETUP} did not make {}; give --venv FOLDER or set BREW_PEER_VENV to an environment with torch, \
             transformers and textbrewer",
            folder.display()
        );
    }
    absolute(&python)
}

/// Not canonical: a link to the interpreter is what makes an environment one.
fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages_by_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"brew"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"textbrew"},"executable":"t/textbrew"}"#,
            "\nnot JSON\n",
            r#"{"reason":"compiler-artifact","target":{"name":"brew-bench"},"executable":"t/brew-bench"}"#,
        );
        assert_eq!(executable(messages, "textbrew"), Some(PathBuf::from("t/textbrew")));
        assert_eq!(executable(messages, "brew-bench"), Some(PathBuf::from("t/brew-bench")));
        assert_eq!(executable(messages, "brew"), None);
    }

    #[test]
    fn a_side_is_kept_to_as_many_cores_as_threads() {
        assert_eq!(first_cores("0-3,8", 2).as_deref(), Some("0,1"));
        assert_eq!(first_cores("4,6-9", 3).as_deref(), Some("4,6,7"));
        assert_eq!(first_cores("0-1", 2), None);
        assert_eq!(first_cores("", 2), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = in_folder(folder.path(), "textbrew").unwrap_err().to_string();
        assert!(error.contains("--programs") && error.contains("textbrew"), "{error}");
    }

    #[test]
    fn a_named_environment_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(folder.path().join("bin/python"), "").unwrap();
        let root = crate::workspace_root().unwrap();
        assert_eq!(python(root, Some(folder.path())).unwrap(), folder.path().join("bin/python"));
    }
}
