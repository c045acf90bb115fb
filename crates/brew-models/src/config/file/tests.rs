use super::*;
use crate::{Activation, ProblemType};

fn parse(json: &str) -> Result<EncoderConfig, String> {
    serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
}

#[test]
fn missing_fields_take_the_defaults_of_transformers() {
    assert_eq!(parse("{}").unwrap(), EncoderConfig::default());
}

#[test]
fn other_fields_are_written_back() {
    let config =
        parse(r#"{"model_type":"bert","use_cache":true,"task":{"a":[1]},"pad_token_id":null}"#).unwrap();
    assert_eq!(config.pad_token_id, None);
    let json = serde_json::to_value(&config).unwrap();
    assert_eq!(json["use_cache"], true);
    assert_eq!(json["task"]["a"][0], 1);
    assert_eq!(json["id2label"]["1"], "LABEL_1");
    assert_eq!(json["label2id"]["LABEL_1"], 1);
    assert_eq!(parse(&json.to_string()).unwrap(), config);
}

#[test]
fn labels_come_in_the_order_of_their_ids() {
    let names: Map<String, Value> = (0..12).map(|i| (i.to_string(), format!("n{i}").into())).collect();
    let config = parse(&serde_json::json!({ "id2label": names }).to_string()).unwrap();
    assert_eq!(config.labels[2], "n2");
    assert_eq!(config.labels[10], "n10");
    assert_eq!(config.num_labels(), 12);
}

#[test]
fn what_makes_no_sense_is_an_error_with_field_and_value() {
    let cases = [
        (r#"{"hidden_size": 10, "num_attention_heads": 3}"#, "divisible"),
        (r#"{"num_hidden_layers": 0}"#, "num_hidden_layers is 0"),
        (r#"{"num_attention_heads": 0}"#, "num_attention_heads is 0"),
        (r#"{"vocab_size": 18446744073709551615}"#, "vocab_size is 18446744073709551615"),
        (r#"{"vocab_size": 60000000, "hidden_size": 65536, "num_attention_heads": 16}"#, "parameters"),
        (r#"{"hidden_dropout_prob": 1.0}"#, "hidden_dropout_prob is 1"),
        (r#"{"hidden_act": "mish"}"#, "mish"),
        (r#"{"position_embedding_type": "relative_key"}"#, "relative_key"),
        (r#"{"pad_token_id": 99999}"#, "pad_token_id is 99999"),
        (r#"{"id2label": {"0": "a", "2": "b"}}"#, "\"2\""),
        (r#"{"id2label": {"0": "a", "00": "b"}}"#, "repeats"),
        (r#"{"num_labels": 3, "id2label": {"0": "a", "1": "b"}}"#, "num_labels is 3"),
        (r#"{"num_labels": 99999999999}"#, "num_labels is 99999999999"),
        (r#"{"layer_norm_eps": 0}"#, "layer_norm_eps"),
        (r#"{"hidden_size": -1}"#, "-1"),
        (r#"{"model_type": "t5"}"#, "t5"),
        (r#"{"hidden_size": "wide"}"#, "hidden_size: "),
        (r#"{"problem_type": "ranking"}"#, "problem_type: "),
        (r#"{"num_hidden_groups": 0, "model_type": "albert"}"#, "num_hidden_groups is 0"),
        (r#"{"num_hidden_groups": 13, "model_type": "albert"}"#, "at most num_hidden_layers, 12"),
        (r#"{"model_type": "distilbert", "dim": 10}"#, "hidden_size is 10 and must be divisible"),
        (r#"{"model_type": "distilbert", "dim": 24, "hidden_size": 48}"#, "one and the same"),
        (r#"{"model_type": "distilbert", "n_layers": "six"}"#, "n_layers: "),
        (r#"{"model_type": "roberta", "pad_token_id": null}"#, "pad_token_id is null"),
        (r#"{"model_type": "roberta", "max_position_embeddings": 2}"#, "must be above pad_token_id + 1, 2"),
        (r#"{"model_type": "albert", "embedding_size": 0}"#, "embedding_size is 0"),
    ];
    for (json, expected) in cases {
        let error = parse(json).expect_err(json);
        assert!(error.contains(expected), "{json}: {error}");
    }
}

/// A file, and another spelling of it, for each family.
const FILES: [(&str, Architecture); 7] = [
    (r#"{"model_type": "bert", "hidden_size": 24, "num_attention_heads": 4}"#, Architecture::Bert),
    (r#"{"model_type": "roberta", "hidden_size": 24, "num_attention_heads": 4}"#, Architecture::Roberta),
    (
        r#"{"model_type": "xlm-roberta", "hidden_size": 24, "num_attention_heads": 4}"#,
        Architecture::XlmRoberta,
    ),
    (r#"{"model_type": "electra", "hidden_size": 24, "embedding_size": 16}"#, Architecture::Electra),
    (r#"{"model_type": "distilbert", "dim": 24, "n_heads": 4}"#, Architecture::DistilBert),
    (r#"{"model_type": "albert", "hidden_size": 64, "num_hidden_groups": 3}"#, Architecture::Albert),
    (r#"{"model_type": "bigru", "hidden_size": 24}"#, Architecture::BiGru),
];

#[test]
fn every_family_is_written_with_its_own_names_and_read_back() {
    for (text, architecture) in FILES {
        let config = EncoderConfig {
            problem_type: Some(ProblemType::MultiLabelClassification),
            ..parse(text).unwrap()
        };
        assert_eq!(config.architecture, architecture);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["problem_type"], "multi_label_classification");
        let given: Value = serde_json::from_str(text).unwrap();
        for (name, value) in given.as_object().unwrap() {
            assert_eq!(&json[name], value, "{text}: {name}");
        }
        assert_eq!(parse(&json.to_string()).unwrap(), config, "{json}");
    }
}

/// Every field, with values that no default has.
#[test]
fn distilberts_names_are_its_own() {
    let text = r#"{"model_type": "distilbert", "activation": "relu", "attention_dropout": 0.3, "dim": 24,
        "dropout": 0.4, "hidden_dim": 50, "n_heads": 4, "n_layers": 2, "qa_dropout": 0.6,
        "seq_classif_dropout": 0.7, "max_position_embeddings": 60, "vocab_size": 70, "pad_token_id": 5,
        "initializer_range": 0.5, "sinusoidal_pos_embds": false, "tie_weights_": true, "layer_norm_eps": 0.1}"#;
    let config = parse(text).unwrap();
    assert_eq!(config.hidden_act, Activation::Relu);
    assert_eq!((config.hidden_size, config.intermediate_size), (24, 50));
    assert_eq!((config.num_attention_heads, config.num_hidden_layers), (4, 2));
    let rates = [config.attention_probs_dropout_prob, config.hidden_dropout_prob, config.qa_dropout];
    assert_eq!(rates, [0.3, 0.4, 0.6]);
    assert_eq!(config.classifier_dropout, Some(0.7));
    assert_eq!((config.max_position_embeddings, config.vocab_size, config.pad_token_id), (60, 70, Some(5)));
    // What the family does not have is kept, and without effect.
    assert_eq!(config.layer_norm_eps, 1e-12);
    assert_eq!(config.other["layer_norm_eps"], 0.1);
    let json = serde_json::to_value(&config).unwrap();
    let given: Map<String, Value> = serde_json::from_str(text).unwrap();
    for (name, value) in &given {
        assert_eq!(&json[name], value, "{name}");
    }
    for name in ["hidden_size", "num_hidden_layers", "type_vocab_size", "position_embedding_type"] {
        assert!(json.get(name).is_none(), "{name}");
    }
    // transformers takes these names for the same thing.
    let alias =
        parse(r#"{"model_type": "distilbert", "hidden_size": 24, "num_attention_heads": 4}"#).unwrap();
    assert_eq!((alias.hidden_size, alias.num_attention_heads), (24, 4));
}

/// The classes' own defaults in transformers 4.57.
#[test]
fn what_a_file_leaves_out_is_the_familys_default() {
    let of = |name: &str| parse(&format!(r#"{{"model_type": "{name}"}}"#)).unwrap();
    let (roberta, xlm) = (of("roberta"), of("xlm-roberta"));
    assert_eq!((roberta.vocab_size, roberta.pad_token_id, roberta.type_vocab_size), (50265, Some(1), 2));
    assert_eq!((xlm.vocab_size, xlm.pad_token_id, xlm.max_length()), (30522, Some(1), 510));
    let electra = of("electra");
    assert_eq!((electra.embedding_width(), electra.hidden_size, electra.intermediate_size), (128, 256, 1024));
    let distilbert = of("distilbert");
    assert_eq!((distilbert.num_hidden_layers, distilbert.hidden_size), (6, 768));
    assert_eq!((distilbert.classifier_dropout, distilbert.qa_dropout), (Some(0.2), 0.1));
    let albert = of("albert");
    assert_eq!((albert.vocab_size, albert.hidden_size, albert.num_attention_heads), (30000, 4096, 64));
    assert_eq!((albert.hidden_act, albert.hidden_dropout_prob), (Activation::GeluNew, 0.0));
    assert_eq!(albert.classifier_dropout, Some(0.1));
    let bigru = of("bigru");
    assert_eq!((bigru.hidden_size, bigru.embedding_width(), bigru.max_length()), (768, 768, usize::MAX));
}

#[test]
fn albert_names_its_classifiers_dropout_otherwise() {
    let config = parse(r#"{"model_type": "albert", "classifier_dropout_prob": 0.3}"#).unwrap();
    assert_eq!(config.classifier_dropout, Some(0.3));
    assert_eq!(serde_json::to_value(&config).unwrap()["classifier_dropout_prob"], 0.3);
    let config = parse(r#"{"model_type": "albert", "classifier_dropout_prob": null}"#).unwrap();
    assert_eq!(config.classifier_dropout, None);
}

#[test]
fn a_configuration_that_its_file_could_not_say_is_refused() {
    let bert = EncoderConfig { embedding_size: Some(16), ..EncoderConfig::default() };
    assert!(bert.validate().unwrap_err().to_string().contains("embedding_size is 16"));
    let bert = EncoderConfig { inner_group_num: 2, ..EncoderConfig::default() };
    assert!(bert.validate().unwrap_err().to_string().contains("shares no layers"));
    let distilbert = EncoderConfig { layer_norm_eps: 1e-5, ..EncoderConfig::of(Architecture::DistilBert) };
    assert!(distilbert.validate().unwrap_err().to_string().contains("1e-12"));
    let bigru = EncoderConfig { num_hidden_layers: 2, ..EncoderConfig::of(Architecture::BiGru) };
    assert!(bigru.validate().unwrap_err().to_string().contains("bigru has 1"));
}

#[test]
fn albert_layers_are_bounded_all_together() {
    let text = r#"{"model_type": "albert", "num_hidden_layers": 1024, "num_hidden_groups": 1024, "inner_group_num": 1024}"#;
    let error = serde_json::from_str::<EncoderConfig>(text).unwrap_err().to_string();
    assert!(error.contains("make 1048576 layers and must make at most 1024"), "{error}");
}
