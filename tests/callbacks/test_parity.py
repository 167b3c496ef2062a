"""A run beside a reference optimizer: nothing is changed, and what differs is named."""

import json
import math
from contextlib import nullcontext

import pytest
import torch
from foreign import Foreign, fit, loader
from lightning.pytorch.callbacks import ModelCheckpoint

from descentlab.callbacks import Parity
from descentlab.callbacks.parity import difference
from descentlab.errors import RunError, UsageError
from descentlab.optimizers import Adam, Momentum

EITHER = pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])

NOT_EMPTY = pytest.mark.filterwarnings("ignore:Checkpoint directory")


def heavy(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.5)


class Scheduled(Foreign):
    """Momentum by our rule, with a learning rate that is halved after every epoch."""

    optimizer = Momentum

    def configure_optimizers(self):
        made = self.optimizer(self.parameters(), lr=self.lr, momentum=0.5)
        return [made], [torch.optim.lr_scheduler.StepLR(made, 1, 0.5)]


class RateInside(torch.optim.Optimizer):
    """Momentum with the learning rate inside the velocity: another one where the rate changes."""

    def __init__(self, params, lr, momentum):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                v = self.state[p].get("v", torch.zeros_like(p))
                self.state[p]["v"] = v = group["momentum"] * v + group["lr"] * p.grad
                p.sub_(v)
        return loss


class ScheduledRateInside(Scheduled):
    optimizer = RateInside


@EITHER
def test_a_right_rule_is_never_accused_and_its_run_is_left_alone(tmp_path, manual):
    torch.manual_seed(3)
    alone = fit(tmp_path, module=Scheduled(manual))
    state = torch.get_rng_state()
    torch.manual_seed(3)
    parity = Parity(heavy)
    beside = fit(tmp_path, parity, module=Scheduled(manual))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(alone.model.parameters(), beside.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert (parity.steps, parity.first, parity.largest) == (15, None, 0.0)


@pytest.mark.parametrize("every", [1, 4])
def test_a_rate_inside_the_velocity_is_found_where_the_rate_changes(tmp_path, every):
    parity = Parity(heavy, every=every)
    with pytest.warns(UserWarning, match="the run leaves its reference at step"):
        fit(tmp_path, parity, module=ScheduledRateInside())
    assert parity.first.step == {1: 6, 4: 8}[every]  # five updates an epoch
    assert parity.first.parameter == "line.weight"
    assert parity.first.index == (0, 0)
    assert parity.steps == 15


def plain_loop(rule, steps):
    """Return the weight after some steps on the run's batches, by torch alone."""
    module = Foreign()
    optimizer = rule(module.parameters())
    for batch in list(loader())[:steps]:
        optimizer.zero_grad()
        module.error(batch).backward()
        optimizer.step()
    return module.line.weight.item()


@EITHER
def test_the_difference_is_that_of_two_plain_loops(tmp_path, manual):
    def reference(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.49)

    parity = Parity(reference, on_difference="raise")
    with pytest.raises(RunError, match=r"step 2, line\.weight\[0, 0\]"):
        fit(tmp_path, parity, module=Foreign(manual))
    assert parity.first.step == parity.steps == 2
    assert parity.first.run == pytest.approx(plain_loop(heavy, 2), rel=1e-6)
    first, second = plain_loop(heavy, 1), parity.first.run
    expected = second - 0.01 * first  # the velocity after a step is -first / lr
    assert parity.first.reference == pytest.approx(expected, rel=1e-5)
    assert parity.first.size > parity.first.allowed
    written = json.loads((tmp_path / "parity.json").read_text())
    assert written["first"]["parameter"] == "line.weight"
    assert written["first"]["size"] == parity.first.size


@pytest.mark.parametrize(("momentum", "departs"), [(0.5, None), (0.0, 2)])
def test_the_learning_rate_is_the_runs_and_the_rest_the_references(tmp_path, momentum, departs):
    parity = Parity(lambda p: torch.optim.SGD(p, lr=9.0, momentum=momentum))
    with nullcontext() if departs is None else pytest.warns(UserWarning, match="leaves its ref"):
        fit(tmp_path, parity)
    assert (parity.first and parity.first.step) == departs


class ByAdam(Foreign):
    def configure_optimizers(self):
        return Adam(self.parameters(), lr=0.1)


def kept(folder):
    return ModelCheckpoint(folder, filename="last", enable_version_counter=False)


@NOT_EMPTY
def test_a_run_that_goes_on_is_followed_on(tmp_path):
    fit(tmp_path, Parity(torch.optim.Adam), kept(tmp_path), module=ByAdam(), epochs=1)
    first = (tmp_path / "last.ckpt").rename(tmp_path / "first.ckpt")
    wrong = Parity(lambda p: torch.optim.Adam(p, eps=0.1))
    with pytest.warns(UserWarning, match="at step 6"):  # negative control: from there on
        fit(tmp_path, wrong, kept(tmp_path), epochs=2, module=ByAdam(), ckpt_path=first)
    parity = Parity(torch.optim.Adam)
    fit(tmp_path, parity, kept(tmp_path), module=ByAdam(), ckpt_path=first)
    assert (parity.steps, parity.first) == (15, None)


@NOT_EMPTY
def test_a_run_that_began_without_it_is_not_looked_at_and_says_so(tmp_path):
    fit(tmp_path, kept(tmp_path), epochs=1)
    parity = Parity(heavy)
    with pytest.warns(UserWarning, match="Parity looks at nothing"):
        fit(tmp_path, parity, kept(tmp_path), ckpt_path=tmp_path / "last.ckpt")
    assert parity.steps == 0


@NOT_EMPTY
def test_two_in_one_trainer_are_two(tmp_path):
    def both():
        return Parity(heavy), Parity(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.49))

    right, wrong = both()
    with pytest.warns(UserWarning, match="the run leaves its reference at step 2"):
        fit(tmp_path, right, wrong, kept(tmp_path), epochs=1)
    found = [json.loads((tmp_path / f"{n}.json").read_text()) for n in ("parity", "parity_2")]
    assert [each["first"] and each["first"]["step"] for each in found] == [None, 2]
    first = (tmp_path / "last.ckpt").rename(tmp_path / "first.ckpt")
    right, wrong = both()
    fit(tmp_path, right, wrong, kept(tmp_path), ckpt_path=first)
    assert (right.steps, right.first, wrong.steps, wrong.first.step) == (15, None, 15, 2)


