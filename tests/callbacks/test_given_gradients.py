"""What instruments take for the gradient of a step is what the optimizer is given, and no other."""

import csv
import math

import pytest
import torch
from foreign import Foreign, fit
from lightning.pytorch import Callback

from descentlab.callbacks import GradientStatistics, Parity
from descentlab.callbacks.given_gradients import GivenGradients
from descentlab.errors import UsageError
from descentlab.internals.torch import may_go_unheard

EITHER = pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
LR, DECAY = 0.05, 0.1


class ByHand(torch.optim.Optimizer):
    """Gradient descent with decay, which it writes into the gradients."""

    calls = True

    def __init__(self, params, lr=LR):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if self.calls and closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.add_(p, alpha=DECAY), alpha=group["lr"])
        return loss


class WithoutClosure(ByHand):
    """Leaves its closure alone, as many do."""

    calls = False


class Derived(torch.optim.SGD):
    """A class whose step calls the one above, the hooks of which are called, too."""

    def __init__(self, params):
        super().__init__(params, LR)

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for p in self.param_groups[0]["params"]:
            p.grad.add_(p.detach(), alpha=DECAY)
        super().step()
        return loss


class Net(Foreign):
    """Keeps the gradients that go into each step, by the hook that Lightning has before it."""

    optimizer, raw, factor = ByHand, False, 1.0

    def __init__(self, manual=False, **attributes):
        super().__init__(manual)
        self.records = []
        vars(self).update(attributes)

    def error(self, batch):
        return self.factor * super().error(batch)

    def optimizers(self, use_pl_optimizer=True):
        return super().optimizers(use_pl_optimizer=not self.raw)

    def configure_optimizers(self):
        return self.optimizer(self.parameters())

    def on_before_optimizer_step(self, optimizer):
        self.record()

    def record(self):
        found = [p.grad.flatten().tolist() for p in self.parameters() if p.grad is not None]
        self.records.append(math.sqrt(math.fsum(x * x for each in found for x in each)))


def decayed(parameters):
    return torch.optim.SGD(parameters, lr=LR, weight_decay=DECAY)


