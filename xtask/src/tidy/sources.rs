//! Rules about Rust code: backends in one place, one optimizer step, nothing unfinished, readable files.

use super::rust_source::{RustSource, line_at, words};
use super::{Finding, Tree};

/// Burn's backends and what stands between them and a tensor, as packages.
pub(super) const BACKEND_CRATES: &[&str] = &[
    "burn-candle",
    "burn-cpu",
    "burn-cubecl",
    "burn-cuda",
    "burn-flex",
    "burn-fusion",
    "burn-ndarray",
    "burn-remote",
    "burn-rocm",
    "burn-router",
    "burn-tch",
    "burn-wgpu",
];

const BACKEND_TYPES: &[&str] = &[
    "Candle",
    "Cuda",
    "CudaDevice",
    "Flex",
    "FlexDevice",
    "LibTorch",
    "LibTorchDevice",
    "Metal",
    "NdArray",
    "NdArrayDevice",
    "Rocm",
    "RocmDevice",
    "Vulkan",
    "WebGpu",
    "Wgpu",
    "WgpuDevice",
];

/// The one file of the libraries that names backends.
const BACKEND_FILE: &str = "crates/brew/src/backend.rs";

/// Whose source may name backends anywhere: a program, the kernels for one of them, and the tests' own.
const BACKEND_FREE: &[&str] = &["crates/brew-cli/", "crates/brew-kernels/src/flex", "crates/brew-testkit/"];

/// The one file with a call of `step` on an optimizer, and it has one.
const STEP_FILE: &str = "crates/brew-distillers/src/step.rs";

/// Where the crate of that file stands, if the tree has it.
const STEP_MANIFEST: &str = "crates/brew-distillers/Cargo.toml";

const OPTIMIZER_NAMES: &[&str] = &["optimizer", "optim", "opt", "adam", "adamw", "sgd"];

const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

const NAMELESS_MODULES: &[&str] = &["common", "misc", "util", "utils"];

/// Longest file in lines, tests not counted.
const LONGEST_FILE: usize = 500;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut steps: Vec<Finding> = Vec::new();
    for (path, content) in tree.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let Ok(text) = std::str::from_utf8(content) else {
            findings.push(Finding::new(path, 1, "is not UTF-8"));
            continue;
        };
        let source = RustSource::parse(text);
        unfinished(path, source.code(), &mut findings);
        nameless_module(path, source.code(), &mut findings);
        if is_test_file(path) {
            continue;
        }
        let code = source.code_without_tests();
        if names_no_backend(path) {
            backends(path, &code, &mut findings);
        }
        for line in optimizer_steps(&code) {
            steps.push(Finding::new(path, line, format!("steps an optimizer: only {STEP_FILE} does")));
        }
        let lines = source.lines_without_tests();
        if path.contains("src/") && lines > LONGEST_FILE {
            let message = format!("{lines} lines without tests, more than {LONGEST_FILE}: split it by idea");
            findings.push(Finding::new(path, 1, message));
        }
    }
    let (expected, elsewhere): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.path == STEP_FILE);
    findings.extend(elsewhere);
    if expected.is_empty() && tree.contains_key(STEP_MANIFEST) {
        findings.push(Finding::new(STEP_FILE, 1, "does not step an optimizer, and nothing else may"));
    }
    findings.extend(expected.into_iter().skip(1).map(|step| Finding {
        message: "steps an optimizer a second time: one training loop, one step".to_owned(),
        ..step
    }));
    findings
}

/// A file that holds tests alone: an integration test, or the body of `mod tests;`.
fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

fn names_no_backend(path: &str) -> bool {
    path.starts_with("crates/")
        && path.contains("/src/")
        && path != BACKEND_FILE
        && !BACKEND_FREE.iter().any(|prefix| path.starts_with(prefix))
}

