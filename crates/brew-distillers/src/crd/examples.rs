//! The training examples that CRD knows, and the draws of negatives among them.

use std::collections::{HashMap, HashSet};

use brew_config::{ConfigError, NegativesFrom, Problem};
use brew_random::Key;

/// Gives the ids of a batch's examples, in the order of its rows.
type IdsOf<T> = Box<dyn Fn(&T) -> Vec<u64>>;

/// What CRD has to know of models and data beside its configuration: how wide the compared states are, which
/// examples there are, and which of them a batch holds.
///
/// The examples must be known beforehand: the memory has a row for each, the noise that negatives come from is
/// uniform over all of them, and their number is a constant of the loss.
///
/// ```
/// use brew_distillers::CrdInputs;
///
/// // Batches that are lists of ids; three examples, the last one without a label.
/// let inputs = CrdInputs::new([384, 768], [10, 11, 12], |batch: &Vec<u64>| batch.clone())
///     .with_classes([Some(0), Some(1), None]);
/// ```
pub struct CrdInputs<T> {
    pub(super) widths: [usize; 2],
    ids: Vec<u64>,
    classes: Option<Vec<Option<usize>>>,
    pub(super) ids_of: IdsOf<T>,
}

impl<T> CrdInputs<T> {
    /// States of `[student's, teacher's]` width, the ids of all training examples, each once, and a function
    /// that gives the ids of a batch in the order of its rows.
    pub fn new(
        widths: [usize; 2],
        ids: impl IntoIterator<Item = u64>,
        ids_of: impl Fn(&T) -> Vec<u64> + 'static,
    ) -> Self {
        Self { widths, ids: ids.into_iter().collect(), classes: None, ids_of: Box::new(ids_of) }
    }

    /// The same with the class of each example, in the order of the ids, `None` where it is unknown: for
    /// `negatives_from = "different_class"`.
    #[must_use]
    pub fn with_classes(mut self, classes: impl IntoIterator<Item = Option<usize>>) -> Self {
        self.classes = Some(classes.into_iter().collect());
        self
    }

    /// The widths of the compared states, the student's and the teacher's.
    pub(crate) fn widths(&self) -> [usize; 2] {
        self.widths
    }

    /// The examples, checked to give everyone negatives.
    pub(super) fn examples(&self, from: NegativesFrom) -> Result<Examples, ConfigError> {
        let count = self.ids.len();
        let mut problems = Vec::new();
        let mut rows = HashMap::with_capacity(count);
        for (row, &id) in self.ids.iter().enumerate() {
            if let Some(first) = rows.insert(id, row) {
                let remedy =
                    format!("example {first} has it too; give every training example an id of its own");
                problems.push(Problem::new(format!("examples[{row}]"), format!("id {id}"), remedy));
                break;
            }
        }
        if count < 2 {
            let remedy = "an example is told from others; give at least two";
            problems.push(Problem::new("examples", format!("{count} examples"), remedy));
        }
        if self.widths.contains(&0) {
            let remedy = "give the hidden sizes of student and teacher";
            problems.push(Problem::new("widths", format!("{:?}", self.widths), remedy));
        }
        let by_class = match (from, &self.classes) {
            (NegativesFrom::All, _) => None,
            (from, None) => {
                let remedy = "needs the classes of the examples; give them, or use `all`";
                problems.push(Problem::new("negatives_from", from, remedy));
                None
            }
            (_, Some(classes)) if classes.len() != count => {
                let remedy = format!("give one for each of the {count} examples");
                problems.push(Problem::new("classes", format!("{} classes", classes.len()), remedy));
                None
            }
            (_, Some(classes)) => Some(ByClass::new(classes)),
        };
        let examples = Examples { ids: self.ids.clone(), rows, by_class };
        if problems.is_empty() && examples.fewest_candidates() == 0 {
            let remedy = "all examples with a label have the same one; use `all`";
            problems.push(Problem::new("negatives_from", from, remedy));
        }
        ConfigError::from_problems(problems)?;
        Ok(examples)
    }
}

/// Examples by row of the memory.
pub(super) struct Examples {
    ids: Vec<u64>,
    rows: HashMap<u64, usize>,
    by_class: Option<ByClass>,
}

/// Examples with a class, those of one class next to each other.
struct ByClass {
    rows: Vec<usize>,
    /// Where the class of each example starts and ends in `rows`; `None` for one without a class.
    blocks: Vec<Option<(usize, usize)>>,
}

impl ByClass {
    fn new(classes: &[Option<usize>]) -> Self {
        let mut labelled: Vec<(usize, usize)> =
            classes.iter().enumerate().filter_map(|(row, class)| Some(((*class)?, row))).collect();
        labelled.sort_unstable();
        let mut blocks = vec![None; classes.len()];
        for block in labelled.chunk_by(|one, other| one.0 == other.0) {
            let start = labelled.partition_point(|one| one.0 < block[0].0);
            block.iter().for_each(|&(_, row)| blocks[row] = Some((start, start + block.len())));
        }
        Self { rows: labelled.into_iter().map(|(_, row)| row).collect(), blocks }
    }
}

impl Examples {
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// The row of an example.
    pub(super) fn row(&self, id: u64) -> Option<usize> {
        self.rows.get(&id).copied()
    }

    /// A number that tells these ids, in this order, from others.
    pub(super) fn fingerprint(&self) -> u64 {
        self.ids.iter().fold(Key::new(self.ids.len() as u64), |key, &id| key.index(id)).word(0)
    }

