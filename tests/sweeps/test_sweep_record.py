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
        **{"member": 0, "lr": 0.1, "seed": 3, "status": "worse than start", "diverged_at": None},
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
