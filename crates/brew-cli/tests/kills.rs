//! Power cuts, as far as a program can make them: `kill -9` at random times, a full disk, a disk that became
//! read-only.
//!
//! `BREW_KILLS` says how many kills (a handful where it is not set), `BREW_KILL_SEED` at which times.

mod workshop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use workshop::Workshop;

/// A run file with what a checkpoint has to bring back: dropout, optimizer moments, an accumulated gradient, a
/// projection, kept outputs of the teacher, epochs in orders of their own.
const DISTIL: &str = r#"
[data]
train = "train.tsv"
dev = "dev.tsv"
max_length = 12
batch_size = 4

[model]
config = "config.json"
tokenizer = "vocab"

[teacher]
from = "teacher"

[training]
output_dir = "out"
num_epochs = 6
gradient_accumulation_steps = 2
ckpt_steps = 2
keep_checkpoints = 2
max_grad_norm = 1.0
log_every = 1
optimizer = { lr = 1e-2 }
schedule = { name = "linear", warmup_ratio = 0.1 }

[distillation]
temperature = 4
hard_label_weight = 0.5
is_caching_logits = true
intermediate_matches = [
    { layer_T = 2, layer_S = 2, feature = "hidden", loss = "hidden_mse", proj = ["linear", 8, 12] },
]
"#;

/// The runs that are killed: arguments of `textbrew` without the output folder, which stands for OUTPUT.
const RUNS: [&[&str]; 4] = [
    &["distill", "distil.toml"],
    &["distill", "distil.toml", "--set", "cache.dir=OUTPUT-cache"],
    &[
        "distill",
        "distil.toml",
        "--set",
        "crd={negatives=8,feature_dim=4}",
        "--set",
        "data.length_buckets=true",
    ],
    &["train", "distil.toml", "--set", "evaluation.keep=best"],
];

fn shop() -> Workshop {
    let shop = Workshop::new();
    shop.write("teacher.json", workshop::config(12, 2));
    shop.write("distil.toml", DISTIL);
    let teacher = ["--set", "model.config=teacher.json", "--set", "training.output_dir=teacher"];
    shop.succeed(&[&["train", "run.toml"][..], &teacher].concat());
    shop
}

/// The arguments of a run into an output folder.
fn arguments(run: &[&str], output: &str) -> Vec<String> {
    let mut arguments: Vec<String> = run.iter().map(|one| one.replace("OUTPUT", output)).collect();
    arguments.extend(["--set".to_owned(), format!("training.output_dir={output}")]);
    arguments
}

/// The same, to continue the run where there is one, as a user would.
fn starting_or_resuming(shop: &Workshop, run: &[&str], output: &str) -> Vec<String> {
    let mut arguments = arguments(run, output);
    if shop.path(output).join("run.json").exists() {
        arguments.push("--resume".to_owned());
    }
    arguments
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn weights(shop: &Workshop, folder: &str) -> Vec<u8> {
    fs::read(shop.path(folder).join("model/model.safetensors")).unwrap()
}

/// Numbers between 0 and 1 (Knuth's linear congruential generator, MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn of_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")))
}

/// Starts the program and kills it after `delay`; whether it was still running then.
fn kill_after(shop: &Workshop, arguments: &[&str], delay: Duration) -> bool {
    let mut child = shop.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let was_running = child.try_wait().unwrap().is_none();
    // SIGKILL on Unix.
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(was_running || status.success(), "textbrew {arguments:?} ended by itself with {status}");
    was_running
}

