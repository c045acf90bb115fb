//! CRD: each example's state in the student told, beside the teacher's, from those of other examples.

mod examples;
mod memory;
#[cfg(test)]
mod tests;

use brew_config::{ConfigError, CrdConfig, CrdPooling, DistillationConfig, Problem};
use brew_losses::{LossRegistry, contrast_scores, crd_nce_loss, log_normaliser, unit_rows};
use brew_random::Key;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};

pub use self::examples::CrdInputs;
use self::examples::Examples;
use self::memory::{Memory, ints};
use crate::comparison::Comparison;
use crate::distillation::Outputs;
use crate::{
    Adaptor, AdaptorOutput, DistillError, Ensemble, LossTerms, Objective, ObjectiveState, Projection,
    StepContext, Student, Teacher, Trainable, Wants,
};

/// The name of the loss term.
const TERM: &str = "crd_loss";

/// Knowledge distillation with contrastive representation distillation beside it.
///
/// total = [`Distillation`](crate::Distillation)'s, matches of the configuration included, + `weight` · CRD
///
/// CRD is the sum of two noise-contrastive losses ([`crd_nce_loss`]): the student's vector of each example
/// beside the teacher's of the same example and of others drawn at random, and the teacher's beside the
/// student's. Vectors are states behind a trained linear head for each model, with norm 1; those of the other
/// examples come from a memory of all training examples, which follows with `momentum`. The normalisation
/// constants are set by the first batch. Draws are functions of seed, batch and example; memory and constants
/// are part of a checkpoint.
///
/// An example that is in a batch for the first time enters the memory with its vectors before it is compared.
/// In the released code it is compared with the memory's random start, which over hundreds of epochs is
/// nothing and over three a third of the training.
///
/// The two heads are the last projections of the [`Trainable`]: [`CrdConfig::heads`] describes them.
///
/// Source: Tian, Krishnan, Isola, <https://arxiv.org/abs/1910.10699>.
pub struct CrdDistillation<B: AutodiffBackend, M, T> {
    comparison: Comparison<B>,
    adaptor: Box<dyn Adaptor<B, M, T>>,
    teacher: Ensemble<B::InnerBackend, T>,
    crd: CrdMatch<B, T>,
}

/// The configuration, what it is about, and the memory.
pub(crate) struct CrdMatch<B: AutodiffBackend, T> {
    config: CrdConfig,
    inputs: CrdInputs<T>,
    examples: Examples,
    /// Negatives of each example.
    negatives: usize,
    /// Known from the first batch on.
    memory: Option<Memory<B::InnerBackend>>,
    /// What a checkpoint held, until the first batch says where it belongs.
    restored: Option<ObjectiveState>,
}

impl<B: AutodiffBackend, M, T> CrdDistillation<B, M, T> {
    /// Checks both configurations and the examples, and looks losses up in `losses`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of a configuration or of the examples.
    pub fn new(
        config: DistillationConfig,
        crd: CrdConfig,
        inputs: CrdInputs<T>,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
    ) -> Result<Self, DistillError> {
        let crd = CrdMatch::new(crd, inputs)?;
        Ok(Self::from_comparison(
            Comparison::new(config, losses, 1)?,
            crd,
            adaptor,
            Ensemble::single(teacher),
        ))
    }

    pub(crate) fn from_comparison(
        comparison: Comparison<B>,
        crd: CrdMatch<B, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: Ensemble<B::InnerBackend, T>,
    ) -> Self {
        Self { comparison, adaptor: Box::new(adaptor), teacher, crd }
    }

    /// The features that are compared.
    fn wants(&self) -> Wants {
        self.comparison.wants().or(Wants { hidden: true, ..Wants::default() })
    }
}

impl<B: AutodiffBackend, T> CrdMatch<B, T> {
    pub(crate) fn new(config: CrdConfig, inputs: CrdInputs<T>) -> Result<Self, DistillError> {
        let mut problems = config.validate();
        let examples = match inputs.examples(config.negatives_from) {
            Ok(examples) if problems.is_empty() => Some(examples),
            Ok(_) => None,
            Err(ConfigError::Invalid { problems: more }) => {
                problems.extend(more);
                None
            }
            Err(error) => return Err(error.into()),
        };
        ConfigError::from_problems(problems.into_iter().map(|problem| problem.within("crd")).collect())?;
        let examples = examples.expect("there are examples where there is no problem");
        let negatives = config.negatives.min(examples.fewest_candidates());
        Ok(Self { config, inputs, examples, negatives, memory: None, restored: None })
    }

