"""Computes losses_beyond.json under crates/brew-testkit/golden: the losses that TextBrewer does not have.

usage: make_loss_goldens.py [OUT_DIR]       (in the environment of scripts/setup-peer.sh)

Each formula is written out here in plain PyTorch, in double precision and mostly entry by entry, from the papers and
without a look at Brew's code; the transport problems are solved by scipy's linear programming. Inputs are drawn from a
fixed seed and rounded to single precision first, so that both sides compute from the same numbers.
"""
import argparse
import itertools
import json
import pathlib

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy.optimize import linprog

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"
SOURCE = f"torch {torch.__version__}, scipy {scipy.__version__}, double precision"


def as_json(tensor):
    """In single precision, with as many digits as that takes."""
    numbers = tensor.detach().float().flatten().tolist()
    return {"shape": list(tensor.shape), "data": [float(f"{number:.9g}") for number in numbers]}


# On logits -----------------------------------------------------------------------------------------------------


def kl(p, q):
    """KL(p‖q) of each row of probabilities."""
    return (p * (p / q).log()).sum(-1)


def of_probabilities(formula):
    """The mean over positions of `formula(teacher's, student's probabilities)`."""

    def loss(student, teacher, temperature, **parameters):
        return formula((teacher / temperature).softmax(-1), (student / temperature).softmax(-1), **parameters).mean()

    return loss


def jensen_shannon(p, q, beta):
    mixture = beta * p + (1 - beta) * q
    return beta * kl(p, mixture) + (1 - beta) * kl(q, mixture)


def dkd(student, teacher, temperature, labels, alpha, beta):
    p, q = (teacher / temperature).softmax(-1), (student / temperature).softmax(-1)
    rows = []
    for row, label in enumerate(labels.tolist()):
        if label < 0:
            continue
        others = [index for index in range(p.shape[1]) if index != label]
        binary_p = torch.stack([p[row, label], p[row, others].sum()])
        binary_q = torch.stack([q[row, label], q[row, others].sum()])
        among_p, among_q = p[row, others] / binary_p[1], q[row, others] / binary_q[1]
        rows.append(alpha * kl(binary_p, binary_q) + beta * kl(among_p, among_q))
    return torch.stack(rows).mean() if rows else 0 * student.sum()


def bce(student, teacher, temperature):
    return F.binary_cross_entropy_with_logits(student / temperature, (teacher / temperature).sigmoid())


KD_LOSSES = {
    "kl": of_probabilities(kl),
    "reverse_kl": of_probabilities(lambda p, q: kl(q, p)),
    "js": of_probabilities(jensen_shannon),
    "skew_kl": of_probabilities(lambda p, q, alpha: kl(p, alpha * p + (1 - alpha) * q)),
    "skew_reverse_kl": of_probabilities(lambda p, q, alpha: kl(q, (1 - alpha) * p + alpha * q)),
    "dkd": dkd,
    "bce": bce,
}


# On features ---------------------------------------------------------------------------------------------------


def first_states(feature, mask):
    """The states at position 0 of the sequences of which a token counts, as a list."""
    states = feature[:, 0] if feature.dim() == 3 else feature
    return [state for index, state in enumerate(states) if mask is None or mask[index].any()]


def mean(terms):
    return torch.stack(terms).mean()


def rkd_distance(student, teacher, mask):
    relations = []
    for states in (first_states(student, mask), first_states(teacher, mask)):
        distances = torch.stack([torch.linalg.vector_norm(a - b) for a, b in itertools.permutations(states, 2)])
        relations.append(distances / distances.mean())
    return F.huber_loss(*relations, delta=1.0)


def rkd_angle(student, teacher, mask):
    relations = []
    for states in (first_states(student, mask), first_states(teacher, mask)):
        cosines = [F.cosine_similarity(a - b, c - b, dim=0, eps=1e-12) for a, b, c in itertools.permutations(states, 3)]
        relations.append(torch.stack(cosines))
    return F.huber_loss(*relations, delta=1.0)


