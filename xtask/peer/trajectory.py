"""Whole training runs of TextBrewer, written down batch by batch, for make_goldens.py and make_trajectory_goldens.py.

crates/brew-testkit/golden/README.md says what the files of a run hold.
"""
import copy
import dataclasses
import json
import pathlib
import tempfile

import numpy
import textbrewer
import torch
import transformers
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden"
SOURCE = f"textbrewer 0.2.1.post1, torch {torch.__version__}, transformers {transformers.__version__}"
PAD = 0


def write_json(path, value, indent=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")


def bert(seed, architecture=BertForSequenceClassification, **config):
    """A model whose biases and LayerNorms are random as well, so that none of them can go missing."""
    torch.manual_seed(seed)
    config = BertConfig(type_vocab_size=2, attn_implementation="eager", **config)
    model = architecture(config)
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


@dataclasses.dataclass
class Run:
    """One run: models, data and settings. `data` is a dictionary of columns, or for several tasks a list of them."""

    distiller: str
    teachers: list
    student: object
    data: object
    evaluation: dict
    batch_size: int
    optimizer: dict
    seed: int  # of the projections and of the draw of tasks
    distillation_config: dict = dataclasses.field(default_factory=dict)
    training_config: dict = dataclasses.field(default_factory=dict)
    task: str = "sequence_classification"
    num_epochs: int = 1
    num_steps: int = None  # in place of num_epochs
    num_warmup_steps: int = None  # none: no schedule
    max_grad_norm: float = -1.0
    logits_mask: bool = True  # token classification: whether the adaptor gives one
    tasks: list = None
    tau: float = None

    @property
    def per_task(self):
        return self.data if self.tasks else [self.data]

    @property
    def batches_per_epoch(self):
        """Of all tasks together."""
        return sum(-(-len(data["labels"]) // self.batch_size) for data in self.per_task)

    @property
    def num_training_steps(self):
        """Optimizer steps in all."""
        if self.num_steps is not None:
            return self.num_steps
        accumulation = self.training_config.get("gradient_accumulation_steps", 1)
        assert self.batches_per_epoch % accumulation == 0, "TextBrewer drops the batches left over in an epoch"
        return self.batches_per_epoch // accumulation * self.num_epochs

    def adaptor(self, batch, outputs):
        given = {
            "logits": outputs.logits,
            "hidden": outputs.hidden_states,
            "attention": outputs.attentions,
            "losses": outputs.loss,
            "inputs_mask": batch["attention_mask"],
            "labels": batch["labels"],
        }
        if self.task == "token_classification" and self.logits_mask:
            given["logits_mask"] = batch["attention_mask"]
        return given

    def scenario(self):
        """The settings, as scenario.json holds them."""
        scenario = {
            "source": f"{SOURCE}, dropout 0, attention = softmax probabilities as transformers returns them",
            "distiller": self.distiller,
            "task": self.task,
            "batch_size": self.batch_size,
            "batches_per_epoch": self.batches_per_epoch,
            "num_epochs": self.num_epochs,
            "shuffle": False,
            "training_config": self.training_config,
            "distillation_config": self.distillation_config,
            "optimizer": {"name": "adamw", **self.optimizer},
            "lr_schedule": None if self.num_warmup_steps is None else {
                "name": "linear_warmup_then_linear_decay_to_0",
                "num_warmup_steps": self.num_warmup_steps,
                "num_training_steps": self.num_training_steps,
            },
            "max_grad_norm": self.max_grad_norm,
            "num_teachers": len(self.teachers),
        }
        if self.num_steps is not None:
            scenario["num_steps"] = self.num_steps
        if not self.logits_mask:
            scenario["logits_mask"] = False
        if self.tasks:
            scenario.update(tasks=self.tasks, tau=self.tau)
        return scenario

    def loader(self, data):
        rows = [{name: column[i] for name, column in data.items()} for i in range(len(data["labels"]))]
        return DataLoader(rows, self.batch_size)

    def roles(self):
        """Teachers and adaptors in the form in which the distiller takes them."""
        if self.tasks:
            adaptors = dict.fromkeys(self.tasks, self.adaptor)
            return dict(zip(self.tasks, self.teachers)), adaptors
        return self.teachers if self.distiller == "MultiTeacherDistiller" else self.teachers[0], self.adaptor


def record(folder, run):
    """Runs `run` and writes models, data, projections, settings and losses into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, teacher in enumerate(run.teachers):
        teacher.save_pretrained(folder / f"teacher{index}")
    run.student.save_pretrained(folder / "student")
    columns = {f"eval_{name}": tensor for name, tensor in run.evaluation.items()}
    for index, data in enumerate(run.per_task):
        prefix = f"task{index}." if run.tasks else ""
        columns.update({f"{prefix}{name}": tensor for name, tensor in data.items()})
    save_file(columns, folder / "data.safetensors")
    scenario = run.scenario()

    torch.manual_seed(run.seed)
    numpy.random.seed(run.seed % 2**32)
    losses, task_of_batch = [], []
    with tempfile.TemporaryDirectory() as output_dir:
        teachers, adaptor = run.roles()
        distiller = getattr(textbrewer, run.distiller)(
            textbrewer.TrainingConfig(device="cpu", output_dir=output_dir, **run.training_config),
            textbrewer.DistillationConfig(**copy.deepcopy(run.distillation_config)),
            teachers, run.student, adaptor, adaptor,
        )
        # Before training: the projections as they start. One with an activation is a Sequential, `0.weight`.
        projections = {
            f"{index}.{name.rpartition('.')[2]}": parameter.detach().clone()
            for index, projection in enumerate(getattr(distiller, "projs", [])) if projection is not None
            for name, parameter in projection.named_parameters()
        }
        if projections:
            save_file(projections, folder / "proj.safetensors")
        distiller.write_loss = lambda total_loss, step, losses_dict: losses.append(
            {"total": total_loss.item(), **{name: loss.item() for name, loss in losses_dict.items()}}
        )
        settings = {"max_grad_norm": run.max_grad_norm, "output_hidden_states": True, "output_attentions": True}
        if run.num_warmup_steps is not None:
            settings["scheduler_class"] = get_linear_schedule_with_warmup
            settings["scheduler_args"] = {
                "num_warmup_steps": run.num_warmup_steps, "num_training_steps": run.num_training_steps,
            }
        if run.num_steps is not None:
            settings["num_steps"] = run.num_steps
        else:
            settings["num_epochs"] = run.num_epochs
        if run.tasks:
            # The task drawn for a batch is the one whose post-processor is called.
            def note(index):
                return lambda batch: task_of_batch.append(index) or batch

            settings["tau"] = run.tau
            settings["batch_postprocessors"] = {name: note(index) for index, name in enumerate(run.tasks)}
            batches = {name: run.loader(data) for name, data in zip(run.tasks, run.data)}
        else:
            batches = run.loader(run.data)
        optimizer = torch.optim.AdamW(run.student.parameters(), **run.optimizer)
        with distiller:
            distiller.train(optimizer, batches, **settings)
    accumulation = run.training_config.get("gradient_accumulation_steps", 1)
    assert len(losses) == run.num_training_steps * accumulation

    with torch.no_grad():
        final, *of_teachers = (model.eval()(**run.evaluation).logits for model in (run.student, *run.teachers))
    if run.tasks:
        scenario["task_of_batch"] = task_of_batch
    scenario["losses_per_batch"] = losses
    scenario["final_eval_logits"] = final.tolist()
    scenario["final_eval_logits_shape"] = list(final.shape)
    scenario["teacher_eval_logits"] = [logits.tolist() for logits in of_teachers]
    write_json(folder / "scenario.json", scenario, indent=1)
