//! Match tables made by rule: which layer of the student learns which layer of the teacher.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use crate::problem::Checks;
use crate::{
    ConfigError, IntermediateMatch, LayerIndex, MatchFeature, compares_any_widths, nearest, required_layers,
};

/// The depths and widths of two models, and which layers of the student are matched.
///
/// | field | meaning | range |
/// |---|---|---|
/// | `teacher_layers` | the teacher's transformer layers | ≥ 1 |
/// | `student_layers` | the student's | ≥ 1 |
/// | `teacher_width` | the teacher's hidden size | ≥ 1 |
/// | `student_width` | the student's | ≥ 1 |
/// | `stride` | 1 matches every layer of the student, 2 every second one | 1 to `student_layers` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerMap {
    /// Transformer layers of the teacher.
    pub teacher_layers: usize,
    /// Transformer layers of the student; may be more than the teacher has.
    pub student_layers: usize,
    /// Hidden size of the teacher.
    pub teacher_width: usize,
    /// Hidden size of the student.
    pub student_width: usize,
    /// Every so many-th layer of the student is matched, the last one always.
    pub stride: usize,
}

impl LayerMap {
    /// Every layer of a student that is as wide as its teacher.
    pub const fn new(teacher_layers: usize, student_layers: usize, width: usize) -> Self {
        Self { teacher_layers, student_layers, teacher_width: width, student_width: width, stride: 1 }
    }

    /// The same with a student of another width.
    #[must_use]
    pub const fn with_student_width(mut self, width: usize) -> Self {
        self.student_width = width;
        self
    }

    /// The same with every `stride`-th layer of the student.
    #[must_use]
    pub const fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// The pairs (teacher's layer, student's layer), counted from 1, with (0, 0) for the embeddings
    /// first.
    ///
    /// Layer `s` of the student learns layer `s · teacher_layers / student_layers`, rounded to the
    /// nearest and halves up: evenly spread, and the last layer learns the last.
    ///
    /// ```
    /// use brew_config::LayerMap;
    ///
    /// assert_eq!(LayerMap::new(12, 4, 768).pairs()?, [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]);
    /// assert_eq!(LayerMap::new(12, 5, 768).with_stride(2).pairs()?, [(0, 0), (5, 2), (10, 4), (12, 5)]);
    /// # Ok::<(), brew_config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every number that is out of range.
    pub fn pairs(&self) -> Result<Vec<(usize, usize)>, ConfigError> {
        let mut checks = Checks::default();
        checks.at_least_one("teacher_layers", self.teacher_layers, "give the teacher's depth, such as 12");
        checks.at_least_one("student_layers", self.student_layers, "give the student's depth, such as 4");
        checks.at_least_one("teacher_width", self.teacher_width, "give the teacher's hidden size");
        checks.at_least_one("student_width", self.student_width, "give the student's hidden size");
        checks.require(
            (1..=self.student_layers.max(1)).contains(&self.stride),
            "stride",
            self.stride,
            &format!("must be from 1 to the student's {} layers", self.student_layers),
        );
        ConfigError::from_problems(checks.problems)?;
        let last = self.student_layers;
        Ok((0..last)
            .step_by(self.stride)
            .chain([last])
            .map(|layer| ((2 * layer * self.teacher_layers + last) / (2 * last), layer))
            .collect())
    }
}

