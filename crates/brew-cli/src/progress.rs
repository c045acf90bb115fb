//! What a person sees while a run goes on.

mod memory;

use std::time::{Duration, Instant};

use brew::distillers::StepReport;
use brew::{Observer, TaskReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// So many lines a run has about, where nobody watches a bar.
const LINES: usize = 20;

/// A progress bar on the terminal; plain lines where the standard error is no terminal; nothing where that is
/// asked for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_quiet: bool,
    part: Option<Part>,
    /// Whether an epoch of this part was finished in this process.
    had_epoch: bool,
}

/// The part of the work that goes on.
#[derive(Debug)]
struct Part {
    /// `None` where the standard error is no terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    /// Steps that were made before.
    done: usize,
    total: usize,
    /// The step from which on the next plain line is due.
    next_line: usize,
}

impl Progress {
    /// Progress that shows nothing where `is_quiet`.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self { is_quiet, part: None, had_epoch: false }
    }

    fn line(&self, text: &str) {
        match self.part.as_ref().and_then(|part| part.bar.as_ref()) {
            _ if self.is_quiet => {}
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Observer for Progress {
    fn begin(&mut self, what: &str, done: usize, total_steps: usize) {
        self.had_epoch = false;
        if self.is_quiet {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total_steps as u64), ProgressDrawTarget::stderr());
        let bar = (!bar.is_hidden()).then_some(bar);
        match &bar {
            Some(bar) => {
                let style = "{prefix:>12} {bar:24} {pos}/{len}  {eta} left  {wide_msg}";
                bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
                bar.set_prefix(what.to_owned());
                bar.set_position(done as u64);
                bar.reset_eta();
                bar.enable_steady_tick(Duration::from_millis(500));
            }
            None => eprintln!("{what}: step {done} of {total_steps}"),
        }
        let started = Instant::now();
        self.part = Some(Part { bar, started, done, total: total_steps, next_line: done + 1 });
    }

    fn step(&mut self, step: usize) {
        if let Some(bar) = self.part.as_ref().and_then(|part| part.bar.as_ref()) {
            bar.set_position(step as u64);
        }
    }

    fn epoch_over(&mut self, _epoch: usize) {
        if !std::mem::replace(&mut self.had_epoch, true) {
            crate::memory::give_back();
        }
    }

    fn report(&mut self, report: &StepReport) {
        let Some(part) = &mut self.part else { return };
        let message = message(report);
        match &part.bar {
            Some(bar) => bar.set_message(message),
            None if report.step >= part.next_line || report.step == part.total => {
                part.next_line = report.step + (part.total / LINES).max(1);
                let left = left(part.started.elapsed(), part.done, report.step, part.total);
                let left = left.map_or(String::new(), |left| format!("  {} left", in_words(left)));
                eprintln!("step {}/{}  {message}{left}", report.step, part.total);
            }
            None => {}
        }
    }

    fn evaluation(&mut self, split: &str, step: usize, report: &TaskReport) {
        let figures: Vec<String> =
            report.figures().iter().map(|figure| format!("{} {figure}", figure.name)).collect();
        self.line(&format!("{split} after step {step}: {}", figures.join(", ")));
    }

    fn end(&mut self) {
        if let Some(bar) = self.part.take().and_then(|part| part.bar) {
            bar.finish_and_clear();
        }
    }

    fn note(&mut self, message: &str) {
        self.line(&format!("note: {message}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Loss, speed and memory.
fn message(report: &StepReport) -> String {
    let mut message = format!("loss {:.4}  {} examples/s", report.loss, short(report.examples_per_second()));
    if let Some(speed) = report.tokens_per_second() {
        message.push_str(&format!("  {} tokens/s", short(speed)));
    }
    if let Some(memory) = memory::resident() {
        message.push_str(&format!("  {} (peak {})", size(memory.now), size(memory.peak)));
    }
    message
}

/// `950`, `2.3k`, `14k`.
fn short(number: f64) -> String {
    match number {
        n if n < 999.5 => format!("{n:.0}"),
        n if n < 9_950.0 => format!("{:.1}k", n / 1e3),
        n => format!("{:.0}k", n / 1e3),
    }
}

/// `350 MiB`, `2.1 GiB`.
fn size(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1000.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

/// The time that the rest takes at the pace so far; `None` before the first step and after the last.
fn left(elapsed: Duration, done: usize, step: usize, total: usize) -> Option<Duration> {
    let made = step.checked_sub(done).filter(|&made| made > 0)?;
    let rest = total.checked_sub(step).filter(|&rest| rest > 0)?;
    Some(elapsed.mul_f64(rest as f64 / made as f64))
}

/// `45 s`, `12 min`, `3 h 20 min`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Warnings of the libraries, on the standard error.
pub(crate) fn log_to_stderr() {
    struct Stderr;
    impl log::Log for Stderr {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn && metadata.target().starts_with("brew")
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                eprintln!("warning: {}", record.args());
            }
        }
        fn flush(&self) {}
    }
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_the_steps_of_this_process() {
        let minute = Duration::from_secs(60);
        // 20 of 100 steps in a minute, 40 had been made before: 40 are left.
        assert_eq!(left(minute, 40, 60, 100), Some(minute * 2));
        assert_eq!(left(minute, 40, 40, 100), None);
        assert_eq!(left(minute, 40, 100, 100), None);
        assert_eq!(
            [45, 61, 12_000].map(|s| in_words(Duration::from_secs(s))),
            ["45 s", "2 min", "3 h 20 min"]
        );
        assert_eq!([350 << 20, 2_200 << 20].map(size), ["350 MiB", "2.1 GiB"]);
        assert_eq!([12.4, 2_340.0, 14_200.0].map(short), ["12", "2.3k", "14k"]);
    }
}
