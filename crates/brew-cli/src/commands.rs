//! One function a command: arguments in, calls to the library, something readable out.

mod cache;
mod check;
mod report;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use brew::data::{Column, TextFileSpec, WordPieceOptions};
use brew::{BackendKind, DataConfig, Observer, OutputPolicy, RunError, RunKind};

use crate::args::{
    BackendArgs, Cli, Command, DataArgs, EvaluateArgs, ExportArgs, ParamsArgs, PredictArgs, QuickstartArgs,
    ReportArgs, RunArgs, VocabularyArgs,
};
use crate::progress::Progress;

/// The exit code of a run that was stopped by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Train(args) => train(&args, RunKind::Train),
        Command::Distill(args) => train(&args, RunKind::Distill),
        Command::Check(args) => check::run(&args),
        Command::Cache(command) => cache::run(command),
        Command::Evaluate(args) => evaluate(&args),
        Command::Predict(args) => predict(&args),
        Command::Params(args) => params(&args),
        Command::Export(args) => export(&args),
        Command::Report(args) => write_page(&args),
        Command::Vocabulary(args) => vocabulary(&args),
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
    let policy = match (args.overwrite, args.resume) {
        (true, _) => OutputPolicy::Overwrite,
        (_, true) if args.accept_changes => OutputPolicy::ResumeChanged,
        (_, true) => OutputPolicy::Resume,
        _ => OutputPolicy::Fresh,
    };
    let config = brew::load_run_for(backend, &args.run, &args.settings, kind, policy)?;
    let stop = stop_on_ctrl_c("stopping after this step; a checkpoint will be written")?;
    let progress = &mut *observer(args, &stop)?;
    // Several tasks that are only to be trained are refused there with what to do instead.
    let (interrupted, steps, text) = if kind == RunKind::Distill && !config.tasks.is_empty() {
        let summary = brew::distill_tasks(backend, config, policy, stop, progress)?;
        (summary.interrupted, summary.steps, report::tasks(&summary))
    } else {
        let summary = brew::train(backend, config, kind, policy, stop, progress)?;
        (summary.interrupted, summary.steps, report::summary(&summary))
    };
    if interrupted {
        eprintln!("stopped after step {steps}; continue with --resume");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What shows the run.
fn observer(args: &RunArgs, stop: &Arc<AtomicBool>) -> Result<Box<dyn Observer>> {
    if !args.ui {
        return Ok(Box::new(Progress::new(args.quiet)));
    }
    #[cfg(feature = "ui")]
    return Ok(Box::new(crate::dashboard::Dashboard::new(Arc::clone(stop))?));
    #[cfg(not(feature = "ui"))]
    {
        let _ = stop;
        anyhow::bail!("this build has no dashboard; build with `--features ui`, or leave out --ui")
    }
}

/// A flag that the first Ctrl-C sets; the second ends the process.
fn stop_on_ctrl_c(message: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\n{message} (again to quit at once)");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let report = brew::evaluate_file(
        backend(&args.backend)?,
        &args.model,
        &args.data.data,
        &args.data.config(&args.model)?,
    )?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&report::task(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn predict(args: &PredictArgs) -> Result<ExitCode> {
    let predictions = brew::predict_file(
        backend(&args.backend)?,
        &args.model,
        &args.data.data,
        &args.data.config(&args.model)?,
    )?;
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
    let table = match (&args.model, &args.preset, args.vocab) {
        (_, Some(preset), Some(vocab)) => brew::preset_table(preset, vocab, args.depth)?,
        (Some(model), ..) => brew::parameter_table(model, args.depth)?,
        _ => unreachable!("clap asks for a model or a preset"),
    };
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

fn write_page(args: &ReportArgs) -> Result<ExitCode> {
    let path = brew::write_report(&args.run, &args.compare, args.output.as_deref())?;
    print(&format!("{} is the page of {}\n", path.display(), args.run.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn vocabulary(args: &VocabularyArgs) -> Result<ExitCode> {
    let columns = columns(args.text.as_deref(), args.text_pair.as_deref(), None);
    let options = WordPieceOptions { do_lower_case: !args.cased, ..WordPieceOptions::default() };
    let tokenizer = brew::train_vocabulary(&args.data, &columns, args.size, options, &args.output)?;
    let (output, entries) = (args.output.display(), tokenizer.vocab_size());
    print(&format!("{output} is a tokenizer of {entries} entries (a folder that transformers loads)\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn quickstart(args: &QuickstartArgs) -> Result<ExitCode> {
    let outcome = brew::quickstart(backend(&args.backend)?, &args.seeds, &mut Progress::new(args.quiet))?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&outcome)?))?;
    } else {
        print(&report::quickstart(&outcome))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl DataArgs {
    /// How the file is read: as the model's run read its own, but for what is said here.
    fn config(&self, model: &Path) -> Result<DataConfig> {
        let mut data = brew::load_data_config(model, &self.settings)?;
        if self.text.is_some() || self.text_pair.is_some() || self.label.is_some() {
            // Columns of one's own are those of no known layout.
            data.layout = None;
            data.columns = columns(self.text.as_deref(), self.text_pair.as_deref(), self.label.as_deref());
        }
        data.max_length = self.max_length.or(data.max_length);
        data.eval_batch_size = self.batch_size;
        Ok(data)
    }
}

/// Columns by name, or by number from 0; the text is in the first where nothing is said.
fn columns(text: Option<&str>, text_pair: Option<&str>, label: Option<&str>) -> TextFileSpec {
    let column = |name: &str| match name.parse() {
        Ok(index) => Column::Index(index),
        Err(_) => Column::from(name),
    };
    TextFileSpec {
        text: text.map(column).unwrap_or_default(),
        text_pair: text_pair.map(column),
        label: label.map(column),
        ..TextFileSpec::default()
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
