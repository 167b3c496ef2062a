"""What is known of members as a table, and losses of members on batches of their own."""

import math

import pytest
import torch

from descentlab.modules import TwoLayerNet
from descentlab.modules.descent_module import DescentModule
from descentlab.sweeps.descent import GroupDescent
from descentlab.sweeps.losses import MemberLosses, stack_seeds
from descentlab.sweeps.members import Group, Members
from descentlab.sweeps.record import FEW_PARAMETERS, Record, rows_of


def group(slope, bias, **changes):
    """Return what is known of three members, of which the second diverged at once."""
    record = Record(3)
    losses = torch.tensor([4.0, math.inf, 2.0])
    record.start = {"train": torch.full((3,), 3.0, dtype=torch.float64)}
    record.mark(losses.isfinite(), 0)
    record.measure(0, {"train": losses}, {"slope": slope, "bias": bias})
    known = {"members": [0, 1, 2], "record": record.as_plain(), "updates": 5, "finished": True}
    return {**known, "last": {"slope": slope + 1, "bias": bias + 1}, **changes}


def test_a_row_has_what_is_known_and_none_for_what_is_not():
    slope, bias = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([7.0, 8.0, 9.0])
    members = Members.of({"lr": [0.1, 0.2, 0.3, 0.4]}, [3])
    first, second, third, waiting = rows_of(members, [group(slope, bias)])
    assert first == {
        **{"member": 0, "lr": 0.1, "seed": 3, "status": "ended worse", "diverged_at": None},
        **{"updates": 5, "best_epoch": 0, "best_loss": 4.0, "start_train": 3.0, "last_train": 4.0},
        **{"last.slope[0]": 2.0, "last.slope[1]": 3.0, "last.bias": 8.0},
        **{"best.slope[0]": 1.0, "best.slope[1]": 2.0, "best.bias": 7.0},
    }
    assert (second["status"], second["diverged_at"], second["updates"]) == ("diverged", 0, 0)
    assert second["best_epoch"] is second["best_loss"] is None
    assert (third["status"], third["diverged_at"]) == ("finished", None)
    assert waiting == {"member": 3, "lr": 0.4, "seed": 3, "status": "waiting"}
    assert rows_of(members, [group(slope, bias, finished=False)])[2]["status"] == "stopped"


@pytest.mark.parametrize(("more", "told"), [(0, True), (1, False)])
def test_few_parameters_are_in_the_table(more, told):
    slope = torch.rand(3, FEW_PARAMETERS - 1 + more)
    row = rows_of(Members.of({"lr": [0.1, 0.2, 0.3]}, [0]), [group(slope, torch.rand(3))])[0]
    assert ("last.slope[0]" in row) is told
    assert FEW_PARAMETERS == 8  # what the pages say


class Line(DescentModule):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.randn(2))

    def loss(self, batch):
        x, y = batch
        return (x @ self.slope - y).square().mean()


def test_each_seed_is_measured_on_a_set_of_its_own():
    batches = [(torch.randn(n := 6, 2), torch.randn(n)) for _ in range(3)]
    module, slopes = Line(), torch.randn(6, 2)
    found = MemberLosses(module).on_set([slopes], batches)
    each = [
        (x @ slope - y).square().mean()
        for (x, y), pair in zip(batches, slopes.split(2), strict=True)
        for slope in pair
    ]
    torch.testing.assert_close(found, torch.stack(each))
    shared = MemberLosses(module).on_set([slopes], batches[:1] * 3)
    assert not torch.allclose(found, shared)  # negative control
    torch.testing.assert_close(shared[:2], found[:2])


def test_what_is_no_tensor_is_the_same_for_all_seeds():
    batch, dims = stack_seeds([(torch.zeros(2), "a", 3), (torch.ones(2), "a", 3)])
    assert batch[1:] == ("a", 3)
    assert dims == (0, None, None)


def descent(module, starts, points=2):
    return GroupDescent(module, starts, Group((0,), tuple(range(points)), (0, 1)), module.reduction)


def test_a_loss_that_is_a_sum_is_a_sum_over_the_batches_of_a_set():
    torch.manual_seed(0)
    net = TwoLayerNet(inputs=3, hidden=4, outputs=2)
    assert net.reduction == "sum"
    both = [(torch.randn(n, 3), torch.randn(n, 2)) for n in (5, 2)]
    expected = sum(net.loss(batch).item() for batch in both)
    members = descent(net, [net])
    for batch in both:
        members.add_to_set("val", [batch])
    assert members.losses_of_sets(keep=False)["val"].tolist() == pytest.approx([expected] * 2)
    line = Line()
    both = [(torch.randn(n, 2), torch.randn(n)) for n in (5, 2)]
    expected = sum(len(x) * line.loss((x, y)).item() for x, y in both) / 7
    members = descent(line, [line])
    for batch in both:
        members.add_to_set("val", [batch])
    assert members.losses_of_sets(keep=False)["val"].tolist() == pytest.approx([expected] * 2)