fn unfinished(path: &str, code: &str, findings: &mut Vec<Finding>) {
    for (offset, word) in words(code) {
        let rest = code[offset + word.len()..].trim_start();
        if UNFINISHED.contains(&word) && rest.starts_with('!') && !rest.starts_with("!=") {
            findings.push(Finding::new(path, line_at(code, offset), format!("`{word}!` is not for keeping")));
        }
        if word == "ignore" && code[..offset].trim_end().ends_with("#[") {
            let message = "an ignored test: make it run, or remove it";
            findings.push(Finding::new(path, line_at(code, offset), message));
        }
    }
}

fn nameless_module(path: &str, code: &str, findings: &mut Vec<Finding>) {
    let mut parts = path.trim_end_matches(".rs").split('/');
    if let Some(name) = parts.find(|part| NAMELESS_MODULES.contains(part)) {
        findings.push(Finding::new(
            path,
            1,
            format!("`{name}` names no idea: name the module after what it holds"),
        ));
        return;
    }
    let mut after_mod = false;
    for (offset, word) in words(code) {
        // `mod utils;` is found as the file; this is the module written in place.
        let in_place = code[offset + word.len()..].trim_start().starts_with('{');
        if after_mod && in_place && NAMELESS_MODULES.contains(&word) {
            let message = format!("`{word}` names no idea: name the module after what it holds");
            findings.push(Finding::new(path, line_at(code, offset), message));
        }
        after_mod = word == "mod";
    }
}

fn backends(path: &str, code: &str, findings: &mut Vec<Finding>) {
    for (offset, word) in words(code) {
        let is_crate = BACKEND_CRATES.contains(&word.replace('_', "-").as_str());
        let is_type = BACKEND_TYPES.contains(&word) && !is_variant(&code[..offset]);
        if is_crate || is_type {
            let message =
                format!("names the backend `{word}`: only {BACKEND_FILE} does, everything else is generic");
            findings.push(Finding::new(path, line_at(code, offset), message));
        }
    }
}

/// Whether what follows `before` is a variant of an enum, as in `BackendName::Flex`.
fn is_variant(before: &str) -> bool {
    let Some(path) = before.strip_suffix("::") else {
        return false;
    };
    words(path).last().is_some_and(|(offset, word)| {
        path.ends_with(word) && path[offset..].starts_with(|first: char| first.is_uppercase())
    })
}

