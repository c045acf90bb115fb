//! Distils a teacher that reads syllables into a student that reads whole words.
//!
//!     cargo run --example split_batches
//!
//! A batch holds the same texts in the tokens of either side, aligned by the characters they share: so the
//! student's state of a word is compared with the mean of the teacher's states of its syllables. In the last
//! run the batches hold what the teacher says of them, computed beforehand, in place of what it reads.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{DistillationConfig, IntermediateMatch};
use brew::data::grammar::SPECIAL_TOKENS;
use brew::data::{
    AlignedBatch, AlignedFeature, AlignedTokenizer, Batch, DataError, Example, Feature, TextTokenizer,
    WordPieceOptions,
};
use brew::distillers::{
    Adaptor, AdaptorOutput, AlignedTeacher, BatchSource, Counted, DistillError, ForwardContext,
    GeneralDistiller, GivenOutputs, Hooks, ModelTeacher, ProcessedBatches, SplitBatch, StudentSide, Teacher,
    TeacherSide, Wants,
};
use brew::random::Key;
use burn::module::AutodiffModule;
use burn_flex::Flex;
use shared::{
    B, Classifier, FIRST_WORD, Language, WORDS, accuracy, batches, classifier, train_on_labels, training,
};

const CLASSES: usize = 4;
const SYLLABLES: usize = 40;

/// A word is one to three syllables.
fn syllables(word: usize) -> Vec<usize> {
    let mut stream = Key::new(1).index(word as u64).stream();
    (0..1 + stream.below(3)).map(|_| stream.below(SYLLABLES)).collect()
}

fn written(syllable: usize) -> String {
    let (consonant, vowel) = (&"bdfgklmn"[syllable / 5..][..1], &"aeiou"[syllable % 5..][..1]);
    format!("{consonant}{vowel}")
}

fn word(word: usize) -> String {
    syllables(word).into_iter().map(written).collect()
}

/// The words of a text as a sentence.
fn sentence(text: &Feature) -> Example {
    let words: Vec<String> = text.input_ids[1..].iter().map(|id| word((id - FIRST_WORD) as usize)).collect();
    Example { label: text.class(), ..Example::new(text.id, words.join(" ")) }
}

fn tokenizer(tokens: impl Iterator<Item = String>) -> Result<TextTokenizer, DataError> {
    let vocabulary = SPECIAL_TOKENS.map(str::to_owned).into_iter().chain(tokens).collect();
    TextTokenizer::from_vocabulary(vocabulary, WordPieceOptions::default())
}

/// Runs the teacher on its side of a batch.
fn reads_syllables(
    model: &Classifier<Flex>,
    batch: &AlignedBatch<Flex>,
    context: ForwardContext,
) -> Result<AdaptorOutput<Flex>, DistillError> {
    ClassifierAdaptor.adapt(model, &batch.teacher, context)
}

fn main() -> Result<()> {
    // A word speaks for a class as its syllables do together.
    let language =
        Language::new(CLASSES, Key::new(2)).compound(&(0..WORDS).map(syllables).collect::<Vec<_>>());
    let words: BTreeSet<String> = (0..WORDS).map(word).collect();
    let within = (0..SYLLABLES).map(|syllable| format!("##{}", written(syllable)));
    let both = AlignedTokenizer::new(
        tokenizer(words.into_iter())?,
        tokenizer((0..SYLLABLES).map(written).chain(within))?,
    );
    let texts = |count, random_labels, key| -> Result<Vec<AlignedFeature>, DataError> {
        let sentences: Vec<Example> =
            language.texts(count, random_labels, key).iter().map(sentence).collect();
        both.encode_all(&sentences, 64, 64)
    };
    let in_words =
        |texts: &[AlignedFeature]| texts.iter().map(|text| text.student.clone()).collect::<Vec<_>>();
    let in_syllables =
        |texts: &[AlignedFeature]| texts.iter().map(|text| text.teacher.clone()).collect::<Vec<_>>();
    let (many, few) = (texts(5000, 0.33, Key::new(3))?, texts(600, 0.33, Key::new(4))?);
    let test = texts(1000, 0.0, Key::new(5))?;

    let large = train_on_labels(classifier(2, 32, CLASSES, Key::new(6))?, &in_syllables(&many), 3)?;
    let small = || classifier(1, 16, CLASSES, Key::new(7));
    let on_labels = train_on_labels(small()?, &in_words(&few), 12)?;

    // The student's batches with the teacher's side added, found by the texts' ids.
    let split = ProcessedBatches::new(batches(&in_words(&few))?, |student: Batch<B>| {
        let rows: Vec<usize> = student.ids.iter().map(|&id| id as usize).collect();
        let teacher = both.collator().collate_indices::<Flex>(&few, &rows, &Default::default());
        Ok(SplitBatch { student, teacher })
    });
    let teacher = || {
        let own = ModelTeacher::new(large.clone(), reads_syllables);
        TeacherSide::new(AlignedTeacher::new(own, |batch: &AlignedBatch<Flex>| batch.alignment.clone()))
    };
    let soft = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };
    let hidden = IntermediateMatch::hidden(2, 1, "hidden_mse").with_projection(16, 32);
    let states = DistillationConfig { intermediate_matches: vec![hidden], ..soft.clone() };
    let plain = distil(soft, small()?, teacher(), &split)?;
    let matched = distil(states.clone(), small()?, teacher(), &split)?;

    // What the teacher says of one epoch's batches, which are then the same in every epoch.
    let started = Instant::now();
    let wants = Wants { hidden: true, ..Wants::default() };
    let given: Vec<_> = split
        .epoch(0, 0)
        .map(|counted| {
            let Counted { batch, examples, tokens } = counted?;
            let outputs = teacher().outputs(&batch, wants)?;
            let batch = SplitBatch { student: batch.student, teacher: outputs };
            Ok(Counted { batch, examples, tokens })
        })
        .collect::<Result<_, DistillError>>()?;
    let beforehand = started.elapsed().as_secs_f64();
    let read = distil(states, small()?, TeacherSide::new(GivenOutputs), &given)?;

    let show = |what: &str, model: &Classifier<Flex>, test: &[Feature], time: &str| -> Result<()> {
        println!("  {what:<34}{:5.1} %{time}", accuracy(model, test)?);
        Ok(())
    };
    println!("accuracy on new texts of {CLASSES} classes");
    show("teacher of syllables", &large, &in_syllables(&test), "")?;
    show("student of words, labels", &on_labels, &in_words(&test), "")?;
    for (what, (student, seconds)) in
        [("soft labels", plain), ("and hidden states", matched), ("both computed beforehand", read)]
    {
        show(&format!("  {what}"), &student, &in_words(&test), &format!(" in {seconds:.1} s"))?;
    }
    println!("Beforehand took {beforehand:.1} s.");
    Ok(())
}

/// A distilled student, and the seconds it took.
fn distil<T>(
    distillation: DistillationConfig,
    student: Classifier<B>,
    teacher: impl Teacher<Flex, SplitBatch<Batch<B>, T>> + 'static,
    batches: &dyn BatchSource<SplitBatch<Batch<B>, T>>,
) -> Result<(Classifier<Flex>, f64)> {
    let started = Instant::now();
    let distiller =
        GeneralDistiller::new(training(12), distillation, teacher, StudentSide::new(ClassifierAdaptor))?;
    let student = distiller.train(student, batches, Hooks::new())?.trainable.student.valid();
    Ok((student, started.elapsed().as_secs_f64()))
}
