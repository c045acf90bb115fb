//! A teacher whose outputs are computed once for each example.

mod kept;
mod piece;
mod record;
mod source;
mod storage;
mod top_k;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use brew_cache::{Cache, ExampleKey, TextDigest};
use brew_config::{IntermediateMatch, MatchFeature};
use burn::tensor::backend::Backend;

use kept::{Kept, join_outputs, split_outputs};
use record::BeyondHalf;
pub use record::KeptSize;
use source::Source;
use storage::Store;
pub use storage::{Filled, Precision, Storage};

use crate::{AdaptorOutput, DistillError, Teacher, Wants};

/// The rows of a batch, as a cache needs to know them.
#[derive(Debug, Clone)]
pub struct BatchRows<B: Backend> {
    /// The id of each example, in the order of the batch.
    pub ids: Vec<u64>,
    /// What the teacher reads of each, so that a changed text is another example. May be empty where outputs are
    /// kept in memory, and no text changes meanwhile.
    pub texts: Vec<TextDigest>,
    /// The padded length of the batch.
    pub length: usize,
    /// Where the batch lives.
    pub device: B::Device,
}

/// A teacher whose outputs are computed once for each example and kept: `is_caching_logits`, `[cache]`.
///
/// TextBrewer keeps whole batches, and so freezes their composition, and keeps nothing where there are
/// matches. This keeps the outputs of each example, of its real tokens only, so that shuffling goes on; and
/// it keeps features as well as logits. An example's outputs must not depend on the batch it is in, which
/// rules augmentation out.
///
/// They are kept in memory, or in a [`Cache`] on disk ([`with_cache`](Self::with_cache)), which later processes
/// find again. Of each example 4 bytes a number are kept, or 2 ([`with_storage`](Self::with_storage)): with `h`
/// hidden units, `n` layers and `l` real tokens that is `4 · n · l · h` for hidden states.
/// [`with_matches`](Self::with_matches) keeps only the layers needed; [`KeptSize`] tells the bytes before any is
/// computed. What a batch gives is the same when it is computed as when it is known: in both cases what is kept.
///
/// What cannot be kept by example (tokens without a mask or with gaps in it, features of
/// [`others`](AdaptorOutput::others)) goes to the teacher every time, and so do, with a cache on disk, other
/// features than it is for.
///
/// ```
/// use brew_cache::{Cache, Fingerprint, TextDigest};
/// use brew_distillers::{AdaptorOutput, BatchRows, CachedTeacher, DistillError, Filled, Wants};
/// use brew_testkit::TestBackend as B;
/// use burn::tensor::Tensor;
///
/// /// Token ids of some texts, as numbers of their examples.
/// type Batch = Vec<(u64, Vec<u32>)>;
/// let teacher = |batch: &Batch, _: Wants| -> Result<AdaptorOutput<B>, DistillError> {
///     Ok(AdaptorOutput::from_logits(Tensor::<B, 2>::ones([batch.len(), 2], &Default::default())))
/// };
/// let rows = |batch: &Batch| BatchRows::<B> {
///     ids: batch.iter().map(|(id, _)| *id).collect(),
///     texts: batch.iter().map(|(_, tokens)| TextDigest::of(&[tokens])).collect(),
///     length: batch.iter().map(|(_, tokens)| tokens.len()).max().unwrap_or(0),
///     device: Default::default(),
/// };
/// let root = std::env::temp_dir().join(format!("brew-teacher-example-{}", std::process::id()));
/// let fingerprint = Fingerprint::new([("weights", "their digest".into())]);
/// let on_disk = || -> Result<_, DistillError> {
///     let cache = Cache::open(&root, &fingerprint, 1 << 20)?;
///     Ok(CachedTeacher::new(teacher, rows).with_cache(cache, Wants::default()))
/// };
/// let batch = vec![(1, vec![101, 7, 102]), (2, vec![101, 102])];
/// assert_eq!(on_disk()?.fill(&batch, Wants::default())?, Filled::Computed);
/// assert_eq!(on_disk()?.fill(&batch, Wants::default())?, Filled::Known);
/// # std::fs::remove_dir_all(&root).unwrap();
/// # Ok::<(), DistillError>(())
/// ```
pub struct CachedTeacher<Te, I> {
    teacher: Source<Te>,
    rows_of: I,
    /// Layers of each feature that are kept; all where it is `None`.
    layers: Option<HashMap<MatchFeature, BTreeSet<usize>>>,
    storage: Storage,
    store: RefCell<Store>,
    is_warned: Cell<bool>,
    /// Whether the teacher said something that is not kept.
    has_gaps: Cell<bool>,
}

