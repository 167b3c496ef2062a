"""DI-12: the two-layer network on one random batch."""

from pathlib import Path

import pytest
import torch
from handout_runs import QUICK, Outcome, fit
from torch import Tensor

PRINTED = {99: 71.03, 199: 1.640, 299: 0.01561, 399: 6.425e-05, 499: 8.307e-08}
ONLY_THE_LOSSES = (
    *QUICK,
    "--accelerator_timer=null",
    "--best_parameters=null",
    "--trainer.enable_checkpointing=false",
    "--summary=null",
    "--trainer.limit_val_batches=0",
)


def plain_loop(seed: int, rate: float = 1e-4, steps: int = 500) -> tuple[list[Tensor], list[float]]:
    """Train as the lecture does, with torch.optim.Adam; return parameters and losses."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(1000, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    generator = torch.Generator().manual_seed(seed)
    x, y = (
        torch.randn(64, columns, generator=generator, dtype=torch.float64).float()
        for columns in (1000, 10)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(net(x), y, reduction="sum")
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.detach() for parameter in net.parameters()], losses


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return fit("two_layer_net", tmp_path_factory.mktemp("shipped"))


def test_di_12_equals_the_plain_loop(shipped: Outcome):
    parameters, losses = plain_loop(42)
    assert shipped.losses == losses
    state = shipped.checkpoint("last")["state_dict"]
    assert [value.shape for value in state.values()] == [each.shape for each in parameters]
    assert all(torch.equal(a, b) for a, b in zip(state.values(), parameters, strict=True))
    assert shipped.losses[:5] != plain_loop(42, rate=1.01e-4, steps=5)[1]
    assert shipped.losses[:5] != plain_loop(43, steps=5)[1]


def ranges(losses: list[list[float]]) -> dict[int, tuple[float, float]]:
    """Return the least and the largest loss of several seeds, at the steps that are printed."""
    columns = {step: [each[step] for each in losses] for step in PRINTED}
    return {step: (min(column), max(column)) for step, column in columns.items()}


@pytest.mark.slow
def test_di_12_printed_losses_lie_in_the_range_of_20_seeds(tmp_path: Path):
    losses = []
    for seed in range(20):
        flags = (f"--seed_everything={seed}", *ONLY_THE_LOSSES)
        outcome = fit("two_layer_net", tmp_path / str(seed), *flags)
        assert len(outcome.losses) == 500
        losses.append(outcome.losses)
    measured = ranges(losses)
    for step, (least, most) in measured.items():
        assert least <= PRINTED[step] <= most
        if step < 499:  # a count that is off by a hundred is seen
            next_least, next_most = measured[step + 100]
            assert not next_least <= PRINTED[step] <= next_most
    assert len({each[99] for each in losses}) == 20  # each seed is another net and another batch
