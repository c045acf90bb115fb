use brew_config::{
    ConfigError, DistillationConfig, IntermediateMatch, KdScale, MatchFeature, Problem, TemperatureScheduler,
};
use brew_losses::{
    FeatureTensor, LossFn, LossInput, LossRegistry, Temperature, cwsm_temperature, flsw_temperature, kd_loss,
    probability_shift, select_positions,
};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor};

use crate::{
    Adaptor, AdaptorOutput, DistillError, Ensemble, ForwardContext, LossTerms, Objective, StepContext,
    Student, Teacher, Trainable, Wants,
};

/// Knowledge distillation with one teacher or several: soft labels, hard labels and intermediate
/// matches.
///
/// total = `kd_loss_weight` · Σ kd(logits) + Σ `weight` · match + `hard_label_weight` · Σ mean(losses)
///
/// Source: TextBrewer's `GeneralDistiller`; without matches its `BasicDistiller`, with several teachers
/// its `MultiTeacherDistiller`, which has no matches.
pub struct Distillation<B: AutodiffBackend, M, T> {
    config: DistillationConfig,
    matches: Vec<Match<B>>,
    wants: Wants,
    adaptor: Box<dyn Adaptor<B, M, T>>,
    teachers: Ensemble<B::InnerBackend, T>,
}

/// An intermediate match with its loss looked up.
struct Match<B: AutodiffBackend> {
    config: IntermediateMatch,
    name: String,
    loss: LossFn<B>,
}

impl<B: AutodiffBackend, M, T> Distillation<B, M, T> {
    /// Checks the configuration and looks its losses up in `losses`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configuration, an unknown loss included.
    pub fn new(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_teachers(config, losses, adaptor, Ensemble::single(teacher))
    }

    /// The same with several teachers: their logits are averaged, each match names its own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configuration, a match of a teacher that is
    /// not there included.
    pub fn with_teachers(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teachers: Ensemble<B::InnerBackend, T>,
    ) -> Result<Self, DistillError> {
        let mut problems = config.validate(&losses.names());
        for (index, one) in config.intermediate_matches.iter().enumerate() {
            if one.teacher >= teachers.len() {
                problems.push(Problem::new(
                    format!("intermediate_matches[{index}].teacher"),
                    one.teacher,
                    format!("there are {}, counted from 0", teachers.len()),
                ));
            }
        }
        ConfigError::from_problems(problems)?;
        let mut wants = Wants::default();
        let mut matches = Vec::new();
        for one in &config.intermediate_matches {
            match one.feature {
                MatchFeature::Hidden => wants.hidden = true,
                MatchFeature::Attention => wants.attention = true,
                MatchFeature::AttentionScores => wants.attention_scores = true,
            }
            let loss = losses
                .get(&one.loss)
                .map_err(|source| DistillError::Loss { term: one.name(), source: Box::new(source) })?;
            matches.push(Match { config: one.clone(), name: one.name(), loss });
        }
        Ok(Self { config, matches, wants, adaptor: Box::new(adaptor), teachers })
    }

    /// The temperature of one pair of logits, `[positions, classes]` each.
    fn temperature(&self, student: &Tensor<B, 2>, teacher: &Tensor<B, 2>) -> Temperature<B> {
        let base = self.config.temperature;
        match self.config.temperature_scheduler {
            TemperatureScheduler::None | TemperatureScheduler::Constant => Temperature::Scalar(base),
            TemperatureScheduler::Flsw { beta, gamma } => Temperature::PerPosition(flsw_temperature(
                student.clone().detach(),
                teacher.clone(),
                base,
                beta,
                gamma,
            )),
            TemperatureScheduler::Cwsm { beta } => Temperature::PerPosition(cwsm_temperature(
                student.clone().detach(),
                teacher.clone(),
                base,
                beta,
            )),
        }
    }

