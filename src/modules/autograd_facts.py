"""A demonstration as a module that has nothing to train: `predict` runs it and writes its facts."""

import json
from typing import Any

import torch
from lightning.pytorch import LightningModule

from ..demonstrations import Demonstration
from ..drawing.graphs import to_png, to_svg
from ..runs.files import write_whole
from ..runs.folder import Run, keep_picture


class AutogradFacts(LightningModule):
    """Run a demonstration, and keep what it shows in the run's folder.

    `predict` writes `facts.json` and, for what the demonstration draws, `graphs/NAME.dot`, `.svg`
    and `.png`, which is in TensorBoard, too. The DataModule `Steps` drives it: it needs no data.

    Args:
        demonstration: a class of `descentlab.demonstrations`.
    """

    def __init__(self, demonstration: Demonstration) -> None:
        super().__init__()
        self.demonstration = demonstration
        self._facts: dict[str, Any] = {}
        self._graphs: dict[str, str] = {}

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Run the demonstration, with autograd on, and return its facts."""
        with torch.inference_mode(False), torch.enable_grad():
            self._facts = self.demonstration.facts()
            self._graphs = self.demonstration.graphs()
        return self._facts

    def on_predict_end(self) -> None:
        """Write and print the facts, and paint the graphs."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        run = Run.of(self.trainer)
        run.folder.mkdir(parents=True, exist_ok=True)
        path = run.folder / "facts.json"
        text = json.dumps(self._facts, indent=2, ensure_ascii=False)
        write_whole(path, text + "\n")
        for name, dot in self._graphs.items():
            svg = to_svg(dot)
            files = {"dot": dot.encode(), "svg": svg.encode(), "png": to_png(svg)}
            keep_picture(self.trainer, run.graphs / name, files)
        self.print(f"{text}\nwritten to {path}")
