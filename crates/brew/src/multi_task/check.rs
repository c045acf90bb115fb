//! The tasks of a run file, each as a run of its own that is known to fit.

use brew_config::{ConfigError, Problem};
use burn::tensor::backend::Backend;

use crate::check::examine;
use crate::{DataConfig, Keep, Run, RunConfig, RunError, RunKind, TaskConfig, TaskKind};

/// Tables of a run that a task has for itself.
const OWN: [&str; 3] = ["data", "teacher", "evaluation"];

/// A checked run for each task of a configuration.
pub(crate) struct TaskRuns {
    pub(crate) config: RunConfig,
    /// One a task, in their order.
    pub(crate) runs: Vec<Run>,
}

impl TaskRuns {
    /// Reads what the tasks name, in which [`problems_of_tasks`] has found nothing wrong.
    ///
    /// # Errors
    /// [`RunError::Config`] with the problems of all tasks at once, fields of a task below `tasks[number]`; otherwise
    /// the first file that cannot be used.
    pub(crate) fn read(mut config: RunConfig) -> Result<Self, RunError> {
        let mut of_tasks = Vec::new();
        let mut failed = None;
        let mut runs = Vec::new();
        for (index, task) in config.tasks.iter().enumerate() {
            match Run::read(alone(&config, task), RunKind::Distill) {
                Ok(run) => runs.push(run),
                Err(RunError::Config(ConfigError::Invalid { problems })) => of_tasks.push((index, problems)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        RunError::check(gathered(&config.tasks, of_tasks))?;
        if let Some(error) = failed {
            return Err(error);
        }
        // The folders of finished runs stand for the models in them.
        for (task, run) in config.tasks.iter_mut().zip(&runs) {
            task.teacher.clone_from(&run.config.teacher);
            config.model.clone_from(&run.config.model);
        }
        Ok(Self { config, runs })
    }

    pub(crate) fn name(&self, task: usize) -> &str {
        &self.config.tasks[task].name
    }

    /// Each task's name and run.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Run)> {
        self.config.tasks.iter().map(|task| task.name.as_str()).zip(&self.runs)
    }

    /// The exponent of the tasks' sizes.
    pub(crate) fn tau(&self) -> f64 {
        self.config.tau.unwrap_or(1.0)
    }
}

/// Every problem of a run of several tasks, fields of a task below `tasks[number]`.
pub(crate) fn problems_of_tasks<B: Backend>(config: &RunConfig) -> Vec<Problem> {
    let mut problems = together(config);
    let tasks = config.tasks.iter().enumerate();
    let of_tasks =
        tasks.map(|(index, task)| (index, examine::<B>(&alone(config, task), RunKind::Distill).problems));
    for problem in gathered(&config.tasks, of_tasks.collect()) {
        if !problems.iter().any(|known| known.field == problem.field && known.value == problem.value) {
            problems.push(problem);
        }
    }
    problems
}

/// A task as a run of its own.
pub(crate) fn alone(config: &RunConfig, task: &TaskConfig) -> RunConfig {
    RunConfig {
        task: TaskKind::Classification,
        tau: None,
        data: task.data.clone(),
        model: config.model.clone(),
        teacher: task.teacher.clone(),
        training: config.training.clone(),
        distillation: config.distillation.clone(),
        emd: None,
        crd: None,
        cache: config.cache.clone(),
        evaluation: task.evaluation.clone().unwrap_or_else(|| config.evaluation.clone()),
        tasks: Vec::new(),
    }
}

/// What is wrong with the tasks side by side.
fn together(config: &RunConfig) -> Vec<Problem> {
    let mut found = Vec::new();
    if config.tasks.is_empty() {
        found.push(Problem::new("tasks", "none", "give at least one"));
    }
    let given = [("data", config.data != DataConfig::default()), ("teacher", config.teacher.is_some())];
    for (table, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        let remedy = format!("each of [[tasks]] has its own; move it there as `{table} = {{ … }}`");
        found.push(Problem::new(table, "given", remedy));
    }
    if config.task != TaskKind::Classification {
        let remedy = "the tasks of one student are classifications of texts or pairs";
        found.push(Problem::new("task", config.task, remedy));
    }
    if config.emd.is_some() {
        let remedy = "layers are matched many to many in runs of one task; leave it out, or give \
                      distillation.intermediate_matches";
        found.push(Problem::new("emd", "given", remedy));
    }
    if config.crd.is_some() {
        let remedy = "states are told from those of other examples in runs of one task; leave it out";
        found.push(Problem::new("crd", "given", remedy));
    }
    if let Some(tau) = config.tau.filter(|tau| !tau.is_finite()) {
        found.push(Problem::new("tau", tau, "must be a finite number; 0 to 1 is usual"));
    }
    if config.model.from.is_none() && config.model.tokenizer.is_none() {
        let remedy = "the tasks have one tokenizer: name the folder with tokenizer.json or vocab.txt";
        found.push(Problem::new("model.tokenizer", "missing", remedy));
    }
    for (index, task) in config.tasks.iter().enumerate() {
        let mut wrong = |field: &str, value: &str, remedy: String| {
            found.push(Problem::new(format!("tasks[{index}].{field}"), value, remedy));
        };
        let name = &task.name;
        if name.is_empty() {
            wrong("name", "missing", "name the task: its model's folder is called so".to_owned());
        } else if !name.chars().all(|one| one.is_ascii_alphanumeric() || "-_".contains(one)) {
            wrong("name", name, "it names a folder: use the letters a to z, digits, `-` and `_`".to_owned());
        }
        // Some file systems do not tell case apart.
        let same = |other: &TaskConfig| other.name.eq_ignore_ascii_case(name);
        if let Some(earlier) = config.tasks[..index].iter().position(same).filter(|_| !name.is_empty()) {
            wrong("name", name, format!("tasks[{earlier}] has that name; give each its own"));
        }
        if task.evaluation.as_ref().is_some_and(|one| one.keep != Keep::default()) {
            wrong(
                "evaluation.keep",
                "best",
                "a checkpoint is of all tasks; set it in [evaluation]".to_owned(),
            );
        }
    }
    found
}

/// The problems of the tasks' own runs as problems of the whole: what a task has for itself below its number;
/// what they share once, with the tasks' names where it is not wrong for all.
fn gathered(tasks: &[TaskConfig], of_tasks: Vec<(usize, Vec<Problem>)>) -> Vec<Problem> {
    let mut own = Vec::new();
    let mut shared: Vec<(Problem, Vec<&str>)> = Vec::new();
    for (index, problems) in of_tasks {
        for problem in problems {
            let table = problem.field.split('.').next().unwrap_or_default();
            if OWN.contains(&table) {
                own.push(of_a_task(problem).within(&format!("tasks[{index}]")));
                continue;
            }
            let name = tasks[index].name.as_str();
            match shared.iter_mut().find(|(known, _)| *known == problem) {
                Some((_, names)) => names.push(name),
                None => shared.push((problem, vec![name])),
            }
        }
    }
    let shared = shared.into_iter().map(|(problem, names)| match names.len() == tasks.len() {
        true => problem,
        false => Problem { message: format!("{} (task {})", problem.message, names.join(", ")), ..problem },
    });
    shared.chain(own).collect()
}

/// A problem whose remedy is another one for a task than for a run.
fn of_a_task(problem: Problem) -> Problem {
    let remedy = match (problem.field.as_str(), problem.value.as_str()) {
        ("data.train", "missing") => "name the task's training file",
        ("teacher.from", "missing") => {
            "name the checkpoint folder of the task's teacher: a run of `textbrew train` on its data"
        }
        _ => return problem,
    };
    Problem { message: remedy.to_owned(), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(field: &str) -> Problem {
        Problem::new(field, "x", "wrong")
    }

    #[test]
    fn shared_problems_are_told_once_and_others_with_their_task() {
        let tasks = ["a", "b"].map(|name| TaskConfig { name: name.into(), ..TaskConfig::default() });
        let both = vec![problem("training.num_epochs"), problem("data.max_length")];
        let second = [both.clone(), vec![problem("distillation.intermediate_matches[0].layer_T")]].concat();
        let found = gathered(&tasks, vec![(0, both), (1, second)]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = [
            "training.num_epochs = x: wrong",
            "distillation.intermediate_matches[0].layer_T = x: wrong (task b)",
            "tasks[0].data.max_length = x: wrong",
            "tasks[1].data.max_length = x: wrong",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_are_folders_of_their_own() {
        let problems = |names: &[&str]| {
            let tasks = names.iter().map(|name| TaskConfig { name: (*name).into(), ..TaskConfig::default() });
            let config = RunConfig { tasks: tasks.collect(), ..RunConfig::default() };
            let found = together(&config).into_iter().filter(|problem| problem.field.ends_with("name"));
            found.map(|problem| problem.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(problems(&["sst2", "TREC-6", "a_b"]), [""; 0]);
        for name in ["../up", "a/b", "config.json", "a b", ".", "ä"] {
            let found = problems(&[name]);
            assert!(found.len() == 1 && found[0].contains("names a folder"), "{name}: {found:?}");
        }
        let found = problems(&["sst2", "", "SST2", ""]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].contains("tasks[2].name = SST2: tasks[0] has that name"), "{found:?}");
    }
}
