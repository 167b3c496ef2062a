"""`Stability` on the modules of others: it measures a curvature, and changes none of them."""

import lightning_modules as people
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel
from test_parity_on_modules import trained

from descentlab.callbacks import Stability

# Lightning's own, about loaders and logging
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = (people.Normed, people.Tied, people.Frozen, people.Double, people.Warmup, BoringModel)
MANUAL = (people.Manual, people.ManualAccumulation, people.GAN, ManualOptimBoringModel)


@pytest.mark.parametrize("kind", [*KINDS, *MANUAL], ids=lambda kind: kind.__name__)
def test_it_measures_and_changes_nothing(tmp_path, kind):
    watch = Stability(every=2)
    found = trained(kind, tmp_path, watch)
    alone = trained(kind, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    assert watch.found
    assert all(row.largest == row.largest for row in watch.found)
