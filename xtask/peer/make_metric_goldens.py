"""Asks scikit-learn and scipy for metrics and writes them to crates/brew-testkit/golden/metrics.json.

usage: make_metric_goldens.py [--out FILE]        (the environment of scripts/setup-peer.sh)

Random cases of three kinds: `multi_label[]`, flags a row as a string of 0 and 1, with precision, recall and F1 by each
average and of each label (zero_division=0) and the subset accuracy; `regression[]`, numbers with ties among them, with
Pearson's and Spearman's correlation and the mean squared error (0 where scipy says NaN, as one side does not vary);
`classes[]`, with Matthews' correlation.
"""
import argparse
import json
import math
import pathlib
import random
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, matthews_corrcoef, mean_squared_error
from sklearn.metrics import precision_recall_fscore_support

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden" / "metrics.json"
CASES = 200


def multi_label(rng):
    labels, examples = rng.randint(2, 6), rng.randint(1, 12)
    rate = rng.choice([0.05, 0.3, 0.7])
    gold = [[rng.random() < rate for _ in range(labels)] for _ in range(examples)]
    noise = rng.choice([0.1, 0.5])
    predicted = [[flag != (rng.random() < noise) for flag in row] for row in gold]
    truth, guess = np.array(gold, dtype=int), np.array(predicted, dtype=int)
    entry = {
        "gold": ["".join(str(int(flag)) for flag in row) for row in gold],
        "predicted": ["".join(str(int(flag)) for flag in row) for row in predicted],
        "subset_accuracy": float(accuracy_score(truth, guess)),
    }
    for average in ["micro", "macro", "weighted", "samples"]:
        found = precision_recall_fscore_support(truth, guess, average=average, zero_division=0)
        entry[average] = [float(value) for value in found[:3]]
    each = precision_recall_fscore_support(truth, guess, average=None, zero_division=0)
    entry["labels"] = [[float(column[at]) for column in each[:3]] + [int(each[3][at])] for at in range(labels)]
    return entry


def number(value):
    return 0.0 if math.isnan(value) else float(value)


def regression(rng):
    count = rng.randint(2, 15)
    steps = rng.choice([1, 2, 10, 1000])
    values = [round(rng.random() * steps) * 5 / steps for _ in range(count)]
    scale = rng.choice([1e-3, 1.0, 300.0])
    predicted = [scale * (value + rng.gauss(0, 1)) for value in values]
    if rng.random() < 0.4:
        predicted = [round(value) for value in predicted]
    return {
        "values": values,
        "predicted": [float(value) for value in predicted],
        "pearson": number(pearsonr(predicted, values).statistic),
        "spearman": number(spearmanr(predicted, values).statistic),
        "mse": float(mean_squared_error(values, predicted)),
    }


def classes(rng):
    count, number_of = rng.randint(1, 20), rng.randint(2, 5)
    labels = [rng.randrange(number_of) for _ in range(count)]
    noise = rng.choice([0.1, 0.5, 1.0])
    predicted = [rng.randrange(number_of) if rng.random() < noise else label for label in labels]
    value = float(matthews_corrcoef(labels, predicted))
    return {"classes": number_of, "labels": labels, "predicted": predicted, "matthews": value}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(21)
    parts = []
    for name, make in [("multi_label", multi_label), ("regression", regression), ("classes", classes)]:
        lines = ",\n".join(json.dumps(make(rng), separators=(",", ":")) for _ in range(CASES))
        parts.append(f'"{name}":[\n{lines}\n]')
    text = '{"source":"scikit-learn 1.9.1, scipy 1.17.1",\n' + ",\n".join(parts) + "}\n"
    json.loads(text)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {CASES} cases of each kind, {len(text)} bytes")


if __name__ == "__main__":
    main()