    /// The soft-label loss summed over the predictions.
    fn kd_loss(
        &self,
        student: &AdaptorOutput<B>,
        teacher: &AdaptorOutput<B>,
    ) -> Result<Option<Tensor<B, 1>>, DistillError> {
        let missing = |side, found: usize, needed: usize| DistillError::Adaptor {
            side,
            term: "kd_loss".into(),
            needed: format!("{needed} `logits` (as many as the other side gives)"),
            found: format!("{found} `logits`"),
        };
        match (student.logits.len(), teacher.logits.len()) {
            (0, 0) => return Ok(None),
            (s, t) if s < t => return Err(missing("student", s, t)),
            (s, t) if t < s => return Err(missing("teacher", t, s)),
            _ => {}
        }
        let mut total: Option<Tensor<B, 1>> = None;
        for (index, (logits_s, logits_t)) in student.logits.iter().zip(&teacher.logits).enumerate() {
            let mask_s = student.logits_mask.get(index);
            let mask_t = teacher.logits_mask.get(index).or(mask_s);
            let mut rows_t = logits_t.clone().into_positions();
            let mut rows_s = logits_s.clone().into_positions();
            if self.config.probability_shift {
                // Shifted before any position is left out, while labels and logits still align.
                let labels = labels_of(student, index, "kd_loss with probability_shift", rows_t.dims()[0])?;
                rows_t = probability_shift(rows_t, labels);
            }
            let kind = self.config.kd_loss_type;
            let mut labels = if kind.needs_labels() {
                let term = format!("kd_loss with kd_loss_type `{}`", kind.name());
                Some(labels_of(student, index, &term, rows_s.dims()[0])?)
            } else {
                None
            };
            if let (Some(mask_s), Some(mask_t)) = (mask_s, mask_t) {
                let mask_s = mask_s.clone().flatten(0, 1);
                labels = labels.map(|labels| select_positions(labels, mask_s.clone()));
                rows_s = select_positions(rows_s, mask_s);
                rows_t = select_positions(rows_t, mask_t.clone().flatten(0, 1));
            }
            if rows_s.dims() != rows_t.dims() {
                let needed = format!("logits of the teacher's shape {:?}", rows_t.dims());
                let found = format!("{:?} (positions that count, classes)", rows_s.dims());
                return Err(DistillError::Adaptor { side: "student", term: "kd_loss".into(), needed, found });
            }
            let temperature = self.temperature(&rows_s, &rows_t);
            let loss = kd_loss(kind, rows_s, rows_t, labels, &temperature)
                .map_err(|source| DistillError::Loss { term: "kd_loss".into(), source: Box::new(source) })?;
            total = Some(match total {
                Some(sum) => sum + loss,
                None => loss,
            });
        }
        Ok(total.map(|loss| match self.config.kd_scale {
            KdScale::None => loss,
            KdScale::TSquared => loss.mul_scalar(self.config.temperature.powi(2)),
        }))
    }
}

impl<B: AutodiffBackend> Match<B> {
    /// The unweighted loss of this match.
    fn loss<M: Student<B>>(
        &self,
        index: usize,
        trainable: &Trainable<B, M>,
        student: &AdaptorOutput<B>,
        teacher: &AdaptorOutput<B>,
    ) -> Result<Tensor<B, 1>, DistillError> {
        let mut features_s = self.features("student", student, self.config.layer_s.as_slice())?;
        let features_t = self.features("teacher", teacher, self.config.layer_t.as_slice())?;
        if let Some(Some(projection)) = trainable.projections.get(index) {
            features_s = features_s
                .into_iter()
                .map(|feature| match feature {
                    FeatureTensor::D3(hidden) => projection.forward(hidden).into(),
                    other => other,
                })
                .collect();
        }
        let input = LossInput { student: features_s, teacher: features_t, mask: student.inputs_mask.clone() };
        (self.loss)(&input)
            .map_err(|source| DistillError::Loss { term: self.name.clone(), source: Box::new(source) })
    }

