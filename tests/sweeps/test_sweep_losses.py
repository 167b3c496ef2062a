"""Losses, gradients and records of members against loops over the members, one by one."""

import math

import pytest
import torch

from descentlab.errors import UsageError
from descentlab.modules.descent_module import DescentModule
from descentlab.sweeps import losses as member_losses
from descentlab.sweeps.descent import GroupDescent, least_finite
from descentlab.sweeps.losses import MemberLosses, per_row
from descentlab.sweeps.members import Group
from descentlab.sweeps.record import ranked

# of a batch with something else than tensors in it
pytestmark = pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`")


class Scaled(DescentModule):
    """A line with a scale for each seed, which is a buffer, and a count of its calls."""

    def __init__(self, scale=2.0):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.randn(2, dtype=torch.float64))
        self.fixed = torch.nn.Parameter(torch.randn(2).double(), requires_grad=False)
        self.register_buffer("scale", torch.tensor([scale, 1.0], dtype=torch.float64))
        self.calls = 0

    def loss(self, batch):
        self.calls += 1
        x, y, power = batch
        return ((x * self.scale) @ (self.slope + self.fixed) - y).abs().pow(power).mean()


def drawn(rows=6):
    return torch.randn(rows, 2).double(), torch.randn(rows).double(), 2


def by_hand(batch, slope, fixed, scale):
    x, y, _ = batch
    residual = (x * scale) @ (slope + fixed) - y
    return residual.square().mean(), 2 * ((x * scale).T @ residual) / len(x)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def group(module, starts, points=2):
    seeds = tuple(range(len(starts)))
    members = tuple(range(points * len(starts)))
    return GroupDescent(module, starts, Group(seeds, tuple(range(points)), members), "mean")


def test_seeds_with_buffers_of_their_own_have_them_in_their_losses_and_gradients():
    starts = [Scaled(scale) for scale in (2.0, 3.0, -1.0)]
    module, batches = Scaled(), [drawn() for _ in starts]
    members = group(module, starts)
    batch, dims = member_losses.stack_seeds(batches)
    found, gradients = members.gradients(batch, dims)
    assert gradients[1] is None  # of what is frozen
    for member in range(6):
        start = starts[member // 2]
        own = by_hand(batches[member // 2], start.slope, start.fixed, start.scale)
        torch.testing.assert_close(found[member], own[0].detach())
        torch.testing.assert_close(gradients[0][member], own[1].detach())
    members.add_to_set("val", batches)
    torch.testing.assert_close(members.losses_of_sets(keep=False)["val"], found)
    assert members.losses_of_sets(keep=False) == {}  # the next time begins anew


def test_seeds_with_one_batch_and_one_buffer_share_them():
    starts, module, batch = [Scaled(2.0), Scaled(2.0)], Scaled(5.0), drawn()
    members = group(module, starts)
    assert torch.equal(module.scale, starts[0].scale)
    module.calls = 0
    members.add_to_set("val", [batch, batch])
    assert module.calls == 2  # for its memory and for all members at once
    found = members.losses_of_sets(keep=False)["val"]
    for member in range(4):
        start = starts[member // 2]
        own, _ = by_hand(batch, start.slope, start.fixed, start.scale)
        torch.testing.assert_close(found[member], own.detach())


def test_a_loss_that_branches_on_a_value_is_refused_by_the_first_sentence_of_torch():
    class Branches(Scaled):
        def loss(self, batch):
            return super().loss(batch) if self.slope.sum() > 0 else self.slope.sum()

    both = torch.randn(2, 2).double()
    with pytest.raises(UsageError) as refused:
        MemberLosses(Branches())([both, both], drawn(), None)
    assert "the loss of Branches cannot be computed for all members at once" in str(refused.value)
    assert "data-dependent control flow: write it without branches" in str(refused.value)


def test_a_module_is_as_it_was_after_its_losses():
    module = Scaled()
    before = dict(module.named_parameters()), dict(module.named_buffers())
    slopes, fixed = torch.randn(4, 2).double(), torch.randn(4, 2).double()
    MemberLosses(module)([slopes, fixed], drawn(), None)
    after = dict(module.named_parameters()), dict(module.named_buffers())
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert all(new[name] is value for name, value in old.items())


@pytest.mark.parametrize("bytes_", [1, 2**28])
def test_a_set_takes_no_more_memory_than_it_may_and_is_measured_once_for_each_shape(
    monkeypatch, bytes_
):
    monkeypatch.setattr(member_losses, "EVALUATION_BYTES", bytes_)
    module, slopes, fixed = Scaled(), torch.randn(5, 2).double(), torch.randn(5, 2).double()
    of_members = MemberLosses(module)
    parts = 5 if bytes_ == 1 else 1
    for batch, measured in [(drawn(6), 1), (drawn(6), 0), (drawn(4), 1), (drawn(6), 0)]:
        module.calls = 0
        found = of_members.on_set([slopes, fixed], [batch])
        assert module.calls == parts + measured
        for member in range(5):
            loss, _ = by_hand(batch, slopes[member], fixed[member], module.scale)
            torch.testing.assert_close(found[member], loss.detach())


@pytest.mark.parametrize("zero", [True, False])
def test_gradients_of_before_the_sweep_are_forgotten(zero):
    module, batch = Scaled(), drawn()
    module.loss(batch).backward()
    start = module.slope.detach().clone()
    members = group(module, [module])
    _, expected = by_hand(batch, start, module.fixed[0], module.scale)
    for times in (1, 2):
        members.update(batch, None, lambda: None, zero)
        added = 1 if zero else times
        torch.testing.assert_close(module.slope.grad, (added * expected).detach().expand(2, 2))


def test_the_least_of_the_finite_losses():
    losses = torch.tensor([3.0, math.nan, -math.inf, 2.0, math.inf])
    assert least_finite(losses).item() == 2.0
    assert least_finite(losses[1:3]).item() == math.inf
    module, batch = Scaled(), drawn()
    members = group(module, [Scaled()], points=3)
    with torch.no_grad():
        module.slope[:2] = torch.tensor([[math.nan, 1.0], [0.5, 0.25]])
    each = [by_hand(batch, module.slope[m], module.fixed[m], module.scale)[0] for m in (1, 2)]
    least = members.update(batch, None, lambda: None)
    torch.testing.assert_close(least, torch.stack(each).min().detach())


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 4)])
def test_a_value_for_each_member_multiplies_its_row(shape):
    values, parameter = torch.randn(3), torch.randn(shape)
    found = per_row(values, parameter) * parameter
    assert all(torch.equal(found[row], values[row] * parameter[row]) for row in range(3))


def test_rows_are_ranked_by_their_best_loss_and_those_without_come_last():
    losses = [3.0, None, -1.0, math.inf, 0.0]
    rows = [{"member": m, "best_loss": loss} for m, loss in enumerate(losses)]
    found = [row["member"] for row in ranked([*rows, {"member": 5}])]
    assert found == [2, 4, 0, 3, 1, 5]