def norms(folder):
    """Return the norms of the whole gradient, step by step."""
    with (folder / "gradient_statistics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row["gradient_norm"]) for row in rows if not row["parameter"]]


@EITHER
@pytest.mark.parametrize("optimizer", [ByHand, Derived])
def test_what_a_step_writes_into_its_gradients_is_not_what_it_was_given(
    tmp_path, manual, optimizer
):
    right, wrong = Parity(decayed), Parity(lambda p: torch.optim.SGD(p, lr=LR))
    module = Net(manual, optimizer=optimizer)
    with pytest.warns(UserWarning, match="the run leaves its reference at step 2"):
        fit(tmp_path, right, wrong, GradientStatistics(), module=module)
    assert (right.steps, right.first) == (15, None)
    assert right.largest < 1e-6
    assert len(module.records) == 15
    assert norms(tmp_path) == pytest.approx(module.records, rel=1e-6)


@pytest.mark.parametrize("raw", [False, True])
def test_a_step_that_leaves_its_closure_alone(tmp_path, raw):
    """Under manual optimization, where Lightning gives one; and by torch's own optimizer."""
    parity = Parity(decayed)
    module = Net(True, optimizer=WithoutClosure, raw=raw)
    fit(tmp_path, parity, GradientStatistics(), module=module)
    assert (parity.steps, parity.first) == (15, None)
    assert len(set(norms(tmp_path))) == 15
    reference = Net(True, optimizer=decayed, raw=raw)
    fit(tmp_path / "other", GradientStatistics(), module=reference)
    assert norms(tmp_path) == pytest.approx(norms(tmp_path / "other"), rel=1e-5)


def test_it_is_the_clipped_gradient_of_all_batches_that_add_up(tmp_path):
    parity = Parity(decayed)
    flags = {"gradient_clip_val": 0.25, "accumulate_grad_batches": 2}
    fit(tmp_path, parity, GradientStatistics(), module=Net(factor=100.0), **flags)
    assert norms(tmp_path) == pytest.approx([0.25] * 9, rel=1e-5)
    assert (parity.steps, parity.first) == (9, None)


class SharpnessAware(ByHand):
    """Steps with the gradient at a point nearby, for which it calls its closure twice."""

    def step(self, closure):
        loss = closure()
        parameters = self.param_groups[0]["params"]
        moves = [0.05 * p.grad for p in parameters]
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.add_(move)
        closure()
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.sub_(move).sub_(p.grad, alpha=LR)
        return loss


@EITHER
def test_what_takes_several_gradients_a_step_is_refused_by_its_name(tmp_path, manual):
    module = Net(manual, optimizer=SharpnessAware)
    alone = fit(tmp_path, GradientStatistics(), module=module, epochs=1)
    assert alone.global_step == 5
    if not manual:  # where Lightning's closure does nothing
        assert norms(tmp_path) == pytest.approx(module.records[1::2], rel=1e-6)
    parity = Parity(lambda p: torch.optim.SGD(p, lr=LR))
    with pytest.raises(UsageError, match="SharpnessAware takes several gradients a step"):
        fit(tmp_path, parity, module=Net(manual, optimizer=SharpnessAware))
    assert parity.steps == 0
    assert not (tmp_path / "parity.json").exists()


def of_torch():
    """Return the optimizers of torch that step dense gradients of any shape."""
    kinds = [getattr(torch.optim, name) for name in torch.optim.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    other = {"Optimizer", "SparseAdam", "Muon"}
    return [kind for kind in kinds if kind.__name__ not in other]


@EITHER
@pytest.mark.parametrize("kind", of_torch(), ids=lambda kind: kind.__name__)
def test_it_is_that_of_a_record_for_all_of_torch(tmp_path, kind, manual):
    """LBFGS has several a step, of which the last one is kept."""
    manual &= kind is not torch.optim.LBFGS
    module = Net(manual, optimizer=kind)
    last = LastOfEach()
    fit(tmp_path, last, GradientStatistics(), module=module, epochs=2)
    assert len(last.found) == 10
    assert norms(tmp_path) == pytest.approx(last.found, rel=1e-6)
    assert (len(module.records) > 10) == (kind is torch.optim.LBFGS)


class LastOfEach(Callback):
    """Keeps the last record of each update."""

    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.found.append(pl_module.records[-1])


class Heard:
    """What is heard of the steps of an optimizer."""

    def __init__(self, optimizer):
        self.log = []
        self.optimizer = optimizer
        listener = GivenGradients(
            optimizer,
            lambda: self.log.append("before") or True,
            lambda calls: self.log.append((calls, *self.gradients())),
            lambda: self.log.append("after"),
        )
        listener.listen(may_go_unheard)

    def gradients(self):
        return [p.grad.item() for group in self.optimizer.param_groups for p in group["params"]]


def one(value=1.0, gradient=None):
    made = torch.nn.Parameter(torch.tensor(value))
    made.grad = None if gradient is None else torch.tensor(gradient)
    return made


def test_a_step_that_failed_is_over(tmp_path):
    """A hook that is called after a step is not called where it fails, nor is it nested then."""

    class Fails(ByHand):
        fail = True

        def step(self, closure=None):
            if self.fail:
                raise FloatingPointError
            return super().step()

    ByHand([one()])  # from here on torch calls the hooks of its step, too
    heard = Heard(Fails([one(gradient=2.0)]))
    with pytest.raises(FloatingPointError):
        heard.optimizer.step()
    Fails.fail = False
    heard.optimizer.step()
    heard.optimizer.step()
    assert [each for each in heard.log if isinstance(each, str)] == (
        ["before", "before", "after", "before", "after"]
    )


@pytest.mark.parametrize("named", [False, True])
def test_a_closure_is_called_as_it_was_given(named):
    theta = one()

    def closure():
        theta.grad = torch.tensor(3.0)
        return 7

    heard = Heard(ByHand([theta], lr=0.0))
    theta.grad = torch.tensor(0.0)
    for _ in range(2):
        given = {"closure": closure} if named else closure
        assert (heard.optimizer.step(**given) if named else heard.optimizer.step(given)) == 7
    # before its first step nobody knows whether it calls its closure
    assert heard.log == ["before", (0, 0.0), (1, 3.0), "after", "before", (1, 3.0), "after"]


def test_a_fused_step_unscales_by_itself_and_one_that_is_left_out_is_none():
    theta = one()
    heard = Heard(torch.optim.SGD([theta], lr=0.5, fused=True))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for factor in (2.0, math.inf, 4.0):
        theta.grad = None
        scaler.scale(theta * factor).backward()
        scaler.step(heard.optimizer)
        scaler.update()
    assert theta.item() == 1 - 0.5 * 2 - 0.5 * 4
    assert heard.log == ["before", (0, 2.0), "after", "before", "before", (0, 4.0), "after"]
