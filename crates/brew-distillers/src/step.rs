use std::collections::HashMap;

use brew_config::{OptimizerConfig, ProjectionGroup};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};

use crate::parameters::named_parameters;
use crate::{Student, Trainable};

type GroupOptimizer<B, M> = OptimizerAdaptor<AdamW, Trainable<B, M>, B>;

/// The optimizer state of one group, by parameter.
pub(crate) type GroupRecord<B, M> = <GroupOptimizer<B, M> as Optimizer<Trainable<B, M>, B>>::Record;

/// Parameters that share their optimizer settings.
struct Group<B: AutodiffBackend, M: Student<B>> {
    lr: f64,
    optimizer: GroupOptimizer<B, M>,
}

/// Parameter groups behind one optimizer step.
///
/// Burn's optimizers have one rate and one decay for all they step, so each group has an optimizer
/// of its own and is given its share of the gradients.
pub(crate) struct Stepper<B: AutodiffBackend, M: Student<B>> {
    groups: Vec<Group<B, M>>,
    group_of: HashMap<ParamId, usize>,
}

/// The settings by which parameters are grouped.
#[derive(Clone, Copy, PartialEq)]
struct Settings {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

impl<B, M> Stepper<B, M>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    /// Groups the parameters of `trainable`: the student's by `config`, each projection's by its own
    /// settings where `projection_groups` has some.
    pub(crate) fn new(
        trainable: &Trainable<B, M>,
        config: &OptimizerConfig,
        projection_groups: &[Option<ProjectionGroup>],
    ) -> Self {
        let mut known: Vec<Settings> = Vec::new();
        let mut groups = Vec::new();
        let mut group_of = HashMap::new();
        for parameter in named_parameters(trainable) {
            let mut settings = Settings {
                lr: config.lr,
                betas: config.betas,
                eps: config.eps,
                weight_decay: config.weight_decay,
            };
            if config.no_decay_bias_norm && parameter.is_bias_or_norm() {
                settings.weight_decay = 0.0;
            }
            if let Some(own) = projection_index(&parameter.path)
                .and_then(|index| projection_groups.get(index))
                .and_then(Option::as_ref)
            {
                settings.lr = own.lr.unwrap_or(settings.lr);
                settings.betas = own.betas.unwrap_or(settings.betas);
                settings.eps = own.eps.unwrap_or(settings.eps);
                settings.weight_decay = own.weight_decay.unwrap_or(settings.weight_decay);
            }
            let index = known.iter().position(|one| *one == settings).unwrap_or_else(|| {
                known.push(settings);
                groups.push(Group { lr: settings.lr, optimizer: optimizer(&settings) });
                groups.len() - 1
            });
            group_of.insert(parameter.id, index);
        }
        Self { groups, group_of }
    }

    /// The one optimizer step: every group's rate multiplied by `factor`.
    pub(crate) fn step(
        &mut self,
        mut trainable: Trainable<B, M>,
        gradients: GradientsParams,
        factor: f64,
    ) -> Trainable<B, M> {
        let mut split = Split {
            rest: gradients,
            groups: self.groups.iter().map(|_| GradientsParams::new()).collect(),
            group_of: &self.group_of,
        };
        trainable.visit(&mut split);
        let shares = split.groups;
        for (group, share) in self.groups.iter_mut().zip(shares) {
            trainable = group.optimizer.step(group.lr * factor, trainable, share);
        }
        trainable
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The optimizer state of every group.
    pub(crate) fn records(&self) -> Vec<GroupRecord<B, M>> {
        self.groups.iter().map(|group| group.optimizer.to_record()).collect()
    }

    /// Takes over the state of a checkpoint; `false` when it has another number of groups.
    pub(crate) fn load_records(&mut self, records: Vec<GroupRecord<B, M>>) -> bool {
        if records.len() != self.groups.len() {
            return false;
        }
        for (group, record) in self.groups.iter_mut().zip(records) {
            group.optimizer = group.optimizer.clone().load_record(record);
        }
        true
    }
}

fn optimizer<B, M>(settings: &Settings) -> GroupOptimizer<B, M>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    AdamWConfig::new()
        .with_beta_1(settings.betas[0] as f32)
        .with_beta_2(settings.betas[1] as f32)
        .with_epsilon(settings.eps as f32)
        .with_weight_decay(settings.weight_decay as f32)
        .init()
}

/// `projections.3.Some.linear.weight` → 3.
fn projection_index(path: &str) -> Option<usize> {
    path.strip_prefix("projections.")?.split('.').next()?.parse().ok()
}

/// Moves each gradient to its group.
struct Split<'a> {
    rest: GradientsParams,
    groups: Vec<GradientsParams>,
    group_of: &'a HashMap<ParamId, usize>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Split<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(&group) = self.group_of.get(&param.id) else { return };
        if let Some(gradient) = self.rest.remove::<B::InnerBackend, D>(param.id) {
            self.groups[group].register(param.id, gradient);
        }
    }
}

/// The global norm of the student's gradients, projections not included, after which they are
/// scaled so that it is at most `max_norm`; a `max_norm` below 0 only measures.
///
/// As `torch.nn.utils.clip_grad_norm_`: the scale is `max_norm / (norm + 1e-6)` where that is below 1.
pub(crate) fn clip_global_norm<B, M>(student: &M, gradients: &mut GradientsParams, max_norm: f64) -> f64
where
    B: AutodiffBackend,
    M: Student<B>,
{
    let mut squares = SquaredNorms::<B> { gradients, squares: Vec::new() };
    student.visit(&mut squares);
    if squares.squares.is_empty() {
        return 0.0;
    }
    let norm = Tensor::cat(squares.squares, 0).sum().sqrt().into_scalar().elem::<f64>();
    let scale = max_norm / (norm + 1e-6);
    if max_norm >= 0.0 && scale < 1.0 {
        student.visit(&mut Scale { gradients, scale });
    }
    norm
}

struct SquaredNorms<'a, B: AutodiffBackend> {
    gradients: &'a mut GradientsParams,
    squares: Vec<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for SquaredNorms<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            self.squares.push(gradient.square().sum());
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    scale: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.scale));
        }
    }
}