/// Matches one feature of two models with one loss, weight 1 each, over all pairs of layers of `models`.
///
/// - Hidden states: the embeddings (layer 0) first, then the layers, which count from 1.
/// - Attention and its scores: the layers, which count from 0, for there is none of the embeddings.
///   TextBrewer's own attention tables count from 1, because the models of its examples put `None` first.
/// - A loss of two layers of each model (`fsp`, `gram`, `nst`, `mmd`) gets the same layer twice.
/// - Hidden states of different widths get a linear projection each, except for `nst` and `mmd`, which
///   compare tokens and not widths.
///
/// ```
/// use brew_config::{IntermediateMatch, LayerMap, MatchFeature, match_table};
///
/// let models = LayerMap::new(12, 2, 768).with_student_width(312);
/// let table = match_table(&models, MatchFeature::Hidden, "hidden_mse")?;
/// let expected = [(0, 0), (6, 1), (12, 2)]
///     .map(|(t, s)| IntermediateMatch::hidden(t, s, "hidden_mse").with_projection(312, 768));
/// assert_eq!(table, expected);
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
///
/// # Errors
/// [`ConfigError::Invalid`] with every number of `models` that is out of range.
pub fn match_table(
    models: &LayerMap,
    feature: MatchFeature,
    loss: &str,
) -> Result<Vec<IntermediateMatch>, ConfigError> {
    let index = |layer: usize| match required_layers(loss) {
        Some(2) => LayerIndex::Many(vec![layer, layer]),
        _ => LayerIndex::One(layer),
    };
    let needs_projection =
        feature.is_per_token() && models.student_width != models.teacher_width && !compares_any_widths(loss);
    let table = models.pairs()?.into_iter().filter_map(|(layer_t, layer_s)| {
        let (layer_t, layer_s) = match feature {
            MatchFeature::Hidden => (layer_t, layer_s),
            // A student deeper than its teacher rounds its first layers to the embeddings.
            _ => (layer_t.saturating_sub(1), layer_s.checked_sub(1)?),
        };
        let one = IntermediateMatch {
            layer_t: index(layer_t),
            layer_s: index(layer_s),
            feature,
            ..IntermediateMatch::hidden(0, 0, loss)
        };
        Some(if needs_projection {
            one.with_projection(models.student_width, models.teacher_width)
        } else {
            one
        })
    });
    Ok(table.collect())
}

/// TinyBERT's intermediate matches: the mean squared error of embeddings and hidden states behind a linear
/// projection, then of the attention, all with weight 1.
///
/// `attention` says which attention: the paper's is [`MatchFeature::AttentionScores`], before the softmax;
/// [`MatchFeature::Attention`] for adaptors that give probabilities only. Both models need as many heads.
/// The paper projects whether or not the widths differ and shares one projection between all layers but
/// the embeddings; here each layer has its own. Its second stage, on the logits, is the KD loss at
/// temperature 1.
///
/// Source: Jiao et al., <https://arxiv.org/abs/1909.10351>, equations 7 to 9.
///
/// ```
/// use brew_config::{LayerMap, MatchFeature, tinybert_matches};
///
/// let models = LayerMap::new(12, 4, 768).with_student_width(312);
/// let table = tinybert_matches(&models, MatchFeature::AttentionScores)?;
/// let names: Vec<String> = table.iter().map(|one| one.name()).collect();
/// assert_eq!(names.len(), 9);
/// assert_eq!(names[0], "hidden_hidden_mse_0_0");
/// assert_eq!(names[5], "attention_scores_attention_mse_0_2");
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
///
/// # Errors
/// [`ConfigError::Invalid`] for an `attention` that is the hidden states, and with every number of
/// `models` that is out of range.
pub fn tinybert_matches(
    models: &LayerMap,
    attention: MatchFeature,
) -> Result<Vec<IntermediateMatch>, ConfigError> {
    let mut checks = Checks::default();
    checks.require(
        !attention.is_per_token(),
        "attention",
        attention,
        "must be `attention_scores` or `attention`; the hidden states are matched anyway",
    );
    ConfigError::from_problems(checks.problems)?;
    let hidden = match_table(models, MatchFeature::Hidden, "hidden_mse")?;
    let attention = match_table(models, attention, "attention_mse")?;
    Ok(hidden
        .into_iter()
        .map(|one| one.with_projection(models.student_width, models.teacher_width))
        .chain(attention)
        .collect())
}

/// TextBrewer's students by the names of its example tables, under a teacher of BERT-base's size.
const FAMILIES: [(&str, LayerMap); 7] = [
    ("L3", BASE.with_student_layers(3)),
    ("L3n", BASE.with_student_layers(3).with_student_width(384)),
    ("L3l", BASE.with_student_layers(3).with_student_width(1024)),
    ("L4", BASE.with_student_layers(4)),
    ("L4t", BASE.with_student_layers(4).with_student_width(312)),
    ("L6", BASE.with_student_layers(6)),
    ("small", BASE.with_student_width(256).with_stride(2)),
];

const BASE: LayerMap = LayerMap::new(12, 12, 768);

impl LayerMap {
    const fn with_student_layers(mut self, layers: usize) -> Self {
        self.student_layers = layers;
        self
    }
}

