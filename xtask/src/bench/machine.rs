//! What the figures were measured with, and on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// What a busy machine does to the figures.
pub(super) const BUSY: &str = "other processes run on this machine; PyTorch's threads spin while they wait for each \
                               other and lose more by it than Brew's, so no ratio means anything";

/// The largest load at which nothing else is measured.
const IDLE: f64 = 0.5;

/// The machine as it was when the measuring began.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    /// Processes that want to run, over the last minute.
    pub(super) load: Option<f64>,
    /// UTC.
    pub(super) date: String,
}

impl Machine {
    /// Whether other processes run, so far as the system tells.
    pub(super) fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > IDLE)
    }

    pub(super) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            cpu: cpu(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load,
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"])).unwrap_or_default(),
        }
    }
}

/// The name of the first processor, with its family and model: a virtual machine's name may say little.
fn cpu(info: &str) -> Option<String> {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let name = field("model name")?;
    Some(match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    })
}

/// Brew's versions: its own, its commit and Burn's.
pub(super) fn brew_versions(root: &Path) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::from([("brew".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments).current_dir(root));
    if let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) {
        let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some();
        versions.insert("commit".to_owned(), if is_changed { format!("{commit}, changed") } else { commit });
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    versions.extend(locked(&lock, "burn").map(|version| ("burn".to_owned(), version)));
    versions.extend(
        said(Command::new("rustc").arg("--version"))
            .and_then(|text| Some(("rustc".to_owned(), text.split(' ').nth(1)?.to_owned()))),
    );
    versions
}

/// The version of a package in a lock file.
fn locked(lock: &str, package: &str) -> Option<String> {
    let lock: toml::Table = lock.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let found = packages.iter().find(|one| one.get("name").and_then(toml::Value::as_str) == Some(package))?;
    Some(found.get("version")?.as_str()?.to_owned())
}

/// What a command prints, trimmed; `None` where it fails or prints nothing.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_with_its_family() {
        let info = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\ncpu family\t: 25\n";
        assert_eq!(cpu(info).unwrap(), "AMD EPYC (family 25, model 17)");
        assert_eq!(cpu(""), None);
    }

    #[test]
    fn burns_version_is_the_locked_one() {
        let root = crate::workspace_root().unwrap();
        assert!(brew_versions(root)["burn"].starts_with("0."));
    }
}
