//! The table, as Markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ceiling::Ceiling;
use super::machine::{BUSY, Machine};
use super::measured::Measured;
use super::rows::Row;
use super::statistics::{Ratio, median};

/// A row over all its pairs.
#[derive(Debug)]
pub(super) struct RowReport {
    pub(super) row: Row,
    parts: Vec<PartReport>,
    pairs: usize,
    /// The largest of Brew's and of the peer's, in KiB.
    peaks: [Option<u64>; 2],
    /// Why it has no figures.
    refused: Option<String>,
}

#[derive(Debug)]
struct PartReport {
    name: String,
    items: f64,
    /// Seconds of each pair.
    brew: Vec<f64>,
    peer: Vec<f64>,
}

impl PartReport {
    /// # Panics
    /// Never: a part is made with its first pair.
    fn ratio(&self) -> Ratio {
        Ratio::of(&self.brew, &self.peer).expect("a part has a pair")
    }

    fn seconds(&self) -> [f64; 2] {
        [&self.brew, &self.peer].map(|seconds| median(seconds).expect("a part has a pair"))
    }
}

impl RowReport {
    pub(super) fn new(row: Row) -> Self {
        Self { row, parts: Vec::new(), pairs: 0, peaks: [None; 2], refused: None }
    }

    /// Adds a pair, whose parts are the same on both sides and in every pair.
    pub(super) fn add(&mut self, brew: &Measured, peer: &Measured) {
        for (index, (brew, peer)) in brew.parts.iter().zip(&peer.parts).enumerate() {
            if self.parts.len() == index {
                let (name, items) = (brew.name.clone(), brew.items);
                self.parts.push(PartReport { name, items, brew: Vec::new(), peer: Vec::new() });
            }
            self.parts[index].brew.push(brew.seconds);
            self.parts[index].peer.push(peer.seconds);
        }
        self.pairs += 1;
        self.peaks = [self.peaks[0].max(brew.peak_kib), self.peaks[1].max(peer.peak_kib)];
    }

    /// Leaves the row without figures.
    pub(super) fn refuse(&mut self, reason: String) {
        self.refused = Some(reason);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// The part that speaks for the row: the one with the lowest ratio.
    fn lowest(&self) -> Option<&PartReport> {
        if self.is_refused() {
            return None;
        }
        self.parts.iter().min_by(|a, b| a.ratio().median.total_cmp(&b.ratio().median))
    }

    /// The largest size of Brew's process over the peer's.
    fn memory_ratio(&self) -> Option<f64> {
        let [brew, peer] = self.peaks;
        Some(brew? as f64 / peer? as f64)
    }

    fn json(&self, ceiling: &Ceiling) -> Value {
        let mut row = Map::from_iter([("row".to_owned(), json!(self.row.to_string()))]);
        let mut set = |name: &str, value: Value| row.insert(name.to_owned(), value);
        let lowest = self.lowest();
        set("ratio", json!(lowest.map(|part| part.ratio().median)));
        set("goal", json!(self.row.goal()));
        set("what", json!(self.row.what()));
        if let Some(part) = lowest {
            figures(part, self.row, &mut set);
        }
        set("pairs", json!(self.pairs));
        set("brew_peak_kib", json!(self.peaks[0]));
        set("peer_peak_kib", json!(self.peaks[1]));
        set("memory_ratio", json!(self.memory_ratio()));
        if let Some([brew, peer]) = lowest.and_then(|part| ceiling.shares(self.row, part.seconds())) {
            set("share_of_ceiling", json!({"brew": brew, "peer": peer}));
        }
        if self.parts.len() > 1 && !self.is_refused() {
            let parts = self.parts.iter().map(|part| {
                let mut one = Map::from_iter([
                    ("name".to_owned(), json!(part.name)),
                    ("ratio".to_owned(), json!(part.ratio().median)),
                ]);
                figures(part, self.row, &mut |name, value| one.insert(name.to_owned(), value));
                Value::Object(one)
            });
            let parts = parts.collect();
            set("parts", Value::Array(parts));
        }
        if let Some(reason) = &self.refused {
            set("refused", json!(reason));
        }
        Value::Object(row)
    }

    fn markdown(&self, ceiling: &Ceiling, text: &mut String) {
        let (row, what, goal) = (self.row, self.row.what(), self.row.goal());
        let Some(lowest) = self.lowest() else {
            let reason = self.refused.as_deref().unwrap_or("not measured");
            _ = writeln!(text, "| {row} | {what}: {reason} | | | | | {goal} | | |");
            return;
        };
        let shown = if self.parts.len() == 1 { what.to_owned() } else { format!("{what}: {}", lowest.name) };
        let shares = ceiling.shares(row, lowest.seconds()).map_or(String::new(), |shares| {
            let [brew, peer] = shares.map(|share| format!("{:.0} %", 100.0 * share));
            format!("{brew} / {peer}")
        });
        let memory = match self.peaks {
            [Some(brew), Some(peer)] => format!("{} / {} MiB", brew / 1024, peer / 1024),
            _ => String::new(),
        };
        _ = writeln!(text, "| {row} | {shown} | {} | {goal} | {memory} | {shares} |", cells(lowest, row));
    }

    /// The lines of its other parts.
    fn part_lines(&self, text: &mut String) {
        if self.parts.len() > 1 && !self.is_refused() {
            for part in &self.parts {
                _ = writeln!(text, "| {} | {} | {} |", self.row, part.name, cells(part, self.row));
            }
        }
    }
}

/// What is said of a part besides its name and ratio.
fn figures(part: &PartReport, row: Row, set: &mut dyn FnMut(&str, Value) -> Option<Value>) {
    let (ratio, [brew, peer]) = (part.ratio(), part.seconds());
    set("lowest_ratio", json!(ratio.lowest));
    set("highest_ratio", json!(ratio.highest));
    set("brew_seconds", json!(brew));
    set("peer_seconds", json!(peer));
    set("each", json!({"brew": part.brew, "peer": part.peer}));
    if row.is_rate() {
        set("brew_per_second", json!(part.items / brew));
        set("peer_per_second", json!(part.items / peer));
    }
}

/// Brew's figure, the peer's, and the ratio with its range.
fn cells(part: &PartReport, row: Row) -> String {
    let figure = |seconds: f64| {
        if row.is_rate() { format!("{}/s", digits(part.items / seconds)) } else { duration(seconds) }
    };
    let (ratio, [brew, peer]) = (part.ratio(), part.seconds().map(figure));
    format!("{brew} | {peer} | **{:.2}** | {:.2}–{:.2}", ratio.median, ratio.lowest, ratio.highest)
}

/// Three significant digits.
fn digits(value: f64) -> String {
    let decimals = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.decimals$}")
}

