//! CRD's memory: for each training example the last vectors of both sides.

use brew_losses::{renewed, unit_rows};
use brew_random::Key;
use burn::tensor::backend::Backend;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use serde_json::{Value, json};

use super::examples::Examples;
use crate::ObjectiveState;

/// The student's side, then the teacher's.
const SIDES: [&str; 2] = ["student", "teacher"];

/// The vectors of all examples on both sides and the constants of the loss.
pub(super) struct Memory<B: Backend> {
    /// `[examples, width]` each, student's and teacher's.
    banks: [Tensor<B, 2>; 2],
    /// Which examples have been in a batch.
    seen: Vec<bool>,
    /// `ln Z` with the student's vectors as anchors and with the teacher's; from the first batch.
    pub(super) log_normalisers: Option<[f64; 2]>,
}

impl<B: Backend> Memory<B> {
    /// A memory of random vectors.
    pub(super) fn new(examples: usize, width: usize, key: Key, device: &B::Device) -> Self {
        let banks = SIDES.map(|side| {
            let values = key.purpose("crd memory").purpose(side).normal(examples * width, 1.0);
            unit_rows(Tensor::from_data(TensorData::new(values, [examples, width]), device))
        });
        Self { banks, seen: vec![false; examples], log_normalisers: None }
    }

    /// What anchors of `side` (0 the student's) are compared with: the other side's vectors.
    pub(super) fn beside(&self, side: usize) -> Tensor<B, 2> {
        self.banks[1 - side].clone()
    }

    /// Takes over the vectors of those examples that were in no batch before.
    pub(super) fn meet(&mut self, rows: &[usize], vectors: &[Tensor<B, 2>; 2]) {
        let new: Vec<usize> = distinct(rows).into_iter().filter(|&at| !self.seen[rows[at]]).collect();
        if new.is_empty() {
            return;
        }
        let device = vectors[0].device();
        let (from, to) = (ints(new.iter().copied(), &device), ints(new.iter().map(|&at| rows[at]), &device));
        for (bank, vectors) in self.banks.iter_mut().zip(vectors) {
            write(bank, &to, vectors.clone().select(0, from.clone()));
        }
        new.into_iter().for_each(|at| self.seen[rows[at]] = true);
    }

    /// Moves the vectors of a batch's examples towards what they are now.
    pub(super) fn renew(&mut self, rows: &[usize], vectors: &[Tensor<B, 2>; 2], momentum: f64) {
        let places = distinct(rows);
        let device = vectors[0].device();
        let from = ints(places.iter().copied(), &device);
        let to = ints(places.iter().map(|&at| rows[at]), &device);
        for (bank, vectors) in self.banks.iter_mut().zip(vectors) {
            let old = bank.clone().select(0, to.clone());
            write(bank, &to, renewed(old, vectors.clone().select(0, from.clone()), momentum));
        }
    }

    pub(super) fn state(&self, examples: &Examples) -> ObjectiveState {
        let mut state = ObjectiveState::from(json!({
            "crd_examples": examples.fingerprint(),
            // As bits, so that a continued run is the same to the last one.
            "crd_log_normaliser_bits": self.log_normalisers.map(|both| both.map(f64::to_bits)),
        }));
        for (side, bank) in SIDES.iter().zip(&self.banks) {
            state.tensors.insert(format!("crd_{side}"), bank.to_data());
        }
        let seen: Vec<f32> = self.seen.iter().map(|&seen| f32::from(u8::from(seen))).collect();
        state.tensors.insert("crd_seen".into(), TensorData::from(seen.as_slice()));
        state
    }

    /// The memory of a state that [`check`] found fitting.
    pub(super) fn from_state(state: &ObjectiveState, device: &B::Device) -> Self {
        let bank = |side| Tensor::from_data(state.tensors[&format!("crd_{side}")].clone(), device);
        let seen = state.tensors["crd_seen"].iter::<f32>().map(|seen| seen != 0.0).collect();
        Self { banks: SIDES.map(bank), seen, log_normalisers: normalisers(&state.values) }
    }
}

/// Whether a state is of these examples and this width; if not, why.
pub(super) fn check(state: &ObjectiveState, examples: &Examples, width: usize) -> Result<(), String> {
    if state.values["crd_examples"].as_u64() != Some(examples.fingerprint()) {
        return Err("the memory of CRD is of other training examples".into());
    }
    let shapes = SIDES.map(|side| (format!("crd_{side}"), vec![examples.count(), width]));
    for (name, expected) in shapes.into_iter().chain([("crd_seen".to_owned(), vec![examples.count()])]) {
        let found = state.tensors.get(&name).map(|data| data.shape.to_vec());
        if found.as_ref() != Some(&expected) {
            let found = found.map_or("missing".to_owned(), |shape| format!("of shape {shape:?}"));
            return Err(format!("`{name}`, the memory of CRD, is {found}, not of shape {expected:?}"));
        }
    }
    normalisers(&state.values).map(|_| ()).ok_or_else(|| "the constants of CRD are missing".into())
}

