//! How large the models are, how much each row computes, and how much arithmetic that is.

use serde_json::{Value, json};

/// The vocabulary of BERT-base-uncased, which MiniLM-L6's tokenizer has.
const VOCABULARY: usize = 30522;

/// A BERT by its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) feed_forward: usize,
    pub(super) heads: usize,
}

const MODELS: [Model; 5] = [
    Model { name: "base", layers: 12, width: 768, feed_forward: 3072, heads: 12 },
    Model { name: "T3", layers: 3, width: 768, feed_forward: 3072, heads: 12 },
    Model { name: "T4-tiny", layers: 4, width: 312, feed_forward: 1200, heads: 12 },
    Model { name: "T12-nano", layers: 12, width: 256, feed_forward: 1024, heads: 4 },
    Model { name: "MiniLM-L6", layers: 6, width: 384, feed_forward: 1536, heads: 12 },
];

/// What is measured how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) warmup: usize,
    pub(super) iterations: usize,
}

/// The sizes of all rows.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) models: Vec<Model>,
    /// Rows A to F: texts, and tokens of each.
    pub(super) batch: usize,
    pub(super) length: usize,
    pub(super) passes: Times,
    pub(super) losses: Times,
    pub(super) texts: Times,
    pub(super) products: Times,
    /// Rows G and H: sentences and epochs.
    pub(super) large_run: (usize, usize),
    pub(super) small_run: (usize, usize),
    /// Rows J and K: sentences at most.
    pub(super) tokenized: usize,
    pub(super) inferred: usize,
    pub(super) max_length: usize,
}

impl Sizes {
    /// Those that the goals are about.
    pub(super) fn full() -> Self {
        Self {
            models: MODELS.to_vec(),
            batch: 16,
            length: 128,
            passes: Times { warmup: 2, iterations: 8 },
            losses: Times { warmup: 3, iterations: 20 },
            texts: Times { warmup: 1, iterations: 5 },
            products: Times { warmup: 3, iterations: 10 },
            large_run: (256, 10),
            small_run: (1024, 8),
            tokenized: usize::MAX,
            inferred: usize::MAX,
            max_length: 128,
        }
    }

    /// As small as shows that both sides still run: no figure means anything.
    pub(super) fn quick() -> Self {
        let small = |model: &Model| Model {
            width: 2 * model.heads * (model.width / 312).max(1),
            feed_forward: 32,
            ..*model
        };
        let once = Times { warmup: 1, iterations: 2 };
        Self {
            models: MODELS.iter().map(small).collect(),
            batch: 2,
            length: 16,
            passes: once,
            losses: once,
            texts: once,
            products: once,
            large_run: (40, 2),
            small_run: (40, 1),
            tokenized: 100,
            inferred: 20,
            max_length: 128,
        }
    }

    /// Rows A to E with another shape of batch and so many times as many layers, for what costs grow with.
    pub(super) fn scaled(mut self, batch: Option<usize>, length: Option<usize>, depth: usize) -> Self {
        self.batch = batch.unwrap_or(self.batch);
        self.length = length.unwrap_or(self.length);
        self.models.iter_mut().for_each(|model| model.layers *= depth);
        self
    }

    /// # Panics
    /// If there is no such model, for names are the program's own.
    pub(super) fn model(&self, name: &str) -> &Model {
        self.models.iter().find(|model| model.name == name).expect("a model of the table")
    }

    /// Floating-point operations of a forward pass of rows A to E: the products of the linear layers and of attention.
    pub(super) fn forward_operations(&self, model: &Model) -> f64 {
        let Model { layers, width, feed_forward, .. } = *model;
        let tokens = self.batch * self.length;
        let linear = 2 * tokens * (4 * width * width + 2 * width * feed_forward);
        let attention = 4 * tokens * self.length * width;
        (layers * (linear + attention)) as f64
    }

    /// The products `[m, k] · [k, n]` of a layer and how many it has of each.
    pub(super) fn products(&self, model: &Model) -> [([usize; 3], usize); 3] {
        let tokens = self.batch * self.length;
        let Model { width, feed_forward, .. } = *model;
        [([tokens, width, width], 4), ([tokens, width, feed_forward], 1), ([tokens, feed_forward, width], 1)]
    }
}

impl Model {
    /// As transformers' `BertConfig` takes it.
    pub(super) fn config(&self) -> Value {
        json!({
            "vocab_size": VOCABULARY, "num_hidden_layers": self.layers, "hidden_size": self.width,
            "intermediate_size": self.feed_forward, "num_attention_heads": self.heads,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bert_bases_forward_pass_is_the_known_arithmetic() {
        let sizes = Sizes::full();
        // 85 M weights of the layers, twice a token; attention adds 12 · 4 · 128 · 768.
        let expected = 2048.0 * (2.0 * 84_934_656.0 + 12.0 * 4.0 * 128.0 * 768.0);
        assert_eq!(sizes.forward_operations(sizes.model("base")), expected);
    }

    #[test]
    fn twice_the_batch_or_the_depth_is_twice_the_arithmetic_and_twice_the_length_is_more() {
        let of = |sizes: Sizes| sizes.forward_operations(sizes.model("T3"));
        let once = of(Sizes::full());
        assert_eq!(of(Sizes::full().scaled(Some(32), None, 1)), 2.0 * once);
        assert_eq!(of(Sizes::full().scaled(None, None, 2)), 2.0 * once);
        assert!(of(Sizes::full().scaled(None, Some(256), 1)) > 2.0 * once);
    }

    #[test]
    fn a_quick_run_has_models_whose_heads_divide_their_width() {
        let (full, quick) = (Sizes::full(), Sizes::quick());
        for (small, large) in quick.models.iter().zip(&full.models) {
            assert_eq!((small.width % small.heads, small.layers), (0, large.layers), "{small:?}");
            assert!(small.width < large.width);
        }
        assert_ne!(quick.model("base").width, quick.model("T4-tiny").width);
    }
}