/// What follows the family in a preset's name: the feature and TextBrewer's name of the loss.
const KINDS: [(&str, MatchFeature, &str); 7] = [
    ("attention_mse", MatchFeature::Attention, "attention_mse"),
    ("attention_mse_sum", MatchFeature::Attention, "attention_mse_sum"),
    ("attention_ce", MatchFeature::Attention, "attention_ce"),
    ("attention_ce_mean", MatchFeature::Attention, "attention_ce_mean"),
    ("hidden_mse", MatchFeature::Hidden, "hidden_mse"),
    ("hidden_smmd", MatchFeature::Hidden, "mmd"),
    ("hidden_sgram", MatchFeature::Hidden, "gram"),
];

/// The match table of a name, which is a family of students, `_`, and what is matched.
///
/// | family | student (teacher: 12 layers of width 768) |
/// |---|---|
/// | `L3`, `L4`, `L6` | 3, 4 or 6 layers of width 768 |
/// | `L3n`, `L3l` | 3 layers of width 384, or 1024 |
/// | `L4t` | 4 layers of width 312 |
/// | `small` | 12 layers of width 256, every second one matched |
///
/// | what | feature and loss |
/// |---|---|
/// | `attention_mse`, `attention_mse_sum`, `attention_ce`, `attention_ce_mean` | `attention`, the loss of that name |
/// | `hidden_mse` | `hidden`, `hidden_mse` |
/// | `hidden_smmd` | `hidden`, `mmd` of each layer with itself |
/// | `hidden_sgram` | `hidden`, `gram` of each layer with itself |
///
/// Names and numbers are those of TextBrewer's `examples/matches/matches.py`, which has 18 of these and
/// its other examples one more; here every family goes with everything. Attention layers count from 0, see
/// [`match_table`], which makes tables for other models.
///
/// In a configuration the name stands among the matches:
/// `intermediate_matches = ["L4t_hidden_mse", "L4t_hidden_smmd"]`.
///
/// ```
/// let table = brew_config::preset("L3_attention_mse")?;
/// let layers: Vec<String> = table.iter().map(|one| one.layer_t.to_string()).collect();
/// assert_eq!(layers, ["3", "7", "11"]);
///
/// let error = brew_config::preset("L4_hiden_mse").unwrap_err().to_string();
/// assert!(error.starts_with("unknown preset `L4_hiden_mse`, did you mean `L4_hidden_mse`?"));
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
///
/// # Errors
/// [`ConfigError::UnknownPreset`], with the nearest name there is.
pub fn preset(name: &str) -> Result<Vec<IntermediateMatch>, ConfigError> {
    let found = name.split_once('_').and_then(|(family, kind)| {
        let (_, models) = FAMILIES.iter().find(|(known, _)| *known == family)?;
        let (_, feature, loss) = KINDS.iter().find(|(known, ..)| *known == kind)?;
        Some((models, *feature, *loss))
    });
    match found {
        Some((models, feature, loss)) => match_table(models, feature, loss),
        None => Err(ConfigError::unknown_preset(name, None)),
    }
}

/// Every name [`preset`] knows.
///
/// ```
/// assert!(brew_config::preset_names().contains(&"small_hidden_smmd".to_string()));
/// ```
pub fn preset_names() -> Vec<String> {
    FAMILIES
        .iter()
        .flat_map(|(family, _)| KINDS.iter().map(move |(kind, ..)| format!("{family}_{kind}")))
        .collect()
}

impl ConfigError {
    pub(crate) fn unknown_preset(name: &str, line: Option<usize>) -> Self {
        let names = preset_names();
        let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_string);
        Self::UnknownPreset { path: None, line, name: name.to_string(), nearest }
    }
}

/// What a preset's name is made of, for messages.
pub(crate) fn how_to_write() -> String {
    let families = FAMILIES.map(|(family, _)| family).join(", ");
    let kinds = KINDS.map(|(kind, ..)| kind).join(", ");
    format!("one of {families}, then `_`, then one of {kinds}")
}

/// Reads `intermediate_matches`: a list of tables and names of presets, or null for none.
pub(crate) fn tables_and_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IntermediateMatch>, D::Error> {
    struct Matches(Vec<IntermediateMatch>);

    impl<'de> Deserialize<'de> for Matches {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(EntryVisitor).map(Matches)
        }
    }

    struct ListVisitor;

    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<IntermediateMatch>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of intermediate matches and names of presets")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut matches = Vec::new();
            while let Some(Matches(more)) = list.next_element()? {
                matches.extend(more);
            }
            Ok(matches)
        }
    }

    deserializer.deserialize_any(ListVisitor)
}

