//! What the user sees: a bar in a terminal, plain lines elsewhere, always on standard error.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines about the same file where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Where messages and progress go.
pub(crate) enum Reporter {
    Terminal,
    Lines,
    /// Kept, for tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests read what was said"))]
    Kept(Mutex<Vec<String>>),
}

impl Reporter {
    /// A bar if standard error is a terminal.
    pub(crate) fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Lines }
    }

    /// One message of its own. Not while a bar is shown: see [`Progress::say`].
    pub(crate) fn say(&self, message: &str) {
        match self {
            Self::Terminal | Self::Lines => eprintln!("{message}"),
            Self::Kept(lines) => lines.lock().expect("no holder panics").push(message.to_owned()),
        }
    }

    /// The progress of one file.
    pub(crate) fn start(&self, name: &str) -> Progress<'_> {
        let bar = match self {
            Self::Terminal => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_message(name.to_owned());
                Some(bar)
            }
            Self::Lines | Self::Kept(_) => None,
        };
        Progress { reporter: self, name: name.to_owned(), total: None, bar, said: Instant::now() }
    }

    /// What was said so far.
    #[cfg(test)]
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Kept(lines) => lines.lock().unwrap().join("\n"),
            _ => panic!("only what is kept can be read"),
        }
    }

    #[cfg(test)]
    pub(crate) fn kept() -> Self {
        Self::Kept(Mutex::new(Vec::new()))
    }
}

/// The progress of one file. Dropped, the bar is gone.
pub(crate) struct Progress<'a> {
    reporter: &'a Reporter,
    name: String,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress<'_> {
    /// An answer has come: bytes there already, and those of the whole file if the server tells.
    pub(crate) fn begin(&mut self, position: u64, total: Option<u64>) {
        self.total = total;
        if let Some(bar) = &self.bar {
            let style = match total {
                Some(total) => {
                    bar.set_length(total);
                    "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}"
                }
                None => {
                    bar.unset_length();
                    "{msg} {spinner} {decimal_bytes} {decimal_bytes_per_sec}"
                }
            };
            bar.set_style(ProgressStyle::with_template(style).expect("the templates above are well formed"));
            bar.set_position(position);
            bar.reset_eta();
        }
        let of =
            total.map_or_else(|| " (the server tells no length)".to_owned(), |t| format!(", {}", size(t)));
        match (&self.bar, position) {
            (Some(_), _) => {}
            (None, 0) => self.reporter.say(&format!("{}{of}", self.name)),
            (None, _) => self.reporter.say(&format!("{}{of}: going on after {}", self.name, size(position))),
        }
    }

    /// Bytes of the file that are there now.
    pub(crate) fn reach(&mut self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        } else if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            let of = self.total.map(|total| format!(" of {}", size(total))).unwrap_or_default();
            self.reporter.say(&format!("{}: {}{of}", self.name, size(position)));
        }
    }

    /// A message while the bar is shown.
    pub(crate) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.reporter.say(message)),
            None => self.reporter.say(message),
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes for people: `312.8 MB`, with powers of ten as publishers give them.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1e3;
    for unit in ["kB", "MB"] {
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_publishers_give_them() {
        let shown: Vec<String> =
            [0, 999, 1000, 312_783_507, 999_949_999, 999_950_000, 5_000_000_000].map(size).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "312.8 MB", "999.9 MB", "1.0 GB", "5.0 GB"]);
    }

    #[test]
    fn lines_say_where_a_file_goes_on() {
        let reporter = Reporter::kept();
        let mut progress = reporter.start("a.zip");
        progress.begin(0, Some(2000));
        progress.reach(10);
        progress.begin(1000, Some(2000));
        progress.begin(0, None);
        drop(progress);
        assert_eq!(
            reporter.said(),
            "a.zip, 2.0 kB\na.zip, 2.0 kB: going on after 1.0 kB\na.zip (the server tells no length)"
        );
    }
}
