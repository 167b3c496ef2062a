"""The cases that torch tests its optimizers with, on ours beside torch.optim's, bit for bit.

The inputs, errors and schedulers are those of `torch.testing._internal.common_optimizers`; what
torch's tests do with them is done here with both.
"""

import copy
import io

import pytest
import torch
from torch import nn

common_optimizers = pytest.importorskip(
    "torch.testing._internal.common_optimizers", reason="torch's own test helpers do not load"
)

from descentlab.optimizers import Adam, GradientDescent, Momentum  # noqa: E402

# torch's helpers freeze its global flags as they load, which tests of other files set
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True

INFOS = {info.optim_cls: info for info in common_optimizers.optim_db}
PAIRS = [(GradientDescent, torch.optim.SGD), (Momentum, torch.optim.SGD), (Adam, torch.optim.Adam)]
NAMES = {GradientDescent: {"lr"}, Momentum: {"lr", "momentum"}, Adam: {"lr", "betas", "eps"}}
DEFAULTS = {
    GradientDescent: {"lr": 0.01},
    Momentum: {"lr": 0.01, "momentum": 0.9},
    Adam: {"lr": 1e-3},
}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


def applicable():
    """Each case of torch whose hyperparameters ours have too."""
    for ours, theirs in PAIRS:
        for case in INFOS[theirs].optim_inputs_func("cpu"):
            if case.kwargs.keys() <= NAMES[ours]:
                yield pytest.param(
                    ours, theirs, DEFAULTS[ours] | case.kwargs, id=f"{ours.__name__}-{case.desc}"
                )


