//! Which crate may depend on which, and which may name a Burn backend, read from the `Cargo.toml` files.

use toml::de::{DeTable, DeValue};

use super::sources::BACKEND_CRATES;
use super::{Finding, Tree};

/// Crate → crates of the workspace it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("brew-random", &[]),
    ("brew-cache", &[]),
    ("brew-config", &[]),
    ("brew-testkit", &[]),
    ("brew-kernels", &["brew-random"]),
    ("brew-losses", &["brew-config", "brew-kernels"]),
    ("brew-models", &["brew-random", "brew-kernels"]),
    ("brew-data", &["brew-random"]),
    ("brew-distillers", &["brew-losses", "brew-config", "brew-random", "brew-cache", "brew-kernels"]),
    (
        "brew",
        &[
            "brew-random",
            "brew-config",
            "brew-cache",
            "brew-kernels",
            "brew-losses",
            "brew-models",
            "brew-data",
            "brew-distillers",
        ],
    ),
    ("brew-cli", &["brew"]),
    ("brew-bench", &["brew"]),
    ("xtask", &["brew"]),
];

/// What a crate under `examples/` may depend on.
const EXAMPLE_ARROWS: &[&str] = &["brew"];

/// What tests may depend on besides.
const TEST_CRATE: &str = "brew-testkit";

/// Crates whose manifest may name a backend outside of dev-dependencies.
const BACKEND_OWNERS: &[&str] = &["brew", "brew-kernels", "brew-testkit"];

/// Crates that hold no tensor.
const WITHOUT_BURN: &[&str] = &["brew-config", "brew-random", "brew-cache"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
}

struct Dependency {
    name: String,
    features: Vec<String>,
    kind: Kind,
    line: usize,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, content) in tree {
        if path != "Cargo.toml" && !path.ends_with("/Cargo.toml") {
            continue;
        }
        let Ok(text) = std::str::from_utf8(content) else {
            findings.push(Finding::new(path, 1, "is not UTF-8"));
            continue;
        };
        match DeTable::parse(text) {
            Ok(document) => check_manifest(path, text, document.get_ref(), &mut findings),
            Err(error) => findings.push(Finding::new(path, 1, format!("is not TOML: {}", error.message()))),
        }
    }
    findings
}

