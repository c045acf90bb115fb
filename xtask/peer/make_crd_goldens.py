"""Computes crd.json under crates/brew-testkit/golden: contrastive representation distillation with a memory.

usage: make_crd_goldens.py [OUT_DIR]       (in the environment of scripts/setup-peer.sh)

The objective is written out here in plain PyTorch, in double precision and pair by pair, from the paper (Tian, Krishnan,
Isola, https://arxiv.org/abs/1910.10699, equations 10 to 19 and the implementation notes on the memory) and without a look at
Brew's code. Inputs are drawn from a fixed seed and rounded to single precision first, so that both sides compute from
the same numbers. Each case is a few batches in a row over one memory: heads and constants stay, the memory moves.
"""
import argparse
import json
import math
import pathlib

import torch

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"
SOURCE = f"torch {torch.__version__}, double precision"


def as_json(tensor):
    """In single precision, with as many digits as that takes."""
    numbers = tensor.detach().float().flatten().tolist()
    return {"shape": list(tensor.shape), "data": [float(f"{number:.9g}") for number in numbers]}


def unit(rows):
    return rows / rows.norm(dim=-1, keepdim=True)


def anchor_loss(anchors, memory, rows, temperature, constant, examples):
    """One side of the objective: each anchor beside the other side's memory, its own row first."""
    total = 0.0
    for anchor, candidates in zip(anchors, rows):
        noise = (len(candidates) - 1) / examples
        for place, candidate in enumerate(candidates):
            p = (anchor @ memory[candidate] / temperature).exp() / constant
            h = p / (p + noise)
            total = total - (h.log() if place == 0 else (1 - h).log())
    return total / len(anchors)


def mean_exp(anchors, memory, rows, temperature):
    scores = [anchor @ memory[row] / temperature for anchor, candidates in zip(anchors, rows) for row in candidates]
    return torch.stack(scores).exp().mean().item()


def case(draw, examples, batch, negatives, widths, dim, temperature, momentum, steps):
    def normal(*shape):
        return torch.randn(shape, generator=draw).double()

    def single(tensor):
        return tensor.float().double()

    heads = [
        {"weight": single(normal(width, dim) / math.sqrt(width)), "bias": single(normal(dim) / 4)} for width in widths
    ]
    memories = [single(unit(normal(examples, dim))) for _ in widths]
    written = {
        "examples": examples,
        "temperature": temperature,
        "momentum": momentum,
        "heads": [{name: as_json(tensor) for name, tensor in head.items()} for head in heads],
        "memories": [as_json(memory) for memory in memories],
        "steps": [],
    }
    constants = None
    for _ in range(steps):
        own = torch.randperm(examples, generator=draw)[:batch].tolist()
        rows = []
        for example in own:
            others = [other for other in torch.randperm(examples, generator=draw).tolist() if other != example]
            rows.append([example, *others[:negatives]])
        states = [single(normal(batch, width)).requires_grad_() for width in widths]
        weights = [head["weight"].clone().requires_grad_() for head in heads]
        biases = [head["bias"].clone().requires_grad_() for head in heads]
        vectors = [unit(state @ weight + bias) for state, weight, bias in zip(states, weights, biases)]
        if constants is None:
            # Student's vectors beside the teacher's memory, and the other way round.
            constants = [
                examples * mean_exp(vectors[side], memories[1 - side], rows, temperature) for side in (0, 1)
            ]
            written["log_constants"] = [math.log(constant) for constant in constants]
        losses = [
            anchor_loss(vectors[side], memories[1 - side], rows, temperature, constants[side], examples)
            for side in (0, 1)
        ]
        sum(losses).backward()
        for side in (0, 1):
            for example, vector in zip(own, vectors[side].detach()):
                memories[side][example] = unit(momentum * memories[side][example] + (1 - momentum) * vector)
        written["steps"].append(
            {
                "rows": rows,
                "states": [as_json(state) for state in states],
                "losses": [loss.item() for loss in losses],
                "grad_states": [as_json(state.grad) for state in states],
                "grad_weights": [as_json(weight.grad) for weight in weights],
                "grad_biases": [as_json(bias.grad) for bias in biases],
                "memories": [as_json(memory) for memory in memories],
            }
        )
    return written


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    path = parser.parse_args().out / "crd.json"
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(29)
    cases = [
        case(draw, 12, 4, 5, (3, 6), 4, temperature=0.5, momentum=0.5, steps=3),
        case(draw, 12, 3, 11, (5, 4), 8, temperature=0.07, momentum=0.5, steps=3),
        case(draw, 7, 2, 1, (4, 4), 3, temperature=0.1, momentum=0.0, steps=2),
        case(draw, 9, 3, 6, (2, 7), 5, temperature=1.0, momentum=0.9, steps=2),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"source": SOURCE, "cases": cases}) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes, {len(cases)} cases")


if __name__ == "__main__":
    main()
