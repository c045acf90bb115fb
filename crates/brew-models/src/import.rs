//! Hugging Face checkpoints, read.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use brew_random::Key;
use burn::module::ParamId;
use burn::tensor::TensorData;
use burn::tensor::backend::BackendTypes;
use burn_store::{ModuleStore, PytorchStore, TensorSnapshot};

use crate::header::{Described, WeightHeader};
use crate::init::{Initialiser, ParameterSource};
use crate::lazy::{FLOAT_TYPES, LazyTensor, made_ahead};
use crate::names::{
    Leftover, ParameterSpec, SPAN_OUTPUTS, canonical_name, classify_leftover, parameter_specs,
};
use crate::state::transpose;
use crate::{EncoderConfig, Head, Misfit, ModelError, PretrainedModel, ShapeMismatch, torch_archive};

/// What to make of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Labels of the classifier; `None` takes those of `config.json`. With another number than
    /// there, the names become `LABEL_0`, `LABEL_1`, ….
    pub num_labels: Option<usize>,
    /// What parameters the file does not have are drawn from.
    pub key: Key,
    /// Start with a new classifier even if the file has one.
    pub reinitialise_head: bool,
}

impl Default for LoadOptions {
    /// The file's labels and classifier; anything missing drawn from seed 0.
    fn default() -> Self {
        Self { num_labels: None, key: Key::new(0), reinitialise_head: false }
    }
}

/// A model read from a checkpoint.
#[derive(Debug)]
pub struct Pretrained<M> {
    /// The model.
    pub model: M,
    /// Its configuration, with the labels asked for.
    pub config: EncoderConfig,
    /// Names of the parameters that are new because the file does not have them: a classifier, a
    /// pooler.
    pub initialised: Vec<String>,
    /// Names of tensors in the file that have no use here: heads of pretraining, a pooler that the model
    /// has not, a classifier that was to be new.
    pub ignored: Vec<String>,
}

/// Reads a folder with `config.json` and `model.safetensors` or `pytorch_model.bin` (the first if
/// both are there), of any floating type.
///
/// A checkpoint of the bare encoder is read as well: a missing classifier or pooler is drawn from
/// [`LoadOptions::key`], named in [`Pretrained::initialised`] and warned of. Everything else has to
/// fit: no other tensor may be missing, left over or of another shape. Heads of pretraining
/// (`cls.*`, `lm_head.*` and so on) are left out and named in [`Pretrained::ignored`]. A pickle is read, never run.
///
/// # Errors
/// An unreadable folder or `config.json`, a family that is not built, a classifier of another kind, a
/// damaged weight file, and tensors that do not fit, all of them named.
pub fn load_pretrained<M: PretrainedModel>(
    folder: &Path,
    options: &LoadOptions,
    device: &<M::Backend as BackendTypes>::Device,
) -> Result<Pretrained<M>, ModelError> {
    let config = EncoderConfig::from_file(&folder.join("config.json"))?;
    let config = asked_config(&config, M::HEAD, folder, options)?;
    let path = weight_file(folder)?;
    let tensors = read_tensors(&path)?;
    let pretrained = assemble(config, tensors, &path, options, device)?;
    if !pretrained.initialised.is_empty() {
        log::warn!(
            "{}: not in the file and newly drawn: {}",
            path.display(),
            pretrained.initialised.join(", ")
        );
    }
    if !pretrained.ignored.is_empty() {
        log::info!("{}: in the file and not used: {}", path.display(), pretrained.ignored.join(", "));
    }
    Ok(pretrained)
}

