//! `cargo xtask tidy`: the rules of the workspace that neither the compiler nor clippy knows.

mod manifests;
mod rust_source;
mod sources;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

/// The files of the project by their path from its root, with `/` between folders.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// One broken rule. Ordered by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 1 as well where the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the project at `root`; lists every finding and fails if there is one.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let tree = read_tree(root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to mend", tree.len());
        Ok(ExitCode::SUCCESS)
    } else {
        println!("tidy: {} to mend", findings.len());
        Ok(ExitCode::FAILURE)
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = manifests::check(tree);
    findings.extend(sources::check(tree));
    findings.extend(text::check(tree));
    findings.sort();
    findings
}

/// What git tracks or would track, as it stands in the working tree.
fn read_tree(root: &Path) -> anyhow::Result<Tree> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("tidy lists the files with git, which could not be started")?;
    ensure!(
        output.status.success(),
        "git ls-files failed in {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut tree = Tree::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        // Deleted but still in the index, or a link to elsewhere: not a file of the project.
        let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file {
            let content = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            tree.insert(name.to_owned(), content);
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of text files.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    /// `path:line` of each finding.
    pub(super) fn places(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    #[test]
    fn findings_are_listed_by_place() {
        let files = tree(&[
            ("crates/brew-losses/src/lib.rs", "fn a() { todo!() }\nfn b() {} \n"),
            ("crates/brew-distillers/src/step.rs", "fn step() { optimizer.step(lr, module, grads); }\n"),
        ]);
        let findings = check(&files);
        assert_eq!(places(&findings), ["crates/brew-losses/src/lib.rs:1", "crates/brew-losses/src/lib.rs:2"]);
        assert!(findings[0].to_string().starts_with("crates/brew-losses/src/lib.rs:1: `todo!`"));
    }

    #[test]
    fn the_tree_holds_this_file() {
        let tree = read_tree(crate::workspace_root().unwrap()).unwrap();
        assert!(tree.contains_key("xtask/src/tidy.rs"));
        assert!(!tree.keys().any(|path| path.starts_with("target/")));
    }
}
