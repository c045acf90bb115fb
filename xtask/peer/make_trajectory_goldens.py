"""Computes the golden training runs under crates/brew-testkit/golden/trajectories with TextBrewer's own distillers.

usage: make_trajectory_goldens.py [OUT_DIR]            (in the environment of scripts/setup-peer.sh)

Writes trajectories/<name>/ for each of CASES; OUT_DIR/README.md describes them. make_goldens.py writes one more.
Everything is drawn from fixed seeds on one thread, so that a second run on the same versions gives the same files.
"""
import argparse
import pathlib
import zlib

import torch
from trajectory import DEFAULT_OUT, Run, bert, record, token_batch
from transformers import BertForSequenceClassification, BertForTokenClassification

VOCAB_SIZE, CLASSES, LENGTH = 40, 3, 12
BATCH_SIZE, ROWS = 4, 22  # 6 batches, the last of 2 rows
OPTIMIZER = {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.01}
STUDENT = {"hidden": 16, "layers": 2}
TEACHER = {"hidden": 24, "layers": 3}


def model(seed, tokens, hidden, layers, heads=2):
    made = bert(
        seed,
        BertForTokenClassification if tokens else BertForSequenceClassification,
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=3 * hidden // 2,
        max_position_embeddings=16,
        num_labels=CLASSES,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.no_grad():
        made.classifier.weight.mul_(4)  # predictions far enough apart to tell one temperature from another
    return made


def columns(draw, rows, tokens=False):
    lengths = torch.randint(3, LENGTH + 1, (rows,), generator=draw).tolist()
    data = token_batch(draw, lengths, LENGTH, VOCAB_SIZE)
    data["labels"] = torch.randint(0, CLASSES, (rows, LENGTH) if tokens else (rows,), generator=draw)
    return data


def case(name, distiller, teachers=(TEACHER,), student=STUDENT, rows=ROWS, tokens=False, **settings):
    """The run `name`: models and data drawn from seeds of its own, `rows` a number, or a list with one a task."""
    seed = zlib.crc32(name.encode())
    draw = torch.Generator().manual_seed(seed)
    data = [columns(draw, n, tokens) for n in rows] if isinstance(rows, list) else columns(draw, rows, tokens)
    defaults = {"optimizer": OPTIMIZER, "batch_size": BATCH_SIZE, "num_epochs": 1 if "num_steps" in settings else 2}
    return Run(
        distiller=distiller,
        teachers=[model(seed + 2 + index, tokens, **shape) for index, shape in enumerate(teachers)],
        student=model(seed + 1, tokens, **student),
        data=data,
        evaluation=token_batch(draw, [LENGTH, 7, 4, 3], LENGTH, VOCAB_SIZE),
        task="token_classification" if tokens else "sequence_classification",
        seed=seed,
        **{**defaults, **settings},
    )


def match(layer_t, layer_s, loss, weight=1, feature="hidden", **projection):
    return {"layer_T": layer_t, "layer_S": layer_s, "feature": feature, "loss": loss, "weight": weight, **projection}


def projection_group():
    """A projection with every setting of its group its own; schedule for both groups, clipping for the student's."""
    group = {"lr": 0.006, "betas": [0.8, 0.97], "eps": 0.001, "weight_decay": 0.2}
    return {
        "distiller": "GeneralDistiller",
        "distillation_config": {
            "hard_label_weight": 0.5,
            "intermediate_matches": [
                match(3, 2, "hidden_mse", proj=["linear", 16, 24, group]),
                match(0, 0, "hidden_mse", 2, proj=["linear", 16, 24]),
            ],
        },
        "num_warmup_steps": 3,
        "max_grad_norm": 1.0,
    }


def weight_schedules(kd, hard_label, accumulation):
    return {
        "distiller": "BasicDistiller",
        "training_config": {"gradient_accumulation_steps": accumulation},
        "distillation_config": {
            "kd_loss_weight": 0.7,
            "kd_loss_weight_scheduler": kd,
            "hard_label_weight": 0.6,
            "hard_label_weight_scheduler": hard_label,
        },
    }


def projected_losses(activation):
    """Every loss of hidden states, the student's under a projection with this activation."""
    proj = {"proj": [activation, 16, 24]}
    pair = {"layer_t": [0, 3], "layer_s": [0, 2]}
    return {
        "distiller": "GeneralDistiller",
        "distillation_config": {
            "hard_label_weight": 0.3,
            "intermediate_matches": [
                match(3, 2, "hidden_mse", **proj),
                match(2, 1, "cos", 2, **proj),
                match(3, 2, "pkd", **proj),
                match(**pair, loss="fsp", weight=0.5, **proj),
                match([1, 3], [1, 2], "gram", 0.5, **proj),
                match(**pair, loss="nst", weight=0.2, **proj),
                match([3, 3], [2, 2], "mmd", 0.2, **proj),
            ],
        },
        "max_grad_norm": 1.0,
    }


def attention_losses():
    names = ["attention_mse", "attention_mse_sum", "attention_ce", "attention_ce_mean"]
    return {
        "distiller": "GeneralDistiller",
        "distillation_config": {
            "intermediate_matches": [
                match(layer_t, layer_s, name, weight, feature="attention")
                for name, weight in zip(names, [3, 2, 1, 1])
                for layer_t, layer_s in [(0, 0), (2, 1)]
            ],
        },
    }


def steps_accumulated():
    """7 batches an epoch in groups of 3: the groups carry over the ends of the epochs."""
    return {
        "distiller": "BasicDistiller",
        "rows": 7 * BATCH_SIZE - 1,
        "training_config": {"gradient_accumulation_steps": 3, "ckpt_steps": 8},
        "distillation_config": {"hard_label_weight": 0.5, "kd_loss_weight_scheduler": "linear_decay"},
        "num_steps": 8,
        "num_warmup_steps": 2,
        "max_grad_norm": 0.5,
    }


def multitask():
    """Two tasks of 6 and 3 batches, one teacher each, one student with one head for both."""
    return {
        "distiller": "MultiTaskDistiller",
        "teachers": ({"hidden": 20, "layers": 2}, {"hidden": 20, "layers": 2, "heads": 4}),
        "rows": [ROWS, 11],
        "tasks": ["a", "b"],
        "tau": 0.5,
        "training_config": {"gradient_accumulation_steps": 2, "ckpt_steps": 12},
        "distillation_config": {
            "temperature": 3,
            "hard_label_weight": 0.4,
            "hard_label_weight_scheduler": "linear_growth",
            "intermediate_matches": [
                match(2, 2, "hidden_mse", proj=["linear", 16, 20, {"lr": 0.004}]),
                match([0, 2], [0, 2], "nst", 0.2),
            ],
        },
        "num_steps": 12,
        "num_warmup_steps": 2,
        "max_grad_norm": 1.0,
    }


CASES = {
    "projection_group": projection_group(),
    "weight_schedules_decay_growth": weight_schedules("linear_decay", "linear_growth", accumulation=1),
    "weight_schedules_growth_decay": weight_schedules("linear_growth", "linear_decay", accumulation=2),
    "cwsm": {
        "distiller": "BasicDistiller",
        "distillation_config": {
            "temperature": 3,
            "temperature_scheduler": ["cwsm", 1],
            "hard_label_weight": 0.5,
        },
    },
    "flsw_mse": {
        "distiller": "BasicDistiller",
        "distillation_config": {
            "kd_loss_type": "mse",
            "temperature": 5,
            "temperature_scheduler": ["flsw", 1, 2],
            "hard_label_weight": 0.5,
        },
    },
    "probability_shift": {
        "distiller": "BasicDistiller",
        "distillation_config": {"temperature": 2, "probability_shift": True, "hard_label_weight": 1},
    },
    # Without a mask: TextBrewer crashes where it must shift what a mask has selected.
    "tokens_probability_shift": {
        "distiller": "BasicDistiller",
        "tokens": True,
        "logits_mask": False,
        "distillation_config": {"temperature": 2, "probability_shift": True, "hard_label_weight": 1},
    },
    "tokens_cwsm": {
        "distiller": "GeneralDistiller",
        "tokens": True,
        "distillation_config": {
            "temperature": 3,
            "temperature_scheduler": ["cwsm", 1],
            "hard_label_weight": 0.5,
            "intermediate_matches": [match(3, 2, "hidden_mse", proj=["linear", 16, 24])],
        },
    },
    "projected_losses_linear": projected_losses("linear"),
    "projected_losses_relu": projected_losses("relu"),
    "projected_losses_tanh": projected_losses("tanh"),
    "attention_losses": attention_losses(),
    "three_teachers_mse": {
        "distiller": "MultiTeacherDistiller",
        "teachers": (TEACHER | {"layers": 1}, STUDENT, {"hidden": 20, "layers": 1, "heads": 4}),
        "distillation_config": {"kd_loss_type": "mse", "temperature": 3, "hard_label_weight": 0.5},
    },
    "steps_accumulated": steps_accumulated(),
    "multitask": multitask(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, settings in CASES.items():
        folder = out / "trajectories" / name
        record(folder, case(name, **settings))
        print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