fn duration(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{} s", digits(seconds))
    } else if seconds >= 1e-3 {
        format!("{} ms", digits(1e3 * seconds))
    } else {
        format!("{} µs", digits(1e6 * seconds))
    }
}

/// How the figures were made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    pub(super) threads: usize,
    pub(super) profile: String,
    /// Sizes at which no figure means anything.
    pub(super) quick: bool,
    /// Rows A to E.
    pub(super) batch: usize,
    pub(super) length: usize,
    /// How many times as many layers as the models have.
    pub(super) depth: usize,
    /// Changed fields of run files.
    #[serde(rename = "set")]
    pub(super) changed: Vec<String>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<RowReport>,
    pub(super) ceiling: Ceiling,
    pub(super) machine: Machine,
    pub(super) brew: BTreeMap<String, String>,
    pub(super) peer: BTreeMap<String, String>,
    /// The size of a process that has loaded the peer's libraries and does nothing.
    pub(super) peer_idle_kib: Option<u64>,
    pub(super) settings: Settings,
}

impl Report {
    pub(super) fn json(&self) -> Value {
        json!({
            "rows": self.rows.iter().map(|row| row.json(&self.ceiling)).collect::<Vec<_>>(),
            "ceiling_gflops": self.ceiling.json(),
            "machine": self.machine,
            "versions": {"brew": self.brew, "peer": self.peer},
            "peer_idle_kib": self.peer_idle_kib,
            "settings": self.settings,
        })
    }

    pub(super) fn markdown(&self) -> String {
        let Machine { cpu, cores, load, date } = &self.machine;
        let list = |versions: &BTreeMap<String, String>| {
            versions.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
        };
        let load = load.map_or(String::new(), |load| format!(", load before {load:.1}"));
        let mut text = format!(
            "{date} UTC, {cpu}, {cores} cores, {} threads{load}\n\n- Brew: {}, profile {}\n- peer: {}{}\n",
            self.settings.threads,
            list(&self.brew),
            self.settings.profile,
            list(&self.peer),
            self.peer_idle_kib.map_or(String::new(), |size| format!("; loaded and idle {} MiB", size / 1024)),
        );
        let Settings { batch, length, depth, .. } = self.settings;
        let deeper = if depth == 1 { String::new() } else { format!(", {depth} times as many layers") };
        _ = writeln!(text, "- rows A to F: {batch} × {length} tokens{deeper}");
        if !self.settings.changed.is_empty() {
            _ = writeln!(text, "- changed: {}", self.settings.changed.join(", "));
        }
        if self.machine.is_busy() {
            _ = writeln!(text, "\nBusy: {BUSY}.");
        }
        if self.settings.quick {
            text.push_str("\nQuick: sizes that show that both sides run; no figure means anything.\n");
        }
        text.push_str(
            "\n| row | what | Brew | peer | ratio | range | goal | memory, Brew / peer | of the ceiling, Brew / peer |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            row.markdown(&self.ceiling, &mut text);
        }
        let mut parts = String::new();
        self.rows.iter().for_each(|row| row.part_lines(&mut parts));
        if !parts.is_empty() {
            text.push_str("\n| row | part | Brew | peer | ratio | range |\n|---|---|---|---|---|---|\n");
            text.push_str(&parts);
        }
        text.push_str(&self.ceiling.markdown());
        text
    }
}

#[cfg(test)]
mod tests;