class Grows(Foreign):
    """A bias that is trained from the second epoch on, in a group of its own."""

    def configure_optimizers(self):
        return torch.optim.SGD([self.line.weight], 0.1, momentum=0.5)

    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            self.optimizers().optimizer.add_param_group({"params": [self.line.bias], "lr": 0.05})


@pytest.mark.parametrize("every", [1, 4])
def test_a_group_that_is_added_is_followed(tmp_path, every):
    parity = Parity(heavy, every=every)
    fit(tmp_path, parity, module=Grows())
    assert (parity.steps, parity.first, parity.largest) == (15, None, 0.0)
    wrong = Parity(torch.optim.SGD, every=every)  # negative control
    with pytest.warns(UserWarning, match="the run leaves its reference at step"):
        fit(tmp_path, wrong, module=Grows())


class Endless(Foreign):
    """The gradient of its weight alone is NaN or infinite at the fourth step."""

    def __init__(self, optimizer, value):
        super().__init__()
        self.optimizer, self.value = optimizer, value
        self.wide = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))

    def error(self, batch):
        return super().error(batch) + self.wide.square().sum()

    def on_before_optimizer_step(self, optimizer):
        if self.global_step == 3:
            self.wide.grad[1] = self.value

    def configure_optimizers(self):
        return self.optimizer(self.parameters())


class Cautious(torch.optim.SGD):
    """Leaves out what is not finite, and may be wrong after that."""

    wrong = 0.0

    def __init__(self, params):
        super().__init__(params, lr=0.1, momentum=0.5)

    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure() if closure else None
        for p in self.param_groups[0]["params"]:
            p.grad.nan_to_num_(0, 0, 0)
        super().step()
        return loss


class WrongLater(torch.optim.SGD):
    """Moves an entry beside the one that is not finite too far, from the seventh step on."""

    def __init__(self, params):
        super().__init__(params, lr=0.1, momentum=0.5)
        self.steps = 0

    def step(self, closure=None):
        loss = super().step(closure)
        self.steps += 1
        if self.steps > 6:
            self.param_groups[0]["params"][0].data[2:] += 1e-9
        return loss


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("run", "reference", "step"),
    [
        (heavy, heavy, None),
        (Cautious, Cautious, None),
        (Cautious, heavy, 4),
        (heavy, Cautious, 4),
        (WrongLater, heavy, 7),
    ],
)
def test_what_is_not_finite_differs_where_it_is_in_one_alone(
    tmp_path, run, reference, step, value, every
):
    parity = Parity(reference, every=every)
    says = pytest.warns(UserWarning, match=r"the run leaves its reference at step \d+, wide\[")
    with nullcontext() if step is None else says:
        fit(tmp_path, parity, module=Endless(run, value))
    assert (parity.first and parity.first.step) == (step and math.ceil(step / every) * every)
    if step is not None:
        assert parity.first.index == ((2,) if run is WrongLater else (1,))
    written = json.loads((tmp_path / "parity.json").read_text())
    assert written["largest"] == pytest.approx(1e-9 * every if run is WrongLater else 0, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.complex64, torch.float64])
def test_the_difference_of_what_is_not_finite(dtype):
    some = torch.tensor([1.0, math.nan, math.nan, math.inf, math.inf, math.inf, 0.0]).to(dtype)
    others = torch.tensor([3.0, math.nan, 0.0, math.inf, -math.inf, 0.0, math.nan]).to(dtype)
    expected = [2, 0, math.inf, 0, math.inf, math.inf, math.inf]
    assert difference(some, others).tolist() == difference(others, some).tolist() == expected


def test_what_it_cannot_do_is_refused(tmp_path):
    with pytest.raises(UsageError, match="every = 0 is below 1"):
        Parity(heavy, every=0)
    with pytest.raises(UsageError, match="'record' or 'raise', not 'stop'"):
        Parity(heavy, on_difference="stop")
    with pytest.raises(UsageError, match="LBFGS takes several gradients"):
        fit(tmp_path, Parity(torch.optim.LBFGS))
    assert not (tmp_path / "parity.json").exists()
