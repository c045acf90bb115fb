use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Distil language models: train a teacher, distil a student, evaluate and export it.
///
/// A run is one TOML or JSON file; `--set key=value` changes single fields of it. To see a student
/// learn from a teacher without any file or download, run `textbrew quickstart`.
#[derive(Debug, Parser)]
#[command(name = "textbrew", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model on labels: a teacher, or a baseline to compare a student with
    Train(RunArgs),
    /// Distil a teacher into a student, or the teachers of several tasks into one
    Distill(RunArgs),
    /// Tell everything that is wrong with a run before it begins, and what it will take
    Check(CheckArgs),
    /// Fill, show, verify and prune the folder in which runs keep what their teachers say
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Measure a model on a labelled file
    Evaluate(EvaluateArgs),
    /// Label a file: one JSON object a line with label and logits
    Predict(PredictArgs),
    /// Count the parameters of a checkpoint, or of a student of TextBrewer's
    Params(ParamsArgs),
    /// Write a run's model as a Hugging Face folder that transformers loads
    Export(ExportArgs),
    /// Write a run, finished or not, as one HTML page: curves, scores, sizes, settings
    Report(ReportArgs),
    /// Learn a vocabulary of word pieces from texts and write it as a tokenizer folder
    Vocabulary(VocabularyArgs),
    /// See a student learn from a teacher: a small task made on the spot, about two minutes
    Quickstart(QuickstartArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Backend that computes [default: the first of this build]
    #[arg(long, value_name = "NAME", help_heading = "Backend")]
    pub(crate) backend: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run file (.toml or .json)
    pub(crate) run: PathBuf,

    /// Change a field of the run file, such as `training.optimizer.lr=1e-4` or, of one of several
    /// tasks, `tasks[sst2].data.train=FILE`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Replace the run in the output folder
    #[arg(long, conflicts_with = "resume")]
    pub(crate) overwrite: bool,

    /// Continue the run in the output folder from its last checkpoint
    #[arg(long)]
    pub(crate) resume: bool,

    /// With --resume: go on although configuration, models or data changed since the checkpoint
    #[arg(long, requires = "resume")]
    pub(crate) accept_changes: bool,

    /// Show curves, scores and progress on the whole terminal (in builds with the feature `ui`)
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) ui: bool,

    /// Show no progress and no notes, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

/// Exit code 0 where nothing is wrong, 2 where something is, 1 where the trial failed.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Run file (.toml or .json)
    pub(crate) run: PathBuf,

    /// Change a field of the run file, as `train` and `distill` do; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// The command that it is for [default: distill where the run file names a teacher or tasks]
    #[arg(long = "for", value_name = "COMMAND", value_parser = ["train", "distill"])]
    pub(crate) command: Option<String>,

    /// As if the run in the output folder were to be replaced
    #[arg(long, conflicts_with = "resume")]
    pub(crate) overwrite: bool,

    /// As if the run in the output folder were to be continued
    #[arg(long)]
    pub(crate) resume: bool,

    /// Load the models and make a few steps, to tell the time of an epoch; nothing is kept
    #[arg(long)]
    pub(crate) trial: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// File of the model's task: texts (TSV, CSV or JSON lines), tagged words, questions. It is read as the
    /// model's run read its own, where the model is the folder of a run
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// Change how it is read by a field of `[data]` in run files, such as `questions.doc_stride=64`; may be
    /// repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Column of the text, by name or number from 0
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text: Option<String>,

    /// Column of the second text of a pair
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text_pair: Option<String>,

    /// Column of the label
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,

    /// Tokens of a text or pair, special tokens included [default: 128; 384 for questions]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<usize>,

    /// Texts computed at once
    #[arg(long, value_name = "TEXTS", default_value_t = 64)]
    pub(crate) batch_size: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Hugging Face folder, or the folder of a finished run; of several tasks, RUN/model/TASK
    pub(crate) model: PathBuf,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Hugging Face folder, or the folder of a finished run; of several tasks, RUN/model/TASK
    pub(crate) model: PathBuf,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Write here instead of to the standard output; written whole or not at all
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ParamsArgs {
    /// Hugging Face folder, or the folder of a finished run; of several tasks, RUN/model/TASK
    #[arg(required_unless_present = "preset", conflicts_with = "preset")]
    pub(crate) model: Option<PathBuf>,

    /// A student of TextBrewer's tables instead, such as T4-tiny, without pooler and head
    #[arg(long, value_name = "NAME", requires = "vocab")]
    pub(crate) preset: Option<String>,

    /// Entries of its vocabulary: 28996 of BERT-base-cased, 21128 of BERT-base-Chinese
    #[arg(long, value_name = "ENTRIES", requires = "preset")]
    pub(crate) vocab: Option<usize>,

    /// Levels of the module tree that are shown
    #[arg(long, value_name = "LEVELS", default_value_t = 3)]
    pub(crate) depth: usize,

    /// Print one JSON object with `total` and `rows` instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Folder of a run or of one of its checkpoints, or a Hugging Face folder
    pub(crate) source: PathBuf,

    /// Folder to write; it must not exist yet
    pub(crate) target: PathBuf,

    /// Take the run's `last` or `best` checkpoint instead of its final model
    #[arg(long, value_name = "WHICH", value_parser = ["last", "best"])]
    pub(crate) checkpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folder of the run
    pub(crate) run: PathBuf,

    /// Folders of runs to stand beside it, such as the same student on labels alone; the run of its
    /// teacher is found by itself
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub(crate) compare: Vec<PathBuf>,

    /// Write here instead of to RUN/report.html
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VocabularyArgs {
    /// Files of texts (TSV, CSV or JSON lines)
    #[arg(required = true)]
    pub(crate) data: Vec<PathBuf>,

    /// Column of the text, by name or number from 0
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text: Option<String>,

    /// Column of the second text of a pair
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text_pair: Option<String>,

    /// Entries of the vocabulary at most, special tokens included
    #[arg(long, value_name = "ENTRIES", default_value_t = 8000)]
    pub(crate) size: usize,

    /// Keep upper case and accents
    #[arg(long)]
    pub(crate) cased: bool,

    /// Folder to write; it must not hold a tokenizer yet
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {
    /// Seeds to run, one after the other
    #[arg(long, value_name = "SEED", value_delimiter = ',', default_value = "1,2,3")]
    pub(crate) seeds: Vec<u64>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress and no notes, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Ask a distillation's teachers about every training text, before it begins
    Build(CacheBuildArgs),
    /// List the caches of a folder, and of a run file what it uses of them
    Inspect(CacheInspectArgs),
    /// Compare every byte of a folder's caches with its checksum; ends with 1 where one is damaged
    Verify(CacheVerifyArgs),
    /// Remove what is of no use: leftovers and, beside run files, the caches that none of them uses
    Prune(CachePruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CacheBuildArgs {
    /// Run file (.toml or .json) with the table `cache`
    pub(crate) run: PathBuf,

    /// Change a field of the run file, such as `cache.dir=FOLDER`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CacheInspectArgs {
    /// Folder of caches, or a run file with the table `cache`
    pub(crate) path: PathBuf,

    /// Change a field of the run file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CacheVerifyArgs {
    /// Folder of caches, or a run file with the table `cache`
    pub(crate) path: PathBuf,

    /// Change a field of the run file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CachePruneArgs {
    /// A folder of caches, for its leftovers alone; or the run files that use one folder, whose caches stay
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Change a field of the run files; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Remove it; without this it is only said
    #[arg(long)]
    pub(crate) yes: bool,
}
