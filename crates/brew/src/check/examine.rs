//! All that is wrong with a run of one task.

use std::path::{Path, PathBuf};

use brew_config::Problem;
use brew_data::{LabelSet, Split as Part, TextTokenizer};
use brew_models::{EncoderConfig, LoadOptions, StudentPreset};
use burn::tensor::backend::Backend;

use super::data::{Labels, Sample};
use super::models::{Checkpoint, read_config, read_tokenizer};
use crate::corpus::Purpose;
use crate::inference::is_same_file;
use crate::run::checks::{
    check_crd, check_emd, check_labels, check_mask, check_matches, check_own_tokens, check_padding,
    check_task, check_vocabulary, problems,
};
use crate::run::{kept_layers, positive_label, problem_type};
use crate::{DataConfig, RunConfig, RunError, RunKind};

/// What a run is made of, as far as headers and first rows tell, and every problem found.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    pub(crate) problems: Vec<Problem>,
    pub(crate) student: Option<EncoderConfig>,
    /// Where the student comes from, for people.
    pub(crate) student_source: String,
    pub(crate) teachers: Vec<(PathBuf, EncoderConfig)>,
    /// The training file, then the others.
    pub(crate) samples: Vec<(&'static str, Sample)>,
}

/// Looks at everything that a run of one task needs, without reading weights or more than the first rows of a file.
pub(crate) fn examine<B: Backend>(config: &RunConfig, kind: RunKind) -> Examination {
    let mut config = config.clone();
    config.data.fill_from_folder();
    let found = problems::<B>(&config, kind);
    if !config.tasks.is_empty() {
        return Examination { problems: found, ..Examination::default() };
    }
    let mut examiner =
        Examiner { config: &config, kind, out: Examination { problems: found, ..Default::default() } };
    examiner.run();
    let mut out = examiner.out;
    // What holds for every teacher is found with each.
    let mut known: Vec<Problem> = Vec::new();
    out.problems.retain(|problem| {
        let is_new = !known.contains(problem);
        if is_new {
            known.push(problem.clone());
        }
        is_new
    });
    out
}

struct Examiner<'a> {
    config: &'a RunConfig,
    kind: RunKind,
    out: Examination,
}

