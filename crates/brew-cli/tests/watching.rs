//! What a run leaves for those who watch it: curves, a page, lines on the terminal.

mod workshop;

use std::fs;
use std::path::Path;

use workshop::{Workshop, config};

/// A teacher in `teacher`, the same student on labels in `labels` and distilled in `student`.
fn distilled() -> Workshop {
    let shop = Workshop::new();
    shop.write("deep.json", config(16, 3));
    let set = |output: &str| format!("training.output_dir={output}");
    shop.succeed(&["train", "run.toml", "--set", &set("teacher"), "--set", "model.config=deep.json"]);
    shop.succeed(&["train", "run.toml", "--set", &set("labels")]);
    shop.succeed(&["distill", "run.toml", "--set", &set("student"), "--set", "teacher.from=teacher"]);
    shop
}

/// The files of a run's curves.
fn curves(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_run_leaves_curves_and_its_page_stands_beside_teacher_and_labels() {
    let shop = distilled();
    let files = curves(&shop.path("student/tensorboard"));
    assert!(files.len() == 1 && files[0].starts_with("events.out.tfevents."), "{files:?}");
    let bytes = fs::read(shop.path("student/tensorboard").join(&files[0])).unwrap();
    for tag in ["scalar/unweighted_kd_loss", "speed/tokens_per_second", "dev/accuracy"] {
        assert!(bytes.windows(tag.len()).any(|part| part == tag.as_bytes()), "no {tag}");
    }

    let said = shop.succeed(&["report", "student", "--compare", "labels"]).stdout;
    assert!(said.contains("report.html"), "{said}");
    let page = fs::read_to_string(shop.path("student/report.html")).unwrap();
    for part in
        ["<th>teacher</th><td>teacher</td>", "<td>labels only</td>", "<td>distilled</td>", "predicted"]
    {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    // Written anew, and elsewhere.
    shop.succeed(&["report", "student"]);
    shop.succeed(&["report", "teacher", "--output", "page.html"]);
    assert!(shop.path("page.html").exists() && !shop.path("teacher/report.html").exists());
    shop.refuse(&["report", "vocab"], 2, &["vocab", "run.json"]);
    shop.refuse(&["report", "student", "--compare", "nowhere"], 2, &["nowhere", "run.json"]);
}

#[test]
fn curves_and_page_go_with_the_run_that_is_replaced() {
    let shop = Workshop::new();
    shop.succeed(&["train", "run.toml"]);
    shop.succeed(&["report", "out"]);
    let first = curves(&shop.path("out/tensorboard"));
    // Nothing is left to be done, and no curve is written twice.
    shop.succeed(&["train", "run.toml", "--resume"]);
    assert_eq!(curves(&shop.path("out/tensorboard")), first);
    shop.succeed(&["train", "run.toml", "--overwrite"]);
    assert_eq!(curves(&shop.path("out/tensorboard")).len(), 1);
    assert!(!shop.path("out/report.html").exists(), "it was the page of another run");
    shop.succeed(&["train", "run.toml", "--overwrite", "--set", "training.tensorboard=false"]);
    assert!(!shop.path("out/tensorboard").exists());
    shop.succeed(&["train", "run.toml", "--overwrite", "--set", "training.log_dir=logs/one"]);
    assert_eq!(curves(&shop.path("logs/one")).len(), 1);
    assert!(!shop.path("out/tensorboard").exists());
}

#[test]
fn a_quiet_run_says_only_how_it_ended() {
    let shop = Workshop::new();
    let loud = shop.succeed(&["train", "run.toml"]);
    for part in ["train: step 0 of 10", "examples/s", "tokens/s", "dev after step 10"] {
        assert!(loud.stderr.contains(part), "{part} is not in {}", loud.stderr);
    }
    let quiet = shop.succeed(&["train", "run.toml", "--overwrite", "--quiet"]);
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("accuracy"), "{}", quiet.stdout);
}

#[test]
fn the_dashboard_is_refused_where_it_cannot_be_drawn() {
    let shop = Workshop::new();
    // Not in this build, or not on a terminal.
    shop.refuse(&["train", "run.toml", "--ui"], 1, &["--ui"]);
    shop.refuse(&["train", "run.toml", "--ui", "--quiet"], 2, &["--ui", "--quiet"]);
}