/// The lines of calls like `optimizer.step(`.
fn optimizer_steps(code: &str) -> Vec<usize> {
    let found: Vec<(usize, &str)> = words(code).collect();
    let is_call = |pair: &&[(usize, &str)]| {
        let [(owner_at, owner), (step_at, step)] = **pair else {
            return false;
        };
        let name = owner.rsplit('_').next().unwrap_or(owner);
        let between = code[owner_at + owner.len()..step_at].split_whitespace().collect::<String>();
        let behind = code[step_at + step.len()..].trim_start();
        step == "step" && OPTIMIZER_NAMES.contains(&name) && between == "." && behind.starts_with('(')
    };
    found.windows(2).filter(is_call).map(|pair| line_at(code, pair[1].0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, tree};
    use super::*;

    const LIBRARY: &str = "crates/brew-losses/src/kd.rs";

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&tree(&[(path, text)])))
    }

    #[test]
    fn a_library_names_no_backend() {
        assert_eq!(
            found(LIBRARY, "use burn::tensor::Tensor;\nuse burn::backend::NdArray;\n"),
            [format!("{LIBRARY}:2")]
        );
        assert_eq!(found(LIBRARY, "fn f() { burn_wgpu::init(); }\n"), [format!("{LIBRARY}:1")]);
        assert_eq!(
            found(LIBRARY, "use burn_store::Store;\n/// `NdArray`\nfn f() { g(\"Flex\") }\n"),
            [""; 0]
        );
    }

    #[test]
    fn tests_the_testkit_programs_and_the_one_file_name_backends() {
        let text = "use burn_flex::Flex;\n";
        for path in [
            BACKEND_FILE,
            "crates/brew-testkit/src/lib.rs",
            "crates/brew-cli/src/main.rs",
            "crates/brew-losses/tests/kd.rs",
            "crates/brew-losses/src/kd/tests.rs",
            "xtask/src/main.rs",
        ] {
            assert_eq!(found(path, text), [""; 0], "{path}");
        }
        assert_eq!(found(LIBRARY, "#[cfg(test)]\nmod tests {\n    use burn_flex::Flex;\n}\n"), [""; 0]);
        assert_eq!(found("crates/brew/src/run.rs", text), ["crates/brew/src/run.rs:1"; 2]);
    }

    #[test]
    fn the_name_of_a_backend_as_a_variant_is_not_the_backend() {
        assert_eq!(found("crates/brew/src/run.rs", "fn f() { g(BackendName::Flex) }\n"), [""; 0]);
        assert_eq!(found("crates/brew/src/run.rs", "fn f() { g(backend::Flex) }\n").len(), 1);
    }

    #[test]
    fn one_call_steps_an_optimizer() {
        let one = "fn step() { model = self.optimizer.step(lr, model, grads); }\n";
        assert_eq!(found(STEP_FILE, one), [""; 0]);
        assert_eq!(found(STEP_FILE, &one.repeat(2)), [format!("{STEP_FILE}:2")]);
        assert_eq!(found("crates/brew/src/run.rs", one), ["crates/brew/src/run.rs:1"]);
        assert_eq!(places(&check(&tree(&[(STEP_MANIFEST, ""), (STEP_FILE, "fn step() {}\n")]))).len(), 1);
        assert_eq!(check(&tree(&[(STEP_MANIFEST, ""), (STEP_FILE, one)])), []);
        let broken = "fn f() {\n    my_optim\n        .step(\n            lr);\n}\n";
        assert_eq!(found("xtask/src/main.rs", broken), ["xtask/src/main.rs:3"]);
    }

    #[test]
    fn other_steps_are_free() {
        for text in [
            "fn f() { schedule.step(1); }\n",
            "fn f() { (0..9).step_by(2); optimizer.step_count(); optimizer.step; }\n",
            "#[test]\nfn f() { optim.step(1); }\n",
        ] {
            assert_eq!(found("crates/brew/src/run.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn nothing_is_unfinished() {
        let text = "fn a() { todo!() }\nfn b() { unimplemented!(\"x\") }\nfn c() { dbg!(1); }\n#[ignore = \"slow\"]\nfn d() {}\n";
        assert_eq!(found(LIBRARY, text), [1, 2, 3, 4].map(|line| format!("{LIBRARY}:{line}")));
        assert_eq!(found(LIBRARY, "/// `todo!()`\nfn f() { ignore(todo != 1) }\n"), [""; 0]);
        assert_eq!(
            found(LIBRARY, "#[cfg(test)]\nmod tests {\n    #[ignore]\n    #[test]\n    fn f() {}\n}\n").len(),
            1
        );
    }

    #[test]
    fn files_are_read_in_one_sitting() {
        let code = "fn f() {}\n".repeat(LONGEST_FILE);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(found(LIBRARY, &format!("{code}{tests}")), [""; 0]);
        assert_eq!(found(LIBRARY, &format!("{code}fn g() {{}}\n{tests}")), [format!("{LIBRARY}:1")]);
    }

    #[test]
    fn modules_are_named_after_what_they_hold() {
        assert_eq!(found("crates/brew-losses/src/utils.rs", ""), ["crates/brew-losses/src/utils.rs:1"]);
        assert_eq!(found("crates/brew/src/common/mod.rs", ""), ["crates/brew/src/common/mod.rs:1"]);
        assert_eq!(found(LIBRARY, "fn f() {}\nmod misc { }\n"), [format!("{LIBRARY}:2")]);
        assert_eq!(found(LIBRARY, "fn common() { let utils = 1; }\n"), [""; 0]);
    }
}
