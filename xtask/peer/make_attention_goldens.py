"""Computes models/bert_cls/attention.safetensors under crates/brew-testkit/golden with transformers.

usage: make_attention_goldens.py [OUT_DIR]            (in the environment of scripts/setup-peer.sh)

What transformers computes on the way to the attention of the checkpoint and the inputs that make_goldens.py wrote there:
`query.N`, `key.N` and `value.N`, what the layers of these names give, and `scores.N`, their `QKᵀ/√d` before the mask.
"""
import argparse
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"


def keep(into, name):
    def hook(_module, _inputs, output):
        into[name] = output.contiguous()

    return hook


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    folder = parser.parse_args().out / "models" / "bert_cls"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    features = {}
    for layer, module in enumerate(model.bert.encoder.layer):
        attention = module.attention.self
        for name in ("query", "key", "value"):
            getattr(attention, name).register_forward_hook(keep(features, f"{name}.{layer}"))
    expected = load_file(folder / "expected.safetensors")
    with torch.no_grad():
        inputs = {name: expected[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        outputs = model(**inputs, output_attentions=True)
        torch.testing.assert_close(outputs.logits, expected["logits"])
        heads = model.config.num_attention_heads
        for layer, attention in enumerate(outputs.attentions):
            query, key = (
                features[f"{name}.{layer}"].unflatten(2, (heads, -1)).transpose(1, 2) for name in ("query", "key")
            )
            scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
            features[f"scores.{layer}"] = scores.contiguous()
            # They are the scores of this model: the mask and a softmax give its probabilities.
            masked = scores.masked_fill(inputs["attention_mask"][:, None, None, :] == 0, float("-inf"))
            torch.testing.assert_close(masked.softmax(-1), attention)
    save_file(features, folder / "attention.safetensors")
    print(f"{folder / 'attention.safetensors'}: {sorted(features)}")


if __name__ == "__main__":
    main()
