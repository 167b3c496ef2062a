"""Folders as a fit leaves them, made by hand."""

import csv
import json

import torch
import yaml

LOSSES = (4.0, 3.0, 2.5, 2.25, 2.125)


def make_run(folder, losses=LOSSES, parameters=None, lr=0.1, command="fit --config line.yaml"):
    """One update an epoch: the loss before each, and the parameter after it."""
    (folder / "checkpoints").mkdir(parents=True)
    config = {
        "model": {
            "class_path": "a.Line",
            "init_args": {"optimizer": {"class_path": "b.Descent", "init_args": {"lr": lr}}},
        },
        "trainer": {"max_epochs": len(losses)},
    }
    text = yaml.safe_dump(config, sort_keys=False)
    (folder / "config.yaml").write_text(f"# lightning.pytorch==2\n# descentlab {command}\n{text}")
    rows = [(epoch, epoch, repr(loss)) for epoch, loss in enumerate(losses)]
    write(folder / "batch_losses.csv", ("epoch", "step", "loss"), rows)
    after = [*losses[1:], losses[-1] / 2]
    rows = [("", losses[0], 0), *((epoch, loss, epoch + 1) for epoch, loss in enumerate(after))]
    write(folder / "metrics.csv", ("epoch", "loss/train", "step"), rows)
    theta = torch.tensor(parameters or [1.0] * len(losses), dtype=torch.float32)
    content = {"epoch": torch.arange(len(losses)), "theta": theta}
    torch.save(content, folder / "checkpoints" / "parameters.pt")
    report = {"steps": len(losses), "seconds": 1.25}
    (folder / "summary.json").write_text(json.dumps(report))
    return folder


def write(path, head, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


def cut(path, lines):
    """Leave the first lines of a file alone."""
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