impl<Te, I> CachedTeacher<Te, I> {
    /// Caches `teacher` in memory, with `rows_of` describing the rows of a batch.
    pub fn new(teacher: Te, rows_of: I) -> Self {
        let store = RefCell::new(Store::Memory { records: HashMap::new(), wants: Wants::default() });
        Self {
            teacher: Source::new(teacher),
            rows_of,
            layers: None,
            storage: Storage::default(),
            store,
            is_warned: Cell::default(),
            has_gaps: Cell::default(),
        }
    }

    /// Keeps only the layers that `matches` compare of teacher `teacher`; in what the cache gives, the other
    /// layers are placeholders of shape `[batch, length, 1]`.
    #[must_use]
    pub fn with_matches(mut self, matches: &[IntermediateMatch], teacher: usize) -> Self {
        self.layers = Some(matched_layers(matches, teacher));
        self
    }

    /// Keeps numbers in another precision, or the largest logits only.
    #[must_use]
    pub fn with_storage(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// Keeps outputs in a cache on disk, which is for outputs with the features of `wants`. Its fingerprint must
    /// tell apart everything that the outputs depend on but the texts: the teacher's weights, `wants`, the matched
    /// layers, the [`Storage`].
    #[must_use]
    pub fn with_cache(self, cache: Cache, wants: Wants) -> Self {
        Self { store: RefCell::new(Store::Disk { cache: Box::new(cache), wants }), ..self }
    }

    /// Lets the teacher go, with its memory, once all that it says of an epoch's batches is kept
    /// ([`Teacher::rest`]). Should it be asked once more, `load` makes it again, and then it stays.
    #[must_use]
    pub fn with_reload(self, load: impl Fn() -> Result<Te, DistillError> + 'static) -> Self {
        Self { teacher: self.teacher.with_load(Box::new(load)), ..self }
    }

    fn keeps(&self, feature: MatchFeature, layer: usize) -> bool {
        match &self.layers {
            None => true,
            Some(layers) => layers.get(&feature).is_some_and(|layers| layers.contains(&layer)),
        }
    }

    /// Makes the outputs of a batch's examples known, without making a batch of them.
    ///
    /// # Errors
    /// Those of [`Teacher::outputs`].
    pub fn fill<B, T>(&self, batch: &T, wants: Wants) -> Result<Filled, DistillError>
    where
        B: Backend,
        Te: Teacher<B, T>,
        I: Fn(&T) -> BatchRows<B>,
    {
        Ok(match self.kept(batch, wants)? {
            Known::Kept { computed: false, .. } => Filled::Known,
            Known::Kept { computed: true, .. } => Filled::Computed,
            Known::Direct(_) => Filled::NotKept,
        })
    }

    /// What is kept of a batch's examples, once the teacher was run where it had to be.
    fn kept<B, T>(&self, batch: &T, wants: Wants) -> Result<Known<B>, DistillError>
    where
        B: Backend,
        Te: Teacher<B, T>,
        I: Fn(&T) -> BatchRows<B>,
    {
        if wants.others || !self.store.borrow_mut().is_for(wants) {
            return self.direct(batch, wants);
        }
        let rows = (self.rows_of)(batch);
        let keys = self.keys(&rows)?;
        let mut found = vec![None; keys.len()];
        if self.find(&keys, rows.length, &mut found)? {
            return Ok(Known::Kept { rows, kept: found.into_iter().flatten().collect(), computed: false });
        }
        let output = self.ask(batch, wants)?;
        let keeps = |feature, layer| self.keeps(feature, layer);
        let Some(computed) = split_outputs(keys.len(), &output, keeps) else {
            self.warn_of_gap("the teacher's outputs cannot be told apart by example");
            return Ok(Known::Direct(output));
        };
        let mut added = Vec::new();
        for ((&key, found), computed) in keys.iter().zip(&mut found).zip(computed) {
            if found.is_none() {
                let record = computed
                    .encode(self.storage)
                    .map_err(|BeyondHalf(value)| DistillError::BeyondHalf { example: key.id, value })?;
                // As it will be read, rounding included.
                *found = Kept::decode(&record);
                added.push((key, record));
            }
        }
        self.store.borrow_mut().add(added)?;
        let kept: Vec<Kept> = found.into_iter().flatten().collect();
        if kept.len() < keys.len() {
            self.warn_of_gap("an example's outputs are too large");
            return Ok(Known::Direct(output));
        }
        Ok(Known::Kept { rows, kept, computed: true })
    }

    fn direct<B, T>(&self, batch: &T, wants: Wants) -> Result<Known<B>, DistillError>
    where
        B: Backend,
        Te: Teacher<B, T>,
    {
        if matches!(*self.store.borrow(), Store::Disk { .. }) {
            self.warn_of_gap("other features are asked for than it is for");
        }
        self.has_gaps.set(true);
        Ok(Known::Direct(self.ask(batch, wants)?))
    }

    fn ask<B, T>(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError>
    where
        B: Backend,
        Te: Teacher<B, T>,
    {
        self.teacher.get()?.outputs(batch, wants)
    }

    /// Something is not kept; the first time, the log says so.
    fn warn_of_gap(&self, why: &str) {
        self.has_gaps.set(true);
        if !self.is_warned.replace(true) {
            log::warn!("the teacher's outputs are not kept: {why}");
        }
    }

    /// What each row is found by.
    fn keys<B: Backend>(&self, rows: &BatchRows<B>) -> Result<Vec<ExampleKey>, DistillError> {
        let with = |(&id, text): (&u64, TextDigest)| ExampleKey { id, text };
        if rows.texts.is_empty() && matches!(*self.store.borrow(), Store::Memory { .. }) {
            return Ok(rows.ids.iter().zip(std::iter::repeat(TextDigest([0; 16]))).map(with).collect());
        }
        if rows.texts.len() != rows.ids.len() {
            let (ids, texts) = (rows.ids.len(), rows.texts.len());
            return Err(DistillError::batch(format!(
                "a batch of {ids} examples says {texts} texts; a cached teacher needs the text of each"
            )));
        }
        Ok(rows.ids.iter().zip(rows.texts.iter().copied()).map(with).collect())
    }

    /// Looks for what is missing among `found`; whether nothing is missing afterwards.
    fn find(
        &self,
        keys: &[ExampleKey],
        length: usize,
        found: &mut [Option<Kept>],
    ) -> Result<bool, DistillError> {
        let mut store = self.store.borrow_mut();
        let mut look = |store: &mut Store| {
            for (&key, found) in keys.iter().zip(found.iter_mut()).filter(|(_, found)| found.is_none()) {
                *found = store.find(key, length);
            }
            found.iter().all(Option::is_some)
        };
        // Another process may have added it meanwhile.
        Ok(look(&mut store) || (store.refresh()? && look(&mut store)))
    }
}

/// What is known of a batch.
enum Known<B: Backend> {
    /// Each of its examples.
    Kept { rows: BatchRows<B>, kept: Vec<Kept>, computed: bool },
    /// What the teacher said, which is not kept.
    Direct(AdaptorOutput<B>),
}

impl<B, T, Te, I> Teacher<B, T> for CachedTeacher<Te, I>
where
    B: Backend,
    Te: Teacher<B, T>,
    I: Fn(&T) -> BatchRows<B>,
{
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        let (rows, kept) = match self.kept(batch, wants)? {
            Known::Direct(output) => return Ok(output),
            Known::Kept { rows, kept, .. } => (rows, kept),
        };
        if let Some(output) = join_outputs(&kept, &rows) {
            return Ok(output);
        }
        // Examples of one batch with outputs of several shapes: what is kept of them is of no use.
        let keys = self.keys(&rows)?;
        for key in keys {
            self.store.borrow_mut().forget(key);
        }
        self.warn_of_gap("they are of other shapes than those of other examples");
        self.ask(batch, wants)
    }

    fn keeps_outputs(&self) -> bool {
        true
    }

    fn recall(&self, batch: &T, wants: Wants) -> Result<(), DistillError> {
        let is_known = !wants.others && self.store.borrow_mut().is_for(wants) && {
            let keys = self.keys(&(self.rows_of)(batch))?;
            keys.into_iter().all(|key| self.store.borrow().contains(key))
        };
        if is_known { Ok(()) } else { self.fill(batch, wants).map(drop) }
    }

    fn rest(&self) {
        if !self.has_gaps.get() {
            self.teacher.rest();
        }
    }
}

/// The layers of each feature that matches compare of a teacher.
fn matched_layers(matches: &[IntermediateMatch], teacher: usize) -> HashMap<MatchFeature, BTreeSet<usize>> {
    let mut layers: HashMap<MatchFeature, BTreeSet<usize>> = HashMap::new();
    for one in matches.iter().filter(|one| one.teacher == teacher) {
        layers.entry(one.feature).or_default().extend(one.layer_t.as_slice());
    }
    layers
}

#[cfg(test)]
mod tests;
