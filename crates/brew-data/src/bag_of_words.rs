//! A bag-of-words classifier: the baseline that shows what a model of context is worth.
//!
//! Multinomial logistic regression over counts of words (and of pairs of neighbouring words), fitted
//! to its optimum, so that a comparison with it is fair:
//!
//! `J(W, b) = 1/n Σ_i −log softmax(W x_i + b)[y_i] + l2/2 ‖W‖²`
//!
//! `J` is convex and is minimised over all texts at once by Nesterov's accelerated gradient method with
//! restarts (O'Donoghue and Candès, "Adaptive restart for accelerated gradient schemes", 2015). Nothing
//! in it is random.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// How a [`BagOfWords`] counts and how it is fitted.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `bigrams` | false | count pairs of neighbouring words too |
/// | `l2` | 1e-3 | strength of the penalty on the squared weights, at least 0 |
/// | `max_iterations` | 2000 | gradients computed at most |
/// | `tolerance` | 1e-5 | stop when no entry of the gradient is larger |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BagOfWordsConfig {
    /// Count pairs of neighbouring words too.
    pub bigrams: bool,
    /// Strength of the penalty on the squared weights, at least 0; the bias is not penalised.
    pub l2: f64,
    /// Gradients computed at most.
    pub max_iterations: usize,
    /// Stop when no entry of the gradient is larger.
    pub tolerance: f64,
}

impl Default for BagOfWordsConfig {
    fn default() -> Self {
        Self { bigrams: false, l2: 1e-3, max_iterations: 2000, tolerance: 1e-5 }
    }
}

/// A fitted bag-of-words classifier.
///
/// Words are what white space separates, in lower case; words not seen while fitting are ignored.
///
/// ```
/// use brew_data::bag_of_words::{BagOfWords, BagOfWordsConfig};
///
/// let texts = ["a fine film", "a dull film", "fine acting", "dull acting"];
/// let model = BagOfWords::fit(&texts, &[1, 0, 1, 0], 2, &BagOfWordsConfig::default())?;
/// assert_eq!(model.predict(&["a really fine one", "so dull"]), [1, 0]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BagOfWords {
    features: Features,
    l2: f64,
    parameters: Parameters,
}

impl BagOfWords {
    /// Fits a classifier to texts and the indexes of their classes, below `classes`.
    ///
    /// # Errors
    /// Not as many labels as texts, a label that is not below `classes`, or no class.
    pub fn fit<S: AsRef<str>>(
        texts: &[S],
        labels: &[usize],
        classes: usize,
        config: &BagOfWordsConfig,
    ) -> Result<Self, DataError> {
        if classes == 0 {
            return Err(DataError::NoLabels);
        }
        if texts.len() != labels.len() {
            return Err(DataError::DifferentLengths { predictions: texts.len(), labels: labels.len() });
        }
        if let Some(position) = labels.iter().position(|&class| class >= classes) {
            return Err(DataError::ClassOutOfRange { class: labels[position], position, classes });
        }
        let features = Features::of(texts, config.bigrams);
        let problem = Problem {
            rows: texts.iter().map(|text| features.counts(text.as_ref())).collect(),
            labels,
            classes,
            features: features.indexes.len(),
            l2: config.l2.max(0.0),
        };
        let parameters = problem.minimise(config.max_iterations, config.tolerance);
        Ok(Self { features, l2: problem.l2, parameters })
    }

    /// Fits with each of `penalties` in place of [`BagOfWordsConfig::l2`] and keeps the classifier with the
    /// best accuracy on the development texts, the earlier penalty where two are equal.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), for either set of texts; no penalty counts as [`BagOfWordsConfig::l2`] alone.
    pub fn fit_best<S: AsRef<str>>(
        train: (&[S], &[usize]),
        dev: (&[S], &[usize]),
        classes: usize,
        config: &BagOfWordsConfig,
        penalties: &[f64],
    ) -> Result<Self, DataError> {
        if dev.0.len() != dev.1.len() {
            return Err(DataError::DifferentLengths { predictions: dev.0.len(), labels: dev.1.len() });
        }
        let mut best: Option<(usize, Self)> = None;
        for &l2 in penalties {
            let model = Self::fit(train.0, train.1, classes, &BagOfWordsConfig { l2, ..config.clone() })?;
            let right = model.predict(dev.0).iter().zip(dev.1).filter(|(a, b)| a == b).count();
            if best.as_ref().is_none_or(|(most, _)| right > *most) {
                best = Some((right, model));
            }
        }
        match best {
            Some((_, model)) => Ok(model),
            None => Self::fit(train.0, train.1, classes, config),
        }
    }

    /// The most probable class of each text; of equally probable ones the first.
    pub fn predict<S: AsRef<str>>(&self, texts: &[S]) -> Vec<usize> {
        let first_largest = |probabilities: Vec<f64>| {
            let classes = 0..probabilities.len();
            classes.rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or_default()
        };
        texts.iter().map(|text| first_largest(self.probabilities(text.as_ref()))).collect()
    }

