//! A side's process: how long it runs and how large it gets.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// By what a process says that its first step is done.
#[derive(Debug, Clone)]
pub(super) enum Sign {
    /// A line on its standard output.
    Line(&'static str),
    /// A file that holds this text.
    File(PathBuf, &'static str),
}

/// A process that ended well.
#[derive(Debug)]
pub(super) struct Finished {
    /// From its start to its end.
    pub(super) seconds: f64,
    /// From its start to the sign.
    pub(super) first: Option<f64>,
    /// Its largest resident size, where the system tells it: `VmHWM` of Linux's `/proc`.
    pub(super) peak_kib: Option<u64>,
    pub(super) stdout: String,
}

/// Runs a command; what it writes to its standard error goes to the file `log`.
pub(super) fn run(command: &mut Command, sign: Option<&Sign>, log: &Path) -> Result<Finished> {
    let shown = || format!("{:?}", command.get_program());
    let name = shown();
    let stderr = File::create(log).with_context(|| log.display().to_string())?;
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let output = child.stdout.take().context("its standard output is no pipe")?;
    let process = child.id();
    let (done, is_done) = channel::<()>();
    let (status, seconds, watched, read) = thread::scope(|scope| {
        let watcher = scope.spawn(move || watch(process, sign, started, &is_done));
        let reader = scope.spawn(move || read(output, sign, started));
        let status = child.wait();
        let seconds = started.elapsed().as_secs_f64();
        drop(done);
        (status, seconds, watcher.join(), reader.join())
    });
    let ended = || anyhow::anyhow!("a thread that watched {name} panicked");
    let (peak_kib, seen) = watched.map_err(|_| ended())?;
    let (stdout, said) = read.map_err(|_| ended())?.with_context(|| format!("the output of {name}"))?;
    let status = status.with_context(|| format!("waiting for {name}"))?;
    ensure!(
        status.success(),
        "{name} ended with {status}: {} (all of it: {})",
        last_lines(log),
        log.display()
    );
    Ok(Finished { seconds, first: seen.or(said), peak_kib, stdout })
}

/// Looks at a process until it is done: its largest size and when it gave the sign.
fn watch(
    process: u32,
    sign: Option<&Sign>,
    started: Instant,
    is_done: &Receiver<()>,
) -> (Option<u64>, Option<f64>) {
    let file = match sign {
        Some(Sign::File(path, text)) => Some((path, *text)),
        _ => None,
    };
    let pause = Duration::from_millis(if file.is_some() { 2 } else { 20 });
    let (mut peak, mut seen) = (None, None);
    loop {
        peak = peak.max(peak_kib(process));
        if let (None, Some((path, text))) = (seen, file)
            && fs::read_to_string(path).is_ok_and(|content| content.contains(text))
        {
            seen = Some(started.elapsed().as_secs_f64());
        }
        if is_done.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return (peak, seen);
        }
    }
}

/// All that a process says, and when it said the sign.
fn read(output: impl Read, sign: Option<&Sign>, started: Instant) -> std::io::Result<(String, Option<f64>)> {
    let (mut all, mut said) = (String::new(), None);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if said.is_none() && matches!(sign, Some(Sign::Line(text)) if line == *text) {
            said = Some(started.elapsed().as_secs_f64());
        }
        all.push_str(&line);
        all.push('\n');
    }
    Ok((all, said))
}

/// The largest resident size that a process has had.
fn peak_kib(process: u32) -> Option<u64> {
    parse_peak(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The end of a file, on one line.
fn last_lines(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_the_sign_of_the_first_step_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let finished =
            run(&mut shell("echo before; echo ready; echo after"), Some(&Sign::Line("ready")), &log).unwrap();
        assert_eq!(finished.stdout, "before\nready\nafter\n");
        assert!(finished.first.is_some_and(|first| first > 0.0));

        let file = folder.path().join("log.jsonl");
        let sign = Sign::File(file.clone(), "report");
        let script = format!("echo report > {}; sleep 0.2", file.display());
        let finished = run(&mut shell(&script), Some(&sign), &log).unwrap();
        assert!(finished.first.is_some_and(|first| first <= finished.seconds));
        if cfg!(target_os = "linux") {
            assert!(finished.peak_kib.is_some_and(|peak| peak > 100));
        }
    }

    #[test]
    fn a_side_that_fails_says_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let error = run(&mut shell("echo no such model >&2; exit 3"), None, &log).unwrap_err().to_string();
        assert!(error.contains("no such model") && error.contains("3"), "{error}");
    }

    #[test]
    fn the_largest_size_is_read_from_linuxs_status() {
        assert_eq!(parse_peak("Name:\tsh\nVmPeak:\t  9000 kB\nVmHWM:\t    1234 kB\n"), Some(1234));
        assert_eq!(parse_peak("Name:\tsh\n"), None);
    }
}
