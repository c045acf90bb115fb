"""Checks that transformers, reading a folder that Brew exported, predicts what `textbrew predict` predicted.

usage: check_export.py EXPORTED_DIR DATA_TSV PREDICTIONS.jsonl [--count 100]

DATA_TSV is the file that was predicted, the text in its first column; each line of PREDICTIONS.jsonl is
{"id": .., "text": .., "logits": [..], "label": ".."} in the same order. Exits with 1 if a logit of the first `count`
sentences differs by more than the tolerance, or a label or a text does.
"""
import argparse
import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def texts_of(path, count):
    with open(path, encoding="utf-8") as lines:
        texts = (line.rstrip("\r\n").split("\t")[0] for line in lines if line.strip())
        return [text for text, _ in zip(texts, range(count))]


def predictions_of(path, count):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported_dir")
    parser.add_argument("data_tsv")
    parser.add_argument("predictions")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--max-length", type=int, default=128, help="tokens, as in the run that predicted")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.exported_dir)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.exported_dir).eval()
    texts = texts_of(arguments.data_tsv, arguments.count)
    predictions = predictions_of(arguments.predictions, arguments.count)
    if not texts:
        sys.exit(f"{arguments.data_tsv}: no sentences")
    if len(predictions) < len(texts):
        sys.exit(f"{arguments.predictions}: {len(predictions)} predictions for {len(texts)} sentences")

    wrong, largest = [], 0.0
    for number, (text, prediction) in enumerate(zip(texts, predictions), start=1):
        if prediction["text"] != text:
            wrong.append(f"line {number}: predicted {prediction['text']!r}, the data has {text!r}")
            continue
        tokens = tokenizer(text, truncation=True, max_length=arguments.max_length, return_tensors="pt")
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
    for line in wrong[:10]:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