/// One entry of the list. Not serde's `untagged`, which forgets what was wrong and where.
struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Vec<IntermediateMatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an intermediate match or the name of a preset, such as \"L4t_hidden_mse\"")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        preset(name).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IntermediateMatch::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{DistillationConfig, from_json_str, from_toml_str};

    /// TextBrewer's tables by name, as `xtask/peer/make_preset_goldens.py` read them.
    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../brew-testkit/golden/presets.json"));

    #[derive(Deserialize)]
    struct Golden {
        matches: BTreeMap<String, Vec<IntermediateMatch>>,
    }

    fn layers(table: &[IntermediateMatch]) -> Vec<(String, String)> {
        table.iter().map(|one| (one.layer_t.to_string(), one.layer_s.to_string())).collect()
    }

    #[test]
    fn textbrewers_tables_are_the_presets_of_their_names() {
        let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(golden.matches.len(), 19);
        for (name, mut table) in golden.matches {
            for one in table.iter_mut().filter(|one| one.feature == MatchFeature::Attention) {
                // There, `None` stands before the first layer's attention.
                for layer in [&mut one.layer_t, &mut one.layer_s] {
                    *layer = LayerIndex::One(layer.as_slice()[0] - 1);
                }
            }
            assert_eq!(preset(&name).unwrap(), table, "{name}");
        }
    }

    #[test]
    fn every_name_is_a_valid_table() {
        let names = preset_names();
        assert_eq!(names.len(), 49);
        for name in names {
            for one in preset(&name).unwrap() {
                assert_eq!(one.validate(&[]), [], "{name}");
            }
        }
    }

    #[test]
    fn a_teacher_of_24_layers_and_a_stride() {
        let models = LayerMap::new(24, 12, 1024).with_student_width(768).with_stride(4);
        let hidden = match_table(&models, MatchFeature::Hidden, "cos").unwrap();
        let expected = [(0, 0), (8, 4), (16, 8), (24, 12)]
            .map(|(t, s)| IntermediateMatch::hidden(t, s, "cos").with_projection(768, 1024));
        assert_eq!(hidden, expected);
        let tokens = match_table(&models, MatchFeature::Hidden, "nst").unwrap();
        assert_eq!(tokens[1].layer_t, LayerIndex::Many(vec![8, 8]));
        assert!(tokens.iter().all(|one| one.proj.is_none()), "nst compares tokens, not widths");
        let scores = match_table(&models, MatchFeature::AttentionScores, "attention_mse").unwrap();
        assert_eq!(
            layers(&scores),
            [("7", "3"), ("15", "7"), ("23", "11")].map(|(t, s)| (t.into(), s.into()))
        );
        assert!(scores.iter().all(|one| one.proj.is_none() && one.weight == 1.0));
    }

    #[test]
    fn any_two_depths_match_from_the_embeddings_to_the_last_layer() {
        for teacher in 1..40 {
            for student in 1..40 {
                for stride in 1..=student {
                    let pairs = LayerMap::new(teacher, student, 8).with_stride(stride).pairs().unwrap();
                    assert_eq!((pairs[0], pairs[pairs.len() - 1]), ((0, 0), (teacher, student)));
                    assert!(pairs.is_sorted(), "{pairs:?}");
                    assert!(pairs.windows(2).all(|two| (1..=stride).contains(&(two[1].1 - two[0].1))));
                }
            }
        }
        let deeper = match_table(&LayerMap::new(2, 6, 8), MatchFeature::Attention, "attention_ce").unwrap();
        assert_eq!(layers(&deeper)[0], ("0".into(), "0".into()));
    }

    #[test]
    fn numbers_out_of_range_are_all_named() {
        let models =
            LayerMap { teacher_layers: 0, student_layers: 3, teacher_width: 0, student_width: 0, stride: 4 };
        let ConfigError::Invalid { problems } = models.pairs().unwrap_err() else { panic!() };
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["teacher_layers", "teacher_width", "student_width", "stride"]);
        assert_eq!(problems[3].to_string(), "stride = 4: must be from 1 to the student's 3 layers");
        assert!(LayerMap::new(12, 0, 8).pairs().is_err());
    }

    #[test]
    fn tinybert_projects_every_hidden_state_and_none_of_the_attention() {
        // Table 3 of the paper: 4 layers of width 312, layer m learns layer 3m, the embeddings too.
        let models = LayerMap::new(12, 4, 768).with_student_width(312);
        let table = tinybert_matches(&models, MatchFeature::AttentionScores).unwrap();
        let (hidden, attention) = table.split_at(5);
        assert_eq!(hidden, preset("L4t_hidden_mse").unwrap());
        let expected = preset("L4_attention_mse").unwrap();
        assert_eq!(layers(attention), layers(&expected));
        assert!(attention.iter().all(|one| one.feature == MatchFeature::AttentionScores));
        let wide = tinybert_matches(&LayerMap::new(12, 6, 768), MatchFeature::Attention).unwrap();
        assert_eq!(wide.iter().filter(|one| one.proj.is_some()).count(), 7, "projected at equal widths too");
        let error = tinybert_matches(&models, MatchFeature::Hidden).unwrap_err().to_string();
        assert!(error.contains("attention = hidden: must be `attention_scores` or `attention`"), "{error}");
    }

    #[test]
    fn names_of_presets_stand_among_tables() {
        let config: DistillationConfig = from_json_str(
            r#"{"intermediate_matches": ["L4t_hidden_mse", "L4_hidden_smmd",
                {"layer_T": 1, "layer_S": 1, "feature": "hidden", "loss": "cos", "weight": 2}]}"#,
        )
        .unwrap();
        let matches = &config.intermediate_matches;
        assert_eq!(matches.len(), 11);
        assert_eq!(matches[..5], preset("L4t_hidden_mse").unwrap());
        assert_eq!(matches[5..10], preset("L4_hidden_smmd").unwrap());
        assert_eq!(matches[10].weight, 2.0);
        let text = r#"intermediate_matches = ["L3_attention_ce", { layer_T = 1, layer_S = 1, feature = "hidden", loss = "cos" }]"#;
        let config: DistillationConfig = from_toml_str(text).unwrap();
        assert_eq!(config.intermediate_matches.len(), 4);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(from_toml_str::<DistillationConfig>(&written).unwrap(), config);
    }

    #[test]
    fn an_unknown_preset_is_named_with_its_line_and_the_nearest_one() {
        let json = "{\"intermediate_matches\": [\"L3_hidden_mse\",\n \"L4t_hiden_sgram\"]}";
        let error = from_json_str::<DistillationConfig>(json).unwrap_err();
        let ConfigError::UnknownPreset { line, name, nearest, .. } = &error else { panic!("{error}") };
        assert_eq!(
            (*line, name.as_str(), nearest.as_deref()),
            (Some(2), "L4t_hiden_sgram", Some("L4t_hidden_sgram"))
        );
        let text = "temperature = 8\nintermediate_matches = [\"L4t_hiden_sgram\"]";
        let error = from_toml_str::<DistillationConfig>(text).unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: unknown preset `L4t_hiden_sgram`, did you mean `L4t_hidden_sgram`?"),
            "{error}"
        );
        assert!(error.contains("small") && error.contains("hidden_smmd"), "{error}");
        assert!(
            preset("banana")
                .unwrap_err()
                .to_string()
                .starts_with("unknown preset `banana`; write one of L3, L3n")
        );
    }

    #[test]
    fn a_mistake_in_a_table_keeps_its_place_and_a_number_is_no_match() {
        let text = "[[intermediate_matches]]\nlayer_T = 1\nlayer_S = 1\nfeature = \"hiden\"\n";
        let error = from_toml_str::<DistillationConfig>(text).unwrap_err().to_string();
        assert!(error.starts_with("line 4: unknown value `hiden`, did you mean `hidden`?"), "{error}");
        let error =
            from_json_str::<DistillationConfig>(r#"{"intermediate_matches": [3]}"#).unwrap_err().to_string();
        assert!(error.contains("the name of a preset, such as \"L4t_hidden_mse\""), "{error}");
        let error =
            from_json_str::<DistillationConfig>(r#"{"intermediate_matches": "L3_hidden_mse"}"#).unwrap_err();
        assert!(error.to_string().contains("a list of intermediate matches"), "{error}");
    }
}
