use std::collections::HashMap;

use brew_config::OptimizerConfig;
use brew_kernels::{scaled, squared_norm};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};

use crate::parameters::named_parameters;
use crate::recipe::GroupOptimizer;
use crate::{Recipe, Student, Trainable};

/// Parameters that share their optimizer settings.
struct Group<B: AutodiffBackend, M: Student<B>> {
    lr: f64,
    optimizer: Box<dyn GroupOptimizer<B, M>>,
}

/// Parameter groups behind one optimizer step.
///
/// Burn's optimizers have one rate and one decay for all they step, so each group has an optimizer
/// of its own and is given its share of the gradients.
pub(crate) struct Stepper<B: AutodiffBackend, M: Student<B>> {
    groups: Vec<Group<B, M>>,
    group_of: HashMap<ParamId, usize>,
}

impl<B, M> Stepper<B, M>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    /// Groups the parameters of `trainable`: the student's by the configuration, each projection's by its
    /// own settings where its group has some.
    pub(crate) fn new(trainable: &Trainable<B, M>, recipe: &Recipe<B, M>) -> Self {
        let config = &recipe.config.optimizer;
        let mut known: Vec<OptimizerConfig> = Vec::new();
        let mut groups = Vec::new();
        let mut group_of = HashMap::new();
        for parameter in named_parameters(trainable) {
            let mut settings = config.clone();
            if config.no_decay_bias_norm && parameter.is_bias_or_norm() {
                settings.weight_decay = 0.0;
            }
            if let Some(own) = projection_index(&parameter.path)
                .and_then(|index| recipe.projection_groups.get(index))
                .and_then(Option::as_ref)
            {
                settings.lr = own.lr.unwrap_or(settings.lr);
                settings.betas = own.betas.unwrap_or(settings.betas);
                settings.eps = own.eps.unwrap_or(settings.eps);
                settings.weight_decay = own.weight_decay.unwrap_or(settings.weight_decay);
            }
            let index = known.iter().position(|one| *one == settings).unwrap_or_else(|| {
                groups.push(Group { lr: settings.lr, optimizer: recipe.optimizer(&settings) });
                known.push(settings);
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

    /// The optimizers, one a group.
    pub(crate) fn optimizers(&self) -> impl ExactSizeIterator<Item = &dyn GroupOptimizer<B, M>> {
        self.groups.iter().map(|group| group.optimizer.as_ref())
    }

    /// The optimizers, one a group, to be given their state.
    pub(crate) fn optimizers_mut(
        &mut self,
    ) -> impl ExactSizeIterator<Item = &mut Box<dyn GroupOptimizer<B, M>>> {
        self.groups.iter_mut().map(|group| &mut group.optimizer)
    }
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
            self.squares.push(squared_norm(gradient));
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
            self.gradients.register(param.id, scaled(gradient, self.scale));
        }
    }
}
