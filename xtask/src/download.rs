//! `cargo xtask download`: data sets and models into a cache folder.
//!
//! What it is for and how it works stands in docs/downloads.md. The modules below know nothing of the command
//! line, so that a command of `textbrew` may use them, too.

mod archive;
mod cache;
mod checksum;
mod client;
mod convert;
mod error;
mod hub;
mod install;
mod licence;
mod progress;
mod record;
mod sets;
mod shape;
#[cfg(test)]
mod testing;
mod transfer;

use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use cache::{Cache, Environment};
use client::{Client, Patience};
use error::DownloadError;
use hub::Model;
use install::Job;
use licence::Consent;
use progress::Reporter;
use sets::{DataSet, SETS, Source};

/// `cargo xtask download SET`, `cargo xtask download model OWNER/NAME`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A data set of the list, or `model`
    #[arg(required_unless_present = "list")]
    what: Option<String>,
    /// After `model`: its name on the Hugging Face hub, as google-bert/bert-base-cased
    model: Option<String>,
    /// Show the data sets with licence, size and source
    #[arg(long)]
    list: bool,
    /// Accept the licence, which is named, without being asked
    #[arg(long)]
    accept_licence: bool,
    /// Take files of your own, an archive or a folder, instead of fetching; may be repeated
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,
    /// Fetch and unpack again what is there
    #[arg(long)]
    force: bool,
    /// Branch, tag or commit of a model
    #[arg(long, default_value = "main", value_name = "NAME")]
    revision: String,
    /// Cache folder; by default $BREW_CACHE, $XDG_CACHE_HOME/brew or ~/.cache/brew
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

/// Prints the folder of what was asked for, alone on standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        print!("{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = wanted(arguments)?;
    let environment =
        Environment { cache: arguments.cache.clone().or(Environment::read().cache), ..Environment::read() };
    let reporter = Reporter::for_stderr();
    let cache = Cache::open(&environment.cache_folder()?, || {
        reporter.say("another download is using the cache folder; waiting for it");
    })?;
    let mut answers = BufReader::new(std::io::stdin());
    let consent = if arguments.accept_licence {
        Consent::Given
    } else if std::io::stdin().is_terminal() {
        Consent::Asked(&mut answers)
    } else {
        Consent::Nobody
    };
    let client = Client::new(Patience::default(), ureq::Proxy::try_from_env());
    let mut job = Job {
        client: &client,
        cache: &cache,
        reporter: &reporter,
        consent,
        mirror: environment.mirror.as_deref(),
        from: &arguments.from,
        force: arguments.force,
    };
    let folder = match wanted {
        Wanted::Set(set) => job.install(set)?,
        Wanted::Model(id) => job.model(&Model {
            id,
            revision: &arguments.revision,
            endpoint: environment.hub.as_deref(),
            token: environment.token.as_deref(),
        })?,
    };
    println!("{}", folder.display());
    Ok(ExitCode::SUCCESS)
}

enum Wanted<'a> {
    Set(&'static DataSet),
    Model(&'a str),
}

fn wanted(arguments: &Arguments) -> error::Result<Wanted<'_>> {
    let usage = |message: &str| Err(DownloadError::Usage(message.to_owned()));
    match (arguments.what.as_deref(), arguments.model.as_deref()) {
        (Some("model"), None) => usage("which model? Write `download model OWNER/NAME`"),
        (Some("model"), Some(_)) if !arguments.from.is_empty() => {
            usage("--from is for data sets; a model that you have is given to Brew by its folder")
        }
        (Some("model"), Some(id)) => Ok(Wanted::Model(id)),
        (Some(set), None) => DataSet::find(set).map(Wanted::Set),
        (Some(set), Some(other)) => usage(&format!("one data set at a time: `{set}` or `{other}`?")),
        (None, _) => usage("which data set? --list shows them"),
    }
}

/// The data sets as a table for a terminal.
fn list() -> String {
    let mut rows = vec![["set", "task", "size", "licence", "source"].map(str::to_owned)];
    for set in SETS {
        let address = match set.source {
            Source::Open(files) => files[0].url,
            Source::ByHand { .. } => set.home,
        };
        let source = address.split('/').nth(2).unwrap_or_default();
        let cells = [set.name, set.task, &set.size(), set.licence.name, source];
        rows.push(cells.map(str::to_owned));
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text += "\nmodel OWNER/NAME fetches a model from the Hugging Face hub. Licence and terms are named before a \
             download;\nwhat is `by hand` says what to do, and takes your copy with --from.\n";
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        Program::try_parse_from(["download"].into_iter().chain(line.split_whitespace())).map(|p| p.arguments)
    }

    #[test]
    fn a_command_line_names_a_set_or_a_model() {
        let set = parsed("sst-2 --accept-licence --from a.zip --from b").unwrap();
        assert!(matches!(wanted(&set), Ok(Wanted::Set(set)) if set.name == "sst2"));
        assert_eq!(set.from.len(), 2);
        let model = parsed("model owner/name --revision v1").unwrap();
        assert!(matches!(wanted(&model), Ok(Wanted::Model("owner/name"))));
        let cases = [
            ("model", "which model"),
            ("model a/b --from c", "for data sets"),
            ("squad mnli", "one data set at a time"),
            ("nothing", "no data set is called `nothing`"),
        ];
        for (line, expected) in cases {
            let arguments = parsed(line).unwrap();
            let message = wanted(&arguments).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(parsed("").is_err());
        assert!(parsed("--list").unwrap().list);
    }

    #[test]
    fn the_list_names_licence_size_and_source_of_every_set() {
        let list = list();
        for set in SETS {
            let line = list.lines().find(|line| line.split(' ').next() == Some(set.name)).unwrap();
            assert!(line.contains(set.licence.name) && line.contains(&set.size()), "{line}");
        }
        assert!(list.contains("dl.fbaipublicfiles.com"), "{list}");
    }
}
