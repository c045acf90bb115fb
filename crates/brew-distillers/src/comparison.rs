//! What a student's outputs cost beside its teachers'.

use brew_config::{
    ConfigError, DistillationConfig, KdScale, Problem, ProjectionConfig, ProjectionGroup,
    TemperatureScheduler,
};
use brew_losses::{
    LossRegistry, Temperature, cwsm_temperature, flsw_temperature, kd_loss, probability_shift,
    select_positions,
};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor};

use crate::distillation::Outputs;
use crate::matches::{Match, wanted};
use crate::{AdaptorOutput, CustomMatch, DistillError, LossTerms, Projection, StepContext, Wants};

/// A weight as a function of the share of the run's steps that is done, in `[0, 1]`.
pub(crate) type WeightFn = Box<dyn Fn(f64) -> f64>;

/// Soft labels, matches and hard labels, weighted: what every distiller makes of outputs.
pub(crate) struct Comparison<B: AutodiffBackend> {
    config: DistillationConfig,
    matches: Vec<Match<B>>,
    /// In place of the configuration's schedule.
    pub(crate) kd_loss_weight: Option<WeightFn>,
    /// In place of the configuration's schedule.
    pub(crate) hard_label_weight: Option<WeightFn>,
}

impl<B: AutodiffBackend> Comparison<B> {
    /// Checks the configuration for so many teachers and looks its losses up in `losses`.
    pub(crate) fn new(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        teachers: usize,
    ) -> Result<Self, DistillError> {
        let mut problems = config.validate(&losses.names());
        for (index, one) in config.intermediate_matches.iter().enumerate() {
            let field = format!("intermediate_matches[{index}].teacher");
            problems.extend(no_such_teacher(field, one.teacher, teachers));
        }
        ConfigError::from_problems(problems)?;
        let matches = config
            .intermediate_matches
            .iter()
            .map(|one| Match::of_layers(one, losses))
            .collect::<Result<_, _>>()?;
        Ok(Self { config, matches, kd_loss_weight: None, hard_label_weight: None })
    }

    /// Adds matches of the user's own behind those of the configuration.
    pub(crate) fn extend(
        &mut self,
        custom: Vec<CustomMatch<B>>,
        teachers: usize,
    ) -> Result<(), DistillError> {
        let added: Vec<Match<B>> = custom.into_iter().map(Match::from).collect();
        let mut problems = Vec::new();
        for one in &added {
            problems.extend(no_such_teacher(
                format!("custom match {}: teacher", one.name),
                one.teacher,
                teachers,
            ));
            if !one.weight.is_finite() || one.weight < 0.0 {
                let field = format!("custom match {}: weight", one.name);
                problems.push(Problem::new(field, one.weight, "must be a finite number of at least 0"));
            }
        }
        ConfigError::from_problems(problems)?;
        self.matches.extend(added);
        Ok(())
    }

    pub(crate) fn wants(&self) -> Wants {
        wanted(&self.matches)
    }

    /// The projection of each match, `None` where it has none.
    pub(crate) fn projections(&self) -> Vec<Option<ProjectionConfig>> {
        self.matches.iter().map(|one| one.projection.clone()).collect()
    }

    /// The parameter group of each match's projection.
    pub(crate) fn projection_groups(&self) -> Vec<Option<ProjectionGroup>> {
        self.matches.iter().map(Match::projection_group).collect()
    }

    /// The loss terms of a student beside its teachers.
    pub(crate) fn terms(
        &self,
        projections: &[Option<Projection<B>>],
        outputs: &Outputs<B>,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let Outputs { student, soft, teachers } = outputs;
        let mut terms = LossTerms::default();
        if let Some(loss) = self.kd_loss(student, soft)? {
            // `flsw` and `cwsm` move the positions' temperatures around the configured one, their mean.
            terms.set_temperature(self.config.temperature);
            terms.push("kd_loss", loss, self.kd_weight(context));
        }
        for (index, one) in self.matches.iter().enumerate() {
            let projection = projections.get(index).and_then(Option::as_ref);
            let loss = one.loss(projection, student, &teachers[one.teacher])?;
            terms.push(one.name.clone(), loss, one.weight);
        }
        let hard_weight = self.hard_weight(context);
        match hard_label_loss(student) {
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

    fn kd_weight(&self, context: &StepContext) -> f64 {
        let scheduled = match &self.kd_loss_weight {
            Some(weight) => Some(weight(context.progress())),
            None => self.config.kd_loss_weight_scheduler.weight(context.progress()),
        };
        first_as_configured(self.config.kd_loss_weight, scheduled, context)
    }

    fn hard_weight(&self, context: &StepContext) -> f64 {
        let scheduled = match &self.hard_label_weight {
            Some(weight) => Some(weight(context.progress())),
            None => self.config.hard_label_weight_scheduler.weight(context.progress()),
        };
        first_as_configured(self.config.hard_label_weight, scheduled, context)
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
            let mask_s = logits_mask("student", student, index)?;
            // A teacher that gives no mask is read through the student's.
            let mask_t =
                logits_mask("teacher", teacher, index)?.or(mask_s.clone().filter(|_| logits_t.rank() == 3));
            let (mask_s, mask_t) = match (mask_s, mask_t) {
                (mask_s, Some(aligned)) if teacher.aligned => {
                    let both = mask_s.map_or(aligned.clone(), |mask| mask * aligned);
                    (Some(both.clone()), Some(both))
                }
                own => own,
            };
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
            if let Some(mask) = mask_s {
                labels = labels.map(|labels| select_positions(labels, mask.clone()));
                rows_s = select_positions(rows_s, mask);
            }
            if let Some(mask) = mask_t {
                rows_t = select_positions(rows_t, mask);
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

/// The positions of one side's prediction `index` that count, flattened.
///
/// As in TextBrewer one mask serves all predictions, and logits without positions have none.
fn logits_mask<B: AutodiffBackend>(
    side: &'static str,
    output: &AdaptorOutput<B>,
    index: usize,
) -> Result<Option<Tensor<B, 1>>, DistillError> {
    let masks = &output.logits_mask;
    let wrong =
        |needed: String, found: String| DistillError::Adaptor { side, term: "kd_loss".into(), needed, found };
    let mask = match masks.len() {
        0 => return Ok(None),
        1 => &masks[0],
        count if count == output.logits.len() => &masks[index],
        count => {
            let needed =
                format!("one `logits_mask` or {}, one for each of its `logits`", output.logits.len());
            return Err(wrong(needed, format!("{count}")));
        }
    };
    let shape = output.logits[index].dims();
    if shape.len() != 3 {
        return Ok(None);
    }
    if mask.dims() != shape[..2] {
        let needed = format!("a `logits_mask` of shape {:?}, as its logits have positions", &shape[..2]);
        return Err(wrong(needed, format!("{:?}", mask.dims())));
    }
    Ok(Some(mask.clone().flatten(0, 1)))
}

/// A teacher that is not there.
fn no_such_teacher(field: String, teacher: usize, teachers: usize) -> Option<Problem> {
    (teacher >= teachers)
        .then(|| Problem::new(field, teacher, format!("there are {teachers}, counted from 0")))
}

/// As in TextBrewer the first step has the configured weight; a schedule replaces it from then on.
fn first_as_configured(configured: f64, scheduled: Option<f64>, context: &StepContext) -> f64 {
    match scheduled {
        Some(weight) if context.step > 0 => weight,
        _ => configured,
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