fn check_manifest(path: &str, text: &str, document: &DeTable<'_>, findings: &mut Vec<Finding>) {
    let package = document
        .get("package")
        .and_then(|package| package.get_ref().get("name"))
        .and_then(|name| name.get_ref().as_str());
    let Some(package) = package else {
        return; // the workspace's own manifest
    };
    let known = ARROWS.iter().find(|(name, _)| *name == package).map(|(_, allowed)| *allowed);
    let allowed = match known {
        Some(allowed) => allowed,
        None if path.starts_with("examples/") => EXAMPLE_ARROWS,
        None => {
            let message = format!(
                "`{package}` is not in the table of arrows between crates (xtask/src/tidy/manifests.rs)"
            );
            findings.push(Finding::new(path, 1, message));
            return;
        }
    };
    for dependency in dependencies(text, document) {
        let Dependency { name, features, kind, line } = &dependency;
        let in_workspace = ARROWS.iter().any(|(member, _)| member == name);
        let in_tests = *kind == Kind::Dev;
        // A crate's tests may ask for its own features.
        let for_tests = in_tests && (name == TEST_CRATE || name == package);
        if in_workspace && !allowed.contains(&name.as_str()) && !for_tests {
            let message = if name == TEST_CRATE {
                format!("`{package}` → `{name}`: only as a dev-dependency")
            } else {
                format!("`{package}` → `{name}` is not an allowed arrow; allowed: {}", list(allowed))
            };
            findings.push(Finding::new(path, *line, message));
        }
        if in_tests {
            continue;
        }
        if WITHOUT_BURN.contains(&package) && (name == "burn" || name.starts_with("burn-")) {
            findings.push(Finding::new(
                path,
                *line,
                format!("`{package}` holds no tensors: it must not depend on `{name}`"),
            ));
        }
        if path.starts_with("crates/") && !BACKEND_OWNERS.contains(&package) {
            let feature = features.iter().find(|_| name == "burn").and_then(|_| {
                features.iter().find(|feature| BACKEND_CRATES.contains(&format!("burn-{feature}").as_str()))
            });
            if BACKEND_CRATES.contains(&name.as_str()) {
                let message = format!("`{package}` names the backend `{name}`: only `brew` chooses backends");
                findings.push(Finding::new(path, *line, message));
            } else if let Some(feature) = feature {
                let message =
                    format!("`{package}` turns on burn's backend `{feature}`: only `brew` chooses backends");
                findings.push(Finding::new(path, *line, message));
            }
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The dependencies of a manifest, those under `[target.*]` included.
fn dependencies(text: &str, document: &DeTable<'_>) -> Vec<Dependency> {
    let mut found = Vec::new();
    collect(text, document, &mut found);
    if let Some(targets) = document.get("target").and_then(|targets| targets.get_ref().as_table()) {
        for target in targets.values() {
            if let Some(target) = target.get_ref().as_table() {
                collect(text, target, &mut found);
            }
        }
    }
    found
}

fn collect(text: &str, table: &DeTable<'_>, found: &mut Vec<Dependency>) {
    let kinds = [
        ("dependencies", Kind::Normal),
        ("build-dependencies", Kind::Build),
        ("dev-dependencies", Kind::Dev),
    ];
    for (section, kind) in kinds {
        let Some(entries) = table.get(section).and_then(|entries| entries.get_ref().as_table()) else {
            continue;
        };
        for (key, value) in entries {
            let value = value.get_ref();
            let renamed = value.get("package").and_then(|package| package.get_ref().as_str());
            found.push(Dependency {
                name: renamed.unwrap_or(key.get_ref()).to_owned(),
                features: features(value),
                kind,
                line: text[..key.span().start].matches('\n').count() + 1,
            });
        }
    }
}

fn features(dependency: &DeValue<'_>) -> Vec<String> {
    let listed = dependency.get("features").and_then(|features| features.get_ref().as_array());
    listed
        .into_iter()
        .flat_map(|features| features.iter())
        .filter_map(|feature| feature.get_ref().as_str())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, tree};
    use super::*;

    fn manifest(path: &str, name: &str, rest: &str) -> Vec<Finding> {
        check(&tree(&[(path, &format!("[package]\nname = \"{name}\"\n\n{rest}"))]))
    }

    #[test]
    fn an_arrow_of_the_table_passes() {
        let rest = "[dependencies]\nbrew-config.workspace = true\nbrew-losses = { path = \"../brew-losses\" }\n\
                    burn.workspace = true\n[dev-dependencies]\nbrew-testkit.workspace = true\n";
        assert_eq!(manifest("crates/brew-distillers/Cargo.toml", "brew-distillers", rest), []);
    }

    #[test]
    fn an_arrow_outside_the_table_is_found_with_its_line() {
        let rest = "[dependencies]\nburn.workspace = true\nbrew-data.workspace = true\n";
        let found = manifest("crates/brew-models/Cargo.toml", "brew-models", rest);
        assert_eq!(places(&found), ["crates/brew-models/Cargo.toml:6"]);
        assert!(found[0].message.contains("`brew-models` → `brew-data`"), "{}", found[0]);
        assert!(found[0].message.contains("allowed: brew-random"), "{}", found[0]);
    }

    #[test]
    fn an_arrow_hidden_by_a_rename_or_a_target_is_found() {
        let rest = "[dependencies.other]\nworkspace = true\npackage = \"brew-cli\"\n\
                    [target.'cfg(unix)'.build-dependencies]\nbrew-models.workspace = true\n";
        let found = manifest("crates/brew-losses/Cargo.toml", "brew-losses", rest);
        assert_eq!(places(&found), ["crates/brew-losses/Cargo.toml:4", "crates/brew-losses/Cargo.toml:8"]);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let normal = "[dependencies]\nbrew-testkit.workspace = true\n";
        assert_eq!(manifest("crates/brew-losses/Cargo.toml", "brew-losses", normal).len(), 1);
        let dev = "[dev-dependencies]\nbrew-testkit.workspace = true\n";
        assert_eq!(manifest("crates/brew-losses/Cargo.toml", "brew-losses", dev), []);
        let upwards = "[dev-dependencies]\nbrew.workspace = true\n";
        assert_eq!(manifest("crates/brew-losses/Cargo.toml", "brew-losses", upwards).len(), 1);
    }

    #[test]
    fn the_configuration_holds_no_tensors() {
        let found =
            manifest("crates/brew-config/Cargo.toml", "brew-config", "[dependencies]\nburn-core = \"1\"\n");
        assert_eq!(places(&found), ["crates/brew-config/Cargo.toml:5"]);
    }

    #[test]
    fn only_the_facade_and_the_testkit_name_backends() {
        let named = "[dependencies]\nburn-flex = { workspace = true, optional = true }\n";
        assert_eq!(manifest("crates/brew-models/Cargo.toml", "brew-models", named).len(), 1);
        assert_eq!(manifest("crates/brew/Cargo.toml", "brew", named), []);
        let feature = "[dependencies]\nburn = { workspace = true, features = [\"train\", \"ndarray\"] }\n";
        assert_eq!(manifest("crates/brew-models/Cargo.toml", "brew-models", feature).len(), 1);
        let in_tests = "[dev-dependencies]\nburn-ndarray.workspace = true\n";
        assert_eq!(manifest("crates/brew-models/Cargo.toml", "brew-models", in_tests), []);
    }

    #[test]
    fn a_crate_outside_the_table_is_found_and_an_example_is_not() {
        assert_eq!(manifest("crates/brew-extra/Cargo.toml", "brew-extra", "").len(), 1);
        let uses = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
        assert_eq!(manifest("examples/first/Cargo.toml", "first", &uses("brew")), []);
        assert_eq!(manifest("examples/first/Cargo.toml", "first", &uses("brew-models")).len(), 1);
    }

    #[test]
    fn a_broken_manifest_is_found() {
        assert_eq!(check(&tree(&[("crates/brew/Cargo.toml", "[package\n")])).len(), 1);
        assert_eq!(check(&tree(&[("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n")])), []);
    }
}