#[test]
fn a_run_killed_at_random_times_ends_as_one_that_was_left_alone() {
    let shop = shop();
    let kills = of_environment("BREW_KILLS", 6);
    let mut numbers = Numbers(of_environment("BREW_KILL_SEED", 1));
    let whole: Vec<(Vec<u8>, Duration)> = RUNS
        .iter()
        .map(|run| {
            let started = Instant::now();
            shop.succeed(&strs(&arguments(run, "whole")));
            let seconds = started.elapsed();
            let weights = weights(&shop, "whole");
            fs::remove_dir_all(shop.path("whole")).unwrap();
            let _ = fs::remove_dir_all(shop.path("whole-cache"));
            (weights, seconds)
        })
        .collect();
    let (mut done, mut ended, mut continued) = (0, 0, 0);
    while done < kills {
        let at = ended % RUNS.len();
        let (run, (expected, seconds)) = (RUNS[at], &whole[at]);
        let output = format!("out-{ended}");
        for _ in 0..4 {
            let delay = seconds.mul_f64(numbers.next());
            if !kill_after(&shop, &strs(&starting_or_resuming(&shop, run, &output)), delay) {
                break;
            }
            done += 1;
            continued += u64::from(shop.path(&output).join("checkpoints/index.json").exists());
        }
        shop.succeed(&strs(&starting_or_resuming(&shop, run, &output)));
        assert!(weights(&shop, &output) == *expected, "{run:?} after {done} kills: other weights");
        let left: Vec<PathBuf> = shop.files().into_iter().filter(|file| is_leftover(file)).collect();
        assert!(left.is_empty(), "{left:?}");
        fs::remove_dir_all(shop.path(&output)).unwrap();
        ended += 1;
    }
    eprintln!(
        "{done} kills, {continued} of them after a checkpoint, in {ended} runs: the same weights each time"
    );
}

/// Whether this was written by a process that did not finish it.
fn is_leftover(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with(".writing") || name.starts_with(".saving") || name.starts_with(".tmp")
    })
}

#[test]
fn an_export_that_is_killed_is_whole_or_absent() {
    let shop = shop();
    let started = Instant::now();
    shop.succeed(&["export", "teacher", "whole"]);
    let seconds = started.elapsed();
    let expected = fs::read(shop.path("whole/model.safetensors")).unwrap();
    let mut numbers = Numbers(of_environment("BREW_KILL_SEED", 2));
    for index in 0..of_environment("BREW_KILLS", 6) {
        let target = format!("exported-{index}");
        kill_after(&shop, &["export", "teacher", &target], seconds.mul_f64(numbers.next()));
        if !shop.path(&target).exists() {
            shop.succeed(&["export", "teacher", &target]);
        }
        for name in ["config.json", "vocab.txt"] {
            assert!(shop.path(&target).join(name).exists(), "{target} without {name}");
        }
        assert!(fs::read(shop.path(&target).join("model.safetensors")).unwrap() == expected, "{target}");
    }
}

/// A file system in memory of a given size, for as long as it is held.
struct SmallDisk<'a> {
    place: &'a Path,
}

impl<'a> SmallDisk<'a> {
    /// `None` where this user may not mount.
    fn new(place: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir(place).unwrap();
        let options = format!("size={size}");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs", &place.to_string_lossy()]);
        if !mounted {
            eprintln!("passed over: this user may not mount a small disk");
        }
        mounted.then_some(Self { place })
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options, &self.place.to_string_lossy()]), "{options}");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    let status = Command::new("mount").args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_stops_the_run_and_a_larger_one_continues_it() {
    let shop = shop();
    shop.succeed(&strs(&arguments(RUNS[0], "whole")));
    let place = shop.path("disk");
    // One checkpoint needs about 60 KiB: it is full at the first, at the second, and at the model's.
    for size in ["40k", "120k", "160k"] {
        let Some(disk) = SmallDisk::new(&place, size) else { return };
        let outcome = shop.textbrew(&strs(&arguments(RUNS[0], "disk/out")));
        assert_eq!(outcome.code, Some(1), "{size}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("No space left on device"), "{size}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("disk/out"), "{size}: {}", outcome.stderr);
        disk.remount("size=8m");
        shop.succeed(&strs(&starting_or_resuming(&shop, RUNS[0], "disk/out")));
        assert!(weights(&shop, "disk/out") == weights(&shop, "whole"), "{size}");
        drop(disk);
        fs::remove_dir(&place).unwrap();
    }
}

#[test]
fn a_disk_that_cannot_be_written_to_is_said_before_the_run() {
    let shop = shop();
    let place = shop.path("disk");
    let Some(disk) = SmallDisk::new(&place, "1m") else { return };
    disk.remount("ro");
    let outcome = shop.textbrew(&strs(&arguments(RUNS[0], "disk/out")));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Read-only file system"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("disk/out"), "{}", outcome.stderr);
}
