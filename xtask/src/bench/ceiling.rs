//! What the machine can do at most: matrix products of the models' shapes, in each stack.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::measured::Measured;
use super::rows::Row;
use super::sizes::{Model, Sizes};

/// Floating-point operations a second of the products of some models.
#[derive(Debug)]
pub(super) struct Ceiling {
    sizes: Sizes,
    models: Vec<Model>,
    /// The shortest time of each shape, of Brew and of the peer.
    shortest: [BTreeMap<String, f64>; 2],
}

impl Ceiling {
    /// Of the models of some rows, not measured yet.
    pub(super) fn new(sizes: Sizes, rows: &[Row]) -> Self {
        let models: Vec<Model> =
            rows.iter().filter_map(|row| row.arithmetic()).map(|(name, _)| *sizes.model(name)).collect();
        Self { sizes, models, shortest: Default::default() }
    }

    /// The products to measure.
    pub(super) fn shapes(&self) -> Vec<[usize; 3]> {
        let mut shapes: Vec<[usize; 3]> =
            self.models.iter().flat_map(|model| self.sizes.products(model)).map(|(shape, _)| shape).collect();
        shapes.sort_unstable();
        shapes.dedup();
        shapes
    }

    /// Adds a pair.
    pub(super) fn add(&mut self, brew: &Measured, peer: &Measured) {
        for (shortest, side) in self.shortest.iter_mut().zip([brew, peer]) {
            for part in &side.parts {
                let so_far = shortest.entry(part.name.clone()).or_insert(f64::INFINITY);
                *so_far = so_far.min(part.shortest);
            }
        }
    }

    /// Operations a second of a layer's products one after the other, of Brew and of the peer.
    fn of(&self, model: &Model) -> Option<[f64; 2]> {
        let rate = |shortest: &BTreeMap<String, f64>| {
            let (mut operations, mut seconds) = (0.0, 0.0);
            for ([m, k, n], count) in self.sizes.products(model) {
                seconds += count as f64 * shortest.get(&format!("{m}x{k}x{n}"))?;
                operations += (count * 2 * m * k * n) as f64;
            }
            Some(operations / seconds)
        };
        Some([rate(&self.shortest[0])?, rate(&self.shortest[1])?])
    }

    /// What share of the better stack's ceiling each side reaches in an iteration of so many seconds.
    pub(super) fn shares(&self, row: Row, seconds: [f64; 2]) -> Option<[f64; 2]> {
        let (name, passes) = row.arithmetic()?;
        let model = self.sizes.model(name);
        let [brew, peer] = self.of(model)?;
        let operations = passes * self.sizes.forward_operations(model);
        Some(seconds.map(|seconds| operations / seconds / brew.max(peer)))
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.models.iter().filter_map(|model| {
            let [brew, peer] = self.of(model)?.map(|rate| rate / 1e9);
            Some(json!({"model": model.name, "brew": brew, "peer": peer}))
        });
        rows.collect()
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for model in &self.models {
            if let Some(rates) = self.of(model) {
                let [brew, peer] = rates.map(|rate| rate / 1e9);
                let tokens = self.sizes.batch * self.sizes.length;
                let Model { name, width, feed_forward, .. } = model;
                _ = writeln!(
                    text,
                    "| {name} | {tokens} tokens, {width} and {feed_forward} | {brew:.0} | {peer:.0} |"
                );
            }
        }
        if !text.is_empty() {
            let head =
                "| products of a layer of | shapes | Brew, GFLOP/s | peer, GFLOP/s |\n|---|---|---|---|\n";
            text.insert_str(0, &format!("\n{head}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::Part;
    use super::*;

    #[test]
    fn shares_are_of_the_faster_stack() {
        let sizes = Sizes::full();
        let mut ceiling = Ceiling::new(sizes.clone(), &[Row::A, Row::B, Row::F]);
        let shapes = ceiling.shapes();
        assert_eq!(shapes.len(), 3, "T3 has the shapes of a BERT-base: {shapes:?}");
        assert_eq!(ceiling.shares(Row::A, [1.0, 1.0]), None);
        // 100 and 200 operations a nanosecond, whatever the shape.
        let side = |rate: f64| Measured {
            parts: shapes
                .iter()
                .map(|[m, k, n]| {
                    let seconds = (2 * m * k * n) as f64 / rate;
                    let name = format!("{m}x{k}x{n}");
                    Part { name, seconds: 9.0, shortest: seconds, items: 1.0, check: Vec::new() }
                })
                .collect(),
            peak_kib: None,
        };
        ceiling.add(&side(1e11), &side(2e11));
        ceiling.add(&side(0.9e11), &side(1.5e11));
        let seconds = sizes.forward_operations(sizes.model("base")) / 1e11;
        let [brew, peer] = ceiling.shares(Row::A, [seconds, seconds / 2.0]).unwrap();
        assert!((brew - 0.5).abs() < 1e-9 && (peer - 1.0).abs() < 1e-9, "{brew} {peer}");
        assert!(ceiling.markdown().contains("| base | 2048 tokens, 768 and 3072 | 100 | 200 |"));
        assert_eq!(ceiling.json()[1]["model"], "T3");
        assert_eq!(ceiling.shares(Row::F, [1.0, 1.0]), None);
    }
}
