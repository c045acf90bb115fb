"""The peer's side of `cargo xtask bench`: PyTorch, transformers and TextBrewer.

    bench.py SPEC.json        does the task of the file, which crates/brew-bench reads too, and prints one line of JSON
    bench.py --versions       the versions of what it uses

It does what their users can to be fast on a CPU: attention by sdpa, no gradients where none are needed, batches padded
to their longest text, the fused AdamW. `xtask/src/bench` says what is measured and compares.
"""
import json
import pathlib
import sys
import time

if __name__ == "__main__" and "--versions" not in sys.argv:
    SPEC = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
else:
    SPEC = {"threads": 1}

import torch
import transformers
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, DataCollatorWithPadding

torch.set_num_threads(SPEC["threads"])
transformers.logging.set_verbosity_error()
TOLD = 16
FIRST_STEP = "first step"
LABELS = {"id2label": {0: "0", 1: "1"}, "label2id": {"0": 0, "1": 1}}


def part(name, seconds, items, check):
    return {"name": name, "seconds": seconds, "items": items, "check": [float(x) for x in check[:TOLD]]}


def measure(spec, work):
    """The seconds of each time after the ones that do not count, and what the last gave."""
    seconds = []
    for turn in range(spec["warmup"] + spec["iterations"]):
        result = None
        started = time.perf_counter()
        result = work()
        if turn >= spec["warmup"]:
            seconds.append(time.perf_counter() - started)
    return seconds, result


def load(folder):
    return BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval()


def adamw(model, lr, weight_decay=0.01):
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


def made_up(spec, model):
    """Texts of so many tokens, no padding, whose ids follow a rule that Brew's side has too."""
    rows, length = spec["batch"], spec["length"]
    ids = 1 + torch.arange(rows * length) * 7919 % (model.config.vocab_size - 1)
    return {
        "input_ids": ids.reshape(rows, length),
        "attention_mask": torch.ones(rows, length, dtype=torch.long),
        "token_type_ids": torch.zeros(rows, length, dtype=torch.long),
    }


def forward(spec):
    model = load(spec["model"])
    batch = made_up(spec, model)
    with torch.inference_mode():
        seconds, output = measure(spec, lambda: model(**batch))
    return [part("", seconds, spec["batch"], output.logits.flatten().tolist())]


def step(spec):
    model = load(spec["model"])
    batch = made_up(spec, model)
    with torch.inference_mode():
        check = model(**batch).logits.flatten().tolist()
    batch["labels"] = torch.arange(spec["batch"]) % 2
    model.train()
    optimizer = adamw(model, 1e-5)

    def one():
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    seconds, _ = measure(spec, one)
    return [part("", seconds, spec["batch"], check)]


def losses(spec):
    from safetensors.torch import load_file
    from textbrewer import losses as of

    tensors = load_file(spec["tensors"])
    mask = tensors["mask"]
    get = tensors.__getitem__
    attention = ([get("student_attention")], [get("teacher_attention")])
    projected = [[get(f"{side}_{layer}") for layer in range(2)] for side in ("student_projected", "teacher_hidden")]
    hidden = [[get(f"{side}_{layer}") for layer in range(2)] for side in ("student_hidden", "teacher_hidden")]
    logits = ([get("student_logits")], [get("teacher_logits")])
    parts = []
    for name, loss, (student, teacher), layers in [
        ("kd_ce", of.kd_ce_loss, logits, 0),
        ("kd_mse", of.kd_mse_loss, logits, 0),
        ("attention_mse", of.att_mse_loss, attention, 1),
        ("attention_mse_sum", of.att_mse_sum_loss, attention, 1),
        ("attention_ce", of.att_ce_loss, attention, 1),
        ("attention_ce_mean", of.att_ce_mean_loss, attention, 1),
        ("hidden_mse", of.hid_mse_loss, projected, 1),
        ("cos", of.cos_loss, projected, 1),
        ("pkd", of.pkd_loss, projected, 1),
        ("fsp", of.fsp_loss, projected, 2),
        ("nst", of.mmd_loss, hidden, 2),
    ]:
        student = [layer.clone().requires_grad_() for layer in student[: max(layers, 1)]]

        def one():
            for layer in student:
                layer.grad = None
            if layers == 0:
                value = loss(student[0], teacher[0], 4.0)
            elif layers == 1:
                value = loss(student[0], teacher[0], mask=mask)
            else:
                value = loss(student, teacher, mask=mask)
            value.backward()
            return value

        seconds, value = measure(spec, one)
        parts.append(part(name, seconds, len(mask), [value.item()]))
    return parts


