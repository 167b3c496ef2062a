"""Each member of a sweep is its own single run."""

import pytest
import torch
from sweep_runs import fit, largest_difference, sweep

from descentlab.datamodules import InitialStates, Line, RandomBatch, RegressionData, Steps
from descentlab.errors import UsageError
from descentlab.modules import LinearDynamics, LinearRegression, ToyObjective, TwoLayerNet
from descentlab.objectives import CubicMinusSquare
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.sweeps import Sweep
from tolerances import FLOAT64

SINGLE = 1e-6  # relative, float32: what a sweep promises

PROBLEMS = {
    "regression": (LinearRegression, lambda: RegressionData("line", line=Line(size=100))),
    "chunks": (LinearRegression, lambda: RegressionData("line", line=Line(size=100), chunk=2)),
    "dynamics": (lambda **kw: LinearDynamics(horizon=3, **kw), InitialStates),
    "toy": (
        lambda **kw: ToyObjective(CubicMinusSquare(), [[0.2, 0.3], [0.6, 0.4]], **kw),
        lambda: Steps(4),
    ),
    "net": (lambda **kw: TwoLayerNet(5, 4, 2, **kw), lambda: RandomBatch(8, 5, 2)),
}
RULES = {
    "gradient descent": (GradientDescent, {}, {"lr": [1e-3, 1e-2]}),
    "momentum": (Momentum, {}, {"lr": [1e-3, 1e-2], "momentum": [0.0, 0.5, 0.9]}),
    "momentum, lr fixed": (Momentum, {"lr": 1e-2}, {"momentum": [0.3, 0.9]}),
    "adam": (Adam, {"betas": (0.8, 0.99)}, {"lr": [1e-3, 1e-1], "eps": [1e-8, 1e-3]}),
}


def made_by(kind, **fixed):
    return lambda params: kind(params, **fixed)


def single(problem, rule, values, seed, precision="64-true", **flags):
    make, data = PROBLEMS[problem]
    kind, fixed, _ = RULES[rule]
    own = {name: value for name, value in values.items() if name != "seed"}
    chunked = problem == "chunks"
    return fit(
        lambda: make(optimizer=made_by(kind, **fixed, **own), manual_optimization=chunked),
        data(),
        seed=seed,
        precision=precision,
        **flags,
    )[0]


def all_at_once(problem, rule, seeds=None, precision="64-true", **flags):
    make, data = PROBLEMS[problem]
    kind, fixed, grid = RULES[rule]
    return sweep(make, data(), made_by(kind, **fixed), grid, seeds, precision=precision, **flags)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("64-true", FLOAT64), ("32-true", SINGLE)], ids=["64", "32"]
)
def test_each_member_is_a_run_of_its_own(problem, rule, precision, tolerance):
    seen, trained = all_at_once(problem, rule, precision=precision)
    for member in range(len(trained.members)):
        values = trained.members.values(member)
        own = single(problem, rule, values, 42, precision)
        assert largest_difference(seen, member, own) <= tolerance, values


def test_a_rate_that_is_a_hundredth_off_is_seen():
    """Negative control of the comparison."""
    seen, _ = all_at_once("regression", "gradient descent")
    own = single("regression", "gradient descent", {"lr": 1.01e-3}, 42)
    assert largest_difference(seen, 0, own) > 1e-3


@pytest.mark.parametrize("problem", ["regression", "chunks", "dynamics", "net"])
def test_each_seed_has_the_batches_and_the_start_of_its_own_run(problem):
    seen, trained = all_at_once(problem, "gradient descent", seeds=[3, 42, 7])
    for member in range(len(trained.members)):
        values = trained.members.values(member)
        own = single(problem, "gradient descent", values, values["seed"])
        assert largest_difference(seen, member, own) <= FLOAT64, values
    other = single(problem, "gradient descent", trained.members.values(0), 8)
    assert largest_difference(seen, 0, other) > 1e-6  # negative control: another seed