    /// The probability of each class.
    pub fn probabilities(&self, text: &str) -> Vec<f64> {
        self.parameters.probabilities(&self.features.counts(text))
    }

    /// The penalty that it was fitted with.
    pub fn l2(&self) -> f64 {
        self.l2
    }
}

/// What is counted, and the place of each count.
#[derive(Debug, Clone, PartialEq)]
struct Features {
    indexes: HashMap<String, usize>,
    bigrams: bool,
}

/// Features that occur in a text and how often, by increasing feature.
type Counts = Vec<(usize, f64)>;

impl Features {
    fn of<S: AsRef<str>>(texts: &[S], bigrams: bool) -> Self {
        let mut indexes = HashMap::new();
        for text in texts {
            for gram in grams(text.as_ref(), bigrams) {
                let next = indexes.len();
                indexes.entry(gram).or_insert(next);
            }
        }
        Self { indexes, bigrams }
    }

    fn counts(&self, text: &str) -> Counts {
        let mut found: Vec<usize> =
            grams(text, self.bigrams).iter().filter_map(|gram| self.indexes.get(gram)).copied().collect();
        found.sort_unstable();
        found.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as f64)).collect()
    }
}

/// The words of a text and, if asked for, its pairs of neighbours, which hold a space.
fn grams(text: &str, bigrams: bool) -> Vec<String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let pairs: Vec<String> =
        if bigrams { words.windows(2).map(|pair| pair.join(" ")).collect() } else { Vec::new() };
    words.into_iter().chain(pairs).collect()
}

/// Weights of each feature for each class, `[feature * classes + class]`, and then a bias for each class.
#[derive(Debug, Clone, PartialEq)]
struct Parameters {
    values: Vec<f64>,
    classes: usize,
}

impl Parameters {
    fn zeros(features: usize, classes: usize) -> Self {
        Self { values: vec![0.0; (features + 1) * classes], classes }
    }

    fn weight_count(&self) -> usize {
        self.values.len() - self.classes
    }

    fn probabilities(&self, counts: &Counts) -> Vec<f64> {
        let mut scores = self.values[self.weight_count()..].to_vec();
        for &(feature, count) in counts {
            let weights = &self.values[feature * self.classes..][..self.classes];
            for (score, weight) in scores.iter_mut().zip(weights) {
                *score += count * weight;
            }
        }
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
        let sum: f64 = scores.iter().sum();
        scores.iter_mut().for_each(|score| *score /= sum);
        scores
    }
}

/// The function to minimise.
struct Problem<'a> {
    rows: Vec<Counts>,
    labels: &'a [usize],
    classes: usize,
    features: usize,
    l2: f64,
}