def read_texts(path):
    """Texts and labels of lines text<TAB>label."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit("\t", 1) for line in lines]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def batches(features, tokenizer, batch, shuffle):
    from torch.utils.data import DataLoader

    collate = DataCollatorWithPadding(tokenizer)
    return DataLoader(features, batch, shuffle=shuffle, collate_fn=lambda rows: dict(collate(rows)))


def encoded(tokenizer, texts, labels, max_length):
    columns = tokenizer(texts, truncation=True, max_length=max_length)
    columns = {**columns, "labels": labels}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def tokenize(spec):
    texts, labels = read_texts(spec["texts"])
    tokenizer = AutoTokenizer.from_pretrained(spec["tokenizer"])

    def one():
        features = encoded(tokenizer, texts, labels, spec["max_length"])
        return sum(int(batch["attention_mask"].sum()) for batch in batches(features, tokenizer, spec["batch"], True))

    seconds, tokens = measure(spec, one)
    return [part("", seconds, len(texts), [tokens])]


def infer(spec):
    texts, labels = read_texts(spec["texts"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    model = load(spec["model"])
    features = encoded(tokenizer, texts, labels, spec["max_length"])
    for row in features:
        del row["labels"]
    # Texts of like lengths together, as the pipelines of transformers' users do and Brew does.
    order = sorted(range(len(features)), key=lambda index: len(features[index]["input_ids"]))
    parts = []
    for batch in spec["batches"]:

        @torch.inference_mode()
        def one():
            loader = batches([features[index] for index in order], tokenizer, batch, False)
            found = torch.cat([model(**rows).logits for rows in loader])
            logits = torch.empty_like(found)
            logits[order] = found
            return logits

        seconds, logits = measure(spec, one)
        parts.append(part(f"batch {batch}", seconds, len(texts), logits[:8].flatten().tolist()))
    return parts


def distill(spec):
    """A run as TextBrewer's users write it: texts to a trained student on disk."""
    import textbrewer

    texts, labels = read_texts(spec["texts"])
    tokenizer = AutoTokenizer.from_pretrained(spec["tokenizer"])
    features = encoded(tokenizer, texts, labels, spec["max_length"])
    torch.manual_seed(0)
    loader = batches(features, tokenizer, spec["batch"], True)
    teacher, student = load(spec["teacher"]), load(spec["student"])
    optimizer = adamw(student, spec["lr"], spec["weight_decay"])
    steps = 0

    def stepped(*_):
        nonlocal steps
        steps += 1
        if steps == 1:
            print(FIRST_STEP, flush=True)

    optimizer.register_step_post_hook(stepped)
    total = spec["num_steps"] or len(loader) * spec["num_epochs"]

    def adaptor(batch, outputs):
        return {"logits": outputs.logits, "hidden": outputs.hidden_states, "inputs_mask": batch["attention_mask"]}

    output = pathlib.Path(spec["output"])
    output.mkdir(parents=True, exist_ok=True)
    # TextBrewer checkpoints after each epoch; told a number of steps, it must be told the steps of checkpoints too.
    config = textbrewer.TrainingConfig(device="cpu", output_dir=str(output), ckpt_steps=spec["num_steps"])
    distiller = textbrewer.GeneralDistiller(
        config,
        textbrewer.DistillationConfig(
            temperature=spec["temperature"], hard_label_weight=0, intermediate_matches=spec["matches"]
        ),
        teacher, student, adaptor, adaptor,
    )
    with distiller:
        distiller.train(
            optimizer, loader,
            num_epochs=spec["num_epochs"], num_steps=spec["num_steps"], max_grad_norm=spec["max_grad_norm"],
            scheduler_class=transformers.get_linear_schedule_with_warmup,
            scheduler_args={"num_warmup_steps": int(0.1 * total), "num_training_steps": total},
            output_hidden_states=True,
        )
    student.save_pretrained(output / "model")
    tokenizer.save_pretrained(output / "model")
    return [part("", [], len(texts), [steps])]