    /// Adds the term and renews the memory.
    fn push(
        &mut self,
        terms: &mut LossTerms<B>,
        heads: [&Projection<B>; 2],
        outputs: [&AdaptorOutput<B>; 2],
        batch: &T,
        context: &StepContext,
    ) -> Result<(), DistillError> {
        let [student, teacher] = outputs;
        let states = [
            self.state_of("student", student, self.config.layer_s, self.inputs.widths[0], None)?,
            self.state_of("teacher", teacher, self.config.layer_t, self.inputs.widths[1], Some(student))?,
        ];
        let rows = self.rows(batch, &states)?;
        let [student, teacher] = states;
        let vectors = [unit_rows(heads[0].project(student)), unit_rows(heads[1].project(teacher))];
        let values = vectors.clone().map(Tensor::inner);
        let device = values[0].device();

        let key = Key::new(context.seed);
        let candidates = self.drawn(&rows, key.purpose("crd negatives").index(context.batch));
        let candidates = ints::<B::InnerBackend>(candidates.into_iter(), &device);
        let candidates = candidates.reshape([rows.len(), 1 + self.negatives]);
        let (examples, width) = (self.examples.count(), self.config.feature_dim);
        let restored = self.restored.take();
        let memory = self.memory.get_or_insert_with(|| match &restored {
            Some(state) => Memory::from_state(state, &device),
            None => Memory::new(examples, width, key, &device),
        });
        // A step without a finite gradient is not taken, and leaves nothing behind here either.
        let is_sound =
            values.iter().all(|vectors| vectors.clone().sum().into_scalar().elem::<f64>().is_finite());
        if is_sound {
            memory.meet(&rows, &values);
        }
        let scores = [0, 1].map(|side| {
            contrast_scores(
                vectors[side].clone(),
                Tensor::from_inner(memory.beside(side)),
                Tensor::from_inner(candidates.clone()),
                self.config.temperature,
            )
        });
        let constants = memory
            .log_normalisers
            .unwrap_or_else(|| scores.clone().map(|scores| log_normaliser(scores.inner(), examples)));
        if is_sound {
            memory.log_normalisers = Some(constants);
            memory.renew(&rows, &values, self.config.momentum);
        }
        let [student, teacher] = scores;
        let loss =
            crd_nce_loss(student, constants[0], examples) + crd_nce_loss(teacher, constants[1], examples);
        terms.push(TERM, loss, self.config.weight);
        Ok(())
    }

    /// The compared states of a batch, `[batch, width]`.
    fn state_of(
        &self,
        side: &'static str,
        output: &AdaptorOutput<B>,
        layer: Option<usize>,
        width: usize,
        student: Option<&AdaptorOutput<B>>,
    ) -> Result<Tensor<B, 2>, DistillError> {
        let wrong =
            |needed: String, found: String| DistillError::Adaptor { side, term: TERM.into(), needed, found };
        let given = output.hidden.len();
        let hidden = match layer {
            Some(layer) => output.hidden.get(layer),
            None => output.hidden.last(),
        };
        let hidden = hidden.cloned().ok_or_else(|| {
            let which =
                layer.map_or("`hidden`".to_owned(), |layer| format!("`hidden` {layer}, counted from 0"));
            wrong(which, format!("{given} `hidden`"))
        })?;
        let [batch, length, found] = hidden.dims();
        if found != width || length == 0 {
            let needed = format!("a state of width {width} for each token, as its head was made for");
            return Err(wrong(needed, format!("shape {:?}", [batch, length, found])));
        }
        match self.config.pooling {
            CrdPooling::First => Ok(hidden.narrow(1, 0, 1).squeeze_dim(1)),
            CrdPooling::Mean => {
                // A teacher that gives no mask is read through the student's.
                let borrowed = student.and_then(|one| one.inputs_mask.as_ref());
                let mask = output
                    .inputs_mask
                    .as_ref()
                    .or(borrowed.filter(|mask| mask.dims() == [batch, length]))
                    .cloned();
                match mask {
                    Some(mask) if mask.dims() != [batch, length] => Err(wrong(
                        format!("an `inputs_mask` of shape {:?}", [batch, length]),
                        format!("{:?}", mask.dims()),
                    )),
                    mask => Ok(token_mean(hidden, mask)),
                }
            }
        }
    }

