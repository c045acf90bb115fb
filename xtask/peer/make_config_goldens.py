"""Draws configurations, runs them through TextBrewer and writes what its classes made of them, for Brew to agree with.

usage: make_config_goldens.py [OUT_FILE]            (in the environment of scripts/setup-peer.sh)

Writes crates/brew-testkit/golden/configs.json: `training` and `distillation`, a list each of `given`, the dictionary as a
JSON file of TextBrewer's would hold it, and `made`, the fields of TextBrewer's object afterwards, defaults included.
PyTorch's own settings (device, fp16, ...) are in `given` where they were drawn and never in `made`. The first of each
list is empty; then come, one by one, the ways to write a scheduler and a projection; then 100 draws from a fixed seed.
"""
import argparse
import copy
import json
import os
import pathlib
import random
import sys
import tempfile

import textbrewer
from textbrewer.presets import WEIGHT_SCHEDULER

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden" / "configs.json"
DRAWN = 100
TRAINING = (
    "gradient_accumulation_steps", "ckpt_frequency", "ckpt_epoch_frequency", "ckpt_steps", "log_dir", "output_dir",
)
ONE_LAYER = (
    "attention_mse", "attention_mse_sum", "attention_ce", "attention_ce_mean", "hidden_mse", "cos", "pkd", "my_l1",
)
TWO_LAYERS = ("gram", "fsp", "mmd", "nst")
SCHEDULERS = (
    "none", "constant", ["flsw", 1, 2], ["flsw", 0.5, 1.5], ["flsw", {"beta": 1, "gamma": 2}],
    ["flsw", {"gamma": 0.5, "beta": 2.5}], ["cwsm", 1], ["cwsm", 0.25], ["cwsm", {"beta": 3}],
)
GROUPS = (
    {}, {"lr": 1e-3}, {"lr": 0.001, "weight_decay": 0}, {"weight_decay": 0.1}, {"betas": [0.8, 0.95], "eps": 1e-6},
)


def maybe(draw, given, name, choices, share=0.5):
    if draw.random() < share:
        given[name] = copy.deepcopy(draw.choice(choices))


def number(draw, largest):
    return draw.choice([draw.randint(0, largest), round(draw.uniform(0, largest), 4)])


def drawn_training(draw):
    given = {}
    maybe(draw, given, "gradient_accumulation_steps", range(1, 9))
    maybe(draw, given, "ckpt_frequency", range(1, 5))
    maybe(draw, given, "ckpt_epoch_frequency", range(1, 4))
    maybe(draw, given, "ckpt_steps", [None, 1, 50, 1000])
    maybe(draw, given, "log_dir", [None, "logs", "./logs/run 1"])
    maybe(draw, given, "output_dir", ["out", "./saved_models/a", "out/\u6a21\u578b"])
    maybe(draw, given, "device", ["cpu", "cuda", "cuda:1"])
    maybe(draw, given, "fp16", [False, True], 0.3)
    maybe(draw, given, "fp16_opt_level", ["O0", "O1", "O2"], 0.3)
    maybe(draw, given, "data_parallel", [False, True], 0.3)
    # Any other rank needs an initialised process group.
    maybe(draw, given, "local_rank", [-1], 0.3)
    return given


def drawn_match(draw):
    loss = draw.choice(ONE_LAYER + TWO_LAYERS)

    def layers():
        layer = draw.randint(0, 24)
        return [layer, draw.choice([layer, layer + 1])] if loss in TWO_LAYERS else layer

    given = {
        "layer_T": layers(),
        "layer_S": layers(),
        "feature": "attention" if loss.startswith("attention") else "hidden",
        "loss": loss,
        "weight": number(draw, 10),
    }
    if draw.random() < 0.5:
        widths = draw.sample([128, 256, 312, 384, 768, 1024], 2)
        given["proj"] = [draw.choice(["linear", "relu", "tanh"]), *widths]
        if draw.random() < 0.5:
            given["proj"].append(copy.deepcopy(draw.choice(GROUPS)))
    elif draw.random() < 0.4:
        given["proj"] = draw.choice([None, []])
    return dict(draw.sample(list(given.items()), len(given)))


