//! Distillation of a run: what each teacher reads, and the distiller that the run asks for.

use std::collections::HashMap;

use brew_data::{AlignedBatch, AlignedCollator, AlignedFeature, Batch, Feature, IGNORED_LABEL};
use brew_distillers::{
    Adaptor, AdaptorOutput, AlignedTeacher, BatchRows, BatchSource, CachedTeacher, CrdDistiller, CrdInputs,
    DistillError, EmdDistiller, Ensemble, ForwardContext, Hooks, ModelTeacher, MultiTeacherDistiller,
    ProcessedBatches, SplitBatch, StudentSide, Teacher, Trained, Wants,
};
use brew_losses::FeatureTensor;
use brew_models::EncoderConfig;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::adaptors::{TextBatches, describe};
use crate::cache::Keeping;
use crate::train::teacher;
use crate::{Run, RunError, TaskModel, TaskModelAdaptor};

/// A batch as the student reads it, and for each teacher with tokens of its own as that one does.
pub(crate) type RunBatch<B> = SplitBatch<Batch<B>, Vec<Option<AlignedBatch<B>>>>;

/// The training texts in the tokens of a teacher whose tokenizer is not the student's.
#[derive(Debug, Clone)]
pub(crate) struct OwnReading {
    features: HashMap<u64, AlignedFeature>,
    collator: AlignedCollator,
}

impl OwnReading {
    pub(crate) fn new(features: Vec<AlignedFeature>, collator: AlignedCollator) -> Self {
        Self { features: features.into_iter().map(|one| (one.student.id, one)).collect(), collator }
    }

    /// What the teacher reads of each text.
    pub(crate) fn teachers(&self) -> impl Iterator<Item = &Feature> {
        self.features.values().map(|one| &one.teacher)
    }

    /// The texts of a batch, in its order.
    fn read<B: AutodiffBackend>(&self, batch: &Batch<B>) -> AlignedBatch<B> {
        let features: Vec<&AlignedFeature> = batch.ids.iter().map(|id| &self.features[id]).collect();
        self.collator.collate(&features, &batch.input_ids.device())
    }
}

/// Distils the teachers of a run into its student.
pub(crate) fn distil<B: AutodiffBackend>(
    run: &Run,
    student: TaskModel<B>,
    teachers: Vec<TaskModel<B::InnerBackend>>,
    kept: Vec<Keeping>,
    batches: TextBatches<B>,
    hooks: Hooks<'_, TaskModel<B>>,
) -> Result<Trained<B, TaskModel<B>>, RunError> {
    let (training, distillation) = (run.config.training.clone(), run.config.distillation.clone());
    let batches = read_batches(run, batches);
    let adaptor = StudentSide::new(adapt::<B>);
    if let Some(emd) = &run.config.emd {
        let only = Only(members::<B>(run, teachers, kept).swap_remove(0));
        let distiller = EmdDistiller::new(training, distillation, emd.clone(), only, adaptor)?;
        return Ok(distiller.train(student, &batches, hooks)?);
    }
    if let Some(crd) = &run.config.crd {
        let only = Only(members::<B>(run, teachers, kept).swap_remove(0));
        let inputs = crd_inputs(run);
        let distiller = CrdDistiller::new(training, distillation, crd.clone(), inputs, only, adaptor)?;
        return Ok(distiller.train(student, &batches, hooks)?);
    }
    // With one teacher it is the GeneralDistiller.
    let ensemble = ensemble::<B>(run, teachers, kept)?;
    let distiller = MultiTeacherDistiller::new(training, distillation, ensemble, adaptor)?;
    Ok(distiller.train(student, &batches, hooks)?)
}

/// The one teacher of a distiller that has no other.
struct Only<B: AutodiffBackend>(Box<dyn Teacher<B::InnerBackend, RunBatch<B>>>);

impl<B: AutodiffBackend> Teacher<B::InnerBackend, RunBatch<B>> for Only<B> {
    fn outputs(
        &self,
        batch: &RunBatch<B>,
        wants: Wants,
    ) -> Result<AdaptorOutput<B::InnerBackend>, DistillError> {
        self.0.outputs(batch, wants)
    }

