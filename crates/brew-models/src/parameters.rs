//! How many parameters a model has, and where.

use std::fmt;

use burn::module::Module;
use burn::tensor::backend::Backend;
use serde_json::{Value, json};

use crate::names::parameter_specs;
use crate::state::parameters_of;
use crate::{EncoderConfig, Head};

/// One group of parameters: a module, or a single parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterRow {
    /// Path from the root, `encoder.layers.0`.
    pub name: String,
    /// Number of modules above it; 0 is a field of the model itself.
    pub depth: usize,
    /// Number of parameters in it, those of deeper rows included.
    pub parameters: usize,
}

/// The parameters of a model by module, as TextBrewer's `display_parameters` prints them.
///
/// Parameters only: buffers, which TextBrewer counts as well, are none.
///
/// ```
/// use brew_models::{EncoderConfig, SequenceClassifier, ParameterTable};
/// use brew_random::Key;
/// use brew_testkit::TestBackend;
///
/// let config = EncoderConfig {
///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,
///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
/// };
/// let model = SequenceClassifier::<TestBackend>::new(&config, Key::new(0), &Default::default());
/// let table = ParameterTable::new(&model, Some(1));
/// assert_eq!(table.rows[0].name, "encoder");
/// assert_eq!(table.to_json()["total"], table.total);
/// println!("{table}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterTable {
    /// Number of parameters of the whole model.
    pub total: usize,
    /// The groups, each before the ones inside it.
    pub rows: Vec<ParameterRow>,
}

impl ParameterTable {
    /// Counts a module's parameters in groups of at most `max_depth` path components (`None`: down
    /// to each parameter).
    pub fn new<B: Backend, M: Module<B>>(module: &M, max_depth: Option<usize>) -> Self {
        let mut table = Self { total: 0, rows: Vec::new() };
        let mut open = Vec::new();
        for (path, parameter) in parameters_of(module) {
            table.add(&path, parameter.shape.iter().product(), max_depth, &mut open);
        }
        table
    }

    /// The table of the model that a configuration describes, with this head or as an encoder alone. Nothing is
    /// built.
    ///
    /// ```
    /// use brew_models::{ParameterTable, StudentPreset, count_parameters};
    ///
    /// let config = StudentPreset::T4Tiny.config(28996);
    /// let table = ParameterTable::of_config(&config, None, Some(2));
    /// assert_eq!(table.total, count_parameters(&config));
    /// ```
    pub fn of_config(config: &EncoderConfig, head: Option<Head>, max_depth: Option<usize>) -> Self {
        let mut table = Self { total: 0, rows: Vec::new() };
        let mut open = Vec::new();
        for spec in parameter_specs(config, head) {
            table.add(&spec.path, spec.num_elements(), max_depth, &mut open);
        }
        table
    }

    /// Counts one more parameter. They come depth first, so a group's row is among the last ones, one a depth:
    /// `open` holds their numbers.
    fn add(&mut self, path: &str, count: usize, max_depth: Option<usize>, open: &mut Vec<usize>) {
        self.total += count;
        let parts: Vec<&str> = path.split('.').collect();
        for depth in 0..parts.len().min(max_depth.unwrap_or(usize::MAX)) {
            let name = parts[..=depth].join(".");
            match open.get(depth) {
                Some(&row) if self.rows[row].name == name => self.rows[row].parameters += count,
                _ => {
                    open.truncate(depth);
                    open.push(self.rows.len());
                    self.rows.push(ParameterRow { name, depth, parameters: count });
                }
            }
        }
    }

    /// A row's part of the whole, from 0 to 1.
    pub fn share(&self, row: &ParameterRow) -> f64 {
        if self.total == 0 { 0.0 } else { row.parameters as f64 / self.total as f64 }
    }

    /// `{"total": …, "megabytes": …, "rows": [{"name", "depth", "parameters", "share", "megabytes"}]}`,
    /// with megabytes of 2²⁰ bytes at 4 bytes a parameter.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "depth": row.depth,
                    "parameters": row.parameters,
                    "share": self.share(row),
                    "megabytes": megabytes(row.parameters),
                })
            })
            .collect();
        json!({ "total": self.total, "megabytes": megabytes(self.total), "rows": rows })
    }
}

/// Size in MiB as f32.
fn megabytes(parameters: usize) -> f64 {
    parameters as f64 * 4.0 / f64::from(1 << 20)
}

/// Digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl fmt::Display for ParameterTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![("total".to_owned(), self.total, 1.0)];
        lines.extend(self.rows.iter().map(|row| {
            let short = row.name.rsplit('.').next().unwrap_or(&row.name);
            (format!("{}{short}", "  ".repeat(row.depth + 1)), row.parameters, self.share(row))
        }));
        let width = lines.iter().map(|(name, ..)| name.len()).max().unwrap_or(0).max("module".len());
        writeln!(f, "{:<width$}  {:>15}  {:>7}  {:>9}", "module", "parameters", "share", "MB")?;
        for (at, (name, parameters, share)) in lines.iter().enumerate() {
            let line = format!(
                "{name:<width$}  {:>15}  {:>6.2}%  {:>9.2}",
                grouped(*parameters),
                share * 100.0,
                megabytes(*parameters)
            );
            if at + 1 == lines.len() { write!(f, "{line}")? } else { writeln!(f, "{line}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceClassifier;
    use brew_random::Key;
    use brew_testkit::TestBackend;

    fn config() -> EncoderConfig {
        EncoderConfig {
            vocab_size: 100,
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 16,
            max_position_embeddings: 10,
            ..EncoderConfig::default()
        }
    }

    fn model() -> SequenceClassifier<TestBackend> {
        SequenceClassifier::new(&config(), Key::new(0), &Default::default())
    }

    #[test]
    fn counts_are_those_of_the_formula_and_of_burn() {
        let table = ParameterTable::new(&model(), None);
        let embeddings = (100 + 10 + 2) * 8 + 16;
        let layer = 4 * (64 + 8) + 2 * 8 * 16 + 16 + 8 + 4 * 8;
        assert_eq!(table.total, embeddings + 2 * layer + 72 + 18);
        assert_eq!(table.total, model().num_params());
        let count = |name: &str| table.rows.iter().find(|row| row.name == name).unwrap().parameters;
        assert_eq!(count("encoder.embeddings"), embeddings);
        assert_eq!(count("encoder.layers"), 2 * layer);
        assert_eq!(count("encoder.layers.1"), layer);
        assert_eq!(count("encoder.layers.1.attention.query.bias"), 8);
        assert_eq!(count("classifier"), 18);
        let of_config = ParameterTable::of_config(&config(), Some(Head::SequenceClassification), None);
        assert_eq!(of_config, table);
    }

    #[test]
    fn rows_of_one_depth_sum_to_the_total_and_shares_to_one() {
        let table = ParameterTable::new(&model(), Some(2));
        assert!(table.rows.iter().all(|row| row.depth < 2));
        let top: Vec<_> = table.rows.iter().filter(|row| row.depth == 0).collect();
        assert_eq!(top.iter().map(|row| row.parameters).sum::<usize>(), table.total);
        let share: f64 = top.iter().map(|row| table.share(row)).sum();
        assert!((share - 1.0).abs() < 1e-12);
        let json = table.to_json();
        assert_eq!(json["total"], table.total);
        assert_eq!(json["rows"].as_array().unwrap().len(), table.rows.len());
    }

    #[test]
    fn the_table_is_aligned() {
        let text = ParameterTable::new(&model(), Some(3)).to_string();
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(widths.iter().all(|&w| w == widths[0]), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("total "), "{text}");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(100), "100");
    }
}
