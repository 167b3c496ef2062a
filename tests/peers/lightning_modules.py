"""LightningModules as people write them: one for each way of training that Lightning allows."""

from collections import namedtuple

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.functional import mse_loss, softplus

Pair = namedtuple("Pair", ["x", "y"])


class Plain(LightningModule):
    """A small network on pairs (x, y); everything else changes one thing of it."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def error(self, batch):
        x, y = batch
        return mse_loss(self.net(x)[:, 0], y)

    def training_step(self, batch, batch_idx):
        return self.error(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class Validated(Plain):
    def validation_step(self, batch, batch_idx):
        self.log("loss/val", self.error(batch))


class SeveralSets(Plain):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("loss/val", self.error(batch), add_dataloader_idx=True)


class LogsEverything(Validated):
    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("loss/train", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log_dict({"loss": loss, "epoch": 1.0, "step": 2.0})
        return {"loss": loss, "losses": torch.ones(3), "y": {"nested": batch[1]}}


class DictBatches(Plain):
    def error(self, batch):
        return super().error((batch["x"], batch["nested"]["y"]))


class NamedBatches(Plain):
    def error(self, batch):
        return super().error((batch.x, batch.y))


class SeveralTrainLoaders(Plain):
    def error(self, batch):
        return sum(super(SeveralTrainLoaders, self).error(each) for each in batch.values())


class Skips(Plain):
    def training_step(self, batch, batch_idx):
        return None if batch_idx % 3 == 1 else self.error(batch)


class Tied(Plain):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 1))
        self.net[2].weight = self.net[0].weight


class Frozen(Plain):
    def __init__(self):
        super().__init__()
        self.net[0].requires_grad_(requires_grad=False)


class Lazy(Plain):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1))


class Complex(Plain):
    def __init__(self):
        super().__init__()
        self.wave = nn.Parameter(torch.randn(2, dtype=torch.complex64))

    def error(self, batch):
        return super().error(batch) + (self.wave - 1).abs().square().sum()


class Sparse(Plain):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(8, 1, sparse=True)

    def error(self, batch):
        rows = (batch[0][:, 0].abs() * 8).long() % 8
        return super().error(batch) + self.table(rows).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Normed(Validated):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)
        )


class Double(Plain):
    def __init__(self):
        super().__init__()
        self.double()

    def error(self, batch):
        return super().error([each.double() for each in batch])


class Warmup(Plain):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * min(1.0, (self.trainer.global_step + 1) / 4)
        optimizer.step(closure=optimizer_closure)


class ClipsItself(Plain):
    def configure_gradient_clipping(self, optimizer, *args, **kwargs):
        self.clip_gradients(optimizer, 0.1, gradient_clip_algorithm="norm")


class HooksOfItsOwn(Plain):
    def on_before_optimizer_step(self, optimizer):
        for parameter in self.parameters():
            parameter.grad.mul_(0.5)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        with torch.no_grad():
            self.net[2].bias.clamp_(-0.5, 0.5)


class StepScheduler(Plain):
    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=40)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class Plateau(Validated):
    def configure_optimizers(self):
        optimizer = torch.optim.RMSprop(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "loss/val"},
        }


class LBFGS(Plain):
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)


class Manual(Plain):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer, loss = self.optimizers(), self.error(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class ManualLBFGS(Manual):
    configure_optimizers = LBFGS.configure_optimizers

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()

        def closure():
            loss = self.error(batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            return loss

        optimizer.step(closure)
        return self.error(batch)


class ManualAccumulation(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.error(batch) / 2)
        if batch_idx % 2 == 1:
            optimizer.step()
            optimizer.zero_grad()


class TruncatedTime(Manual):
    """Backpropagation through time, an update for every two of six time steps."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.RNNCell(1, 4), nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer, hidden = self.optimizers(), torch.zeros(len(x), 4)
        for start in range(0, 6, 2):
            for time in range(start, start + 2):
                hidden = self.cell(x[:, time % 3, None], hidden)
            loss = mse_loss(self.head(hidden)[:, 0], y)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            hidden = hidden.detach()
        return loss


class GAN(Manual):
    """Two networks, two optimizers, two updates a batch."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = nn.Linear(2, 3), nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        fake = self.generator(torch.randn(len(batch[0]), 2))
        self.toggle_optimizer(first)
        loss = softplus(-self.critic(fake)).mean()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        self.untoggle_optimizer(first)
        self.toggle_optimizer(second)
        real = softplus(-self.critic(batch[0])).mean()
        both = real + softplus(self.critic(fake.detach())).mean()
        second.zero_grad()
        self.manual_backward(both)
        second.step()
        self.untoggle_optimizer(second)
        self.log_dict({"generator": loss, "critic": both})

    def configure_optimizers(self):
        return [
            torch.optim.Adam(self.generator.parameters(), lr=0.01),
            torch.optim.Adam(self.critic.parameters(), lr=0.02),
        ]