    /// The layers of one side that this match compares.
    fn features(
        &self,
        side: &'static str,
        output: &AdaptorOutput<B>,
        layers: &[usize],
    ) -> Result<Vec<FeatureTensor<B>>, DistillError> {
        let (field, given) = match self.config.feature {
            MatchFeature::Hidden => ("hidden", output.hidden.len()),
            MatchFeature::Attention => ("attention", output.attention.len()),
            MatchFeature::AttentionScores => ("attention_scores", output.attention_scores.len()),
        };
        layers
            .iter()
            .map(|&layer| {
                let feature = match self.config.feature {
                    MatchFeature::Hidden => output.hidden.get(layer).cloned().map(FeatureTensor::from),
                    MatchFeature::Attention => output.attention.get(layer).cloned(),
                    MatchFeature::AttentionScores => output.attention_scores.get(layer).cloned(),
                };
                feature.ok_or_else(|| DistillError::Adaptor {
                    side,
                    term: self.name.clone(),
                    needed: format!("`{field}` {layer}, counted from 0"),
                    found: format!("{given} `{field}`"),
                })
            })
            .collect()
    }
}

impl<B, M, T> Objective<B, M, T> for Distillation<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let outputs = self.teachers.outputs(batch, self.wants)?;
        let soft = AdaptorOutput {
            logits: self.teachers.mean_logits(&outputs)?,
            logits_mask: outputs[0].logits_mask.clone(),
            ..AdaptorOutput::default()
        };
        let soft = AdaptorOutput::from_inner(soft);
        let teachers: Vec<_> = outputs.into_iter().map(AdaptorOutput::from_inner).collect();
        let forward = ForwardContext { dropout: Some(context.dropout()), wants: self.wants };
        let student = self.adaptor.adapt(&trainable.student, batch, forward)?;

        // The first step has the configured weights; a schedule replaces them from then on.
        let scheduled = |configured, at_progress: Option<f64>| match at_progress {
            Some(weight) if context.step > 0 => weight,
            _ => configured,
        };
        let progress = context.progress();
        let kd_weight =
            scheduled(self.config.kd_loss_weight, self.config.kd_loss_weight_scheduler.weight(progress));
        let hard_weight = scheduled(
            self.config.hard_label_weight,
            self.config.hard_label_weight_scheduler.weight(progress),
        );

        let mut terms = LossTerms::default();
        if let Some(loss) = self.kd_loss(&student, &soft)? {
            terms.push("kd_loss", loss, kd_weight);
        }
        for (index, one) in self.matches.iter().enumerate() {
            let loss = one.loss(index, trainable, &student, &teachers[one.config.teacher])?;
            terms.push(one.name.clone(), loss, one.config.weight);
        }
        match hard_label_loss(&student) {
            Some(loss) => terms.push("hard_label_loss", loss, hard_weight),
            None if hard_weight != 0.0 => {
                return Err(DistillError::Adaptor {
                    side: "student",
                    term: format!("hard_label_weight = {hard_weight}"),
                    needed: "`losses` on the gold labels".into(),
                    found: "none".into(),
                });
            }
            None => {}
        }
        Ok(terms)
    }
}

/// The student's labels of its prediction `index`, one for each of `positions`.
fn labels_of<B: AutodiffBackend>(
    student: &AdaptorOutput<B>,
    index: usize,
    term: &str,
    positions: usize,
) -> Result<Tensor<B, 1, Int>, DistillError> {
    let wrong = |needed: String, found: String| DistillError::Adaptor {
        side: "student",
        term: term.to_string(),
        needed,
        found,
    };
    let labels = student.labels.get(index).ok_or_else(|| {
        wrong(format!("{} `labels`", index + 1), format!("{} `labels`", student.labels.len()))
    })?;
    if labels.dims()[0] != positions {
        return Err(wrong(
            format!("`labels` {index} of {positions} positions, as its logits have"),
            format!("{}", labels.dims()[0]),
        ));
    }
    Ok(labels.clone())
}

/// The model's own losses, each averaged, summed.
pub(crate) fn hard_label_loss<B: AutodiffBackend>(output: &AdaptorOutput<B>) -> Option<Tensor<B, 1>> {
    output.losses.iter().map(|loss| loss.clone().mean()).reduce(|sum, loss| sum + loss)
}
