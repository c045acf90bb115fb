use std::cell::Cell;
use std::rc::Rc;

use brew_losses::FeatureTensor;
use brew_testkit::TestBackend as B;
use burn::tensor::{Tensor, TensorData};

use super::*;
use crate::MASKED_LOGIT;

mod disk;

/// Examples as a batch: id and number of tokens.
type Batch = Vec<(u64, usize)>;

fn rows(batch: &Batch) -> BatchRows<B> {
    let length = batch.iter().map(|one| one.1).max().unwrap();
    let ids = batch.iter().map(|one| one.0).collect();
    BatchRows { ids, texts: Vec::new(), length, device: Default::default() }
}

/// A teacher whose numbers tell example, token and place; padding is -1.
fn outputs(batch: &Batch) -> AdaptorOutput<B> {
    let device = Default::default();
    let length = rows(batch).length;
    let per_token = |width: usize, salt: f32| {
        let values: Vec<f32> = batch
            .iter()
            .flat_map(|&(id, tokens)| {
                (0..length * width).map(move |at| {
                    if at / width < tokens { salt + id as f32 * 100.0 + at as f32 } else { -1.0 }
                })
            })
            .collect();
        Tensor::<B, 3>::from_data(TensorData::new(values, [batch.len(), length, width]), &device)
    };
    let pairs: Vec<f32> = batch
        .iter()
        .flat_map(|&(id, tokens)| {
            (0..2 * length * length).map(move |at| {
                let (head, query, key) = (at / (length * length), at / length % length, at % length);
                if query < tokens && key < tokens {
                    (id as usize * 1000 + head * 100 + query * 10 + key) as f32
                } else {
                    -1.0
                }
            })
        })
        .collect();
    let mask: Vec<f32> = batch
        .iter()
        .flat_map(|&(_, tokens)| (0..length).map(move |at| f32::from(u8::from(at < tokens))))
        .collect();
    let logits: Vec<f32> = batch.iter().flat_map(|&(id, _)| [id as f32, -(id as f32)]).collect();
    AdaptorOutput {
        logits: vec![Tensor::<B, 2>::from_data(TensorData::new(logits, [batch.len(), 2]), &device).into()],
        hidden: vec![per_token(3, 0.0), per_token(3, 0.5), per_token(3, 0.25)],
        attention: vec![
            Tensor::<B, 4>::from_data(TensorData::new(pairs, [batch.len(), 2, length, length]), &device)
                .into(),
        ],
        inputs_mask: Some(Tensor::from_data(TensorData::new(mask, [batch.len(), length]), &device)),
        ..AdaptorOutput::default()
    }
}

fn counted() -> (impl Teacher<B, Batch>, Rc<Cell<usize>>) {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let teacher = move |batch: &Batch, _: Wants| {
        count.set(count.get() + 1);
        Ok(outputs(batch))
    };
    (teacher, calls)
}

/// The numbers of a tensor where they are not padding.
fn real<const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().filter(|&value| value != -1.0 && value != 0.0).collect()
}

const WANTS: Wants = Wants {
    hidden: true,
    attention: true,
    attention_scores: false,
    queries_keys_values: false,
    others: false,
};

#[test]
fn examples_that_meet_in_another_batch_are_not_computed_again() {
    let (teacher, calls) = counted();
    let cached = CachedTeacher::new(teacher, rows);
    cached.outputs(&vec![(1, 2), (2, 4)], WANTS).unwrap();
    cached.outputs(&vec![(3, 3)], WANTS).unwrap();
    assert_eq!(calls.get(), 2);
    let batch = vec![(3, 3), (1, 2)];
    let found = cached.outputs(&batch, WANTS).unwrap();
    assert_eq!(calls.get(), 2);
    let expected = outputs(&batch);
    assert_eq!(found.inputs_mask.unwrap().into_data(), expected.inputs_mask.unwrap().into_data());
    assert_eq!(found.logits[0].dims(), [2, 2]);
    for (found, expected) in found.hidden.into_iter().zip(expected.hidden) {
        assert_eq!(found.dims(), expected.dims());
        assert_eq!(real(found), real(expected));
    }
    let (FeatureTensor::D4(found), FeatureTensor::D4(expected)) =
        (found.attention[0].clone(), expected.attention[0].clone())
    else {
        panic!("attention with heads")
    };
    assert_eq!(found.dims(), [2, 2, 3, 3]);
    assert_eq!(real(found), real(expected));
}

/// In TextBrewer caching is switched off without a word where there are matches.
#[test]
fn caching_works_with_matches_and_keeps_only_their_layers() {
    let (teacher, calls) = counted();
    let matches = [IntermediateMatch::hidden(2, 1, "hidden_mse")];
    let cached = CachedTeacher::new(teacher, rows).with_matches(&matches, 0);
    let batch = vec![(1, 2), (2, 4)];
    cached.outputs(&batch, WANTS).unwrap();
    let found = cached.outputs(&batch, WANTS).unwrap();
    assert_eq!(calls.get(), 1);
    assert_eq!(found.hidden[1].dims(), [2, 4, 1]);
    assert_eq!(real(found.hidden[2].clone()), real(outputs(&batch).hidden[2].clone()));
}

