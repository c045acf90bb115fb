"""Computes the golden values under crates/brew-testkit/golden with TextBrewer, PyTorch and transformers.

usage: make_goldens.py [OUT_DIR]            (in the environment of scripts/setup-peer.sh)

Writes losses.json, models/<name>/ and trajectories/<name>/; OUT_DIR/README.md describes them. Everything is drawn
from fixed seeds on one thread, so that a second run on the same versions gives the same files.
"""
import argparse
import json
import pathlib
import tempfile

import textbrewer
import textbrewer.distiller_utils as distiller_utils
import torch
import transformers
from safetensors.torch import save_file
from textbrewer import presets
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"
SOURCE = f"textbrewer 0.2.1.post1, torch {torch.__version__}, transformers {transformers.__version__}"
PAD = 0


def as_json(tensor):
    return {"shape": list(tensor.shape), "data": tensor.detach().float().flatten().tolist()}


def write_json(path, value, indent=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")


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


def bert(seed, **config):
    """A classifier whose biases and LayerNorms are random as well, so that none of them can go missing."""
    torch.manual_seed(seed)
    config = BertConfig(type_vocab_size=2, attn_implementation="eager", **config)
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def token_batch(generator, lengths, padded_length, vocab_size):
    """Random ids of the given lengths, two segments each, padded to `padded_length`."""
    rows = len(lengths)
    position = torch.arange(padded_length).expand(rows, -1)
    lengths = torch.tensor(lengths).unsqueeze(1)
    mask = (position < lengths).long()
    ids = torch.randint(1, vocab_size, (rows, padded_length), generator=generator) * mask + PAD * (1 - mask)
    segments = (position >= lengths // 2).long() * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


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


def adaptor(batch, outputs):
    return {
        "logits": outputs.logits,
        "hidden": outputs.hidden_states,
        "attention": outputs.attentions,
        "losses": outputs.loss,
        "inputs_mask": batch["attention_mask"],
        "labels": batch["labels"],
    }


def general_trajectory(folder):
    """GeneralDistiller: matches with one projection, accumulation, clipping, a weight schedule, a short last batch."""
    vocab_size, classes, length = 30, 3, 8
    batch_size, rows, num_epochs, accumulation = 3, 11, 3, 2  # 4 batches, the last of 2 rows
    small = {"vocab_size": vocab_size, "num_labels": classes, "max_position_embeddings": 12}
    small.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    teacher = bert(31, hidden_size=20, num_hidden_layers=3, num_attention_heads=2, intermediate_size=28, **small)
    student = bert(37, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=18, **small)
    teacher.save_pretrained(folder / "teacher0")
    student.save_pretrained(folder / "student")

    draw = torch.Generator().manual_seed(41)
    lengths = torch.randint(3, length + 1, (rows,), generator=draw).tolist()
    data = token_batch(draw, lengths, length, vocab_size)
    data["labels"] = torch.randint(0, classes, (rows,), generator=draw)
    evaluation = token_batch(draw, [8, 5, 3], length, vocab_size)
    save_file(
        {**data, **{f"eval_{name}": tensor for name, tensor in evaluation.items()}}, folder / "data.safetensors"
    )

    batches_per_epoch = -(-rows // batch_size)
    assert batches_per_epoch % accumulation == 0, "TextBrewer drops the micro-batches left over in an epoch"
    training_config = {"gradient_accumulation_steps": accumulation}
    distillation_config = {
        "temperature": 5,
        "hard_label_weight": 0.4,
        "hard_label_weight_scheduler": "linear_growth",
        "intermediate_matches": [
            {"layer_T": 3, "layer_S": 2, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
             "proj": ["linear", 12, 20, {"lr": 0.004}]},
            {"layer_T": [0, 3], "layer_S": [0, 2], "feature": "hidden", "loss": "nst", "weight": 0.5},
            {"layer_T": 2, "layer_S": 1, "feature": "attention", "loss": "attention_mse", "weight": 3},
        ],
    }
    optimizer_settings = {"lr": 0.002, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.02}
    num_training_steps = batches_per_epoch // accumulation * num_epochs
    max_grad_norm = 1.0

    scenario = {
        "source": f"{SOURCE}, dropout 0, attention = softmax probabilities as transformers returns them",
        "distiller": "GeneralDistiller",
        "task": "sequence_classification",
        "batch_size": batch_size,
        "batches_per_epoch": batches_per_epoch,
        "num_epochs": num_epochs,
        "shuffle": False,
        "training_config": training_config,
        "distillation_config": json.loads(json.dumps(distillation_config)),
        "optimizer": {"name": "adamw", **optimizer_settings},
        "lr_schedule": {
            "name": "linear_warmup_then_linear_decay_to_0",
            "num_warmup_steps": 1,
            "num_training_steps": num_training_steps,
        },
        "max_grad_norm": max_grad_norm,
        "num_teachers": 1,
    }

    torch.manual_seed(43)
    recorded = []
    with tempfile.TemporaryDirectory() as output_dir:
        distiller = textbrewer.GeneralDistiller(
            textbrewer.TrainingConfig(device="cpu", output_dir=output_dir, **training_config),
            textbrewer.DistillationConfig(**distillation_config),
            teacher, student, adaptor, adaptor,
        )
        # Before training: the projections as they start.
        projections = {
            f"{index}.{name}": parameter.detach().clone()
            for index, projection in enumerate(distiller.projs) if projection is not None
            for name, parameter in projection.named_parameters()
        }
        save_file(projections, folder / "proj.safetensors")
        distiller.write_loss = lambda total_loss, step, losses_dict: recorded.append(
            {"total": total_loss.item(), **{name: loss.item() for name, loss in losses_dict.items()}}
        )
        with distiller:
            distiller.train(
                torch.optim.AdamW(student.parameters(), **optimizer_settings),
                DataLoader([{name: column[i] for name, column in data.items()} for i in range(rows)], batch_size),
                num_epochs=num_epochs,
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args={"num_warmup_steps": 1, "num_training_steps": num_training_steps},
                max_grad_norm=max_grad_norm,
                output_hidden_states=True,
                output_attentions=True,
            )
    assert len(recorded) == batches_per_epoch * num_epochs

    with torch.no_grad():
        final, of_teacher = (model.eval()(**evaluation).logits for model in (student, teacher))
    scenario["losses_per_batch"] = recorded
    scenario["final_eval_logits"] = final.tolist()
    scenario["final_eval_logits_shape"] = list(final.shape)
    scenario["teacher_eval_logits"] = [of_teacher.tolist()]
    write_json(folder / "scenario.json", scenario, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=DEFAULT_OUT)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_json(out / "losses.json", losses())
    for folder, make in (("models/bert_cls", model_case), ("trajectories/general_projection", general_trajectory)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        make(out / folder)
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
