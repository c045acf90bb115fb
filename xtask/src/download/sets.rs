//! The data sets: what they are, where they come from, and what of them is kept.

mod table;

use super::archive::Limits;
use super::checksum::Sum;
use super::convert::Convert;
use super::error::{DownloadError, Result};
use super::progress::size;

pub(crate) use table::SETS;

/// A data set that Brew knows.
#[derive(Debug)]
pub(crate) struct DataSet {
    /// What the command calls it, and its folder in the cache.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) task: &'static str,
    pub(crate) licence: Licence,
    /// The page of its publisher.
    pub(crate) home: &'static str,
    pub(crate) source: Source,
    /// What is kept, all of it required.
    pub(crate) layout: &'static [Placed],
    /// Turns the kept files into others, which are then what is kept.
    pub(crate) convert: Option<Conversion>,
}

#[derive(Debug)]
pub(crate) struct Conversion {
    pub(crate) run: Convert,
    /// The files that come of it.
    pub(crate) files: &'static [&'static str],
}

/// On what terms a data set is given.
#[derive(Debug)]
pub(crate) struct Licence {
    pub(crate) name: &'static str,
    /// What it means for the user, in a sentence or two.
    pub(crate) terms: &'static str,
    /// Where it is stated.
    pub(crate) stated: &'static str,
}

/// How to come by a data set.
#[derive(Debug)]
pub(crate) enum Source {
    /// From addresses that anyone may use.
    Open(&'static [Remote]),
    /// Its terms forbid others to hand it on, or bind it to an agreement: what the user has to do.
    ByHand { steps: &'static str },
}

/// A file at an address.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) url: &'static str,
    /// Published length.
    pub(crate) bytes: Option<u64>,
    pub(crate) published: Option<Published>,
    /// Public material that uses the address.
    pub(crate) used_by: &'static str,
}

impl Remote {
    pub(crate) fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }
}

/// A checksum that someone has published.
#[derive(Debug)]
pub(crate) struct Published {
    /// As [`Sum`] is written.
    pub(crate) sum: &'static str,
    pub(crate) at: &'static str,
}

impl Published {
    /// # Errors
    /// A mistake in the table.
    pub(crate) fn parse(&self) -> Result<Sum> {
        self.sum.parse().map_err(|error| DownloadError::Usage(format!("table of data sets: {error}")))
    }
}

/// A file that is kept.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Its name in the folder of the data set.
    pub(crate) file: &'static str,
    /// What it is called at its source: a last part of a path, `a.tsv` for `SET/a.tsv`.
    pub(crate) from: &'static [&'static str],
    pub(crate) shape: Shape,
    /// Sums of versions of it that go around, for a set that the user brings.
    pub(crate) known: &'static [Published],
}

impl Placed {
    /// Whether `path` in an archive or a folder is this file.
    pub(crate) fn is(&self, path: &str) -> bool {
        self.from.iter().any(|name| {
            path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        })
    }
}

/// What a file looks like inside: enough to tell it from an error page, and a set from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A JSON document.
    Json,
    /// At least so many cells between tabs in every row.
    Tabs(usize),
    /// At least so many words in every row that is not blank.
    Words(usize),
}