def pkt(student, teacher, mask):
    distributions = []
    for states in (first_states(student, mask), first_states(teacher, mask)):
        rows = []
        for i, state in enumerate(states):
            row = [
                (F.cosine_similarity(state, other, dim=0, eps=1e-12) + 1) / 2 + 1e-7
                for j, other in enumerate(states) if j != i
            ]
            rows.append(torch.stack(row) / sum(row))
        distributions.append(rows)
    return mean([kl(p, q) for q, p in zip(*distributions)])


def sp(student, teacher, mask):
    matrices = []
    for feature in (student, teacher):
        rows = []
        for index, states in enumerate(feature):
            if mask is None:
                rows.append(states.flatten())
            elif mask[index].any():
                tokens = states if states.dim() == 1 else states * mask[index].unsqueeze(-1)
                rows.append(tokens.flatten())
        similarity = torch.stack([torch.stack([a @ b for b in rows]) for a in rows])
        matrices.append(similarity / torch.linalg.vector_norm(similarity, dim=1, keepdim=True))
    return (matrices[0] - matrices[1]).square().mean()


def minilm_relation(student, teacher, mask, relation_heads=None):
    divergences = []
    batch, heads = student.shape[0], relation_heads or student.shape[1]
    for index in range(batch):
        tokens = slice(None) if mask is None else mask[index].bool()
        for head in range(heads):
            relations = []
            for feature in (student[index], teacher[index]):
                if relation_heads is None:
                    vectors = feature[head][tokens]
                else:
                    vectors = feature.chunk(relation_heads, dim=-1)[head][tokens]
                relations.append((vectors @ vectors.T / vectors.shape[-1] ** 0.5).softmax(-1))
            divergences += list(kl(relations[1], relations[0]))
    return mean(divergences)


def crd_in_batch(student, teacher, mask, tau):
    s, t = (F.normalize(torch.stack(first_states(feature, mask)), dim=-1) for feature in (student, teacher))
    scores, own = s @ t.T / tau, torch.arange(len(s))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def transport(cost, supply, demand):
    """The optimal flow of the transport problem."""
    rows, columns = cost.shape
    constraints = np.zeros((rows + columns, rows * columns))
    for row, column in itertools.product(range(rows), range(columns)):
        constraints[row, row * columns + column] = constraints[rows + column, row * columns + column] = 1
    solved = linprog(cost.flatten(), A_eq=constraints, b_eq=np.concatenate([supply, demand]), method="highs-ds")
    assert solved.success, solved.message
    return solved.x.reshape(rows, columns)


def hidden_mse(student, teacher, mask):
    if mask is None:
        return F.mse_loss(student, teacher)
    return F.mse_loss(student[mask.bool()], teacher[mask.bool()])


def emd(students, teachers, mask):
    cost = torch.stack([torch.stack([hidden_mse(s, t, mask) for t in teachers]) for s in students])
    flow = transport(
        cost.detach().numpy(), np.full(len(students), 1 / len(students)), np.full(len(teachers), 1 / len(teachers))
    )
    return (cost * torch.from_numpy(flow)).sum()


MATCH_LOSSES = {
    "rkd_distance": rkd_distance,
    "rkd_angle": rkd_angle,
    "pkt": pkt,
    "sp": sp,
    "minilm_relation": minilm_relation,
    "crd_in_batch": crd_in_batch,
    "emd": emd,
}


# Cases ---------------------------------------------------------------------------------------------------------


def case(name, student, teacher, mask=None, temperature=None, labels=None, **parameters):
    """One call of the loss `name`, with its gradient for each student tensor."""
    student = [tensor.double().requires_grad_() for tensor in student]
    teacher = [tensor.double() for tensor in teacher]
    if name in KD_LOSSES:
        at = temperature.double().unsqueeze(1) if torch.is_tensor(temperature) else temperature
        with_labels = {} if labels is None else {"labels": labels}
        loss = KD_LOSSES[name](student[0], teacher[0], at, **with_labels, **parameters)
    else:
        takes_layers = name == "emd"
        loss = MATCH_LOSSES[name](
            student if takes_layers else student[0], teacher if takes_layers else teacher[0], mask, **parameters
        )
    loss.backward()
    written = {
        "loss_fn": name,
        "student": [as_json(tensor) for tensor in student],
        "teacher": [as_json(tensor) for tensor in teacher],
        "loss": loss.item(),
        "grad_student": [as_json(tensor.grad) for tensor in student],
    }
    for field, tensor in (("mask", mask), ("labels", labels)):
        if tensor is not None:
            written[field] = as_json(tensor)
    if temperature is not None:
        written["temperature"] = as_json(temperature) if torch.is_tensor(temperature) else temperature
    if parameters:
        written["parameters"] = parameters
    return written


