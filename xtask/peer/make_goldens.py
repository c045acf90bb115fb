"""Computes the golden values under crates/brew-testkit/golden with TextBrewer, PyTorch and transformers.

usage: make_goldens.py [OUT_DIR]            (in the environment of scripts/setup-peer.sh)

Writes losses.json, models/bert_cls/ and trajectories/general_projection/; OUT_DIR/README.md describes them.
Everything is drawn from fixed seeds on one thread, so that a second run on the same versions gives the same files.
"""
import argparse
import pathlib

import textbrewer.distiller_utils as distiller_utils
import torch
from safetensors.torch import save_file
from textbrewer import presets
from trajectory import DEFAULT_OUT, SOURCE, Run, bert, record, token_batch, write_json


def as_json(tensor):
    return {"shape": list(tensor.shape), "data": tensor.detach().float().flatten().tolist()}


# Losses --------------------------------------------------------------------------------------------------------


def loss_case(name, student, teacher, mask=None, temperature=None):
    """One call of TextBrewer's loss `name`, with its gradient for each student tensor."""
    student = [tensor.clone().requires_grad_() for tensor in student]
    if name.startswith("kd_"):
        loss = presets.KD_LOSS_MAP[name.removeprefix("kd_")](student[0], teacher[0], temperature)
    else:
        of_pairs = len(student) > 1
        loss = presets.MATCH_LOSS_MAP[name](
            student if of_pairs else student[0], teacher if of_pairs else teacher[0], mask=mask
        )
    loss.backward()
    case = {
        "loss_fn": name,
        "student": [as_json(tensor) for tensor in student],
        "teacher": [as_json(tensor) for tensor in teacher],
        "loss": loss.item(),
        "grad_student": [as_json(tensor.grad) for tensor in student],
    }
    if mask is not None:
        case["mask"] = as_json(mask)
    if temperature is not None:
        case["temperature"] = as_json(temperature) if torch.is_tensor(temperature) else temperature
    return case


def losses():
    draw = torch.Generator().manual_seed(11)

    def normal(*shape):
        return 2 * torch.randn(shape, generator=draw)

    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    cases = []
    for name in ("kd_ce", "kd_mse"):
        for temperature in (1.0, 4.0, torch.tensor([1.5, 3.0, 0.5])):
            cases.append(loss_case(name, [normal(3, 4)], [normal(3, 4)], temperature=temperature))
        cases.append(loss_case(name, [normal(2, 3, 4)], [normal(2, 3, 4)], temperature=2.0))
    for with_mask in (mask, None):
        cases.append(loss_case("hidden_mse", [normal(2, 3, 5)], [normal(2, 3, 5)], with_mask))
        pair_s, pair_t = [normal(2, 3, 4), normal(2, 3, 4)], [normal(2, 3, 6), normal(2, 3, 6)]
        cases.append(loss_case("nst", pair_s, pair_t, with_mask))
        cases.append(loss_case("attention_mse", [normal(2, 2, 3, 3)], [normal(2, 2, 3, 3)], with_mask))
        probabilities = [normal(2, 2, 3, 3).softmax(-1) for _ in range(2)]
        cases.append(loss_case("attention_mse", probabilities[:1], probabilities[1:], with_mask))

    student, teacher = normal(3, 4), normal(3, 4)
    flsw = presets.TEMPERATURE_SCHEDULER[["flsw", 1.5, 2.0]]
    labels = torch.tensor([2, 0, 3])
    logits, logits_mask = normal(2, 3, 4), mask
    helpers = [
        {
            "fn": "flsw",
            "beta": 1.5,
            "gamma": 2.0,
            "temperature": 4.0,
            "student": as_json(student),
            "teacher": as_json(teacher),
            "out": as_json(flsw(student, teacher, 4.0)),
        },
        {
            "fn": "probability_shift",
            "teacher": as_json(teacher),
            "labels": as_json(labels),
            "out": as_json(distiller_utils.probability_shift_(teacher.clone(), labels)),
        },
        {
            "fn": "logits_mask",
            "logits": as_json(logits),
            "mask": as_json(logits_mask),
            "out": as_json(distiller_utils.select_logits_with_mask([logits], [logits_mask])[0]),
        },
    ]
    return {"source": SOURCE, "losses": cases, "helpers": helpers}


# Models --------------------------------------------------------------------------------------------------------


def model_case(folder):
    model = bert(
        seed=23,
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=20,
        initializer_range=0.3,
        num_labels=3,
    )
    batch = token_batch(torch.Generator().manual_seed(29), [9, 4, 7], 9, 50)
    with torch.no_grad():
        outputs = model(**batch, output_hidden_states=True, output_attentions=True)
    expected = {**batch, "logits": outputs.logits}
    expected.update({f"hidden.{i}": hidden for i, hidden in enumerate(outputs.hidden_states)})
    expected.update({f"attention.{i}": attention for i, attention in enumerate(outputs.attentions)})
    model.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")


# Trajectories --------------------------------------------------------------------------------------------------


def general_trajectory():
    """GeneralDistiller: matches with one projection, accumulation, clipping, a weight schedule, a short last batch."""
    vocab_size, classes, length, rows = 30, 3, 8, 11  # 4 batches, the last of 2 rows
    small = {"vocab_size": vocab_size, "num_labels": classes, "max_position_embeddings": 12}
    small.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    teacher = bert(31, hidden_size=20, num_hidden_layers=3, num_attention_heads=2, intermediate_size=28, **small)
    student = bert(37, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=18, **small)

    draw = torch.Generator().manual_seed(41)
    lengths = torch.randint(3, length + 1, (rows,), generator=draw).tolist()
    data = token_batch(draw, lengths, length, vocab_size)
    data["labels"] = torch.randint(0, classes, (rows,), generator=draw)
    return Run(
        distiller="GeneralDistiller",
        teachers=[teacher],
        student=student,
        data=data,
        evaluation=token_batch(draw, [8, 5, 3], length, vocab_size),
        batch_size=3,
        num_epochs=3,
        seed=43,
        training_config={"gradient_accumulation_steps": 2},
        distillation_config={
            "temperature": 5,
            "hard_label_weight": 0.4,
            "hard_label_weight_scheduler": "linear_growth",
            "intermediate_matches": [
                {"layer_T": 3, "layer_S": 2, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
                 "proj": ["linear", 12, 20, {"lr": 0.004}]},
                {"layer_T": [0, 3], "layer_S": [0, 2], "feature": "hidden", "loss": "nst", "weight": 0.5},
                {"layer_T": 2, "layer_S": 1, "feature": "attention", "loss": "attention_mse", "weight": 3},
            ],
        },
        optimizer={"lr": 0.002, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.02},
        num_warmup_steps=1,
        max_grad_norm=1.0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_json(out / "losses.json", losses())
    (out / "models/bert_cls").mkdir(parents=True, exist_ok=True)
    model_case(out / "models/bert_cls")
    record(out / "trajectories/general_projection", general_trajectory())
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
