//! BERT-EMD: many layers matched with many, by masses that follow what moving them costs.

use brew_config::{ConfigError, DistillationConfig, EmdConfig, MatchFeature};
use brew_losses::{FeatureTensor, LossFn, LossInput, LossRegistry, TransportPlan, earth_mover, layer_costs};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use serde_json::{Value, json};

use crate::comparison::Comparison;
use crate::distillation::Outputs;
use crate::matches::masks;
use crate::{
    Adaptor, AdaptorOutput, DistillError, Ensemble, LossTerms, Objective, ObjectiveState, Projection,
    StepContext, Student, Teacher, Trainable, Wants,
};

/// The least cost of a layer, as a share of the mean: one that costs nothing gains much mass, not all.
const LEAST_COST: f64 = 1e-3;

/// Knowledge distillation whose layers are matched many to many by earth mover's distance.
///
/// total = [`Distillation`](crate::Distillation)'s, matches of the configuration included,
/// + `hidden_weight` · EMD(hidden states) + `attention_weight` · EMD(attention)
///
/// With flow `f`, costs `d` and masses `w`, what a layer's mass costs is `C_i = Σ_j f_ij d_ij / w_i`, and its
/// next mass `(1 / C_i) / Σ_k (1 / C_k)`, for the layers of the teacher likewise. Without
/// `separate_masses` the masses from hidden states and from attention are averaged. A cost is taken to be at
/// least a thousandth of the mean, where the paper divides by zero.
///
/// Source: BERT-EMD (Li et al., <https://arxiv.org/abs/2010.06133>).
pub struct EmdDistillation<B: AutodiffBackend, M, T> {
    comparison: Comparison<B>,
    adaptor: Box<dyn Adaptor<B, M, T>>,
    teacher: Ensemble<B::InnerBackend, T>,
    emd: EmdMatch<B>,
}

/// The configuration with its losses looked up, and the masses.
pub(crate) struct EmdMatch<B: AutodiffBackend> {
    config: EmdConfig,
    hidden_loss: LossFn<B>,
    attention_loss: LossFn<B>,
    /// Known from the first batch on.
    masses: Option<[Masses; 2]>,
}

/// The masses of both models' layers, for one feature.
#[derive(Debug, Clone, PartialEq)]
struct Masses {
    student: Vec<f64>,
    teacher: Vec<f64>,
}

impl<B: AutodiffBackend, M, T> EmdDistillation<B, M, T> {
    /// Checks both configurations and looks their losses up in `losses`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both.
    pub fn new(
        config: DistillationConfig,
        emd: EmdConfig,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
    ) -> Result<Self, DistillError> {
        let emd = EmdMatch::new(emd, losses)?;
        Ok(Self::from_comparison(
            Comparison::new(config, losses, 1)?,
            emd,
            adaptor,
            Ensemble::single(teacher),
        ))
    }

    pub(crate) fn from_comparison(
        comparison: Comparison<B>,
        emd: EmdMatch<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: Ensemble<B::InnerBackend, T>,
    ) -> Self {
        Self { comparison, adaptor: Box::new(adaptor), teacher, emd }
    }

    /// The features that are compared.
    fn wants(&self) -> Wants {
        self.comparison.wants().or(self.emd.wants())
    }
}

impl<B: AutodiffBackend> EmdMatch<B> {
    pub(crate) fn new(config: EmdConfig, losses: &LossRegistry<B>) -> Result<Self, DistillError> {
        let within = config.validate(&losses.names()).into_iter().map(|problem| problem.within("emd"));
        ConfigError::from_problems(within.collect())?;
        let named = |name: &str| {
            losses
                .get(name)
                .map_err(|source| DistillError::Loss { term: "emd".into(), source: Box::new(source) })
        };
        Ok(Self {
            hidden_loss: named(&config.hidden_loss)?,
            attention_loss: named(&config.attention_loss)?,
            config,
            masses: None,
        })
    }

    fn wants(&self) -> Wants {
        Wants::of_emd(&self.config)
    }

