//! `textbrew check`: what is wrong with a run, and what it will take.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use brew::{CheckOptions, CheckReport, OutputPolicy, RunKind};

use super::{backend, print};
use crate::args::CheckArgs;

/// The exit code where something is wrong: that of every command whose input is at fault.
const WRONG: u8 = 2;

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let policy = match (args.overwrite, args.resume) {
        (true, _) => OutputPolicy::Overwrite,
        (_, true) => OutputPolicy::Resume,
        _ => OutputPolicy::Fresh,
    };
    let kind =
        args.command.as_deref().map(|name| if name == "train" { RunKind::Train } else { RunKind::Distill });
    let options = CheckOptions { kind, policy, trial: args.trial };
    let report = brew::check_run(backend(&args.backend)?, &args.run, &args.settings, options)?;
    match args.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
        false => print(&text(&report))?,
    }
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

fn text(report: &CheckReport) -> String {
    let mut out = String::new();
    let run = report.run.display();
    let _ = match report.problems.len() {
        0 => writeln!(out, "{run}: nothing is wrong with it, to {}", report.command),
        1 => writeln!(out, "{run}: 1 problem, to {}", report.command),
        count => writeln!(out, "{run}: {count} problems, to {}", report.command),
    };
    for problem in &report.problems {
        let _ = writeln!(out, "  - {problem}");
    }
    if !report.models.is_empty() {
        out.push('\n');
    }
    for model in &report.models {
        let (layers, width) = (model.layers, model.width);
        let size = format!("{:.1} M parameters", model.parameters as f64 / 1e6);
        let plural = if layers == 1 { "layer" } else { "layers" };
        let family = model.family;
        let _ = writeln!(
            out,
            "{:<10} {family}, {layers} {plural} of width {width}, {size} ({})",
            model.role, model.source
        );
    }
    if !report.data.is_empty() {
        out.push('\n');
    }
    for data in &report.data {
        let about = if data.is_exact { "" } else { "about " };
        let _ = write!(out, "{:<10} {about}{} rows", data.part, data.rows);
        if data.mean_tokens > 0.0 {
            let _ = write!(
                out,
                ", {:.0} tokens on average, {} at most in the first",
                data.mean_tokens, data.longest
            );
        }
        if data.full > 0.0 {
            let _ = write!(out, "; {:.1} % fill data.max_length", 100.0 * data.full);
        }
        let _ = writeln!(out, " ({})", data.file);
    }
    if let Some(steps) = report.steps {
        let _ = writeln!(
            out,
            "\n{:<10} {} an epoch of {} batches, {} in all",
            "steps", steps.per_epoch, steps.batches_per_epoch, steps.total
        );
    }
    if let Some(memory) = report.memory {
        let _ = writeln!(
            out,
            "{:<10} an estimate: {} = weights {} + gradients {} + AdamW's moments {} + teachers {} + activations {}",
            "memory",
            bytes(memory.total),
            bytes(memory.weights),
            bytes(memory.gradients),
            bytes(memory.moments),
            bytes(memory.teachers),
            bytes(memory.activations)
        );
    }
    if let Some(cache) = report.cache {
        let _ = writeln!(
            out,
            "{:<10} an estimate: {} of what the teachers say of all texts ({} a text and {} a token{})",
            "cache",
            bytes(cache.total),
            bytes(cache.per_example),
            bytes(cache.per_token),
            match cache.per_token_pair {
                0 => String::new(),
                pair => format!(", {} a pair of tokens", bytes(pair)),
            }
        );
    }
    if let Some(trial) = report.trial {
        let _ = write!(
            out,
            "{:<10} {} steps: {:.3} s a step, about {} an epoch without evaluation",
            "trial",
            trial.steps,
            trial.seconds_per_step,
            duration(trial.seconds_per_epoch)
        );
        let peak = trial.peak_memory.map(|peak| format!("; {} of memory at most", bytes(peak)));
        let _ = writeln!(out, "{}", peak.unwrap_or_default());
    }
    out
}

/// A size for people.
fn bytes(count: u64) -> String {
    let names = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < names.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", names[unit]) }
}

/// A time for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!(
            [bytes(0), bytes(999), bytes(1000), bytes(437_935_112)],
            ["0 B", "999 B", "1.0 kB", "437.9 MB"]
        );
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
        assert_eq!([duration(12.4), duration(600.0), duration(36000.0)], ["12 s", "10 min", "10.0 h"]);
    }
}
