"""Modules whose start depends on the seed in many ways, and plain loops over them."""

from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import seed_everything
from sweep_runs import sweep
from torch import nn

from descentlab.datamodules import Line, RegressionData, TensorLoader
from descentlab.datamodules.built_in_data import noisy_line
from descentlab.modules import DescentModule
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.sweeps import rows_of

#: a rule, torch's counterpart, what all members share, and what is swept within which bounds
RULES = (
    (GradientDescent, torch.optim.SGD, {}, {"lr": (1e-3, 0.1)}),
    (Momentum, torch.optim.SGD, {}, {"lr": (1e-3, 0.05), "momentum": (0.0, 0.9)}),
    (Momentum, torch.optim.SGD, {"lr": 0.02}, {"momentum": (0.0, 0.9)}),
    (Adam, torch.optim.Adam, {"betas": (0.8, 0.9)}, {"lr": (1e-3, 0.1), "eps": (1e-3, 0.1)}),
)
PARTS = ("numpy", "buffer", "frozen", "norm")


class Varied(DescentModule):
    """A small network that starts at random, with parts that a sweep must not mix up."""

    def __init__(self, parts=(), optimizer=GradientDescent):
        super().__init__(optimizer)
        self.parts = parts
        self.first, self.last = nn.Linear(1, 3), nn.Linear(3, 1)
        self.norm = nn.LayerNorm(3) if "norm" in parts else nn.Identity()
        normal = np.random.normal
        drawn = normal(size=3) if "numpy" in parts else np.ones(3)
        self.scale = nn.Parameter(torch.tensor(drawn, dtype=torch.get_default_dtype()))
        self.register_buffer("mix", torch.randn(3, 3) if "buffer" in parts else torch.eye(3))
        self.first.requires_grad_("frozen" not in parts)

    def loss(self, batch):
        x, y = batch
        hidden = self.norm(torch.tanh(self.first(x)) @ self.mix) * self.scale
        return ((self.last(hidden)[:, 0] - y) ** 2).mean()


class Case(NamedTuple):
    """One sweep."""

    parts: tuple
    rule: tuple
    grid: dict
    seeds: list | None
    at_once: int | None
    rows: int
    batch_size: int
    chunk: int
    double: bool

    @classmethod
    def drawn(cls, number):
        """Return a random one, a function of a number."""
        draw = np.random.default_rng(number)
        rule = RULES[draw.integers(len(RULES))]
        grid = {
            name: sorted(map(float, draw.uniform(*bounds, draw.integers(1, 4))))
            for name, bounds in rule[3].items()
        }
        seeds = sorted(map(int, draw.choice(1000, draw.integers(1, 4), replace=False)))
        return cls(
            parts=tuple(part for part in PARTS if draw.random() < 0.5),
            rule=rule,
            grid=grid,
            seeds=None if draw.random() < 0.3 else seeds,
            at_once=(None, 1, 2, 4)[draw.integers(4)],
            rows=int(draw.integers(9, 30)),
            batch_size=int(draw.integers(3, 12)),
            chunk=int(draw.integers(1, 3)),
            double=bool(draw.integers(2)),
        )

    @property
    def dtype(self):
        """The precision of the run."""
        return torch.float64 if self.double else torch.float32

    @property
    def line(self):
        """The data."""
        return Line(size=self.rows)


EPOCHS = 2


def members_of(case):
    """Return the values of each member of a sweep, what is known of it, and its parameters."""
    kind, _, fixed, _ = case.rule
    data = RegressionData(
        "line", line=case.line, batch_size=case.batch_size, split=None, chunk=case.chunk
    )
    _, trained = sweep(
        lambda: Varied(case.parts),
        data,
        lambda params: kind(params, **{"lr": 0.01, **fixed}),
        case.grid,
        case.seeds,
        seed=11,
        epochs=EPOCHS,
        precision="64-true" if case.double else "32-true",
        members_at_once=case.at_once,
    )
    results = trained.results()
    last = {
        member: {name: values[row] for name, values in group["last"].items()}
        for group in results
        for row, member in enumerate(group["members"])
    }
    rows = rows_of(trained.members, results)
    return [(trained.members.values(r["member"]), r, last[r["member"]]) for r in rows]


def plain_loop(case, values):
    """Return the loss before and after, and the parameters, of a loop over torch's optimizer."""
    _, counterpart, fixed, _ = case.rule
    seed = values["seed"]
    seed_everything(seed, verbose=False)
    module = Varied(case.parts).to(case.dtype)
    own = {name: value for name, value in values.items() if name != "seed"}
    torch.set_default_dtype(case.dtype)  # as 64-true has it in a step; ASGD keeps its rate in it
    optimizer = counterpart(module.parameters(), foreach=False, **{"lr": 0.01, **fixed, **own})
    x, y = (tensor.to(case.dtype) for tensor in noisy_line(case.line))
    before = module.loss((x, y)).item()
    loader = TensorLoader(x, y, batch_size=case.batch_size, shuffle=True, seed=seed)
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            module.loss(batch).backward()
            optimizer.step()
    torch.set_default_dtype(torch.float32)
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    return before, module.loss((x, y)).item(), parameters


def distance(found, expected):
    """Return the largest difference of parameters, relative to the largest of each tensor."""
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp_min(1e-3))
        for name, value in expected.items()
    )