    fn keeps_outputs(&self) -> bool {
        self.0.keeps_outputs()
    }

    fn recall(&self, batch: &RunBatch<B>, wants: Wants) -> Result<(), DistillError> {
        self.0.recall(batch, wants)
    }

    fn rest(&self) {
        self.0.rest();
    }
}

/// What CRD has to know of the run: widths of the compared states, training texts and their classes.
fn crd_inputs<B: AutodiffBackend>(run: &Run) -> CrdInputs<RunBatch<B>> {
    let of = |model: &EncoderConfig, layer: Option<usize>| {
        model.hidden_state_width(layer.unwrap_or(model.num_hidden_layers))
    };
    let (layer_s, layer_t) = run.config.crd.as_ref().map_or((None, None), |crd| (crd.layer_s, crd.layer_t));
    let widths = [of(&run.model, layer_s), of(&run.teachers[0], layer_t)];
    let texts = &run.train.features;
    CrdInputs::new(widths, texts.iter().map(|text| text.id), |batch: &RunBatch<B>| batch.student.ids.clone())
        .with_classes(texts.iter().map(Feature::class))
}

/// The student's outputs. A batch of which nothing is known has a loss on gold labels, too, and labels that do not
/// count: none.
fn adapt<B: AutodiffBackend>(
    model: &TaskModel<B>,
    batch: &Batch<B>,
    context: ForwardContext,
) -> Result<AdaptorOutput<B>, DistillError> {
    let mut output = TaskModelAdaptor.adapt(model, batch, context)?;
    if batch.targets.is_none() {
        let device = batch.input_ids.device();
        output.losses.push(Tensor::zeros([1], &device));
        let positions = |logits: &FeatureTensor<B>| match logits.dims().as_slice() {
            [places @ .., _classes] => places.iter().product(),
            [] => 0,
        };
        output.labels = output
            .logits
            .iter()
            .map(|logits| Tensor::full([positions(logits)], IGNORED_LABEL, &device))
            .collect();
    }
    Ok(output)
}

/// The batches of a run as its student and each of its teachers read them.
pub(crate) fn read_batches<B: AutodiffBackend>(
    run: &Run,
    batches: TextBatches<B>,
) -> impl BatchSource<RunBatch<B>> + use<'_, B> {
    ProcessedBatches::new(batches, |batch: Batch<B>| {
        let readings = run.readings.iter().map(|one| one.as_ref().map(|own| own.read(&batch))).collect();
        Ok(SplitBatch { student: batch, teacher: readings })
    })
    .with_description(|batch| describe(&batch.student))
}

/// The teachers of a run as one, weighted as it says.
pub(crate) fn ensemble<B: AutodiffBackend>(
    run: &Run,
    teachers: Vec<TaskModel<B::InnerBackend>>,
    kept: Vec<Keeping>,
) -> Result<Ensemble<B::InnerBackend, RunBatch<B>>, RunError> {
    let members = members::<B>(run, teachers, kept);
    let weights = run.config.teacher.as_ref().and_then(|teacher| teacher.weights.clone());
    Ok(match weights {
        Some(weights) => Ensemble::weighted(members, weights)?,
        None => Ensemble::new(members)?,
    })
}

type Member<B> = Box<dyn Teacher<<B as AutodiffBackend>::InnerBackend, RunBatch<B>>>;

/// The teachers of a run, each reading its own tokens, and keeping what it says where the run says so.
fn members<B: AutodiffBackend>(
    run: &Run,
    teachers: Vec<TaskModel<B::InnerBackend>>,
    kept: Vec<Keeping>,
) -> Vec<Member<B>> {
    let mut kept = kept.into_iter();
    let members = teachers.into_iter().enumerate().map(|(index, model)| {
        let has_own = run.readings.get(index).is_some_and(Option::is_some);
        let Some(keeping) = kept.next() else {
            return aligned::<B>(ReadingTeacher::<B>::new(model, index), index, has_own);
        };
        let cached = reloadable::<B>(run, model, keeping);
        // Outputs are kept for the teacher's own tokens, before they are carried over.
        aligned::<B>(cached, index, has_own)
    });
    members.collect()
}

