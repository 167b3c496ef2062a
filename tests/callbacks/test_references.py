"""The reference of `Parity`: what it is given, and what is refused."""

import pytest
import torch
from foreign import Foreign, fit

from descentlab.callbacks import Parity
from descentlab.errors import UsageError


def heavy(parameters, **more):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.5, **more)


class Frozen(Foreign):
    """Its bias is not trained."""

    def __init__(self):
        super().__init__()
        self.line.bias.requires_grad_(False)


class Groups(Foreign):
    def configure_optimizers(self):
        return heavy([{"params": [self.line.weight]}, {"params": [self.line.bias], "lr": 0.01}])


def weight_alone(parameters):
    return heavy(list(parameters)[:1])


def all_in_one_group(groups):
    return heavy([p for group in groups for p in group["params"]])


def needs_a_word(parameters, word):
    return heavy(parameters)


class NeedsClosure(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure):
        return closure()


def each_by_itself(parameters):
    return heavy([{"params": [p]} for p in parameters])


@pytest.mark.parametrize(
    ("module", "reference"),
    [
        (Foreign, lambda p: heavy([{"params": list(p)}])),
        (Foreign, lambda p: heavy([q for q in p if isinstance(q, torch.Tensor)])),
        (Foreign, each_by_itself),
        (Frozen, weight_alone),
        (Groups, heavy),
    ],
)
def test_it_is_given_parameters_of_one_group_and_groups_of_several(tmp_path, module, reference):
    parity = Parity(reference)
    fit(tmp_path, parity, module=module())
    assert (parity.steps, parity.first, parity.largest) == (15, None, 0.0)
    wrong = Parity(lambda p: slower(reference(p)))  # negative control
    with pytest.warns(UserWarning, match="the run leaves its reference at step 2"):
        fit(tmp_path, wrong, module=module())


def slower(optimizer):
    for group in [optimizer.defaults, *optimizer.param_groups]:
        group["momentum"] = 0.49
    return optimizer


class Many(Foreign):
    def __init__(self):
        super().__init__()
        self.more = torch.nn.ParameterList([torch.ones(1) for _ in range(5)])

    def error(self, batch):
        return super().error(batch) + sum(self.more)


@pytest.mark.parametrize(
    ("module", "reference", "says"),
    [
        (Foreign, weight_alone, r"leaves out line\.bias, which the run trains"),
        (Many, weight_alone, r"leaves out line\.bias, more\.0, more\.1 and 3 more, which"),
        (Foreign, lambda p: heavy([torch.ones(1)]), r"leaves out line\.weight, line\.bias, which"),
        (Groups, all_in_one_group, "joins parameters that are in 2 groups"),
        (Groups, each_by_itself, r"makes no optimizer of 2 groups .*Tensors.*\): give"),
        (Foreign, needs_a_word, r"makes no optimizer of 2 parameters .*'word'\): give a class"),
        (Foreign, lambda p: None, "the reference gives None, which is no optimizer"),
        (Foreign, lambda p: "SGD" * 99, "gives 'SGD.*…, which is no optimizer"),
        (Foreign, NeedsClosure, "the step of NeedsClosure needs closure"),
    ],
)
def test_what_cannot_follow_is_refused_and_nothing_is_written(tmp_path, module, reference, says):
    with pytest.raises(UsageError, match=says):
        fit(tmp_path, Parity(reference), module=module())
    assert not (tmp_path / "parity.json").exists()


@pytest.mark.parametrize("reference", ["torch.optim.AdamW", None, heavy(Foreign().parameters())])
def test_what_is_no_function_is_refused_at_once(reference):
    with pytest.raises(UsageError, match=r"reference = .* is no class and no function of param"):
        Parity(reference)