def test_a_sweep_cut_into_groups_ends_where_one_at_once_does():
    whole = all_at_once("regression", "momentum", seeds=[1, 2])[1].results()
    cut = all_at_once("regression", "momentum", seeds=[1, 2], members_at_once=4)[1]
    assert len(cut.groups) > 2
    assert cut.trainer.fit_loop.max_epochs == 3  # the trainer has its number back
    (all_,), last = whole, {}
    for group in cut.results():
        for row, member in enumerate(group["members"]):
            last[member] = torch.cat([p[row].flatten() for p in group["last"].values()])
    assert sorted(last) == list(range(12))
    for member in range(12):
        expected = torch.cat([p[member].flatten() for p in all_["last"].values()])
        torch.testing.assert_close(last[member], expected, rtol=FLOAT64, atol=0)


def test_a_member_that_diverges_is_frozen_and_touches_no_other():
    make, data = PROBLEMS["regression"]
    rule = made_by(GradientDescent)
    with_it, trained = sweep(make, data(), rule, {"lr": [1e-2, 1e300, 1e-1]})
    without, _ = sweep(make, data(), rule, {"lr": [1e-2, 1e-1]})
    diverged = trained.descent.record.diverged.tolist()
    assert diverged[0] == diverged[2] == -1
    assert diverged[1] >= 0
    kept = [p[1] for p in with_it[diverged[1] - 1]] if diverged[1] else None
    for step, (all_, others) in enumerate(zip(with_it, without, strict=True)):
        for place, (mine, theirs) in enumerate(zip(all_, others, strict=True)):
            assert torch.equal(mine[[0, 2]], theirs)
            if step >= diverged[1] and kept is not None:
                assert torch.equal(mine[1], kept[place])
    best = trained.descent.record.best_epoch.tolist()
    assert best[0] == best[2] == 2


def test_a_parameter_in_two_places_is_one():
    class Tied(LinearRegression):
        def __init__(self, **kw):
            super().__init__(features=1, **kw)
            self.twin = torch.nn.Linear(1, 1, bias=False)
            self.twin.weight = self.again = torch.nn.Parameter(torch.ones(1, 1))

        def loss(self, batch):
            x, y = batch
            return ((self.twin(x)[:, 0] + self.again[0, 0] * x[:, 0] - y) ** 2).mean()

    data = lambda: RegressionData("line", line=Line(size=50))  # noqa: E731
    seen, _ = sweep(Tied, data(), made_by(GradientDescent), {"lr": [1e-3, 1e-2]})
    for member, rate in enumerate([1e-3, 1e-2]):
        own = fit(lambda lr=rate: Tied(optimizer=made_by(GradientDescent, lr=lr)), data())[0]
        assert largest_difference(seen, member, own) <= FLOAT64


def test_gradients_add_up_where_a_module_lets_them():
    make = lambda **kw: ToyObjective(CubicMinusSquare(), [[0.2], [0.6]], zero_grad=False, **kw)  # noqa: E731
    seen, _ = sweep(make, Steps(4), made_by(GradientDescent), {"lr": [1e-3, 1e-2]})
    own = fit(lambda: make(optimizer=made_by(GradientDescent, lr=1e-2)), Steps(4))[0]
    assert largest_difference(seen, 1, own) <= FLOAT64


def test_max_steps_end_a_sweep_in_the_middle_of_a_chunk():
    seen, trained = all_at_once("chunks", "gradient descent", max_steps=3, epochs=9)
    assert trained.trainer.global_step == trained.descent.updates == 3
    own = single("regression", "gradient descent", trained.members.values(1), 42, max_steps=3)
    for theirs, mine in zip(seen[-1], own[-1], strict=True):
        torch.testing.assert_close(theirs[1], mine, rtol=FLOAT64, atol=0)


def test_an_instance_is_copied_and_has_the_seed_of_the_run_alone():
    net = TwoLayerNet(5, 4, 2)
    start = net.layers[0].weight.detach().clone()
    rule = made_by(GradientDescent, lr=1e-3)
    _, same = sweep(net, RandomBatch(8, 5, 2), rule, {"lr": [1e-9]}, epochs=1)
    torch.testing.assert_close(same.module.layers[0].weight[0].float(), start)
    assert torch.equal(net.layers[0].weight, start)
    with pytest.raises(UsageError, match="TwoLayerNet is made already, with one seed"):
        Sweep(net, rule, {"lr": [1e-9]}, [5, 6])