    /// The memory's row of each example of a batch.
    fn rows(&self, batch: &T, states: &[Tensor<B, 2>; 2]) -> Result<Vec<usize>, DistillError> {
        let ids = (self.inputs.ids_of)(batch);
        for (side, states) in ["student", "teacher"].into_iter().zip(states) {
            if states.dims()[0] != ids.len() || ids.is_empty() {
                return Err(DistillError::Adaptor {
                    side,
                    term: TERM.into(),
                    needed: format!("{} states, one for each id of the batch", ids.len()),
                    found: format!("{}", states.dims()[0]),
                });
            }
        }
        ids.into_iter()
            .map(|id| {
                self.examples.row(id).ok_or_else(|| {
                    DistillError::batch(format!(
                        "the batch holds example {id}, which is none of the {} that CRD has a memory of; name \
                         every training example in `CrdInputs`",
                        self.examples.count()
                    ))
                })
            })
            .collect()
    }

    /// Each example's own row and those of its negatives, one example after the other.
    fn drawn(&self, rows: &[usize], key: Key) -> Vec<usize> {
        rows.iter()
            .flat_map(|&row| {
                let negatives = self.examples.draw(row, self.negatives, key.index(row as u64));
                std::iter::once(row).chain(negatives)
            })
            .collect()
    }

    fn state(&self) -> Option<ObjectiveState> {
        match &self.memory {
            Some(memory) => Some(memory.state(&self.examples)),
            None => self.restored.clone(),
        }
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<(), String> {
        memory::check(&state, &self.examples, self.config.feature_dim)?;
        self.memory = None;
        self.restored = Some(state);
        Ok(())
    }
}

/// The mean over the tokens that count, `[batch, width]`; 0 where none does.
fn token_mean<B: Backend>(hidden: Tensor<B, 3>, mask: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
    let shape = hidden.dims();
    let Some(mask) = mask else { return hidden.mean_dim(1).squeeze_dim(1) };
    let counted = mask.not_equal_elem(0.0);
    let counts = counted.clone().float().sum_dim(1).clamp_min(1.0);
    // A product, not a quotient, whose gradient is an approximation on ndarray.
    let shares = counts.ones_like() / counts;
    let is_padding = counted.bool_not().unsqueeze_dim::<3>(2).expand(shape);
    hidden.mask_fill(is_padding, 0.0).sum_dim(1).squeeze_dim::<2>(1) * shares
}

/// The two heads, which stand last.
fn heads<B: AutodiffBackend>(
    projections: &[Option<Projection<B>>],
) -> Result<[&Projection<B>; 2], DistillError> {
    match projections {
        [.., Some(student), Some(teacher)] => Ok([student, teacher]),
        _ => {
            let found = format!("{} entries, heads of CRD not among the last", projections.len());
            let remedy =
                "what is trained needs the two heads of `CrdConfig::heads` behind the matches' projections";
            Err(ConfigError::Invalid { problems: vec![Problem::new("projections", found, remedy)] }.into())
        }
    }
}

impl<B, M, T> Objective<B, M, T> for CrdDistillation<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn keeps_outputs(&self) -> bool {
        self.teacher.keeps_outputs()
    }

    fn recall(&mut self, batch: &T) -> Result<(), DistillError> {
        self.teacher.recall(batch, self.wants())
    }

    fn rest_teachers(&mut self) {
        self.teacher.rest();
    }

    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let wants = self.wants();
        let (student, projections) = (&trainable.student, &trainable.projections);
        let heads = heads(projections)?;
        let outputs = Outputs::of(student, self.adaptor.as_ref(), &self.teacher, batch, wants, context)?;
        let mut terms = self.comparison.terms(projections, &outputs, context)?;
        self.crd.push(&mut terms, heads, [&outputs.student, &outputs.teachers[0]], batch, context)?;
        Ok(terms)
    }

    fn state(&self) -> Option<ObjectiveState> {
        self.crd.state()
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<(), String> {
        self.crd.restore(state)
    }
}
