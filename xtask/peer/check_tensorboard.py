#!/usr/bin/env python3
"""Reads the curves of a run with TensorBoard itself and compares them with the run's log.

    .venv-peer/bin/python xtask/peer/check_tensorboard.py RUN [RUN ...]

RUN is the folder of a run of `textbrew train` or `textbrew distill`, resumed or not. For each: TensorBoard's
`EventAccumulator` reads `RUN/tensorboard`; every report and every score of `RUN/log.jsonl` must be there at its
step with its value, and no curve may have two points at one step or a point that the log does not have.
Exits with 1 where something differs.
"""

import argparse
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Single precision.
TOLERANCE = 1e-6


def logged(run):
    """Tag -> step -> value, as the log has them. Of a resumed run the later process holds."""
    curves = {}

    def point(tag, step, value):
        curves.setdefault(tag, {})[step] = value

    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "start":
            for tag, points in curves.items():
                for step in [step for step in points if step > event["step"]]:
                    del points[step]
        elif event["event"] == "report":
            step = event["step"]
            point("scalar/total_loss", step, event["loss"])
            for term in event["terms"]:
                name = term["name"]
                task, slash, short = name.rpartition("/")
                point(f"scalar/{task}{slash}unweighted_{short}", step, term["value"])
                point(f"weighted/{name}", step, term["weighted"])
                point(f"weight/{name}", step, term["weight"])
            point("training/learning_rate", step, event["lr"])
            point("training/gradient_norm", step, event["grad_norm"])
            point("training/epoch", step, event["epoch"] + 1)
            if event["temperature"] is not None:
                point("training/temperature", step, event["temperature"])
            point("speed/examples_per_second", step, event["examples"] / event["seconds"])
            if event["tokens"]:
                point("speed/tokens_per_second", step, event["tokens"] / event["seconds"])
        elif event["event"] == "evaluation":
            task = f"{event['task']}/" if "task" in event else ""
            report = event["report"]
            for metric in ("accuracy", "f1", "macro_f1", "pearson", "spearman", "exact_match"):
                if metric in report:
                    tag = f"{event['split']}/{task}{metric}"
                    # The exported model is measured once more at the last step; the curve keeps the checkpoint's.
                    curves.setdefault(tag, {}).setdefault(event["step"], report[metric])
    return curves


def check(run):
    """The number of points compared, and what is wrong."""
    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    tags = reader.Tags()["scalars"]
    expected = logged(run)
    compared, wrong = 0, []
    for tag in tags:
        events = reader.Scalars(tag)
        steps = [event.step for event in events]
        if sorted(set(steps)) != steps:
            wrong.append(f"{tag}: steps are not in order or doubled: {steps}")
    for tag, points in expected.items():
        if tag not in tags:
            if tag.split("/")[0] in ("dev", "test"):
                continue  # a metric that is not among the task's figures
            wrong.append(f"{tag}: missing")
            continue
        found = {event.step: event.value for event in reader.Scalars(tag)}
        if set(found) != set(points):
            wrong.append(f"{tag}: steps {sorted(found)} instead of {sorted(points)}")
        for step, value in points.items():
            compared += 1
            if step in found and abs(found[step] - value) > TOLERANCE * max(1.0, abs(value)):
                wrong.append(f"{tag} at step {step}: {found[step]} instead of {value}")
    if not any(tag.startswith("scalar/") for tag in tags):
        wrong.append("no losses")
    return compared, len(tags), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", type=pathlib.Path)
    failed = False
    for run in parser.parse_args().runs:
        compared, tags, wrong = check(run)
        print(f"{run}: {tags} curves, {compared} points compared, {len(wrong)} wrong")
        for line in wrong:
            print(f"  {line}")
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