@pytest.mark.parametrize(
    ("kind", "grid", "seeds", "says"),
    [
        (torch.optim.LBFGS, {"lr": [0.1]}, None, "LBFGS computes the loss several times"),
        (
            torch.optim.SGD,
            {"foreach": [0.1]},
            None,
            "SGD can be swept over lr, momentum, dampening",
        ),
        (torch.optim.SGD, {"lr": [0.1, -1.0]}, None, "grid.lr, -1.0: Invalid learning rate"),
        (torch.optim.Muon, {"ns_steps": [3.0]}, None, "Muon can be swept over lr, weight_decay"),
        (GradientDescent, {}, None, "the grid is empty"),
        (GradientDescent, {"momentum": [0.1]}, None, "can be swept over lr"),
        (GradientDescent, {"lr": []}, None, "grid.lr has no values"),
        (GradientDescent, {"lr": [0.1, 0.1]}, None, "has a value twice"),
        (GradientDescent, {"lr": [0.1, -1.0]}, None, "-1.0 was given"),
        (GradientDescent, {"lr": [0.1]}, [], "at least one"),
        (GradientDescent, {"lr": [0.1]}, [1, 1], "each once"),
        (GradientDescent, {"lr": [0.1]}, [-1], "-1 is no seed"),
        (GradientDescent, {"lr": [1e-9 * k for k in range(1, 100_002)]}, None, "are the most"),
    ],
)
def test_a_wrong_grid_is_refused(kind, grid, seeds, says):
    with pytest.raises(UsageError, match=says):
        Sweep(LinearRegression, lambda p: kind(p, lr=0.01), grid, seeds)


def test_what_cannot_be_swept_is_refused():
    make, data = PROBLEMS["regression"]
    rule = made_by(GradientDescent)
    with pytest.raises(UsageError, match="members_at_once = 0 is below 1"):
        Sweep(make, rule, {"lr": [0.1]}, members_at_once=0)
    with pytest.raises(UsageError, match="bf16-true"):
        sweep(make, data(), rule, {"lr": [0.1]}, precision="bf16-true")
    scheduled = lambda: make(lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1))  # noqa: E731
    with pytest.raises(UsageError, match="leave lr_scheduler out"):
        sweep(scheduled, data(), rule, {"lr": [0.1]})
    with pytest.raises(UsageError, match="one group after another"):
        sweep(make, data(), rule, {"lr": [0.1, 0.2]}, members_at_once=1, max_steps=3)


def test_members_are_cut_by_the_memory_that_is_free(monkeypatch):
    monkeypatch.setattr("descentlab.sweeps.data.available", lambda device: 3000)
    _, trained = all_at_once("regression", "momentum", epochs=1)
    assert 1 < len(trained.groups) <= 6
    assert sum(len(group.members) for group in trained.groups) == 6


def test_the_best_loss_is_that_of_the_best_parameters_within_an_epoch_too():
    make, data = PROBLEMS["regression"]
    flags = {"val_check_interval": 2, "num_sanity_val_steps": 0}
    _, trained = sweep(make, data(), made_by(GradientDescent), {"lr": [0.5, 0.9]}, **flags)
    record, held_out = trained.descent.record, data()
    assert record.epochs == [0, 1, 2]
    seen = record.curves["val"]
    held_out.trainer = trained.trainer
    held_out.setup("fit")
    (batch,) = held_out.val_dataloader()["val"]
    for member in range(2):
        own = LinearRegression(features=1).double()
        own.load_state_dict({name: values[member] for name, values in record.best.items()})
        assert own.loss(batch).item() == pytest.approx(float(record.best_loss[member]), rel=FLOAT64)
        assert record.best_loss[member] == seen[:, member].min()