def kd_cases(normal):
    parameters = {
        "kl": [{}],
        "reverse_kl": [{}],
        "js": [{"beta": 0.5}, {"beta": 0.1}, {"beta": 0.9}],
        "skew_kl": [{"alpha": 0.1}, {"alpha": 0.6}],
        "skew_reverse_kl": [{"alpha": 0.1}, {"alpha": 0.6}],
        "dkd": [{"alpha": 1.0, "beta": 8.0}, {"alpha": 0.5, "beta": 0.5}],
        "bce": [{}],
    }
    for name, choices in parameters.items():
        for choice in choices:
            for temperature in (1.0, 4.0, torch.tensor([1.5, 3.0, 0.5])):
                labels = {"labels": torch.tensor([2, 0, 3])} if name == "dkd" else {}
                yield case(name, [normal(3, 4)], [normal(3, 4)], temperature=temperature, **labels, **choice)
    ignored = torch.tensor([-100, 1, -100, 0])
    yield case("dkd", [normal(4, 2)], [normal(4, 2)], temperature=2.0, labels=ignored, alpha=1.0, beta=2.0)


def match_cases(normal):
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    without_the_third = mask.clone()
    without_the_third[2] = 0
    for with_mask in (None, mask, without_the_third):
        for name in ("rkd_distance", "rkd_angle", "pkt", "sp"):
            yield case(name, [normal(5, 3, 4)], [normal(5, 3, 6)], with_mask)
        for tau in (0.5, 0.07):
            yield case("crd_in_batch", [normal(5, 3, 4)], [normal(5, 3, 4)], with_mask, tau=tau)
        # Of unit variance: with larger scores the relations are all or nothing.
        for heads in (1, 3):
            student, teacher = normal(5, 3, 6) / 2, normal(5, 3, 12) / 2
            yield case("minilm_relation", [student], [teacher], with_mask, relation_heads=heads)
        yield case("minilm_relation", [normal(5, 2, 3, 4) / 2], [normal(5, 2, 3, 6) / 2], with_mask)
        for students, teachers in ((2, 3), (3, 3), (1, 4)):
            layers = [[normal(5, 3, 4) for _ in range(count)] for count in (students, teachers)]
            yield case("emd", *layers, with_mask)
    for name in ("rkd_distance", "rkd_angle", "pkt", "sp"):
        yield case(name, [normal(6, 4)], [normal(6, 7)])


def transport_cases():
    """Transport problems in double precision: masses without a pattern, equal ones, and rows without mass."""
    draw = np.random.default_rng(17)
    for rows, columns in ((1, 1), (2, 3), (3, 12), (4, 12), (6, 6), (12, 5), (8, 1)):
        for kind in ("drawn", "equal", "with zeros"):
            masses = [np.full(count, 1.0) if kind == "equal" else draw.random(count) for count in (rows, columns)]
            if kind == "with zeros":
                for mass in masses:
                    mass[1::3] = 0
            supply, demand = (mass / mass.sum() for mass in masses)
            cost = (draw.random((rows, columns)) * 10).round(6)
            flow = transport(cost, supply, demand)
            yield {
                "cost": cost.tolist(),
                "supply": supply.tolist(),
                "demand": demand.tolist(),
                "flow": flow.tolist(),
                "total": float((flow * cost).sum()),
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    path = parser.parse_args().out / "losses_beyond.json"
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(13)

    def normal(*shape):
        return 2 * torch.randn(shape, generator=draw)

    losses = [*kd_cases(normal), *match_cases(normal)]
    goldens = {"source": SOURCE, "losses": losses, "transport": list(transport_cases())}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(goldens) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes, {len(losses)} losses")


if __name__ == "__main__":
    main()