    /// Adds the two distances and updates the masses.
    fn push(
        &mut self,
        terms: &mut LossTerms<B>,
        projection: Option<&Projection<B>>,
        student: &AdaptorOutput<B>,
        teacher: &AdaptorOutput<B>,
    ) -> Result<(), DistillError> {
        let config = &self.config;
        let mut is_broken = false;
        let mut features = Vec::new();
        if config.hidden_weight > 0.0 {
            let states = |output: &AdaptorOutput<B>| -> Vec<FeatureTensor<B>> {
                output.hidden.iter().skip(1).cloned().map(FeatureTensor::from).collect()
            };
            let mut own = chosen("student", "hidden", states(student), config.layers_s.as_deref())?;
            if let Some(projection) = projection {
                own = own.into_iter().map(|state| projection.map(state)).collect();
            }
            let other = chosen("teacher", "hidden", states(teacher), config.layers_t.as_deref())?;
            features.push((0, "emd_hidden", config.hidden_weight, own, other));
        }
        if config.attention_weight > 0.0 {
            let attention = |output: &AdaptorOutput<B>| match config.attention {
                MatchFeature::Attention => output.attention.clone(),
                _ => output.attention_scores.clone(),
            };
            let name = config.attention.to_string();
            let own = chosen("student", &name, attention(student), config.layers_s.as_deref())?;
            let other = chosen("teacher", &name, attention(teacher), config.layers_t.as_deref())?;
            features.push((1, "emd_attention", config.attention_weight, own, other));
        }

        let mut next: [Option<Masses>; 2] = [None, None];
        for (kind, name, weight, own, other) in features {
            let equal = Masses::equal(own.len(), other.len());
            let masses = self.masses.get_or_insert_with(|| [equal.clone(), equal.clone()])[kind].clone();
            if (masses.student.len(), masses.teacher.len()) != (own.len(), other.len()) {
                return Err(DistillError::Adaptor {
                    side: "student",
                    term: name.into(),
                    needed: format!(
                        "{} and {} layers, as before",
                        masses.student.len(),
                        masses.teacher.len()
                    ),
                    found: format!("{} and {}", own.len(), other.len()),
                });
            }
            let (mask, teacher_mask) = masks(student, teacher);
            let loss = if kind == 0 { &self.hidden_loss } else { &self.attention_loss };
            let failed = |source| DistillError::Loss { term: name.to_owned(), source: Box::new(source) };
            let input = LossInput { student: own, teacher: other, mask, teacher_mask };
            let costs = layer_costs(&input, |pair| loss(pair)).map_err(failed)?;
            let values = matrix(&costs, masses.teacher.len());
            if values.iter().flatten().any(|cost| !cost.is_finite()) {
                // There is nothing to solve; the loop does not take such a step, and the masses stay.
                is_broken = true;
                terms.push(name, costs.sum(), weight);
                continue;
            }
            let distance = earth_mover(costs, &masses.student, &masses.teacher).map_err(failed)?;
            next[kind] = Some(masses.moved(&distance.plan, &values));
            terms.push(name, distance.loss, weight);
        }
        if self.config.update_masses && !is_broken {
            self.masses = Some(match next {
                [Some(hidden), Some(attention)] if self.config.separate_masses => [hidden, attention],
                [Some(hidden), Some(attention)] => {
                    let mean = hidden.mean(&attention);
                    [mean.clone(), mean]
                }
                [Some(one), None] | [None, Some(one)] => [one.clone(), one],
                [None, None] => unreachable!("one of the weights is above 0"),
            });
        }
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        let bits = |masses: &[f64]| masses.iter().map(|mass| mass.to_bits()).collect::<Vec<_>>();
        let masses = self.masses.as_ref()?;
        let both = masses.iter().map(|one| json!([bits(&one.student), bits(&one.teacher)]));
        // As bits, so that a continued run is the same to the last one.
        Some(json!({ "emd_masses_bits": both.collect::<Vec<_>>() }))
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        let masses: Vec<[Vec<u64>; 2]> = serde_json::from_value(state["emd_masses_bits"].clone())
            .map_err(|error| format!("the masses of the EMD layers: {error}"))?;
        let masses: Vec<Masses> = masses
            .into_iter()
            .map(|[student, teacher]| {
                let floats = |bits: Vec<u64>| bits.into_iter().map(f64::from_bits).collect();
                Masses { student: floats(student), teacher: floats(teacher) }
            })
            .collect();
        let masses: [Masses; 2] =
            masses.try_into().map_err(|_| "the masses of the EMD layers are not two pairs".to_owned())?;
        self.masses = Some(masses);
        Ok(())
    }
}

