"""TensorLoader and its DataModule in two real processes (gloo)."""

import os
import socket

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import multiprocessing

from descentlab.datamodules import Line, RegressionData, permutation, shard

ROWS, SIZE, WORLD = 23, 4, 2  # 12 rows and three batches for each rank


class Mean(LightningModule):
    def __init__(self, folder):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.folder = folder
        self.trained, self.predicted = [], []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, batch_idx):
        self.trained.append(batch[1])
        return ((self.weight - batch[1]) ** 2).mean()

    def on_train_batch_end(self, *_):
        self.trainer.save_checkpoint(f"{self.folder}/{self.global_step}.ckpt")

    def predict_step(self, batch, batch_idx):
        self.predicted.append(batch[0][:, 0])


def work(rank, port, folder):
    """One rank: fit, then resume from the middle of the second epoch, then predict."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(WORLD),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "OMP_NUM_THREADS": "1",
    }
    torch.set_num_threads(1)
    kept = {}
    for name, ckpt in (("whole", None), ("rest", f"{folder}/4.ckpt")):
        torch.manual_seed(10 + rank)  # the ranks disagree: rank 0 decides
        data = RegressionData("line", line=Line(size=ROWS), batch_size=SIZE, split=None)
        module = Mean(folder)
        trainer = Trainer(
            accelerator="cpu",
            devices=WORLD,
            strategy="ddp",
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, datamodule=data, ckpt_path=ckpt)
        kept[name] = module.trained
        kept[f"{name} weight"] = module.weight.detach()
    trainer.predict(module, datamodule=data, return_predictions=False)
    kept |= {"predicted": module.predicted, "seed": data.seed}
    torch.save(kept, f"{folder}/rank{rank}.pt")
    torch.distributed.barrier()  # neither ends while the other still talks to it
    torch.distributed.destroy_process_group()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_processes_share_each_epoch_and_resume(tmp_path):
    multiprocessing.spawn(work, (free_port(), str(tmp_path)), nprocs=WORLD)
    data = RegressionData("line", line=Line(size=ROWS), batch_size=SIZE, split=None)
    data.setup("fit")
    x, y = (tensor[data.indices["train"].argsort()] for tensor in data.train_dataloader().tensors)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(WORLD)]
    for rank, kept in enumerate(ranks):
        assert kept["seed"] == 10
        expected = []
        for epoch in range(2):
            rows = shard(permutation(10, epoch, ROWS), rank, WORLD)
            expected += [y[part] for part in rows.split(SIZE)]
        assert len(kept["whole"]) == len(expected) == 6
        for drawn, wanted in zip(kept["whole"], expected, strict=True):
            assert torch.equal(drawn, wanted)
        for drawn, wanted in zip(kept["rest"], expected[4:], strict=True):
            assert torch.equal(drawn, wanted)
        assert torch.equal(kept["rest weight"], kept["whole weight"])
        assert torch.equal(torch.cat(kept["predicted"]), x[rank::WORLD, 0])
    assert torch.equal(ranks[0]["whole weight"], ranks[1]["whole weight"])
    first = [torch.cat(kept["whole"][:3]) for kept in ranks]
    assert not torch.equal(*first)  # negative control: the ranks do not train on the same rows