/// A model from tensors under their Hugging Face names, in PyTorch's layout; all of them have to be
/// there, the classifier and, where the model has one, the pooler too.
///
/// # Errors
/// A config out of range, and tensors that do not fit, all of them named.
pub fn from_state_dict<M: PretrainedModel>(
    config: &EncoderConfig,
    tensors: HashMap<String, TensorData>,
    device: &<M::Backend as BackendTypes>::Device,
) -> Result<M, ModelError> {
    config.validate()?;
    let path = Path::new("state dict");
    let tensors = tensors
        .into_iter()
        .map(|(name, data)| {
            let snapshot = TensorSnapshot::from_data(data, Vec::new(), Vec::new(), ParamId::new());
            (name, LazyTensor::Snapshot(snapshot))
        })
        .collect();
    let pretrained = assemble(config.clone(), tensors, path, &LoadOptions::default(), device)?;
    if pretrained.initialised.is_empty() {
        return Ok(pretrained.model);
    }
    let misfit = Misfit { missing: pretrained.initialised, ..Misfit::default() };
    Err(ModelError::Mismatch { path: path.to_path_buf(), misfit: Box::new(misfit) })
}

/// What [`load_pretrained`] would make of a checkpoint with this configuration and these tensors, told without its
/// values.
pub(crate) fn fit_header(
    header: &WeightHeader,
    config: &EncoderConfig,
    head: Head,
    options: &LoadOptions,
) -> Result<(Vec<String>, Vec<String>), ModelError> {
    let folder = header.path.parent().unwrap_or(Path::new("."));
    let config = asked_config(config, head, folder, options)?;
    let specs = parameter_specs(&config, Some(head));
    let plan = plan(&config, specs, header.tensors.clone(), &header.path, options.reinitialise_head)?;
    Ok((plan.initialised, plan.ignored))
}

/// The configuration with the labels asked for, where its head is the one asked for.
fn asked_config(
    config: &EncoderConfig,
    head: Head,
    folder: &Path,
    options: &LoadOptions,
) -> Result<EncoderConfig, ModelError> {
    let config = with_asked_labels(config.clone(), head, options.num_labels)?;
    match other_head(&config, head) {
        Some(found) if !options.reinitialise_head => {
            let asked = head.class_name(config.architecture);
            Err(ModelError::OtherHead { path: folder.to_path_buf(), found, asked })
        }
        _ => Ok(config),
    }
}

/// The class of a checkpoint, if it has a head of another kind.
fn other_head(config: &EncoderConfig, asked: Head) -> Option<String> {
    let found = config.other.get("architectures")?.get(0)?.as_str()?;
    let is_other = Head::of_class(found).is_some_and(|head| head != asked);
    (is_other || found.ends_with("ForMultipleChoice")).then(|| found.to_owned())
}

fn with_asked_labels(
    config: EncoderConfig,
    head: Head,
    asked: Option<usize>,
) -> Result<EncoderConfig, ModelError> {
    let refuse = |message| Err(ModelError::config(Path::new("load options"), message));
    if head == Head::QuestionAnswering {
        return match asked {
            Some(count) if count != SPAN_OUTPUTS => refuse(format!(
                "num_labels is {count} and a span classifier has {SPAN_OUTPUTS} outputs, start and end"
            )),
            _ => Ok(config.with_num_labels(SPAN_OUTPUTS)),
        };
    }
    match asked {
        None => Ok(config),
        Some(count) if count == 0 || count > 1 << 20 => {
            refuse(format!("num_labels is {count} and must be from 1 to {}", 1 << 20))
        }
        Some(count) => Ok(config.with_num_labels(count)),
    }
}

const SAFETENSORS: &str = "model.safetensors";
const PICKLE: &str = "pytorch_model.bin";

/// The file with a folder's weights: `model.safetensors`, else `pytorch_model.bin`.
///
/// # Errors
/// A folder with neither, or with weights in several shards.
pub fn weight_file(folder: &Path) -> Result<PathBuf, ModelError> {
    for name in [SAFETENSORS, PICKLE] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let sharded =
        [SAFETENSORS, PICKLE].iter().any(|name| folder.join(format!("{name}.index.json")).is_file());
    let message = if sharded {
        format!("the weights are in several shards, which are not read; save them as one {SAFETENSORS}")
    } else {
        format!("no weights: neither {SAFETENSORS} nor {PICKLE} is there")
    };
    Err(ModelError::NoWeights { path: folder.to_path_buf(), message })
}

