"""A plain loop of the two-layer network on one random batch, without Lightning."""

import torch
from torch import Tensor


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