def parameters(dtype=torch.float32, seed=0):
    """As torch's tests have them: a matrix, a vector, and here also a number and an empty one."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(10, 5), (10,), (), (0, 3)]
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=wide).to(dtype))
        for shape in shapes
    ]


def gradients(of, step):
    generator = torch.Generator().manual_seed(1000 + step)
    for index, parameter in enumerate(of):
        wide = torch.complex128 if parameter.is_complex() else torch.float64
        drawn = torch.randn(parameter.shape, generator=generator, dtype=wide).to(parameter.dtype)
        # every third step leaves one without a gradient, and another with zeros
        missing = step % 3 == 2 and index == 1
        parameter.grad = None if missing else drawn * (0 if step % 3 == 1 and index == 0 else 1)


def advance(optimizer, of, steps, first=0, scheduler=None):
    for step in range(first, first + steps):
        gradients(of, step)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def assert_same_state(ours, theirs):
    """Hold parameters and states together; theirs may keep more, of what ours do not have."""
    for one, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        for mine, its in zip(one["params"], other["params"], strict=True):
            assert torch.equal(mine, its)
            kept, expected = ours.state.get(mine, {}), theirs.state.get(its, {})
            known = {name: value for name, value in expected.items() if value is not None}
            assert kept.keys() == known.keys()
            for name, value in known.items():
                assert torch.equal(kept[name], value), name
                assert kept[name].dtype == value.dtype, name


def both(ours, theirs, options, dtype=torch.float32):
    mine, its = parameters(dtype), parameters(dtype)
    return mine, ours(mine, **options), its, theirs(its, **options, foreach=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("ours", "theirs", "options"), list(applicable()))
def test_each_dtype(ours, theirs, options, dtype):
    mine, one, its, other = both(ours, theirs, options, dtype)
    advance(one, mine, 60)
    advance(other, its, 60)
    assert_same_state(one, other)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("ours", "theirs", "options"), list(applicable()))
def test_each_default_dtype(ours, theirs, options, default):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(default)
        mine, one, its, other = both(ours, theirs, options)
        advance(one, mine, 300)  # a count in bfloat16 would stop at 256
        advance(other, its, 300)
        assert_same_state(one, other)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*")
@pytest.mark.parametrize(
    ("pair", "number"),
    [(pair, number) for pair in PAIRS for number in range(len(INFOS[pair[1]].scheduler_inputs))],
    ids=lambda value: value[0].__name__ if isinstance(value, tuple) else str(value),
)
def test_each_scheduler(pair, number):
    ours, theirs = pair
    mine, one, its, other = both(ours, theirs, DEFAULTS[ours], torch.float64)
    schedulers = []
    for optimizer in (one, other):
        made = [make(optimizer) for make in INFOS[theirs].scheduler_inputs[number]]
        schedulers.append(made)
    for step in range(20):
        for of, optimizer, made in ((mine, one, schedulers[0]), (its, other, schedulers[1])):
            advance(optimizer, of, 1, first=step)
            for each in made:
                plateau = isinstance(each, torch.optim.lr_scheduler.ReduceLROnPlateau)
                each.step(*([1.0] if plateau else []))
    assert [g["lr"] for g in one.param_groups] == [g["lr"] for g in other.param_groups]
    assert_same_state(one, other)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_groups_with_rates_of_their_own(ours, theirs):
    (first, *rest), (its_first, *its_rest) = parameters(), parameters()
    options = DEFAULTS[ours]
    one = ours([{"params": [first], "lr": 0.5}, {"params": rest}], **options)
    other = theirs([{"params": [its_first], "lr": 0.5}, {"params": its_rest}], **options)
    advance(one, [first, *rest], 10)
    advance(other, [its_first, *its_rest], 10)
    assert_same_state(one, other)


def file_of(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("way", ["file", "deepcopy", "theirs", "more groups"])
@pytest.mark.parametrize(("ours", "theirs", "options"), list(applicable()))
def test_states_that_are_saved_copied_or_torchs_own(ours, theirs, options, way):
    mine, one, its, other = both(ours, theirs, options)
    advance(one, mine, 5)
    advance(other, its, 5)
    if way == "deepcopy":
        mine, one = copy.deepcopy((mine, one))
    else:
        copied = [nn.Parameter(each.detach().clone()) for each in mine]
        state = (other if way == "theirs" else one).state_dict()
        mine, one = copied, ours(copied, **options)
        one.load_state_dict(file_of(state))
    if way == "more groups":  # what BackboneFinetuning does after a resume
        added, its_added = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        one.add_param_group({"params": [added], "lr": 0.3})
        other.add_param_group({"params": [its_added], "lr": 0.3})
        mine, its = [*mine, added], [*its, its_added]
    advance(one, mine, 5, first=5)
    advance(other, its, 5, first=5)
    assert_same_state(one, other)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_hooks_see_the_same(ours, theirs):
    seen = {ours: [], theirs: []}
    for kind in (ours, theirs):
        of = parameters()
        optimizer = kind(of, **DEFAULTS[ours])
        log = seen[kind]
        optimizer.register_step_pre_hook(lambda o, a, k, log=log: log.append(("before", a[1:], k)))
        optimizer.register_step_post_hook(lambda o, a, k, log=log: log.append(("after", a[1:], k)))
        optimizer.register_state_dict_post_hook(lambda o, s, log=log: log.append(sorted(s)) or s)
        advance(optimizer, of, 2)
        optimizer.state_dict()
    assert seen[ours] == seen[theirs]
    assert len(seen[ours]) == 5


def mistakes():
    for ours, theirs in PAIRS:
        for case in INFOS[theirs].optim_error_inputs_func("cpu", torch.float32):
            given = case.optimizer_error_input
            # of the rest ours have nothing, or take it: a number beside a tensor
            applies = "foreach" not in given.desc and "both floats" not in given.desc
            if given.kwargs.keys() <= NAMES[ours] and applies:
                yield pytest.param(ours, given, case.error_type, id=f"{ours.__name__}-{given.desc}")


@pytest.mark.parametrize(("ours", "given", "error"), list(mistakes()))
def test_what_torch_refuses_is_refused(ours, given, error):
    def make():
        of = parameters() if given.params is None else given.params
        return ours(of, **DEFAULTS[ours] | given.kwargs)

    if issubclass(error, Warning):
        with pytest.warns(error):
            make()
    else:
        with pytest.raises(error):
            make()


def test_another_formula_is_seen():
    """Negative control: Adam without its correction of the second mean."""

    class Wrong(Adam):
        def step(self, closure=None):
            for group in self.param_groups:
                group["betas"] = (group["betas"][0], group["betas"][1] - 1e-9)
            return super().step(closure)

    mine, one, its, other = both(Wrong, torch.optim.Adam, {"lr": 0.01})
    advance(one, mine, 5)
    advance(other, its, 5)
    with pytest.raises(AssertionError):
        assert_same_state(one, other)


def test_every_case_that_applies_is_run():
    found = {param.id for param in applicable()}
    expected = {"default", "non-default lr", "tensor lr"}
    assert {f"GradientDescent-{desc}" for desc in expected} <= found
    assert "Momentum-momentum" in found