impl Examiner<'_> {
    fn run(&mut self) {
        let config = self.config;
        let found = &mut self.out.problems;
        let student =
            config.model.from.as_deref().and_then(|path| Checkpoint::read(found, "model.from", path));
        let teachers = self.teachers();
        let of_training = of_training(&config.data, self.kind);
        let train = config.data.train.as_deref();
        let sample = train.and_then(|path| self.sample("data.train", path, Part::Train, &of_training));
        let found = &mut self.out.problems;
        if let (RunKind::Train, Some(sample)) = (self.kind, &sample) {
            sample.require_labels(found, "data.train");
        }
        let first = teachers.iter().find_map(|(_, teacher)| teacher.as_ref()?.config.as_ref());
        let labels = Labels::of(found, &config.data, sample.as_ref(), first);
        let labels = labels.map(|labels| labels.completed(first, config.task));
        let tokenizer = self.tokenizer(student.as_ref(), &teachers);
        let model = self.student(student.as_ref(), labels.as_ref(), tokenizer.as_ref().map(|(_, one)| one));
        self.compare(&teachers, model.as_ref(), labels.as_ref(), tokenizer.as_ref());
        let found = &mut self.out.problems;
        if let Some(labels) = labels.as_ref().filter(|labels| labels.is_certain) {
            positive_label(found, config, &labels.set);
        }
        let certain = labels.filter(|labels| labels.is_certain).map(|labels| labels.set);
        self.files(sample, certain.as_ref(), tokenizer.as_ref().map(|(_, one)| one), &of_training);
        self.out.student = model;
        let configs = teachers.into_iter().filter_map(|(_, teacher)| teacher);
        self.out.teachers = configs.filter_map(|one| Some((one.folder, one.config?))).collect();
    }

    fn sample(&mut self, field: &str, path: &Path, part: Part, data: &DataConfig) -> Option<Sample> {
        Sample::read(&mut self.out.problems, field, self.config.task, path, part, data)
    }

    /// The teachers' folders and what can be read of them.
    fn teachers(&mut self) -> Vec<(String, Option<Checkpoint>)> {
        let folders = match (self.kind, &self.config.teacher) {
            (RunKind::Distill, Some(teacher)) => teacher.from.as_slice(),
            _ => &[],
        };
        let task = self.config.task;
        let found = &mut self.out.problems;
        let read = folders.iter().enumerate().map(|(index, path)| {
            let field = match folders.len() {
                1 => "teacher.from".to_owned(),
                _ => format!("teacher.from[{index}]"),
            };
            let teacher = Checkpoint::read(found, &field, path);
            if let Some(teacher) = &teacher
                && let Some(fit) = teacher.fit(found, &field, task, &LoadOptions::default())
                && !fit.initialised.is_empty()
            {
                let error = RunError::NoClassifier { path: teacher.folder.clone() };
                found.push(Problem::new(&field, path.display(), error.to_string()).in_file(&teacher.folder));
            }
            (field, teacher)
        });
        read.collect()
    }

    /// The tokenizer's folder and the tokenizer.
    fn tokenizer(
        &mut self,
        student: Option<&Checkpoint>,
        teachers: &[(String, Option<Checkpoint>)],
    ) -> Option<(PathBuf, TextTokenizer)> {
        let config = self.config;
        let (field, folder) = match (&config.model.tokenizer, &config.model.from) {
            (Some(folder), _) => ("model.tokenizer", folder),
            (None, Some(_)) => ("model.from", &student?.folder),
            (None, None) => ("teacher.from", &teachers.first()?.1.as_ref()?.folder),
        };
        let tokenizer = read_tokenizer(&mut self.out.problems, field, folder)?;
        Some((folder.clone(), tokenizer))
    }

    /// The model that is trained.
    fn student(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        labels: Option<&Labels>,
        tokenizer: Option<&TextTokenizer>,
    ) -> Option<EncoderConfig> {
        let config = self.config;
        let found = &mut self.out.problems;
        let (file, read) = match (&config.model.from, &config.model.config, &config.model.preset) {
            (Some(_), ..) => {
                let checkpoint = checkpoint?;
                let options = LoadOptions {
                    num_labels: labels.filter(|labels| labels.is_certain).map(|labels| labels.set.len()),
                    reinitialise_head: config.model.reinitialise_head,
                    ..LoadOptions::default()
                };
                checkpoint.fit(found, "model.from", config.task, &options);
                (checkpoint.folder.join("config.json"), checkpoint.config.clone()?)
            }
            (None, Some(file), _) => (file.clone(), read_config(found, "model.config", file)?),
            (None, None, Some(name)) => {
                // Another name is told with the configuration's own problems.
                let preset = name.parse::<StudentPreset>().ok()?.config(tokenizer?.vocab_size());
                let padding = Some(tokenizer?.pad_id() as usize);
                (PathBuf::from(name), EncoderConfig { pad_token_id: padding, ..preset })
            }
            (None, None, None) => return None,
        };
        let mut model = EncoderConfig { problem_type: problem_type(config.task), ..read };
        if let Some(layers) = config.model.layers.as_ref().filter(|_| config.model.from.is_some()) {
            found.extend(kept_layers(&model, layers, &file));
            model.num_hidden_layers = layers.len();
        }
        self.out.student_source = match &config.model.layers {
            Some(layers) => format!("layers {layers:?} of {}", file.parent().unwrap_or(&file).display()),
            None => source_of(&file).display().to_string(),
        };
        Some(match labels {
            Some(labels) => model.with_labels(labels.set.names().to_vec()),
            None => model,
        })
    }

    /// What has to agree between tokenizer, student and teachers.
    fn compare(
        &mut self,
        teachers: &[(String, Option<Checkpoint>)],
        student: Option<&EncoderConfig>,
        labels: Option<&Labels>,
        tokenizer: Option<&(PathBuf, TextTokenizer)>,
    ) {
        let config = self.config;
        let (data, max_length) = (&config.data, config.data.length_limit(config.task));
        let found = &mut self.out.problems;
        let too_long = |whose: String, model: &EncoderConfig| {
            let remedy = format!("{whose} has {} positions; lower it", model.max_length());
            (model.max_length() < max_length).then(|| Problem::new("data.max_length", max_length, remedy))
        };
        if let Some((_, tokenizer)) = tokenizer {
            check_mask(found, &data.augmentation, tokenizer);
        }
        if let Some(model) = student {
            if let Some((_, tokenizer)) = tokenizer {
                check_vocabulary(found, "model", model, tokenizer);
                check_padding(found, "model", model, tokenizer);
            }
            found.extend(too_long("the model".to_owned(), model));
        }
        for (index, (field, teacher)) in teachers.iter().enumerate() {
            if let (Some(student), None) = (student, teacher.as_ref().and_then(|one| one.config.as_ref())) {
                layers_alone(found, config, index, student, ".layer_S");
            }
            let Some(checkpoint) = teacher else { continue };
            let folder = &checkpoint.folder;
            let own = match tokenizer {
                Some((of_student, _)) if of_student == folder => None,
                _ => read_tokenizer(found, field, folder),
            };
            // `None` where the student's serves the teacher as well.
            let own =
                own.filter(|own| tokenizer.is_none_or(|(_, tokenizer)| !own.same_vocabulary(tokenizer)));
            let has_own = own.is_some() && tokenizer.is_some();
            if has_own {
                check_own_tokens(found, config, index, folder);
            }
            let Some(teacher) = &checkpoint.config else { continue };
            if !has_own {
                found.extend(too_long(format!("the teacher {}", folder.display()), teacher));
            }
            if let Some(tokenizer) = own.as_ref().or(tokenizer.map(|(_, tokenizer)| tokenizer)) {
                check_vocabulary(found, "teacher", teacher, tokenizer);
                check_padding(found, "teacher", teacher, tokenizer);
            }
            check_task(found, config.task, folder, teacher);
            match labels {
                // As many as the teacher has cannot become more.
                Some(labels) if labels.is_certain || labels.set.len() == teacher.num_labels() => {
                    check_labels(found, folder, teacher, &labels.set);
                }
                Some(labels) => check_some_labels(found, folder, teacher, &labels.set),
                None => {}
            }
            let Some(student) = student else {
                layers_alone(found, config, index, teacher, ".layer_T");
                continue;
            };
            check_matches(found, config, student, index, teacher);
            if let Some(emd) = &config.emd {
                check_emd(found, emd, student, teacher);
            }
            if let Some(crd) = &config.crd {
                check_crd(found, crd, student, teacher);
            }
        }
    }

    /// The first rows of the files in tokens.
    fn files(
        &mut self,
        train: Option<Sample>,
        labels: Option<&LabelSet>,
        tokenizer: Option<&TextTokenizer>,
        of_training: &DataConfig,
    ) {
        let data = &self.config.data;
        if let Some(mut sample) = train {
            // Where labels are not certain, those of the rows themselves make them tokens.
            let of_rows = sample.rows.labels().ok().flatten();
            if let (Some(labels), Some(tokenizer)) = (labels.or(of_rows.as_ref()), tokenizer) {
                let found = &mut self.out.problems;
                sample.encode(found, "data.train", labels, tokenizer, of_training, Purpose::Training);
            }
            self.out.samples.push(("train", sample));
        }
        let of_others = DataConfig { questions: data.questions.other_part(), ..data.clone() };
        let is_training_file =
            |path: &Path| data.train.as_deref().is_some_and(|train| is_same_file(path, train));
        let judged = [("dev", &data.dev, Part::Dev), ("test", &data.test, Part::Test)];
        for (name, path, part) in judged {
            let Some(path) = path else { continue };
            let field = format!("data.{name}");
            let data = if is_training_file(path) { &of_others } else { data };
            let Some(mut sample) = self.sample(&field, path, part, data) else { continue };
            let found = &mut self.out.problems;
            let before = found.len();
            sample.require_labels(found, &field);
            if let (Some(labels), Some(tokenizer)) = (labels, tokenizer)
                && found.len() == before
            {
                sample.encode(found, &field, labels, tokenizer, data, Purpose::Prediction);
            }
            self.out.samples.push((name, sample));
        }
        if self.kind == RunKind::Distill {
            for (index, path) in data.transfer.iter().enumerate() {
                let data = if is_training_file(path) { of_training } else { data };
                if let Some(sample) = self.sample(&format!("data.transfer[{index}]"), path, Part::Train, data)
                {
                    self.out.samples.push(("transfer", sample));
                }
            }
        }
    }
}