#[test]
fn logits_of_places_are_kept_without_padding() {
    let places = |batch: &Batch, _: Wants| {
        let AdaptorOutput { hidden, inputs_mask, .. } = outputs(batch);
        let mask = inputs_mask.clone().unwrap();
        let logits = hidden[0].clone().narrow(2, 0, 1).squeeze_dim::<2>(2);
        let logits = logits.mask_fill(mask.clone().equal_elem(0.0), MASKED_LOGIT);
        let logits_mask = vec![mask];
        Ok(AdaptorOutput { logits_mask, inputs_mask, ..AdaptorOutput::from_logits(logits) })
    };
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let cached = CachedTeacher::new(
        move |batch: &Batch, wants: Wants| {
            count.set(count.get() + 1);
            places(batch, wants)
        },
        rows,
    );
    cached.outputs(&vec![(1, 2), (2, 4)], Wants::default()).unwrap();
    cached.outputs(&vec![(3, 3), (4, 5)], Wants::default()).unwrap();
    let batch = vec![(3, 3), (1, 2)];
    let found = cached.outputs(&batch, Wants::default()).unwrap();
    assert_eq!(calls.get(), 2);
    let FeatureTensor::D2(found) = found.logits[0].clone() else { panic!("[batch, length]") };
    let found: Vec<f32> = found.into_data().to_vec().unwrap();
    assert_eq!(found, [300.0, 303.0, 306.0, 100.0, 103.0, MASKED_LOGIT]);
}

#[test]
fn other_wishes_and_gaps_in_the_mask_go_to_the_teacher() {
    let (teacher, calls) = counted();
    let cached = CachedTeacher::new(teacher, rows);
    let batch = vec![(1, 2)];
    cached.outputs(&batch, Wants::default()).unwrap();
    cached.outputs(&batch, WANTS).unwrap();
    assert_eq!(calls.get(), 2);
    cached.outputs(&batch, Wants { others: true, ..WANTS }).unwrap();
    assert_eq!(calls.get(), 3);

    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let gaps = move |batch: &Batch, _: Wants| {
        count.set(count.get() + 1);
        let mask = Tensor::from_floats([[0.0, 1.0]], &Default::default());
        Ok(AdaptorOutput { inputs_mask: Some(mask), ..outputs(batch) })
    };
    let cached = CachedTeacher::new(gaps, rows);
    cached.outputs(&batch, WANTS).unwrap();
    cached.outputs(&batch, WANTS).unwrap();
    assert_eq!(calls.get(), 2);
}

/// A teacher with something that lasts as long as it does.
#[derive(Default)]
struct Loaded(Rc<()>);

impl Teacher<B, Batch> for Loaded {
    fn outputs(&self, batch: &Batch, _: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        Ok(outputs(batch))
    }
}

#[test]
fn a_teacher_that_has_said_everything_is_let_go_and_made_again_when_it_is_asked() {
    let first = Loaded::default();
    let weights = Rc::downgrade(&first.0);
    let loads = Rc::new(Cell::new(0));
    let count = loads.clone();
    let cached = CachedTeacher::new(first, rows).with_reload(move || {
        count.set(count.get() + 1);
        Ok(Loaded::default())
    });
    let known = vec![(1, 2), (2, 4)];
    let expected = cached.outputs(&known, WANTS).unwrap().logits[0].clone().into_positions().into_data();
    assert!(weights.upgrade().is_some());
    cached.rest();
    assert!(weights.upgrade().is_none(), "the teacher's memory is free");
    let found = cached.outputs(&known, WANTS).unwrap().logits[0].clone().into_positions().into_data();
    assert_eq!((found, loads.get()), (expected, 0));

    let unknown = vec![(3, 3)];
    cached.outputs(&unknown, WANTS).unwrap();
    assert_eq!(loads.get(), 1);
    // Not in every epoch anew.
    cached.rest();
    cached.outputs(&vec![(4, 3)], WANTS).unwrap();
    assert_eq!(loads.get(), 1);
}

#[test]
fn a_teacher_that_cannot_be_made_again_is_an_error_and_may_be_tried_again() {
    let tries = Rc::new(Cell::new(0));
    let count = tries.clone();
    let cached = CachedTeacher::new(Loaded::default(), rows).with_reload(move || {
        count.set(count.get() + 1);
        if count.get() == 1 { Err(DistillError::batch("no file")) } else { Ok(Loaded::default()) }
    });
    cached.rest();
    assert_eq!(cached.outputs(&vec![(1, 2)], WANTS).unwrap_err().to_string(), "no file");
    assert!(cached.outputs(&vec![(1, 2)], WANTS).is_ok());
}

#[test]
fn a_teacher_is_not_let_go_where_something_is_not_kept_or_it_cannot_be_made_again() {
    let first = Loaded::default();
    let weights = Rc::downgrade(&first.0);
    let cached = CachedTeacher::new(first, rows).with_reload(|| Ok(Loaded::default()));
    cached.outputs(&vec![(1, 2)], Wants { others: true, ..WANTS }).unwrap();
    cached.rest();
    assert!(weights.upgrade().is_some());

    let (teacher, calls) = counted();
    let cached = CachedTeacher::new(teacher, rows);
    cached.rest();
    cached.outputs(&vec![(1, 2)], WANTS).unwrap();
    assert_eq!(calls.get(), 1);
}