impl Problem<'_> {
    /// The gradient of `J` and, for the test of it, `J`.
    fn gradient(&self, at: &Parameters) -> (Vec<f64>, f64) {
        let mut gradient = vec![0.0; at.values.len()];
        let weights = at.weight_count();
        let share = 1.0 / self.rows.len().max(1) as f64;
        let mut objective = 0.0;
        for (counts, &label) in self.rows.iter().zip(self.labels) {
            let mut error = at.probabilities(counts);
            objective -= share * error[label].ln();
            error[label] -= 1.0;
            error.iter_mut().for_each(|error| *error *= share);
            for &(feature, count) in counts {
                let entries = &mut gradient[feature * self.classes..][..self.classes];
                entries.iter_mut().zip(&error).for_each(|(entry, error)| *entry += count * error);
            }
            gradient[weights..].iter_mut().zip(&error).for_each(|(entry, error)| *entry += error);
        }
        for (entry, weight) in gradient[..weights].iter_mut().zip(&at.values) {
            *entry += self.l2 * weight;
            objective += 0.5 * self.l2 * weight * weight;
        }
        (gradient, objective)
    }

    /// A step of this size never overshoots: the curvature of the softmax is at most 1/2, and the
    /// largest eigenvalue of `1/n Σ x xᵀ` at most its trace.
    fn step_size(&self) -> f64 {
        let squares: f64 = self.rows.iter().flatten().map(|(_, count)| count * count).sum();
        let trace = 1.0 + squares / self.rows.len().max(1) as f64;
        1.0 / (0.5 * trace + self.l2)
    }

    fn minimise(&self, max_iterations: usize, tolerance: f64) -> Parameters {
        let mut now = Parameters::zeros(self.features, self.classes);
        let mut ahead = now.clone();
        let (step, mut age) = (self.step_size(), 0.0);
        for _ in 0..max_iterations {
            let (gradient, _) = self.gradient(&ahead);
            if gradient.iter().all(|entry| entry.abs() <= tolerance) {
                return ahead;
            }
            let momentum = age / (age + 3.0);
            let mut uphill = 0.0;
            for ((now, ahead), slope) in now.values.iter_mut().zip(&mut ahead.values).zip(&gradient) {
                let next = *ahead - step * slope;
                uphill += slope * (next - *now);
                *ahead = next + momentum * (next - *now);
                *now = next;
            }
            if uphill > 0.0 {
                ahead.clone_from(&now);
                age = 0.0;
            } else {
                age += 1.0;
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use brew_random::Key;

    use super::*;

    const SEPARABLE: ([&str; 6], [usize; 6]) = (
        ["red apple", "red brick", "green apple", "green leaf", "blue sky", "Blue leaf"],
        [0, 0, 1, 1, 2, 2],
    );

    fn fit(texts: &[&str], labels: &[usize], config: &BagOfWordsConfig) -> BagOfWords {
        BagOfWords::fit(texts, labels, 1 + labels.iter().max().unwrap(), config).unwrap()
    }

    #[test]
    fn learns_a_separable_set_of_three_classes() {
        let (texts, labels) = SEPARABLE;
        let model = fit(&texts, &labels, &BagOfWordsConfig::default());
        assert_eq!(model.predict(&texts), labels);
        assert_eq!(model.predict(&["GREEN sky unheard", "blue apple"]), [1, 2]);
        let probabilities = model.probabilities("red");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(probabilities[0] > 0.8, "{probabilities:?}");
    }

    #[test]
    fn word_order_needs_bigrams() {
        let (texts, labels) = (["a b c", "c b a", "a b d", "d b a"], [0, 1, 0, 1]);
        let words = fit(&texts, &labels, &BagOfWordsConfig::default());
        assert_eq!(words.probabilities("a b c"), words.probabilities("c b a"));
        let pairs = fit(&texts, &labels, &BagOfWordsConfig { bigrams: true, ..Default::default() });
        assert_eq!(pairs.predict(&texts), labels);
    }

    #[test]
    fn gradient_agrees_with_differences_of_the_objective() {
        let (texts, labels) = SEPARABLE;
        let features = Features::of(&texts, true);
        let problem = Problem {
            rows: texts.iter().map(|text| features.counts(text)).collect(),
            labels: &labels,
            classes: 3,
            features: features.indexes.len(),
            l2: 0.1,
        };
        let mut at = Parameters::zeros(problem.features, 3);
        let draws = Key::new(1).normal(at.values.len(), 0.5);
        at.values.iter_mut().zip(draws).for_each(|(value, draw)| *value = f64::from(draw));
        let (gradient, _) = problem.gradient(&at);
        for (entry, &slope) in gradient.iter().enumerate() {
            let objective = |offset: f64| {
                let mut moved = at.clone();
                moved.values[entry] += offset;
                problem.gradient(&moved).1
            };
            let difference = (objective(1e-5) - objective(-1e-5)) / 2e-5;
            assert!((difference - slope).abs() < 1e-8, "entry {entry}: {slope} but {difference}");
        }
    }

    #[test]
    fn fitting_ends_at_the_optimum() {
        let (texts, labels) = SEPARABLE;
        let config = BagOfWordsConfig::default();
        let features = Features::of(&texts, false);
        let problem = Problem {
            rows: texts.iter().map(|text| features.counts(text)).collect(),
            labels: &labels,
            classes: 3,
            features: features.indexes.len(),
            l2: config.l2,
        };
        let optimum = problem.minimise(config.max_iterations, config.tolerance);
        let (gradient, _) = problem.gradient(&optimum);
        let steepest = gradient.iter().fold(0.0_f64, |most, entry| most.max(entry.abs()));
        assert!(steepest <= config.tolerance, "{steepest}");
        assert!(problem.gradient(&Parameters::zeros(problem.features, 3)).0.iter().any(|entry| *entry > 0.1));
    }

    #[test]
    fn the_penalty_is_chosen_on_the_development_texts() {
        // One misleading label; a strong penalty forgets it, a weak one learns the rare word by heart.
        let train: Vec<String> = ["good", "bad"]
            .iter()
            .flat_map(|word| "stuvwxyz".chars().map(move |other| format!("{word} {other}")))
            .chain(["good odd".into()])
            .collect();
        let train: Vec<&str> = train.iter().map(String::as_str).collect();
        let labels: Vec<usize> = (0..17).map(|at| usize::from(at < 8)).collect();
        let dev = (["good odd", "bad x"].as_slice(), [1, 0].as_slice());
        let config = BagOfWordsConfig::default();
        let weak =
            BagOfWords::fit(&train, &labels, 2, &BagOfWordsConfig { l2: 1e-4, ..config.clone() }).unwrap();
        assert_eq!(weak.predict(dev.0), [0, 0]);
        let best = BagOfWords::fit_best((&train, &labels), dev, 2, &config, &[1e-4, 0.1]).unwrap();
        assert_eq!(best.l2(), 0.1);
        assert_eq!(best.predict(dev.0), dev.1);
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let config = BagOfWordsConfig::default();
        let lengths = BagOfWords::fit(&["a"], &[0, 1], 2, &config).unwrap_err();
        assert!(matches!(lengths, DataError::DifferentLengths { predictions: 1, labels: 2 }));
        let range = BagOfWords::fit(&["a", "b"], &[0, 2], 2, &config).unwrap_err();
        assert!(matches!(range, DataError::ClassOutOfRange { class: 2, position: 1, classes: 2 }));
        assert!(matches!(BagOfWords::fit(&["a"], &[0], 0, &config), Err(DataError::NoLabels)));
    }
}