def drawn_distillation(draw):
    given = {}
    maybe(draw, given, "temperature", [1, 2, 8, 10, 0.5, 2.75])
    maybe(draw, given, "temperature_scheduler", SCHEDULERS)
    if draw.random() < 0.5:
        given["hard_label_weight"] = number(draw, 2)
    maybe(draw, given, "hard_label_weight_scheduler", ["none", "linear_decay", "linear_growth"])
    maybe(draw, given, "kd_loss_type", ["ce", "mse"])
    if draw.random() < 0.5:
        given["kd_loss_weight"] = number(draw, 2)
    maybe(draw, given, "kd_loss_weight_scheduler", ["none", "linear_decay", "linear_growth"])
    maybe(draw, given, "probability_shift", [False, True])
    maybe(draw, given, "is_caching_logits", [False, True])
    if draw.random() < 0.7:
        given["intermediate_matches"] = [drawn_match(draw) for _ in range(draw.randint(0, 5))] or None
    return given


def interned(value):
    """TextBrewer 0.2.1.post1 compares with `is not 'none'`, which a string read from a file never passes."""
    return sys.intern(value) if isinstance(value, str) else value


def made_training(given):
    config = textbrewer.TrainingConfig.from_dict(copy.deepcopy(given))
    return {name: getattr(config, name) for name in TRAINING}


def temperature_scheduler(function):
    """The name of a scheduler and the numbers it was built with."""
    if function is None:
        return "none"
    name = function.__name__.removesuffix("_temperature_scheduler")
    if name == "constant":
        return name
    cells = dict(zip(function.__code__.co_freevars, function.__closure__))
    return [name] + [cells[number].cell_contents for number in ("beta", "gamma") if number in cells]


def weight_scheduler(function):
    return next((name for name, known in WEIGHT_SCHEDULER.items() if known is function), "none")


def made_distillation(given):
    given = {name: interned(value) for name, value in copy.deepcopy(given).items()}
    config = textbrewer.DistillationConfig.from_dict(given)
    made = {
        name: getattr(config, name)
        for name in (
            "temperature", "hard_label_weight", "kd_loss_type", "kd_loss_weight", "probability_shift",
            "is_caching_logits",
        )
    }
    made["temperature_scheduler"] = temperature_scheduler(config.temperature_scheduler)
    for name in ("hard_label_weight_scheduler", "kd_loss_weight_scheduler"):
        made[name] = weight_scheduler(getattr(config, name))
    made["intermediate_matches"] = [
        {**vars(match), "proj": match.proj or None} for match in config.intermediate_matches
    ]
    return made


def cases(draw, drawn, make, forms):
    given = [{}, *forms, *(drawn(draw) for _ in range(DRAWN))]
    return [{"given": one, "made": make(one)} for one in given]


def forms_of_distillation():
    match = {"layer_T": 4, "layer_S": 1, "feature": "hidden", "loss": "hidden_mse", "weight": 1}
    for scheduler in SCHEDULERS:
        yield {"temperature_scheduler": scheduler}
    for field in ("hard_label_weight_scheduler", "kd_loss_weight_scheduler"):
        for scheduler in ("none", "linear_decay", "linear_growth"):
            yield {field: scheduler}
    for projection in (None, [], ["linear", 384, 768], ["relu", 384, 768], ["tanh", 384, 768]):
        yield {"intermediate_matches": [{**match, "proj": projection}]}
    for group in GROUPS:
        yield {"intermediate_matches": [{**match, "proj": ["linear", 384, 768, group]}]}
    yield {"intermediate_matches": None}
    yield {"intermediate_matches": []}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    out = parser.parse_args().out.resolve()
    draw = random.Random(20)
    lists = {}
    with tempfile.TemporaryDirectory() as folder:
        # TextBrewer makes its output folder as soon as it is configured.
        os.chdir(folder)
        lists["training"] = cases(draw, drawn_training, made_training, [])
        lists["distillation"] = cases(draw, drawn_distillation, made_distillation, forms_of_distillation())
        os.chdir(out.parent)
    parts = [
        f' "{name}": [\n  ' + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]" for name, cases in lists.items()
    ]
    text = '{"source": "textbrewer 0.2.1.post1",\n' + ",\n".join(parts) + "\n}\n"
    json.loads(text)
    out.write_text(text, encoding="utf-8")
    print(f"{out}: {', '.join(f'{len(cases)} {name}' for name, cases in lists.items())}, {len(text)} bytes")


if __name__ == "__main__":
    main()
