"""Asks seqeval for span scores and writes them to crates/brew-testkit/golden/seqeval.json.

usage: make_seqeval_goldens.py [--out FILE]        (the environment of scripts/setup-peer.sh)

For each scheme, pairs of correct and predicted tags drawn at random: some follow their scheme, some break it wherever
they can, some differ from each other in a few words only. seqeval scores each pair twice: by default (`lenient`) and
with mode="strict" and the scheme (`strict`). BMES is not known to seqeval: it is given IOBES with I for M. Where there
is no span at all its averages are NaN; they are written as 0.
"""
import argparse
import json
import math
import pathlib
import random
import warnings

from seqeval.metrics import accuracy_score, precision_score, recall_score, f1_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as default_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.metrics.v1 import unique_labels
from seqeval.scheme import IOB1, IOB2, IOBES

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden" / "seqeval.json"
SCHEMES = {"iob1": (IOB1, "BI"), "iob2": (IOB2, "BI"), "bioes": (IOBES, "BIES"), "bmes": (IOBES, "BMES")}
TYPES = ["PER", "LOC", "creative-work"]
CASES = 60


def random_tags(rng, letters, length):
    """Any tag anywhere."""
    types = rng.sample(TYPES, rng.randint(1, len(TYPES)))
    outside = rng.choice([0.1, 0.4, 0.8])
    tags = []
    for _ in range(length):
        if rng.random() < outside:
            tags.append("O")
        else:
            tags.append(f"{rng.choice(letters)}-{rng.choice(types)}")
    return tags


def proper_tags(rng, scheme, length):
    """Tags that follow the scheme."""
    tags = []
    before = None
    while len(tags) < length:
        if rng.random() < 0.4:
            tags.append("O")
            before = None
            continue
        kind = rng.choice(TYPES)
        size = min(rng.choice([1, 1, 2, 3, 4]), length - len(tags))
        if scheme == "iob1":
            letters = ("B" if before == kind else "I") + "I" * (size - 1)
        elif scheme == "iob2":
            letters = "B" + "I" * (size - 1)
        else:
            inner = "M" if scheme == "bmes" else "I"
            letters = "S" if size == 1 else "B" + inner * (size - 2) + "E"
        tags += [f"{letter}-{kind}" for letter in letters]
        before = kind
    return tags


def disturbed(rng, tags, letters):
    """The same tags but for some words."""
    rate = rng.choice([0.05, 0.2, 0.5])
    return [rng.choice(random_tags(rng, letters, 4)) if rng.random() < rate else tag for tag in tags]


def as_seqeval(sentences, scheme):
    return [["I" + tag[1:] if scheme == "bmes" and tag[0] == "M" else tag for tag in tags] for tags in sentences]


def scores(values):
    return [0.0 if math.isnan(value) else float(value) for value in values]


def expected(gold, predicted, token, mode):
    if mode == "strict":
        names = unique_labels(gold, predicted, token)
        settings = {"mode": "strict", "scheme": token}
        each = strict_scores(gold, predicted, average=None, scheme=token, zero_division=0)
    else:
        names = sorted({entity[0] for entity in get_entities(gold) + get_entities(predicted)})
        settings = {}
        each = default_scores(gold, predicted, average=None, zero_division=0)
    found = {}
    for average in ["micro", "macro", "weighted"]:
        functions = [precision_score, recall_score, f1_score]
        found[average] = scores(f(gold, predicted, average=average, zero_division=0, **settings) for f in functions)
    columns = [scores(column) for column in each[:3]] + [[int(count) for count in each[3]]]
    found["types"] = {name: [column[at] for column in columns] for at, name in enumerate(names)}
    return found


def case(rng, scheme):
    token, letters = SCHEMES[scheme]
    lengths = [rng.randint(1, 9) for _ in range(rng.randint(1, 5))]
    kind = rng.random()
    if kind < 0.35:
        gold = [random_tags(rng, letters, length) for length in lengths]
    elif kind < 0.4:
        gold = [["O"] * length for length in lengths]
    else:
        gold = [proper_tags(rng, scheme, length) for length in lengths]
    kind = rng.random()
    if kind < 0.3:
        predicted = [random_tags(rng, letters, length) for length in lengths]
    elif kind < 0.35:
        predicted = [["O"] * length for length in lengths]
    else:
        predicted = [disturbed(rng, tags, letters) for tags in gold]
    theirs = as_seqeval(gold, scheme), as_seqeval(predicted, scheme)
    return {
        "scheme": scheme,
        "gold": [" ".join(tags) for tags in gold],
        "predicted": [" ".join(tags) for tags in predicted],
        "accuracy": accuracy_score(*theirs),
        "lenient": expected(*theirs, token, None),
        "strict": expected(*theirs, token, "strict"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(20)
    cases = [case(rng, scheme) for scheme in SCHEMES for _ in range(CASES)]
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases)
    text = '{"source":"seqeval 1.2.2","cases":[\n' + lines + "\n]}\n"
    json.loads(text)
    arguments.out.write_text(text, encoding="utf-8")
    hits = sum(entry["strict"]["micro"][2] > 0 for entry in cases)
    differ = sum(entry["strict"] != entry["lenient"] for entry in cases)
    print(f"{arguments.out}: {len(cases)} pairs, {hits} with a hit, {differ} where strict differs, {len(text)} bytes")


if __name__ == "__main__":
    main()
