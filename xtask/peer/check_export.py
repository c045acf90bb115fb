"""Checks that transformers, reading folders that Brew exported, computes what Brew did.

usage: check_export.py EXPORTED_DIR DATA_TSV PREDICTIONS.jsonl [--count 100]
       check_export.py --goldens EXPORTED_ROOT GOLDEN_MODELS

The first form compares one classifier of texts with `textbrew predict`. DATA_TSV is the file that was predicted, the
text in its first column; each line of PREDICTIONS.jsonl is {"id": .., "text": .., "logits": [..], "label": ".."} in the
same order. Exits with 1 if a logit of the first `count` sentences differs by more than the tolerance, or a label or a
text does.

The second compares every family and head: the tests of brew-models write each golden model again where BREW_EXPORT names a
folder (`BREW_EXPORT=EXPORTED_ROOT cargo test -p brew-models --test golden_models exported`), and what each folder there
computes has to be what the folder of the same name in GOLDEN_MODELS expects.

Brew's BiGRU, which transformers does not have, is read into PyTorch's GRU (bigru.py).
"""
import argparse
import json
import pathlib
import sys

import torch
import transformers
from bigru import BiGru
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast


def texts_of(path, count):
    with open(path, encoding="utf-8") as lines:
        texts = (line.rstrip("\r\n").split("\t")[0] for line in lines if line.strip())
        return [text for text, _ in zip(texts, range(count))]


def predictions_of(path, count):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count))]


def config_of(folder):
    return json.loads((pathlib.Path(folder) / "config.json").read_text(encoding="utf-8"))


def load(folder, architecture):
    """A model of the folder, all of whose tensors it takes and that takes all of its tensors from there."""
    if config_of(folder)["model_type"] == "bigru":
        return BiGru.from_pretrained(folder)
    model, report = architecture.from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            sys.exit(f"{folder}: {kind}: {sorted(report[kind])}")
    return model.eval()


def tokenizer_of(folder):
    if config_of(folder)["model_type"] == "bigru":
        return PreTrainedTokenizerFast.from_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def check_predictions(arguments):
    exported_dir, data_tsv, predictions_file = arguments.paths
    tokenizer = tokenizer_of(exported_dir)
    model = load(exported_dir, AutoModelForSequenceClassification)
    texts = texts_of(data_tsv, arguments.count)
    predictions = predictions_of(predictions_file, arguments.count)
    if not texts:
        sys.exit(f"{data_tsv}: no sentences")
    if len(predictions) < len(texts):
        sys.exit(f"{predictions_file}: {len(predictions)} predictions for {len(texts)} sentences")

    wrong, largest = [], 0.0
    for number, (text, prediction) in enumerate(zip(texts, predictions), start=1):
        if prediction["text"] != text:
            wrong.append(f"line {number}: predicted {prediction['text']!r}, the data has {text!r}")
            continue
        tokens = tokenizer(text, truncation=True, max_length=arguments.max_length, return_tensors="pt")
        if model.config.model_type == "distilbert":
            tokens.pop("token_type_ids", None)  # what a BERT's tokenizer gives, and the model does not take
        with torch.no_grad():
            logits = model(**tokens).logits[0]
        ours = torch.tensor(prediction["logits"], dtype=logits.dtype)
        if ours.shape != logits.shape:
            wrong.append(f"line {number}: {len(ours)} logits, transformers gives {len(logits)}")
            continue
        difference = (ours - logits).abs().max().item()
        largest = max(largest, difference)
        if not difference <= arguments.tolerance:
            wrong.append(f"line {number}: logits {ours.tolist()}, transformers gives {logits.tolist()}")
        label = model.config.id2label[logits.argmax().item()]
        top = logits.topk(min(2, len(logits))).values
        if prediction["label"] != label and top[0] - top[-1] > arguments.tolerance:
            wrong.append(f"line {number}: label {prediction['label']!r}, transformers gives {label!r}")

    print(f"{len(texts)} sentences: largest difference of a logit {largest:.2e}, {len(wrong)} wrong")
    return wrong


def check_goldens(arguments):
    exported_root, goldens = (pathlib.Path(path) for path in arguments.paths)
    folders = sorted(path for path in exported_root.iterdir() if (path / "config.json").is_file())
    if not folders:
        sys.exit(f"{exported_root}: no models")
    wrong = []
    for folder in folders:
        name = config_of(folder)["architectures"][0]
        model = load(folder, getattr(transformers, name, None))
        expected = load_file(goldens / folder.name / "expected.safetensors")
        inputs = {key: expected[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in expected}
        if model.config.model_type == "distilbert":
            inputs.pop("token_type_ids", None)
        with torch.no_grad():
            outputs = model(**inputs)
        largest, mask = 0.0, inputs["attention_mask"].bool()
        for key in ("logits", "start_logits", "end_logits"):
            if key in expected:
                difference = (getattr(outputs, key) - expected[key]).abs()
                if difference.shape[:2] == mask.shape:
                    difference = difference[mask]
                largest = max(largest, difference.max().item())
        print(f"{folder.name}: {name}, largest difference of a logit {largest:.2e}")
        if not largest <= arguments.tolerance:
            wrong.append(f"{folder.name}: {largest:.2e}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--goldens", action="store_true", help="the second form")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--max-length", type=int, default=128, help="tokens, as in the run that predicted")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    if len(arguments.paths) != (2 if arguments.goldens else 3):
        parser.error("another number of paths is needed, see --help")

    wrong = check_goldens(arguments) if arguments.goldens else check_predictions(arguments)
    for line in wrong[:10]:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
