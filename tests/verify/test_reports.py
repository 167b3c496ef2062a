"""What public reports were about: each is caught at its step, and called by its name."""

import faulty
import pytest
from torch import optim

from descentlab.verify import compare

STEPS = 12
DECAY = {"lr": 0.1, "weight_decay": 0.1}
HEAVY = {"lr": 0.01, "momentum": 0.9}
TINY, CHANGE = "gradients near 1e-8", "hyperparameters that change"


def report(make, reference, values, problem, step, name, numbers):
    """Return a row: where and when the fault is seen first, what it is called, and who had it."""
    return pytest.param(make, reference, values, problem, step, name, id=numbers)


EPS_FIRST = "Adam with eps before the correction and decay coupled"
REPORTS = [
    report(
        *(faulty.NoCorrection, optim.Adam, {"lr": 0.1}, "Beale", 1),
        *("Adam with no bias correction and decay coupled", "mlx 1640"),
    ),
    report(
        *(faulty.CorrectionInRate, optim.Adam, {"lr": 0.1}, TINY, 1),
        *(EPS_FIRST, "tensorflow 35102, pytorch 22628, torchani 261"),
    ),
    report(
        *(faulty.EpsBeforeCorrection, optim.Adam, {"lr": 0.1}, TINY, 1),
        *(EPS_FIRST, "transformers 35504"),
    ),
    report(
        *(faulty.DecayAfterAndCorrectionInRate, optim.AdamW, DECAY, "Beale", 1),
        *("Adam with eps before the correction and decay after the update", "transformers 14539"),
    ),
    report(
        *(faulty.DecayWrongSign, optim.Adam, DECAY, "Beale", 1),
        *("Adam with decay coupled with the wrong sign", "chainer 261"),
    ),
    report(
        *(faulty.AdamByHand, optim.AdamW, DECAY, "Beale", 1),
        *("Adam with decay coupled", "bitsandbytes 1992, nntrainer 3565"),
    ),
    report(
        *(faulty.DecayAfter, optim.AdamW, DECAY, "Beale", 1),
        *("Adam with decay after the update", "bitsandbytes 2010"),
    ),
    report(
        *(faulty.DecayNotTimesRate, optim.AdamW, DECAY, "Beale", 1),
        *("Adam with decay decoupled and not multiplied by lr", "neural-fortran 152"),
    ),
    report(
        *(faulty.DecayIgnored, optim.Adam, DECAY, "Beale", 1),
        *("Adam", "pytorch_optimizer 517"),
    ),
    report(
        *(faulty.NesterovIgnored, optim.SGD, {**HEAVY, "nesterov": True}, "Beale", 1),
        *("SGD with momentum and decay coupled", "pytorch_optimizer 517, of a switch"),
    ),
    report(
        *(faulty.Damped, optim.SGD, HEAVY, "Beale", 1),
        "SGD with momentum, gradients damped by 1 - momentum and first buffer zero",
        "autograd 289, mlx 87",
    ),
    report(
        *(faulty.RateInVelocity, optim.SGD, HEAVY, CHANGE, STEPS // 4 + 1),
        *("SGD with momentum, lr inside the buffer and decay coupled", "jax 1528"),
    ),
    report(
        *(faulty.GroupsRate, optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}, "Beale", 2),
        *("Adagrad with lr without its decay and decay coupled", "pytorch_optimizer 170"),
    ),
    report(
        *(faulty.FirstRate, optim.Adam, {"lr": 0.1}, CHANGE, STEPS // 4 + 1),
        *("Adam with lr as it was made with and decay coupled", "pytorch_optimizer 170, of a user"),
    ),
    report(
        *(faulty.CountsInGroup, optim.Adam, {"lr": 0.1}, "missing gradients", 3),
        *("Adam with decay coupled", "docs/verified.md, of pytorch_optimizer"),
    ),
    report(
        *(faulty.CorrectionOffByOne, optim.Adam, {"lr": 0.1}, "Beale", 1),
        *("Adam with bias correction off by one step and decay coupled", "off by one"),
    ),
    report(
        *(faulty.EpsInside, optim.Adam, {"lr": 0.1}, TINY, 1),
        *("Adam with eps inside the root and decay coupled", "eps inside"),
    ),
]
#: what is seen on some problems alone, beside the one where it is looked for
NOWHERE_ELSE = {
    faulty.FirstRate: ["several groups"],
    faulty.RateInVelocity: [],
    faulty.CountsInGroup: [],
}


@pytest.mark.parametrize(("make", "reference", "values", "problem", "step", "name"), REPORTS)
def test_it_is_caught_where_it_begins_and_called_by_its_name(
    make, reference, values, problem, step, name
):
    found = compare(make, reference, steps=STEPS, **values)
    assert found.verdict.startswith(f"faulty.{make.__name__} is not torch.optim.")
    outcome = next(each for each in found.outcomes if each.problem == problem)
    assert outcome.parameter.step == step
    assert outcome.parameter.size > outcome.parameter.allowed
    assert (found.identity.name, found.identity.precision) == (name, "float64")
    if make in NOWHERE_ELSE:
        wrong = [each.problem for each in found.outcomes if not each.holds]
        assert wrong == [problem, *NOWHERE_ELSE[make]]


@pytest.mark.parametrize(
    ("make", "reference", "name"),
    [
        (faulty.DecayIgnored, optim.Adam, "weight_decay"),
        (faulty.NesterovIgnored, optim.SGD, "nesterov"),
        (faulty.GroupsRate, optim.Adagrad, "lr_decay"),
    ],
)
def test_what_is_never_used_is_named(make, reference, name):
    assert compare(make, reference, steps=2, lr=0.1).idle == (name,)
