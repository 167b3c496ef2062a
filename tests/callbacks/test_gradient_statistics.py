"""Norms of gradients and update-to-weight ratios, against a plain loop in float64."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from foreign import Foreign, fit, loader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from descentlab.__main__ import main
from descentlab.callbacks import GradientStatistics
from descentlab.errors import UsageError
from descentlab.internals.torch import may_go_unheard
from descentlab.runs.logger import RunLogger

EITHER = pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
LR, MOMENTUM, DECAY = 0.05, 0.9, 0.1


class Net(Foreign):
    """Two layers in float64, a frozen parameter, and one that no loss depends on."""

    def __init__(self, manual=False, seed=0):
        super().__init__(manual)
        self.line = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(2))
        draw = torch.Generator().manual_seed(seed)
        for p in self.line.parameters():
            nn.init.normal_(p, generator=draw)

    def error(self, batch):
        return super().error([part.double() for part in batch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)


def norm(values):
    """Return the Euclidean norm in plain Python."""
    return math.sqrt(math.fsum(value * value for value in values))


def by_hand(seed, epochs, decay=DECAY):
    """Return (step, name, norm of the gradient, ratio), by the formulas of SGD with momentum."""
    module = Net(seed=seed)
    parameters = dict(module.line.named_parameters(prefix="line"))
    velocity = {name: torch.zeros_like(p) for name, p in parameters.items()}
    rows = []
    for _ in range(epochs):
        for batch in loader():
            gradients = torch.autograd.grad(module.error(batch), parameters.values())
            found = []
            for (name, p), gradient in zip(parameters.items(), gradients, strict=True):
                before = p.detach().flatten().tolist()
                velocity[name] = MOMENTUM * velocity[name] + gradient + decay * p.detach()
                p.data -= LR * velocity[name]
                moved = [b - a for a, b in zip(before, p.detach().flatten().tolist(), strict=True)]
                found.append((name, norm(gradient.flatten().tolist()), norm(moved), norm(before)))
            found.append(("unused", None, 0.0, norm([1, 1])))
            given = [slope for _, slope, _, _ in found if slope is not None]
            whole = norm([row[2] for row in found]) / norm([row[3] for row in found])
            step = len(rows) // 6
            rows.append((step, "", norm(given), whole))
            rows += [(step, name, slope, move / size) for name, slope, move, size in found]
    return rows


def table(folder):
    """Return the rows of the file, as `by_hand` does."""
    with (folder / "gradient_statistics.csv").open(newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["step", "parameter", "gradient_norm", "update_ratio"]
    return [(int(s), name, float(g) if g else None, float(r)) for s, name, g, r in rows]


def same(found, expected):
    """Whether two lists hold the same rows, in any order within a step, to 1e-12."""
    found, expected = (sorted(rows, key=lambda row: row[:2]) for rows in (found, expected))
    return [row[:2] for row in found] == [row[:2] for row in expected] and all(
        one == other or (one is not None and one == pytest.approx(other, rel=1e-12, abs=1e-15))
        for left, right in zip(found, expected, strict=True)
        for one, other in zip(left[2:], right[2:], strict=True)
    )


@EITHER
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_plain_loop_and_the_run_is_left_alone(tmp_path, manual, seed):
    torch.manual_seed(seed)
    alone = fit(tmp_path / "alone", module=Net(manual, seed))
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    beside = fit(tmp_path, GradientStatistics(), module=Net(manual, seed))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(alone.model.parameters(), beside.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert same(table(tmp_path), by_hand(seed, epochs=3))
    assert not same(table(tmp_path), by_hand(seed, epochs=3, decay=0.1001))  # it can tell


@EITHER
def test_every_and_a_run_that_goes_on(tmp_path, manual, monkeypatch):
    monkeypatch.setattr("descentlab.callbacks.gradient_statistics._MOST_COPIES", 3)
    logger = {"logger": RunLogger(tmp_path, "run", 0), "log_every_n_steps": 1}
    two = fit(tmp_path, GradientStatistics(2), module=Net(manual, 5), epochs=2, **logger)
    folder = tmp_path / "run" / "version_0"
    two.save_checkpoint(tmp_path / "two.ckpt")
    expected = [row for row in by_hand(5, epochs=4) if row[0] % 2 == 0]
    assert same(table(folder), [row for row in expected if row[0] < 10])
    two.fit_loop.max_epochs = 4
    two.fit(two.lightning_module, loader(), loader())  # a second fit of the trainer
    assert [row[:2] for row in table(folder)] == [
        row[:2] for row in sorted(expected, key=lambda row: row[:2])
    ]
    fit(
        tmp_path / "later",
        GradientStatistics(2),
        module=Net(manual, 6),
        epochs=4,
        ckpt_path=tmp_path / "two.ckpt",
    )
    assert same(table(tmp_path / "later"), [row for row in expected if row[0] >= 10])
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    expected = table(folder)
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("gradient/")]
    assert len(tags) == 1 + 4 + 5
    for tag, name, column in (
        ("gradient/norm", "", 2),
        ("gradient/norm/line.0.bias", "line.0.bias", 2),
        ("gradient/update_ratio/unused", "unused", 3),
    ):
        shown = [(each.step, each.value) for each in events.Scalars(tag)]
        rows = [(row[0], pytest.approx(row[column])) for row in expected if row[1] == name]
        assert shown == rows


def test_a_run_that_goes_on_in_its_folder_gives_the_file_of_one_run(
    tmp_path, monkeypatch, white_pictures
):
    common = (
        *("--config", "linear_regression/split.yaml", "--data.source", "line"),
        *("--progress", "null", "--graph_export", "null", "--fit_picture", "null"),
        *("--learning_curves", "null", "--trainer.callbacks+=GradientStatistics"),
        *("--trainer.callbacks.every", "3", "--trainer.logger.name", "x"),
    )
    files = []
    for epochs in ("4", "2"):
        (tmp_path / epochs).mkdir()
        monkeypatch.chdir(tmp_path / epochs)
        assert main(["fit", *common, "--trainer.max_epochs", epochs]) == 0
        files.append(tmp_path / epochs / "logs/x/version_0/gradient_statistics.csv")
    assert files[0].read_bytes() != files[1].read_bytes()
    with files[1].open("a") as file:
        file.write("1000000,slope,1.0,1.0\n")  # after the checkpoint
    assert main(["fit", "--resume", "logs/x/version_0", "--trainer.max_epochs", "4"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


class Adversaries(Foreign):
    """Two optimizers by hand, one of a parameter that begins at 0 and stays for a step."""

    def __init__(self):
        super().__init__(manual=True)
        self.still = nn.Parameter(torch.tensor(0.0))

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.error(batch) + batch_idx * self.still)
            optimizer.step()

    def configure_optimizers(self):
        makes = (self.line.parameters(), [self.still])
        return [torch.optim.SGD(parameters, 0.1) for parameters in makes]


def test_several_optimizers_are_measured_equally_often(tmp_path):
    fit(tmp_path, GradientStatistics(every=2), module=Adversaries(), epochs=1)
    rows = table(tmp_path)
    assert [row[0] for row in rows if row[1] == "line.bias"] == [0, 4, 8]
    still = [row for row in rows if row[1] == "still"]
    assert [row[:3] for row in still] == [(1, "still", 0), (5, "still", 2), (9, "still", 4)]
    assert math.isnan(still[0][3])  # 0 and stayed
    assert next(row[3] for row in rows if row[1] == "line.bias") == math.inf  # 0 and moved
    assert still[1][3] == pytest.approx(2)  # from -0.1 by -0.2


class Clipped(Foreign):
    def error(self, batch):
        return 1e6 * super().error(batch)


@pytest.mark.parametrize("batches", [1, 2])
def test_the_gradient_is_the_one_that_is_stepped_with(tmp_path, batches):
    watch = GradientStatistics()
    flags = {"gradient_clip_val": 0.25, "accumulate_grad_batches": batches}
    fit(tmp_path, watch, module=Clipped(), epochs=2, **flags)
    whole = [row for row in table(tmp_path) if row[1] == ""]
    assert [row[0] for row in whole] == list(range(2 * math.ceil(5 / batches)))
    assert [row[2] for row in whole] == pytest.approx([0.25] * len(whole), rel=1e-5)


def test_a_name_of_any_length_is_shown(tmp_path):
    module, name = Foreign(), "x" * 150
    module.register_module(name, nn.Linear(1, 1))
    module.error = lambda batch: module.get_submodule(name)(batch[0]).square().mean()
    fit(
        tmp_path,
        GradientStatistics(),
        module=module,
        logger=RunLogger(tmp_path, "run", 0),
        log_every_n_steps=1,
    )
    events = EventAccumulator(str(tmp_path / "run" / "version_0"), {"scalars": 0}).Reload()
    assert len(events.Scalars(f"gradient/norm/{name}.weight")) == 15


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_precisions_neither_overflow_nor_fail(tmp_path, dtype):
    watch = GradientStatistics()
    theta = nn.Parameter(torch.full((9,), 2e4, dtype=dtype))
    theta.grad = torch.full_like(theta, -3e4)
    watch._names = {id(theta): "theta"}
    optimizer = torch.optim.SGD([theta], lr=1.0)
    watch._listener(SimpleNamespace(global_step=1), 0, optimizer).listen(may_go_unheard)
    optimizer.step()
    watch._take_norms(watch._shelves[0])
    (*_, slope, ratio) = list(watch._rows())[1]
    assert (slope, ratio) == pytest.approx((9e4, 1.5), rel=1e-2)


@pytest.mark.parametrize("row", ["x,slope,1.0,1.0", ""])
def test_a_damaged_file_is_named(tmp_path, row):
    path = tmp_path / "gradient_statistics.csv"
    path.write_text(f"step,parameter,gradient_norm,update_ratio\n{row}\n")
    watch = GradientStatistics()
    watch._path = path
    with pytest.raises(UsageError, match=r"gradient_statistics\.csv is damaged"):
        watch._open(path, SimpleNamespace(loggers=[], global_step=3))


def test_every_is_at_least_one():
    with pytest.raises(UsageError, match="every = 0 is below 1"):
        GradientStatistics(every=0)