impl Masses {
    fn equal(student: usize, teacher: usize) -> Self {
        let equal = |layers: usize| vec![1.0 / layers as f64; layers];
        Self { student: equal(student), teacher: equal(teacher) }
    }

    /// The masses after a transport at `costs`.
    fn moved(&self, plan: &TransportPlan, costs: &[Vec<f64>]) -> Self {
        let paid = |row: usize, column: usize| plan.flow[row][column] * costs[row][column];
        let (rows, columns) = (self.student.len(), self.teacher.len());
        let of_row = |row| (0..columns).map(|column| paid(row, column)).sum::<f64>();
        let of_column = |column| (0..rows).map(|row| paid(row, column)).sum::<f64>();
        Self {
            student: follow(&self.student, (0..rows).map(of_row)),
            teacher: follow(&self.teacher, (0..columns).map(of_column)),
        }
    }

    fn mean(&self, other: &Self) -> Self {
        let mean = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect();
        Self { student: mean(&self.student, &other.student), teacher: mean(&self.teacher, &other.teacher) }
    }
}

/// New masses, inverse to what each unit of the old ones cost.
fn follow(masses: &[f64], paid: impl Iterator<Item = f64>) -> Vec<f64> {
    let costs: Vec<f64> = paid.zip(masses).map(|(paid, mass)| paid / mass).collect();
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    if mean <= 0.0 {
        // Nothing costs anything: there is nothing to learn from.
        return masses.to_vec();
    }
    let inverse: Vec<f64> = costs.iter().map(|cost| 1.0 / cost.max(LEAST_COST * mean)).collect();
    let sum: f64 = inverse.iter().sum();
    inverse.into_iter().map(|share| share / sum).collect()
}

/// The values of a matrix of costs, read back from the device.
fn matrix<B: AutodiffBackend>(costs: &Tensor<B, 2>, columns: usize) -> Vec<Vec<f64>> {
    let values: Vec<f64> = costs.clone().inner().into_data().iter::<f64>().collect();
    values.chunks(columns).map(<[f64]>::to_vec).collect()
}

/// The layers that take part, counted from 1; all where none are named.
fn chosen<B: AutodiffBackend>(
    side: &'static str,
    field: &str,
    layers: Vec<FeatureTensor<B>>,
    named: Option<&[usize]>,
) -> Result<Vec<FeatureTensor<B>>, DistillError> {
    let missing = |needed: String| DistillError::Adaptor {
        side,
        term: "emd".into(),
        needed,
        found: format!("{field} of {} layers", layers.len()),
    };
    match named {
        None if layers.is_empty() => Err(missing(format!("`{field}`"))),
        None => Ok(layers),
        Some(named) => named
            .iter()
            .map(|&layer| {
                let found = layer.checked_sub(1).and_then(|index| layers.get(index)).cloned();
                found.ok_or_else(|| missing(format!("`{field}` of layer {layer}, counted from 1")))
            })
            .collect(),
    }
}

