"""LightningModules that are not ours, for instruments that must work on any."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.model_helpers import is_overridden


class Foreign(LightningModule):
    """A line fitted by torch.optim.SGD, its losses logged in Lightning's usual way."""

    def __init__(self, manual=False, fail_at=None, nan_at=None, lr=0.1):
        super().__init__()
        self.automatic_optimization = not manual
        self.line = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.line.weight)
        torch.nn.init.zeros_(self.line.bias)
        self.fail_at, self.nan_at, self.lr = fail_at, nan_at, lr
        self.seen = []

    def error(self, batch):
        x, y = batch
        return ((self.line(x)[:, 0] - y) ** 2).mean()

    def training_step(self, batch, batch_idx):
        step = len(self.seen)
        if step == self.fail_at:
            raise RuntimeError("on purpose")
        loss = self.error(batch)
        if step == self.nan_at:
            loss = loss * float("nan")
        self.seen.append(loss.item())
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("loss/val", self.error(batch), batch_size=len(batch[0]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr, momentum=0.5)


def data(rows=40):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 1, generator=generator)
    return x, 3 * x[:, 0] - 1


def loader(batch_size=8, rows=40):
    dataset = torch.utils.data.TensorDataset(*data(rows))
    return torch.utils.data.DataLoader(dataset, batch_size=batch_size)


def fit(folder, *callbacks, module=None, epochs=3, ckpt_path=None, train=None, fit=None, **flags):
    """Fit and return the trainer; only these callbacks, files below the folder.

    `fit` holds more arguments of `Trainer.fit`, and `flags` those of the trainer.
    """
    module = module or Foreign()
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        accelerator="cpu",
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
        **{"logger": False, "enable_progress_bar": False} | flags,
    )
    validation = loader(batch_size=40) if is_overridden("validation_step", module) else None
    trainer.fit(module, train or loader(), validation, ckpt_path=ckpt_path, **fit or {})
    return trainer