/// A teacher of the run's batches.
pub(crate) struct ReadingTeacher<B: AutodiffBackend> {
    model: ModelTeacher<TaskModel<B::InnerBackend>, TaskModelAdaptor>,
    index: usize,
}

impl<B: AutodiffBackend> ReadingTeacher<B> {
    fn new(model: TaskModel<B::InnerBackend>, index: usize) -> Self {
        Self { model: ModelTeacher::new(model, TaskModelAdaptor), index }
    }
}

impl<B: AutodiffBackend> Teacher<B::InnerBackend, RunBatch<B>> for ReadingTeacher<B> {
    fn outputs(
        &self,
        batch: &RunBatch<B>,
        wants: Wants,
    ) -> Result<AdaptorOutput<B::InnerBackend>, DistillError> {
        self.model.outputs(&read_by(batch, self.index).inner(), wants)
    }
}

/// A teacher that keeps what it says, and whose weights leave memory when it has said everything.
fn reloadable<B: AutodiffBackend>(
    run: &Run,
    model: TaskModel<B::InnerBackend>,
    keeping: Keeping,
) -> CachedTeacher<ReadingTeacher<B>, RowsOf<B>> {
    let index = keeping.plan.index;
    let device = Module::<B::InnerBackend>::devices(&model).into_iter().next().unwrap_or_default();
    let (task, folder, labels) = (run.task(), keeping.plan.teacher.clone(), run.labels.len());
    cached_teacher::<B>(model, keeping).with_reload(move || {
        let model = teacher(task, &folder, labels, &device).map_err(DistillError::batch)?;
        Ok(ReadingTeacher::new(model, index))
    })
}

/// What a teacher reads of a batch, as its cache needs to know it.
type RowsOf<B> = Box<dyn Fn(&RunBatch<B>) -> BatchRows<<B as AutodiffBackend>::InnerBackend>>;

/// A teacher of the run's batches, which keeps what it says of its own tokens.
pub(crate) fn cached_teacher<B: AutodiffBackend>(
    model: TaskModel<B::InnerBackend>,
    keeping: Keeping,
) -> CachedTeacher<ReadingTeacher<B>, RowsOf<B>> {
    let Keeping { plan, cache, .. } = keeping;
    let (index, texts) = (plan.index, plan.texts);
    let rows: RowsOf<B> = Box::new(move |batch| {
        let own = read_by(batch, index);
        BatchRows {
            ids: own.ids.clone(),
            texts: own.ids.iter().filter_map(|id| Some(texts.get(id)?.digest)).collect(),
            length: own.length(),
            device: own.input_ids.device(),
        }
    });
    let mut cached = CachedTeacher::new(ReadingTeacher::new(model, index), rows).with_storage(plan.storage);
    if let Some(matches) = &plan.matches {
        cached = cached.with_matches(matches, index);
    }
    match cache {
        Some(cache) => cached.with_cache(cache, plan.wants),
        None => cached,
    }
}

/// What teacher `index` reads of a batch.
fn read_by<B: AutodiffBackend>(batch: &RunBatch<B>, index: usize) -> &Batch<B> {
    match batch.teacher.get(index) {
        Some(Some(own)) => &own.teacher,
        _ => &batch.student,
    }
}

/// The teacher, its outputs carried over to the student's tokens where its own are others.
fn aligned<B: AutodiffBackend>(
    teacher: impl Teacher<B::InnerBackend, RunBatch<B>> + 'static,
    index: usize,
    has_own: bool,
) -> Member<B> {
    if !has_own {
        return Box::new(teacher);
    }
    Box::new(AlignedTeacher::new(teacher, move |batch: &RunBatch<B>| {
        let own =
            batch.teacher[index].as_ref().expect("a teacher with tokens of its own reads its own batch");
        own.alignment.clone().inner()
    }))
}
