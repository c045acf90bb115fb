"""Computes the models of every family under crates/brew-testkit/golden/models with transformers and PyTorch.

usage: make_model_goldens.py [OUT_DIR]            (in the environment of scripts/setup-peer.sh)

models/bert_cls is make_goldens.py's. Each of the others is a tiny checkpoint, `expected.safetensors` with its inputs and
what comes of them, and `gradients.safetensors`: what a loss gives for each parameter. OUT_DIR/README.md says which loss.
"""
import argparse
import json
import pathlib

import torch
from bigru import BiGru
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForTokenClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"
VOCAB, LENGTHS, LONGEST = 23, [7, 3, 5], 7
BERT = dict(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
            max_position_embeddings=12, initializer_range=0.3)


def seeded(seed, architecture, config):
    """A model whose biases and LayerNorms are random as well, so that none of them can go missing."""
    torch.manual_seed(seed)
    model = architecture(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def batch_of(seed, pad, segments):
    """Random ids of `LENGTHS`, none of which is the padding's, in two segments where there are two."""
    draw = torch.Generator().manual_seed(seed)
    place = torch.arange(LONGEST).expand(len(LENGTHS), -1)
    lengths = torch.tensor(LENGTHS).unsqueeze(1)
    mask = (place < lengths).long()
    ids = torch.randint(2, VOCAB, mask.shape, generator=draw)
    types = (place >= lengths // 2).long() * mask * (segments > 1)
    return {"input_ids": torch.where(mask.bool(), ids, pad), "attention_mask": mask, "token_type_ids": types}


def weigh(seed, output, mask):
    """Σ w·output with fixed weights, which are 0 at padding where the output has a row a token."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))
    if output.dim() > 1 and output.shape[:2] == mask.shape:
        weights = weights * mask.reshape(mask.shape + (1,) * (output.dim() - 2))
    return weights, (weights * output).sum()


def record(folder, model, batch, save_config):
    """Runs the model, and writes it with what it computed and the gradient of the loss."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = model(batch)
    expected = dict(batch)
    gradients = {}
    loss = 0
    for name, output in outputs.items():
        expected[name] = output
        if name in ("logits", "start_logits", "end_logits"):
            weights, term = weigh(len(name), output, batch["attention_mask"])
            gradients[f"weights.{name}"] = weights
            loss = loss + term
    loss.backward()
    for name, parameter in model.module.named_parameters():
        gradients[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    save_config(folder)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in expected.items()}
    save_file(tensors, folder / "expected.safetensors")
    gradients = {name: tensor.detach().clone().contiguous() for name, tensor in gradients.items()}
    save_file(gradients, folder / "gradients.safetensors")


class Runner:
    """A model, which may want no segments."""

    def __init__(self, module):
        self.module = module

    def __call__(self, batch):
        wanted = dict(output_hidden_states=True, output_attentions=True)
        if self.module.config.model_type == "bigru":
            wanted = {}
        inputs = dict(batch)
        if self.module.config.model_type == "distilbert":
            del inputs["token_type_ids"]
        outputs = self.module(**inputs, **wanted)
        names = [name for name in ("logits", "start_logits", "end_logits") if hasattr(outputs, name)]
        kept = {name: getattr(outputs, name) for name in names}
        kept.update({f"hidden.{i}": hidden for i, hidden in enumerate(outputs.hidden_states)})
        kept.update({f"attention.{i}": attention for i, attention in enumerate(outputs.attentions)})
        return kept


def transformers_cases():
    eager = dict(attn_implementation="eager")
    distilbert = dict(vocab_size=VOCAB, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=12,
                      initializer_range=0.3, **eager)
    albert = dict(BERT, embedding_size=6, num_hidden_layers=3, num_hidden_groups=1, **eager)
    return {
        "distilbert_multilabel_silu": (DistilBertForSequenceClassification, DistilBertConfig(
            activation="silu", num_labels=4, problem_type="multi_label_classification", **distilbert)),
        "distilbert_qa": (DistilBertForQuestionAnswering, DistilBertConfig(**distilbert)),
        "albert_cls": (AlbertForSequenceClassification, AlbertConfig(num_labels=3, **albert)),
        "albert_qa_groups": (AlbertForQuestionAnswering, AlbertConfig(
            **dict(albert, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2, hidden_act="relu"))),
        "roberta_tokens": (RobertaForTokenClassification, RobertaConfig(
            type_vocab_size=1, layer_norm_eps=1e-5, num_labels=5, **BERT, **eager)),
        "xlm_roberta_cls": (XLMRobertaForSequenceClassification, XLMRobertaConfig(
            type_vocab_size=2, num_labels=3, hidden_act="gelu_new", **BERT, **eager)),
        "electra_regression": (ElectraForSequenceClassification, ElectraConfig(
            embedding_size=6, num_labels=1, problem_type="regression", hidden_act="relu", **BERT, **eager)),
    }


def bigru_case(folder, seed, of_tokens):
    torch.manual_seed(seed)
    labels, head = (5, "Token") if of_tokens else (3, "Sequence")
    model = BiGru(VOCAB, width=6, hidden=8, labels=labels, of_tokens=of_tokens)
    with torch.no_grad():
        # Wider than PyTorch's start, so that the gates are not all half open.
        for parameter in model.parameters():
            parameter.mul_(2)
    config = {
        "architectures": [f"BiGruFor{head}Classification"],
        "model_type": "bigru",
        "vocab_size": VOCAB,
        "embedding_size": 6,
        "hidden_size": 8,
        "id2label": {str(label): f"LABEL_{label}" for label in range(labels)},
    }

    def save(folder):
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(model.state_dict(), folder / "model.safetensors")

    model.config = argparse.Namespace(model_type="bigru")
    record(folder, Runner(model), batch_of(seed, 0, 1), save)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    out = parser.parse_args().out / "models"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for seed, (name, (architecture, config)) in enumerate(transformers_cases().items(), start=61):
        model = seeded(seed, architecture, config)
        segments = getattr(config, "type_vocab_size", 1)
        batch = batch_of(seed, config.pad_token_id, segments)
        record(out / name, Runner(model), batch, model.save_pretrained)
        # transformers reads back what it computed from.
        again = architecture.from_pretrained(out / name, attn_implementation="eager").eval()
        expected = load_file(out / name / "expected.safetensors")
        with torch.no_grad():
            for key, value in Runner(again)(batch).items():
                torch.testing.assert_close(value, expected[key])
    bigru_case(out / "bigru_cls", 71, of_tokens=False)
    bigru_case(out / "bigru_tokens", 72, of_tokens=True)
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