def products(spec):
    def matrix(rows, columns):
        return (torch.arange(rows * columns) * 7919 % 1000).float().reshape(rows, columns) / 1000 - 0.5

    parts = []
    for m, k, n in spec["shapes"]:
        left, right = matrix(m, k), matrix(k, n)
        seconds, product = measure(spec, lambda: torch.mm(left, right))
        parts.append(part(f"{m}x{k}x{n}", seconds, 2 * m * k * n, product[0].tolist()))
    return parts


def prepare(spec):
    """The weights of random models, the tensors of the losses, and of a pretrained encoder teacher and student."""
    from safetensors.torch import save_file

    folder = pathlib.Path(spec["folder"])
    for seed, (name, config) in enumerate(sorted(spec["models"].items())):
        torch.manual_seed(seed)
        BertForSequenceClassification(BertConfig(**LABELS, **config)).save_pretrained(folder / name)
        if spec["tokenizer"]:
            AutoTokenizer.from_pretrained(spec["tokenizer"]).save_pretrained(folder / name)

    generator = torch.Generator().manual_seed(0)
    batch, length, heads = spec["batch"], spec["length"], spec["heads"]
    tensors = {"mask": torch.ones(batch, length)}
    for side, width in (("student", spec["student_width"]), ("teacher", spec["teacher_width"])):
        shapes = {"logits": (batch, 2), "attention": (batch, heads, length, length)}
        shapes |= {f"hidden_{layer}": (batch, length, width) for layer in range(2)}
        if side == "student":
            shapes |= {f"projected_{layer}": (batch, length, spec["teacher_width"]) for layer in range(2)}
        tensors |= {f"{side}_{name}": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(tensors, folder / "losses.safetensors")

    if spec["tokenizer"]:
        torch.manual_seed(0)
        teacher = BertForSequenceClassification.from_pretrained(spec["tokenizer"], **LABELS)
        config = BertConfig(**{**teacher.config.to_dict(), "num_hidden_layers": len(spec["layers"])})
        student = BertForSequenceClassification(config)
        student.bert.embeddings = teacher.bert.embeddings
        student.bert.pooler = teacher.bert.pooler
        student.classifier = teacher.classifier
        for own, layer in zip(student.bert.encoder.layer, spec["layers"]):
            own.load_state_dict(teacher.bert.encoder.layer[layer].state_dict())
        tokenizer = AutoTokenizer.from_pretrained(spec["tokenizer"])
        for model, name in ((teacher, "pretrained-teacher"), (student, "pretrained-student")):
            model.save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)
    return []


def versions():
    from importlib.metadata import version

    import textbrewer  # noqa: F401, for the size of a process that has loaded it all

    named = {name: version(name) for name in ("transformers", "textbrewer", "tokenizers")}
    # With the build, such as 2.8.0+cpu.
    return {"python": sys.version.split()[0], "torch": torch.__version__, **named}


TASKS = {task.__name__: task for task in (forward, step, losses, tokenize, infer, distill, products, prepare)}

if __name__ == "__main__":
    if "--versions" in sys.argv:
        print(json.dumps(versions()))
    else:
        print(json.dumps({"parts": TASKS[SPEC["task"]](SPEC)}))