    /// How many others an example may be told from.
    fn candidates(&self, row: usize) -> usize {
        match self.block(row) {
            Some((classes, (start, end))) => classes.rows.len() - (end - start),
            None => self.count() - 1,
        }
    }

    /// The fewest that any example may be told from: with as many negatives all can be treated alike.
    pub(super) fn fewest_candidates(&self) -> usize {
        (0..self.count()).map(|row| self.candidates(row)).min().unwrap_or(0)
    }

    /// The rows of `count` different examples that this one may be told from.
    ///
    /// Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 1987): as many draws as there are
    /// negatives, however many examples there are.
    pub(super) fn draw(&self, row: usize, count: usize, key: Key) -> Vec<usize> {
        let candidates = self.candidates(row);
        let mut stream = key.stream();
        let mut chosen = HashSet::with_capacity(count);
        (candidates - count.min(candidates)..candidates)
            .map(|last| {
                let drawn = stream.below(last + 1);
                let one = if chosen.contains(&drawn) { last } else { drawn };
                chosen.insert(one);
                self.candidate(row, one)
            })
            .collect()
    }

    /// Candidate number `index` of an example: the rows in order, its own or those of its class left out.
    fn candidate(&self, row: usize, index: usize) -> usize {
        match self.block(row) {
            Some((classes, (start, end))) => {
                classes.rows[if index < start { index } else { index + (end - start) }]
            }
            None => index + usize::from(index >= row),
        }
    }

    fn block(&self, row: usize) -> Option<(&ByClass, (usize, usize))> {
        let classes = self.by_class.as_ref()?;
        Some((classes, classes.blocks[row]?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(ids: &[u64]) -> CrdInputs<()> {
        CrdInputs::new([2, 3], ids.iter().copied(), |_| Vec::new())
    }

    fn sorted(mut rows: Vec<usize>) -> Vec<usize> {
        rows.sort_unstable();
        rows
    }

    #[test]
    fn negatives_are_different_others_and_all_of_them_where_so_many_are_asked_for() {
        let examples = inputs(&[5, 6, 7, 8, 9, 10]).examples(NegativesFrom::All).unwrap();
        assert_eq!(examples.fewest_candidates(), 5);
        for row in 0..6 {
            for draw in 0..20 {
                let found = sorted(examples.draw(row, 3, Key::new(1).index(draw)));
                assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?} repeats");
                assert!(!found.contains(&row) && found.iter().all(|&other| other < 6), "{found:?} of {row}");
            }
            let others: Vec<usize> = (0..6).filter(|&other| other != row).collect();
            assert_eq!(sorted(examples.draw(row, 5, Key::new(2))), others);
        }
    }

    #[test]
    fn every_other_example_is_drawn_about_as_often() {
        let examples = inputs(&(0..40).collect::<Vec<_>>()).examples(NegativesFrom::All).unwrap();
        let mut counts = [0usize; 40];
        for draw in 0..4000 {
            examples.draw(7, 10, Key::new(3).index(draw)).into_iter().for_each(|row| counts[row] += 1);
        }
        assert_eq!(counts[7], 0);
        // 4000 · 10 / 39 ≈ 1026, with a standard deviation of about 28.
        assert!(
            counts.iter().enumerate().all(|(row, &count)| row == 7 || count.abs_diff(1026) < 140),
            "{counts:?}"
        );
    }

    #[test]
    fn examples_of_the_same_class_and_without_one_are_no_negatives() {
        let classes = [Some(1), Some(0), None, Some(1), Some(2), Some(0)];
        let with = |classes: &[Option<usize>]| {
            inputs(&[1, 2, 3, 4, 5, 6]).with_classes(classes.to_vec()).examples(NegativesFrom::DifferentClass)
        };
        let examples = with(&classes).unwrap();
        let all = |row: usize| sorted(examples.draw(row, 99, Key::new(1)));
        assert_eq!(all(0), [1, 4, 5]);
        assert_eq!(all(1), [0, 3, 4]);
        assert_eq!(all(2), [0, 1, 3, 4, 5]);
        assert_eq!(all(4), [0, 1, 3, 5]);
        assert_eq!(examples.fewest_candidates(), 3);
        let error = with(&[Some(1); 6]).err().unwrap().to_string();
        assert!(error.contains("negatives_from") && error.contains("use `all`"), "{error}");
        let error = with(&[Some(1); 5]).err().unwrap().to_string();
        assert!(error.contains("5 classes") && error.contains("6 examples"), "{error}");
        let error = inputs(&[1, 2]).examples(NegativesFrom::DifferentClass).err().unwrap().to_string();
        assert!(error.contains("different_class"), "{error}");
    }

    #[test]
    fn ids_that_repeat_and_lonely_examples_are_errors() {
        let error = inputs(&[4, 5, 4]).examples(NegativesFrom::All).err().unwrap().to_string();
        assert!(error.contains("id 4") && error.contains("examples[2]"), "{error}");
        let error = inputs(&[4]).examples(NegativesFrom::All).err().unwrap().to_string();
        assert!(error.contains("at least two"), "{error}");
    }

    #[test]
    fn other_ids_or_another_order_have_another_fingerprint() {
        let print = |ids: &[u64]| inputs(ids).examples(NegativesFrom::All).unwrap().fingerprint();
        assert_eq!(print(&[1, 2, 3]), print(&[1, 2, 3]));
        assert_ne!(print(&[1, 2, 3]), print(&[2, 1, 3]));
        assert_ne!(print(&[1, 2, 3]), print(&[1, 2, 3, 4]));
    }
}