fn normalisers(values: &Value) -> Option<[f64; 2]> {
    let bits: [u64; 2] = serde_json::from_value(values["crd_log_normaliser_bits"].clone()).ok()?;
    Some(bits.map(f64::from_bits))
}

/// The places of a batch's rows, of a row that repeats the last one.
fn distinct(rows: &[usize]) -> Vec<usize> {
    (0..rows.len()).filter(|&at| !rows[at + 1..].contains(&rows[at])).collect()
}

/// Row numbers on the device.
pub(super) fn ints<B: Backend>(values: impl Iterator<Item = usize>, device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

/// Puts `values` in place of the rows, none of which may be named twice.
fn write<B: Backend>(bank: &mut Tensor<B, 2>, rows: &Tensor<B, 1, Int>, values: Tensor<B, 2>) {
    let change = values - bank.clone().select(0, rows.clone());
    // Taken out, so that it has one owner: a backend copies what others hold as well, and a memory is large.
    let taken = std::mem::replace(bank, Tensor::zeros([1, 1], &rows.device()));
    *bank = taken.select_assign(0, rows.clone(), change, IndexingUpdateOp::Add);
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestBackend as B, assert_close};

    use super::*;

    fn values(tensor: &Tensor<B, 2>) -> Vec<f32> {
        tensor.to_data().to_vec().unwrap()
    }

    fn both(rows: [[f32; 2]; 2]) -> [Tensor<B, 2>; 2] {
        let tensor = Tensor::from_floats(rows, &Default::default());
        [tensor.clone(), tensor.neg()]
    }

    #[test]
    fn a_new_memory_holds_random_directions_of_each_side() {
        let memory = Memory::<B>::new(5, 3, Key::new(1), &Default::default());
        let [student, teacher] = [0, 1].map(|side| values(&memory.banks[side]));
        for row in student.chunks(3).chain(teacher.chunks(3)) {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
        }
        assert_ne!(student, teacher);
        assert_eq!(values(&Memory::<B>::new(5, 3, Key::new(1), &Default::default()).banks[0]), student);
    }

    #[test]
    fn examples_are_taken_over_when_they_are_first_met_and_renewed_by_momentum() {
        let mut memory = Memory::<B>::new(4, 2, Key::new(1), &Default::default());
        let before = values(&memory.banks[0]);
        memory.meet(&[3, 1], &both([[1.0, 0.0], [0.0, 1.0]]));
        let met = values(&memory.banks[0]);
        assert_close(&met[6..8], &[1.0, 0.0], 0.0, 1e-6, "met first");
        assert_close(&met[2..4], &[0.0, 1.0], 0.0, 1e-6, "met second");
        assert_eq!((&met[..2], &met[4..6]), (&before[..2], &before[4..6]), "the others stay");
        assert_close(&values(&memory.banks[1])[6..8], &[-1.0, 0.0], 0.0, 1e-6, "teacher's");
        // Met again, an example keeps its vector until it is renewed.
        memory.meet(&[3, 1], &both([[0.0, 1.0], [1.0, 0.0]]));
        assert_eq!(values(&memory.banks[0]), met);
        memory.renew(&[3, 1], &both([[0.0, 1.0], [0.0, 1.0]]), 0.75);
        let renewed = values(&memory.banks[0]);
        let norm = (0.75f32 * 0.75 + 0.25 * 0.25).sqrt();
        assert_close(&renewed[6..8], &[0.75 / norm, 0.25 / norm], 1e-5, 0.0, "renewed");
    }

    #[test]
    fn an_example_twice_in_a_batch_counts_once() {
        let mut memory = Memory::<B>::new(4, 2, Key::new(1), &Default::default());
        memory.meet(&[2, 2], &both([[1.0, 0.0], [0.0, 1.0]]));
        assert_close(&values(&memory.banks[0])[4..6], &[0.0, 1.0], 0.0, 1e-6, "the last");
        memory.renew(&[2, 2], &both([[0.0, 1.0], [1.0, 0.0]]), 0.0);
        assert_close(&values(&memory.banks[0])[4..6], &[1.0, 0.0], 0.0, 1e-6, "the last");
    }

    #[test]
    fn each_side_is_compared_with_the_others_vectors() {
        let memory = Memory::<B>::new(4, 2, Key::new(1), &Default::default());
        assert_eq!(values(&memory.beside(0)), values(&memory.banks[1]));
        assert_eq!(values(&memory.beside(1)), values(&memory.banks[0]));
    }
}