def test_a_member_that_diverges_at_the_first_update_stays_where_it_began():
    module = Line()
    members = descent(module, [module])
    with torch.no_grad():
        module.slope[0] = math.inf
    before = module.slope.detach().clone()
    step = torch.optim.SGD([module.slope], lr=0.1).step
    members.update((torch.randn(4, 2), torch.randn(4)), None, step)
    assert torch.equal(module.slope[0].detach(), before[0])
    assert not torch.equal(module.slope[1].detach(), before[1])
    assert members.record.diverged.tolist() == [0, -1]


@pytest.mark.parametrize("sets", [("train",), ("train", "val"), ("val",)], ids="-".join)
@pytest.mark.parametrize("stops", [0, 7, 16], ids="stopped after {}".format)
def test_a_record_is_what_a_plain_loop_over_epochs_and_members_keeps(sets, stops):
    """Over more epochs than there is room for at first, with ties, and kept and taken up again."""
    members, epochs, draw = 3, 40, torch.Generator().manual_seed(1)
    losses = {name: torch.randint(5, 12, (epochs, members), generator=draw) for name in sets}
    losses = {name: values.double() for name, values in losses.items()}
    losses[sets[-1]][5:8, 1] = math.nan
    losses[sets[-1]][:, 2] = math.inf
    weights = torch.randn(epochs, members, 2, 2, generator=draw)
    record = Record(members)
    for epoch in range(epochs):
        if epoch == stops:
            record = Record.of_plain(record.as_plain())
        now = {name: values[epoch] for name, values in losses.items()}
        record.measure(epoch, now, {"weight": weights[epoch]})
    assert record.epochs == list(range(epochs))
    assert list(record.curves) == list(sets)
    for name, curve in record.curves.items():
        assert torch.equal(curve.nan_to_num(-1.0), losses[name].nan_to_num(-1.0))
    for member in range(members):
        curve, least, best = losses[sets[-1]][:, member].tolist(), math.inf, -1
        for epoch, loss in enumerate(curve):
            if loss < least:
                least, best = loss, epoch
        assert (record.best_epoch[member].item(), record.best_loss[member].item()) == (best, least)
        assert torch.equal(record.best["weight"][member], weights[max(best, 0), member])
    assert record.best_epoch.tolist()[2] == -1
    first = losses[sets[-1]][:, 0]
    assert (first == first.min()).sum() > 1  # there is a tie


@pytest.mark.parametrize(
    ("start", "last", "status"),
    [
        ({"train": 2.0}, {"train": 2.0}, "finished"),
        ({"train": 2.0}, {"train": 2.5}, "ended worse"),
        ({"train": 2.0, "val": 9.0}, {"train": 2.5, "val": 1.0}, "ended worse"),
        ({"train": 2.0, "val": 1.0}, {"train": 1.5, "val": 9.0}, "finished"),
        ({"val": 2.0}, {"val": 2.5}, "ended worse"),
        ({}, {"train": 2.5}, "finished"),
        ({"train": 2.0}, {}, "finished"),
    ],
)
def test_a_member_is_worse_than_its_start_by_its_training_loss(start, last, status):
    def values(losses):
        return {name: torch.tensor([value], dtype=torch.float64) for name, value in losses.items()}

    record, weight = Record(1), torch.arange(4.0).view(1, 2, 2)
    record.start = values(start)
    if last:
        record.measure(0, values(last), {"weight": weight})
    known = {"members": [0], "record": record.as_plain(), "updates": 1, "finished": True}
    (row,) = rows_of(Members.of({"lr": [0.1]}, [0]), [{**known, "last": {"weight": weight}}])
    assert row["status"] == status
    assert {name: row.get(f"last_{name}") for name in last} == last
    assert [row[f"last.weight[{i},{j}]"] for i in (0, 1) for j in (0, 1)] == [0, 1, 2, 3]


def test_a_member_diverges_once():
    record = Record(3)
    for updates, finite in enumerate(
        [(False, True, True), (False, True, False), (True, True, False)]
    ):
        record.mark(torch.tensor(finite), updates)
    assert record.diverged.tolist() == [0, -1, 1]