type Tensors = BTreeMap<String, LazyTensor>;

/// The tensors of a weight file by name; their values are read when asked for.
fn read_tensors(path: &Path) -> Result<Tensors, ModelError> {
    let is_pickle = path.extension().is_some_and(|extension| extension == "bin");
    if !is_pickle {
        return LazyTensor::of_safetensors(path);
    }
    let verified = torch_archive::verify(path)?;
    let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
    let tensors =
        store.get_all_snapshots().map_err(|error| ModelError::corrupt(path, error.to_string()))?.clone();
    torch_archive::compare(path, &verified, &tensors)?;
    Ok(tensors.into_iter().map(|(name, snapshot)| (name, LazyTensor::Snapshot(snapshot))).collect())
}

/// Where each parameter comes from.
struct Plan<D> {
    /// By path in the module: the tensor's name in the file and how it is laid out.
    from_file: HashMap<String, (D, String, ParameterSpec)>,
    initialised: Vec<String>,
    ignored: Vec<String>,
}

fn assemble<M: PretrainedModel>(
    config: EncoderConfig,
    tensors: Tensors,
    path: &Path,
    options: &LoadOptions,
    device: &<M::Backend as BackendTypes>::Device,
) -> Result<Pretrained<M>, ModelError> {
    let specs = parameter_specs(&config, Some(M::HEAD));
    let order: Vec<String> = specs.iter().map(|spec| spec.path.clone()).collect();
    let mut plan = plan(&config, specs, tensors, path, options.reinitialise_head)?;
    let mut initialiser = Initialiser::new(&config, M::HEAD, options.key);
    // Those of a safetensors file in the order in which they are asked for; others may not leave their thread.
    let readings = order.iter().filter_map(|at| {
        let placed = plan.from_file.get(at)?.0.placed()?;
        let (_, name, spec) = plan.from_file.remove(at)?;
        Some((at.clone(), move || read_values(path, placed.values(), &name, &spec)))
    });
    let model = made_ahead(readings.collect(), |made| {
        let mut source = |at: &str| match (made(at), plan.from_file.remove(at)) {
            (Some(values), _) => values,
            (None, Some((tensor, name, spec))) => read_values(path, tensor.values(), &name, &spec),
            (None, None) => initialiser.values(at),
        };
        M::from_parameters(&config, &mut source, device)
    })?;
    Ok(Pretrained { model, config, initialised: plan.initialised, ignored: plan.ignored })
}