impl DataSet {
    /// The set of this name; case, `-`, `_`, `.` and blanks do not count.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        let plain = |name: &str| -> String {
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let asked = plain(name);
        let same = |set: &&Self| {
            let also: &[&str] = match set.name {
                "squad" => &["squad11", "squad1"],
                "conll2003" => &["conll03", "conll"],
                "hotpotqa" => &["hotpot"],
                _ => &[],
            };
            plain(set.name) == asked || also.contains(&asked.as_str())
        };
        SETS.iter().find(same).ok_or_else(|| {
            let nearest = SETS
                .iter()
                .map(|set| set.name)
                .max_by(|a, b| strsim::jaro_winkler(a, &asked).total_cmp(&strsim::jaro_winkler(b, &asked)));
            let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
            DownloadError::Usage(format!(
                "no data set is called `{name}`; did you mean `{}`? There are {}, and `model OWNER/NAME`",
                nearest.unwrap_or_default(),
                names.join(", ")
            ))
        })
    }

    /// The files that there are when all is done.
    pub(crate) fn files(&self) -> Vec<&'static str> {
        match &self.convert {
            Some(conversion) => conversion.files.to_vec(),
            None => self.layout.iter().map(|placed| placed.file).collect(),
        }
    }

    /// The name under which the entry `path` is kept, if it is.
    pub(crate) fn place(&self, path: &str) -> Option<&'static Placed> {
        self.layout.iter().find(|placed| placed.is(path))
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What has to be fetched, as the list shows it.
    pub(crate) fn size(&self) -> String {
        match self.source {
            Source::ByHand { .. } => "by hand".to_owned(),
            Source::Open(files) => {
                let known = size(files.iter().filter_map(|file| file.bytes).sum());
                if files.iter().all(|file| file.bytes.is_some()) { known } else { format!("> {known}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let mut names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        names.sort_unstable();
        let expected = [
            "cmrc2018",
            "conll2003",
            "drcd",
            "hotpotqa",
            "lcqmc",
            "mnli",
            "msra_ner",
            "newsqa",
            "squad",
            "sst2",
            "xnli",
        ];
        assert_eq!(names, expected);
        for set in SETS {
            assert!(set.home.starts_with("http"), "{}", set.name);
            assert!(set.licence.stated.starts_with("http"), "{}", set.name);
            let mut sums: Vec<&Published> = set.layout.iter().flat_map(|placed| placed.known).collect();
            match set.source {
                Source::Open(files) => {
                    for file in files {
                        assert!(
                            file.url.starts_with("http") && file.used_by.starts_with("http"),
                            "{}",
                            file.url
                        );
                        // What is fetched without encryption has to be told from a forgery by its sum.
                        let secure = file.url.starts_with("https://");
                        let strong = file.published.as_ref().is_some_and(|p| p.sum.starts_with("sha256:"));
                        assert!(secure || strong, "{}", file.url);
                        sums.extend(&file.published);
                    }
                }
                Source::ByHand { steps } => assert!(steps.contains("--from"), "{}", set.name),
            }
            for published in sums {
                published.parse().unwrap();
                assert!(published.at.starts_with("http"), "{}", published.at);
            }
            for placed in set.layout {
                assert!(
                    placed.from.iter().all(|name| set.place(name).is_some_and(|p| p.file == placed.file))
                );
            }
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (asked, name) in
            [("MNLI", "mnli"), ("sst-2", "sst2"), ("SQuAD 1.1", "squad"), ("CoNLL-2003", "conll2003")]
        {
            assert_eq!(DataSet::find(asked).unwrap().name, name);
        }
        let message = DataSet::find("hotpoqta").unwrap_err().to_string();
        assert!(message.contains("did you mean `hotpotqa`?") && message.contains("xnli"), "{message}");
    }

    #[test]
    fn entries_are_known_by_the_last_parts_of_their_path() {
        let mnli = DataSet::find("mnli").unwrap();
        assert_eq!(mnli.place("MNLI/train.tsv").unwrap().file, "train.tsv");
        for other in [
            "MNLI/original/multinli_1.0_train.txt",
            "__MACOSX/MNLI/._train.tsv",
            "MNLI/dev.tsv",
            "xtrain.tsv",
        ] {
            assert!(mnli.place(other).is_none(), "{other}");
        }
    }

    /// The rows of the tables in docs/downloads.md.
    fn documentation() -> (Vec<String>, Vec<String>) {
        let mut sets = Vec::new();
        let mut sources = Vec::new();
        for set in SETS {
            let files: Vec<String> = set.files().iter().map(|file| format!("`{file}`")).collect();
            let DataSet { name, title, task, home, .. } = set;
            let Licence { name: licence, stated, .. } = set.licence;
            sets.push(format!(
                "| `{name}` | [{title}]({home}) | {task} | [{licence}]({stated}) | {} | {} |",
                set.size(),
                files.join(", ")
            ));
            if let Source::Open(remotes) = set.source {
                for remote in remotes {
                    let bytes = remote.bytes.map_or("–".to_owned(), |bytes| bytes.to_string());
                    let sum =
                        remote.published.as_ref().map_or("recorded at the first download".to_owned(), |p| {
                            format!("`{}`, [published]({})", p.sum, p.at)
                        });
                    sources
                        .push(format!("| {} | {bytes} | {sum} | [as in]({}) |", remote.url, remote.used_by));
                }
            }
        }
        (sets, sources)
    }

    #[test]
    fn the_documentation_has_the_same_tables() {
        let path = crate::workspace_root().unwrap().join("docs/downloads.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<&str> =
            text.lines().filter(|line| line.starts_with("| `") || line.starts_with("| http")).collect();
        let (sets, sources) = documentation();
        let expected: Vec<&str> = sets.iter().chain(&sources).map(String::as_str).collect();
        assert!(rows == expected, "{} should have these rows:\n{}", path.display(), expected.join("\n"));
    }

    #[test]
    fn sizes_are_published_ones() {
        assert_eq!(DataSet::find("mnli").unwrap().size(), "312.8 MB");
        assert!(DataSet::find("drcd").unwrap().size().starts_with("> "));
        assert_eq!(DataSet::find("lcqmc").unwrap().size(), "by hand");
    }
}
