//! Rules about any tracked file: its size, its whitespace, and no path of one machine.

use super::rust_source::line_at;
use super::{Finding, Tree};

/// Largest tracked file, in bytes.
const LARGEST_FILE: usize = 1 << 20;

/// First folders of paths that exist on the machine of whoever wrote them, and nowhere else.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "work", "Users"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, content) in tree {
        if content.len() > LARGEST_FILE {
            let message = format!("{} bytes, more than 1 MiB: keep it out of the repository", content.len());
            findings.push(Finding::new(path, 1, message));
        }
        if content.contains(&0) {
            continue; // binary
        }
        let Ok(text) = std::str::from_utf8(content) else {
            continue;
        };
        machine_paths(path, text, &mut findings);
        if path.ends_with(".rs") {
            whitespace(path, text, &mut findings);
        }
    }
    findings
}

fn machine_paths(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for folder in MACHINE_FOLDERS {
        let absolute = format!("/{folder}/");
        for (offset, _) in text.match_indices(&absolute) {
            // Behind a host, a variable, a pattern or another folder it is part of a longer path.
            let longer = text[..offset]
                .ends_with(|before: char| before.is_alphanumeric() || "._-~/*})>".contains(before));
            if !longer {
                let message = format!("`{absolute}`: a path of one machine");
                findings.push(Finding::new(path, line_at(text, offset), message));
            }
        }
    }
}

fn whitespace(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.split('\n').enumerate() {
        if line.ends_with(char::is_whitespace) {
            findings.push(Finding::new(path, index + 1, "trailing whitespace"));
        }
        if line.contains('\t') {
            findings.push(Finding::new(path, index + 1, "a tab"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(path, text.split('\n').count(), "no newline at the end of the file"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, tree};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&tree(&[(path, text)])))
    }

    #[test]
    fn large_files_stay_out() {
        let mut files = Tree::new();
        files.insert("a.safetensors".to_owned(), vec![0; LARGEST_FILE]);
        assert_eq!(check(&files), []);
        files.insert("b.safetensors".to_owned(), vec![0; LARGEST_FILE + 1]);
        assert_eq!(places(&check(&files)), ["b.safetensors:1"]);
    }

    #[test]
    fn paths_of_one_machine_are_found_in_every_text() {
        for folder in MACHINE_FOLDERS {
            let text = format!("a\n\"/{folder}/me\"\n");
            assert_eq!(found("docs/a.md", &text), ["docs/a.md:2"], "{folder}");
        }
        let parts = ["https://example.org", "..", "~", "$HOME", "${DIR}"];
        for part in parts {
            assert_eq!(found("docs/a.md", &format!("{part}/{}/b\n", MACHINE_FOLDERS[0])), [""; 0], "{part}");
        }
    }

    #[test]
    fn binary_files_are_not_text() {
        let mut files = Tree::new();
        files.insert("a.bin".to_owned(), format!("\0 /{}/", MACHINE_FOLDERS[0]).into_bytes());
        assert_eq!(check(&files), []);
    }

    #[test]
    fn whitespace_of_rust_files() {
        assert_eq!(found("a.rs", "fn a() {}\n"), [""; 0]);
        assert_eq!(found("a.rs", ""), [""; 0]);
        assert_eq!(found("a.rs", "fn a() {}"), ["a.rs:1"]);
        assert_eq!(found("a.rs", "a\nfn a() {} \n\n"), ["a.rs:2"]);
        assert_eq!(found("a.rs", "\tfn a() {}\n"), ["a.rs:1"]);
        assert_eq!(found("a.rs", "fn a() {}\r\n"), ["a.rs:1"]);
        assert_eq!(found("Makefile", "\ta "), [""; 0]);
    }
}