/// How the training file is read.
fn of_training(data: &DataConfig, kind: RunKind) -> DataConfig {
    let mut data = DataConfig { questions: data.questions.training_part(), ..data.clone() };
    // Without a teacher nothing can be learned from them.
    data.questions.unaligned_as_unlabelled &= kind == RunKind::Distill;
    data
}

/// Labels of the first rows that a teacher does not have.
fn check_some_labels(found: &mut Vec<Problem>, folder: &Path, teacher: &EncoderConfig, labels: &LabelSet) {
    let unnamed = teacher.labels.iter().all(|name| name.starts_with("LABEL_"));
    let fits = match unnamed {
        true => labels.len() <= teacher.num_labels(),
        false => labels.names().iter().all(|name| teacher.labels.contains(name)),
    };
    if !fits {
        check_labels(found, folder, teacher, labels);
    }
}

/// Layers that one of the models does not have, whichever the other one is.
fn layers_alone(
    found: &mut Vec<Problem>,
    config: &RunConfig,
    number: usize,
    model: &EncoderConfig,
    field: &str,
) {
    let mut with_itself = Vec::new();
    check_matches(&mut with_itself, config, model, number, model);
    found.extend(with_itself.into_iter().filter(|problem| problem.field.ends_with(field)));
}

/// The folder of a `config.json`; another name as it is.
fn source_of(file: &Path) -> &Path {
    match file.ends_with("config.json") {
        true => file.parent().unwrap_or(file),
        false => file,
    }
}
