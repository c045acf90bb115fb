//! One function a command: arguments in, calls to the library, something readable out.

mod report;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use brew::data::{Column, TextFileSpec};
use brew::{BackendKind, OutputPolicy, RunError, RunKind};

use crate::args::{
    BackendArgs, Cli, Command, DataArgs, EvaluateArgs, ExportArgs, ParamsArgs, PredictArgs, QuickstartArgs,
    RunArgs,
};
use crate::progress::Progress;

/// The exit code of a run that was stopped by Ctrl-C.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Train(args) => train(&args, RunKind::Train),
        Command::Distill(args) => train(&args, RunKind::Distill),
        Command::Evaluate(args) => evaluate(&args),
        Command::Predict(args) => predict(&args),
        Command::Params(args) => params(&args),
        Command::Export(args) => export(&args),
        Command::Quickstart(args) => quickstart(&args),
    }
}

fn backend(args: &BackendArgs) -> Result<BackendKind> {
    match &args.backend {
        Some(name) => Ok(name.parse::<BackendKind>().map_err(RunError::from)?),
        None => BackendKind::first().context("this build has no backend; build with `--features flex`"),
    }
}

fn train(args: &RunArgs, kind: RunKind) -> Result<ExitCode> {
    let backend = backend(&args.backend)?;
    let config = brew::load_run(&args.run, &args.settings)?;
    let policy = match (args.overwrite, args.resume) {
        (true, _) => OutputPolicy::Overwrite,
        (_, true) => OutputPolicy::Resume,
        _ => OutputPolicy::Fresh,
    };
    let stop = stop_on_ctrl_c()?;
    let summary = brew::train(backend, config, kind, policy, stop, &mut Progress::default())?;
    if summary.interrupted {
        eprintln!("stopped after step {}; continue with --resume", summary.steps);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    print(&report::summary(&summary))?;
    Ok(ExitCode::SUCCESS)
}

/// A flag that the first Ctrl-C sets; the second ends the process.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\nstopping after this step; a checkpoint will be written (again to quit at once)");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let report = brew::evaluate_file(backend(&args.backend)?, &args.model, &args.data.source())?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&report::classification(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn predict(args: &PredictArgs) -> Result<ExitCode> {
    let predictions = brew::predict_file(backend(&args.backend)?, &args.model, &args.data.source())?;
    match &args.output {
        Some(path) => brew::write_predictions(&predictions, path)?,
        None => {
            let mut lines = String::new();
            for prediction in &predictions {
                lines.push_str(&serde_json::to_string(prediction)?);
                lines.push('\n');
            }
            print(&lines)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn params(args: &ParamsArgs) -> Result<ExitCode> {
    let table = brew::parameter_table(&args.model, args.depth)?;
    if args.json {
        print(&format!("{:#}\n", table.to_json()))?;
    } else {
        print(&format!("{table}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let source = match args.checkpoint.as_deref() {
        None => brew::model_folder(&args.source)?,
        Some(which) => brew::checkpoint_model(&args.source, which == "best")?,
    };
    brew::export(&source, &args.target)?;
    print(&format!("{} is a Hugging Face folder of {}\n", args.target.display(), source.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn quickstart(args: &QuickstartArgs) -> Result<ExitCode> {
    let outcome = brew::quickstart(backend(&args.backend)?, &args.seeds, &mut Progress::default())?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&outcome)?))?;
    } else {
        print(&report::quickstart(&outcome))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl DataArgs {
    /// The library's description of the same file.
    fn source(&self) -> brew::TextSource<'_> {
        let column = |name: &String| match name.parse() {
            Ok(index) => Column::Index(index),
            Err(_) => Column::Name(name.clone()),
        };
        let mut columns = TextFileSpec::default();
        if let Some(text) = &self.text {
            columns.text = column(text);
        }
        columns.text_pair = self.text_pair.as_ref().map(column);
        columns.label = self.label.as_ref().map(column);
        let path: &Path = &self.data;
        brew::TextSource { path, columns, max_length: self.max_length, batch_size: self.batch_size }
    }
}

/// Writes to the standard output; a reader that went away is no error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}