impl<B, M, T> Objective<B, M, T> for EmdDistillation<B, M, T>
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
        let outputs = Outputs::of(student, self.adaptor.as_ref(), &self.teacher, batch, wants, context)?;
        let mut terms = self.comparison.terms(projections, &outputs, context)?;
        // The last projection is the one of all layers.
        let projection = projections.last().and_then(Option::as_ref);
        let projection = self.emd.config.proj.as_ref().and(projection);
        self.emd.push(&mut terms, projection, &outputs.student, &outputs.teachers[0])?;
        Ok(terms)
    }

    fn state(&self) -> Option<ObjectiveState> {
        self.emd.state().map(ObjectiveState::from)
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<(), String> {
        self.emd.restore(&state.values)
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend as AB, TestBackend, assert_close};
    use burn::nn::Linear;
    use burn::tensor::TensorData;

    use super::*;
    use crate::{BatchRows, CachedTeacher, ForwardContext, ModelTeacher, Objective};

    #[test]
    fn cheap_layers_gain_mass() {
        // All of the student's mass goes straight down; the first layer costs 1 a unit, the second 3.
        let plan = TransportPlan { flow: vec![vec![0.5, 0.0], vec![0.0, 0.5]], cost: 2.0 };
        let costs = [vec![1.0, 9.0], vec![9.0, 3.0]];
        let next = Masses::equal(2, 2).moved(&plan, &costs);
        assert_eq!(next, Masses { student: vec![0.75, 0.25], teacher: vec![0.75, 0.25] });
        // From those masses the same costs give the same again.
        let plan = TransportPlan { flow: vec![vec![0.75, 0.0], vec![0.0, 0.25]], cost: 1.5 };
        assert_eq!(next.moved(&plan, &costs), next);
    }

    /// The released BERT-EMD gives such a layer the mass 0 and divides by it in the next batch.
    #[test]
    fn a_layer_that_costs_nothing_keeps_finite_mass() {
        let plan = TransportPlan { flow: vec![vec![0.5, 0.0], vec![0.0, 0.5]], cost: 1.0 };
        let next = Masses::equal(2, 2).moved(&plan, &[vec![0.0, 9.0], vec![9.0, 2.0]]);
        // The costs of a unit are 0 and 2, the first taken for a thousandth of their mean.
        assert_close(&[next.student[1] as f32], &[(0.5 / (1000.0 + 0.5)) as f32], 1e-5, 0.0, "mass");
        let free = TransportPlan { flow: plan.flow.clone(), cost: 0.0 };
        let kept = next.moved(&free, &[vec![0.0, 0.0], vec![0.0, 0.0]]);
        assert_eq!(kept, next);
    }

    type State = [[[f32; 2]; 2]; 1];

    /// Outputs whose hidden states are these, behind one for the embeddings.
    fn output<B: burn::tensor::backend::Backend>(states: &[State]) -> AdaptorOutput<B> {
        let device = Default::default();
        let tensor = |state: &State| Tensor::from_data(TensorData::from(*state), &device);
        let embeddings = Tensor::zeros([1, 2, 2], &device);
        AdaptorOutput {
            hidden: std::iter::once(embeddings).chain(states.iter().map(tensor)).collect(),
            ..AdaptorOutput::default()
        }
    }

    fn objective(emd: EmdConfig) -> EmdDistillation<AB, Linear<AB>, ()> {
        // Squared distances between the student's layers and the teacher's: [1, 4], [1, 0], [9, 4] and 16 [0].
        let student: Vec<State> = vec![[[[1.0; 2]; 2]], [[[2.0; 2]; 2]]];
        let teacher: Vec<State> = vec![[[[0.0; 2]; 2]], [[[2.0; 2]; 2]], [[[4.0; 2]; 2]]];
        let adaptor = move |_: &Linear<AB>, _: &(), _: ForwardContext| Ok(output::<AB>(&student));
        let says = move |_: &(), _: &(), _: ForwardContext| Ok(output::<TestBackend>(&teacher));
        let config = DistillationConfig::default();
        EmdDistillation::new(config, emd, &LossRegistry::default(), adaptor, ModelTeacher::new((), says))
            .unwrap()
    }

    fn hidden_only() -> EmdConfig {
        EmdConfig { attention_weight: 0.0, ..EmdConfig::default() }
    }

    const CONTEXT: StepContext = StepContext { seed: 0, epoch: 0, step: 0, total_steps: 10, batch: 0 };

    fn linear() -> Trainable<AB, Linear<AB>> {
        Trainable::new(burn::nn::LinearConfig::new(1, 1).init(&Default::default()))
    }

    #[test]
    fn the_distance_is_that_of_the_best_flow_and_the_masses_go_into_the_checkpoint() {
        let mut first = objective(hidden_only());
        assert_eq!(first.state(), None);
        let terms = first.loss(&linear(), &(), &CONTEXT).unwrap();
        assert_eq!(terms.terms()[0].name, "emd_hidden");
        // Costs [[1, 1, 9], [4, 0, 4]], masses 1/2 each to 1/3 each: layer 1 gives 1/3 to the first and 1/6 to
        // the second, layer 2 gives 1/6 to the second and 1/3 to the third.
        let expected = (1.0 / 3.0 + 1.0 / 6.0 + 4.0 / 3.0) as f32;
        assert_close(&[terms.terms()[0].value.clone().into_scalar()], &[expected], 1e-6, 0.0, "distance");
        // A unit of layer 1 costs 1, of layer 2 (4/3)/(1/2) = 8/3; of the teacher's 1, 1/2 and 4.
        let masses = first.emd.masses.clone().unwrap()[0].clone();
        let inverse = [1.0, 3.0 / 8.0];
        assert_close(
            &[masses.student[0] as f32],
            &[(inverse[0] / 1.375) as f32],
            1e-6,
            0.0,
            "student's mass",
        );
        assert_close(&[masses.teacher[1] as f32], &[(2.0 / 3.25) as f32], 1e-6, 0.0, "teacher's mass");

        let second = first.loss(&linear(), &(), &CONTEXT).unwrap().terms()[0].value.clone().into_scalar();
        let mut resumed = objective(hidden_only());
        objective(hidden_only()).loss(&linear(), &(), &CONTEXT).unwrap();
        let mut once = objective(hidden_only());
        once.loss(&linear(), &(), &CONTEXT).unwrap();
        resumed.restore(once.state().unwrap()).unwrap();
        let continued =
            resumed.loss(&linear(), &(), &CONTEXT).unwrap().terms()[0].value.clone().into_scalar();
        assert_eq!(second, continued);
        assert!(resumed.restore(json!({"emd_masses_bits": [[[1]]]}).into()).is_err());
    }

    /// What a continued run recalls is what its loss asks for, so that nothing is computed in another batch.
    #[test]
    fn what_is_recalled_has_the_features_of_the_loss() {
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let asked = seen.clone();
        let says = move |_: &(), wants: Wants| {
            asked.borrow_mut().push(wants);
            Ok(output::<TestBackend>(&[[[[1.0; 2]; 2]]]))
        };
        let rows = |_: &()| BatchRows::<TestBackend> {
            ids: vec![0],
            texts: Vec::new(),
            length: 2,
            device: Default::default(),
        };
        let adaptor = |_: &Linear<AB>, _: &(), _: ForwardContext| Ok(output::<AB>(&[[[[1.0; 2]; 2]]]));
        let (config, losses) = (DistillationConfig::default(), LossRegistry::default());
        let teacher = CachedTeacher::new(says, rows);
        let mut emd = EmdDistillation::new(config, hidden_only(), &losses, adaptor, teacher).unwrap();
        Objective::<AB, Linear<AB>, ()>::recall(&mut emd, &()).unwrap();
        emd.loss(&linear(), &(), &CONTEXT).unwrap();
        let seen = seen.borrow();
        assert!(!seen.is_empty() && seen.iter().all(|wants| wants.hidden), "{seen:?}");
    }

    #[test]
    fn masses_stay_where_they_are_not_to_be_updated() {
        let mut fixed = objective(EmdConfig { update_masses: false, ..hidden_only() });
        let mut value =
            || fixed.loss(&linear(), &(), &CONTEXT).unwrap().terms()[0].value.clone().into_scalar();
        assert_eq!(value(), value());
    }

    #[test]
    fn chosen_layers_are_counted_from_one_and_missing_ones_are_named() {
        let mut some =
            objective(EmdConfig { layers_t: Some(vec![2]), layers_s: Some(vec![2]), ..hidden_only() });
        let terms = some.loss(&linear(), &(), &CONTEXT).unwrap();
        assert_eq!(terms.terms()[0].value.clone().into_scalar(), 0.0);
        let mut absent = objective(EmdConfig { layers_t: Some(vec![4]), ..hidden_only() });
        let error = absent.loss(&linear(), &(), &CONTEXT).unwrap_err().to_string();
        assert!(error.contains("teacher") && error.contains("layer 4"), "{error}");
        let error = objective(EmdConfig::default()).loss(&linear(), &(), &CONTEXT).unwrap_err().to_string();
        assert!(error.contains("attention_scores"), "{error}");
    }
}
