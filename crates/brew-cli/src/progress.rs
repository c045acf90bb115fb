//! What a person sees while a run goes on.

use std::time::Duration;

use brew::distillers::StepReport;
use brew::{Observer, TaskReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on the terminal; plain lines where the standard error is no terminal.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }
}

impl Observer for Progress {
    fn begin(&mut self, what: &str, done: usize, total_steps: usize) {
        let bar = ProgressBar::with_draw_target(Some(total_steps as u64), ProgressDrawTarget::stderr());
        let style = "{prefix:>12} {bar:30} {pos}/{len}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        bar.set_prefix(what.to_owned());
        bar.set_position(done as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        if bar.is_hidden() {
            eprintln!("{what}: step {done} of {total_steps}");
        }
        self.bar = Some(bar);
    }

    fn step(&mut self, step: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(step as u64);
        }
    }

    fn report(&mut self, report: &StepReport) {
        let speed = report.examples as f64 / report.seconds.max(1e-9);
        let message = format!("loss {:.4}  {speed:.0} examples/s", report.loss);
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.set_message(message),
            _ => {
                // About twenty lines a run where nobody watches a bar.
                let every = (report.total_steps / 20).max(1);
                if report.step % every < 10 || report.step == report.total_steps {
                    eprintln!("step {}/{}  {message}", report.step, report.total_steps);
                }
            }
        }
    }

    fn evaluation(&mut self, split: &str, step: usize, report: &TaskReport) {
        let figures: Vec<String> =
            report.figures().iter().map(|figure| format!("{} {figure}", figure.name)).collect();
        self.line(&format!("{split} after step {step}: {}", figures.join(", ")));
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
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