fn plan<D: Described>(
    config: &EncoderConfig,
    specs: Vec<ParameterSpec>,
    tensors: BTreeMap<String, D>,
    path: &Path,
    reinitialise_head: bool,
) -> Result<Plan<D>, ModelError> {
    let mut misfit = Misfit::default();
    let mut ignored = Vec::new();
    let mut by_name: BTreeMap<String, (String, D)> = BTreeMap::new();
    for (name, snapshot) in tensors {
        if let Some((other, _)) =
            by_name.insert(canonical_name(config.architecture, &name), (name.clone(), snapshot))
        {
            misfit.ambiguous.push(format!("{other} and {name}"));
        }
    }

    if reinitialise_head {
        for spec in specs.iter().filter(|spec| spec.is_head()) {
            ignored.extend(by_name.remove(&spec.name).map(|(name, _)| name));
        }
    } else if let Some((found, asked)) = label_count(&specs, &by_name) {
        return Err(ModelError::LabelCount { path: path.to_path_buf(), found, asked });
    }

    // A head or a pooler that is not there at all is drawn anew; half of one is a damaged file.
    let absent = |part: fn(&ParameterSpec) -> bool| {
        specs.iter().filter(|spec| part(spec)).all(|spec| !by_name.contains_key(&spec.name))
    };
    let (no_head, no_pooler) = (absent(ParameterSpec::is_head), absent(ParameterSpec::is_pooler));

    let mut from_file = HashMap::new();
    let mut initialised = Vec::new();
    // Numbers to be drawn, and numbers that the file has.
    let (mut drawn, mut held) = (0_usize, 0_usize);
    for spec in specs {
        let Some((name, snapshot)) = by_name.remove(&spec.name) else {
            let is_drawn = (spec.is_head() && no_head) || (spec.is_pooler() && no_pooler);
            if is_drawn {
                drawn += spec.num_elements();
                initialised.push(spec.name)
            } else {
                misfit.missing.push(spec.name)
            }
            continue;
        };
        let (expected, found) = (spec.file_shape(), snapshot.shape());
        if expected != found {
            misfit.wrong_shape.push(ShapeMismatch { name, expected, found });
        } else if !FLOAT_TYPES.iter().any(|&(known, _)| known == snapshot.dtype()) {
            misfit.wrong_type.push(format!("{name} ({})", snapshot.dtype()));
        } else {
            held += spec.num_elements();
            from_file.insert(spec.path.clone(), (snapshot, name, spec));
        }
    }
    for (canonical, (name, _)) in by_name {
        match classify_leftover(config.architecture, &canonical) {
            Leftover::Buffer => {}
            Leftover::Unneeded => ignored.push(name),
            Leftover::Classifier if reinitialise_head => ignored.push(name),
            Leftover::Classifier | Leftover::Unknown => misfit.unused.push(name),
        }
    }
    if misfit.is_empty() {
        refuse_mostly_new(drawn, held, path)?;
        return Ok(Plan { from_file, initialised, ignored });
    }
    Err(ModelError::Mismatch { path: path.to_path_buf(), misfit: Box::new(misfit) })
}

/// Refuses a small file whose `config.json` asks for far more new numbers than it brings: those of a classifier for a
/// million labels.
fn refuse_mostly_new(drawn: usize, held: usize, path: &Path) -> Result<(), ModelError> {
    const ALWAYS: usize = 1 << 24;
    if drawn <= held.saturating_add(ALWAYS) {
        return Ok(());
    }
    let message = format!(
        "its configuration asks for {drawn} numbers that the file does not have, which holds {held}; is the number of \
         labels right?"
    );
    Err(ModelError::config(path, message))
}

/// The number of labels of the classifier in the file and the one asked for, if it is a whole classifier of the
/// right width and they differ.
fn label_count<D: Described>(
    specs: &[ParameterSpec],
    by_name: &BTreeMap<String, (String, D)>,
) -> Option<(usize, usize)> {
    let mut head = specs.iter().filter(|spec| spec.is_head());
    let (weight, bias) = (head.next()?, head.next()?);
    let shape = |spec: &ParameterSpec| by_name.get(&spec.name).map(|(_, snapshot)| snapshot.shape());
    let [found, width] = shape(weight)?[..] else { return None };
    let [expected_width, asked] = weight.shape[..] else { return None };
    let whole = width == expected_width && shape(bias)? == [found];
    (whole && found != asked).then_some((found, asked))
}

/// A parameter's values in Burn's layout, as f32.
fn read_values(
    path: &Path,
    values: Result<TensorData, String>,
    name: &str,
    spec: &ParameterSpec,
) -> Result<TensorData, ModelError> {
    let data = values.map_err(|error| ModelError::corrupt(path, format!("tensor {name}: {error}")))?;
    if data.shape.as_slice() != spec.file_shape() {
        let message = format!("tensor {name} is not what the file's header says; fetch or export it again");
        return Err(ModelError::corrupt(path, message));
    }
    let data = data.convert::<f32>();
    Ok(if spec.transposed { transpose(data) } else { data })
}

#[cfg(test)]
mod tests;
