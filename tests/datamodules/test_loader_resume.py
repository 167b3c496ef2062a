"""A resumed run draws the batches of one that was never stopped and ends with its parameters."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from descentlab.datamodules import InitialStates, RegressionData, Steps, TensorLoader
from descentlab.datamodules.built_in_data import Line
from descentlab.datamodules.resumable import ResumableData

ROWS, SIZE, EPOCHS = 22, 5, 3  # five batches an epoch, the last one short
BATCHES = 5

# Lightning's own use of a deprecated class of torch, at every start of a loop.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")


class Walk(LightningModule):
    """Momentum on a line; it notes every batch that it trained on."""

    def __init__(self, manual=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.automatic_optimization = not manual
        self.trained = []
        self.validated = 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)

    def training_step(self, batch, batch_idx):
        values = batch if isinstance(batch, int) else batch[0].flatten().tolist()
        loss = ((self.weight - torch.as_tensor(values, dtype=torch.float32)) ** 2).mean()
        if not self.automatic_optimization:
            rule = self.optimizers()
            rule.zero_grad()
            self.manual_backward(loss)
            rule.step()
        self.trained.append((batch_idx, values))
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.validated += 1

    test_step = validation_step


class SaveEverywhere(Callback):
    """A checkpoint at every place where one can be made."""

    def __init__(self, folder):
        self.folder = folder
        self.places = []

    def save(self, trainer, place):
        path = self.folder / f"{place}-{trainer.global_step}.ckpt"
        trainer.save_checkpoint(path)
        self.places.append((path, trainer.global_step))

    def on_train_epoch_start(self, trainer, *_):
        self.save(trainer, "epoch_start")

    def on_train_batch_end(self, trainer, *_):
        self.save(trainer, "batch_end")

    def on_validation_end(self, trainer, *_):
        if not trainer.sanity_checking:
            self.save(trainer, "validation_end")

    def on_train_epoch_end(self, trainer, *_):
        self.save(trainer, "epoch_end")

    def on_train_end(self, trainer, *_):
        self.save(trainer, "train_end")


def trainer_of(folder, callbacks=(), **options):
    options = {"max_epochs": EPOCHS, "num_sanity_val_steps": 0} | options
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **options,
    )


def line_data():
    return RegressionData("line", line=Line(size=ROWS), batch_size=SIZE, split=None)


def fit(folder, data, manual=False, ckpt=None, callbacks=(), **options):
    module = Walk(manual)
    trainer = trainer_of(folder, callbacks, **options)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    return module


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_steps": BATCHES * EPOCHS, "max_epochs": -1},
        {"limit_train_batches": 3},
        {"val_check_interval": 2},
        {"limit_val_batches": 0},
    ],
    ids=["epochs", "steps", "limited", "validation_inside", "no_validation"],
)
def test_resumed_anywhere_is_never_stopped(tmp_path, manual, options):
    torch.manual_seed(1)
    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, line_data(), manual, callbacks=[saver], **options)
    assert len({str(values) for _, values in whole.trained}) == len(whole.trained)
    for path, step in saver.places:
        torch.manual_seed(99)  # as in a new process: the checkpoint's seed must win
        rest = fit(tmp_path, line_data(), manual, ckpt=path, **options)
        assert rest.trained == whole.trained[step:], path.name
        assert torch.equal(rest.weight, whole.weight), path.name


def test_resumed_twice_and_in_the_same_process(tmp_path):
    saver = SaveEverywhere(tmp_path)
    data = line_data()
    whole = fit(tmp_path, data, callbacks=[saver])
    first = tmp_path / "batch_end-2.ckpt"
    again = SaveEverywhere(tmp_path / "again")
    second = fit(tmp_path, data, ckpt=first, callbacks=[again])  # the same DataModule object
    assert second.trained == whole.trained[2:]
    for path, step in again.places:
        third = fit(tmp_path, data, ckpt=path)
        assert third.trained == whole.trained[step:], path.name
        assert torch.equal(third.weight, whole.weight)
    assert fit(tmp_path, data).trained == whole.trained  # and a run from the start is one


def test_more_steps_after_max_steps_stopped_in_the_middle_of_an_epoch(tmp_path):
    whole = fit(tmp_path, line_data(), max_steps=13, max_epochs=-1)
    saver = SaveEverywhere(tmp_path)
    fit(tmp_path, line_data(), max_steps=7, max_epochs=-1, callbacks=[saver])
    for path, step in saver.places:
        rest = fit(tmp_path, line_data(), ckpt=path, max_steps=13, max_epochs=-1)
        assert rest.trained == whole.trained[step:], path.name
        assert torch.equal(rest.weight, whole.weight), path.name


class DieBefore(Callback):
    """Stop a run between drawing a batch and training on it."""

    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise RuntimeError("out of power")

    def on_exception(self, trainer, *_):
        trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("step", [0, 1, 4, 5, 7, 9, 14])
def test_a_batch_that_was_drawn_but_not_trained_on_comes_again(tmp_path, step):
    whole = fit(tmp_path, line_data())
    path = tmp_path / "died.ckpt"
    with pytest.raises(RuntimeError, match="out of power"):
        fit(tmp_path, line_data(), callbacks=[DieBefore(path, step)])
    rest = fit(tmp_path, line_data(), ckpt=path)
    assert rest.trained == whole.trained[step:]
    assert torch.equal(rest.weight, whole.weight)
    assert rest.validated == whole.validated - step // BATCHES


class PlainData(ResumableData):
    """The loader alone: its state goes through Lightning's own way only."""

    def train_dataloader(self):
        x = torch.arange(float(ROWS))
        return TensorLoader(x, batch_size=SIZE, shuffle=True, seed=5)

    def val_dataloader(self):
        return TensorLoader(torch.zeros(2))


@pytest.mark.parametrize("options", [{}, {"max_steps": 15, "max_epochs": -1}], ids=["e", "s"])
def test_the_loader_alone_resumes(tmp_path, options):
    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, PlainData(), callbacks=[saver], **options)
    for path, step in saver.places:
        if "epoch_start" in path.name and step and not options:
            continue  # Lightning skips the epoch; only ResumableData can help it
        rest = fit(tmp_path, PlainData(), ckpt=path, **options)
        assert rest.trained == whole.trained[step:], path.name
        assert torch.equal(rest.weight, whole.weight)


class Forgetful(RegressionData):
    """Negative control: neither loader nor DataModule remembers a position."""

    def train_dataloader(self):
        loader = super().train_dataloader()
        loader.load_state_dict = lambda state: None
        return loader

    def load_state_dict(self, state_dict):
        self.seed = state_dict["seed"]


def test_without_the_position_a_resumed_run_differs(tmp_path):
    def data():
        return Forgetful("line", line=Line(size=ROWS), batch_size=SIZE, split=None)

    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, data(), callbacks=[saver])
    path = tmp_path / "batch_end-7.ckpt"
    rest = fit(tmp_path, data(), ckpt=path)
    assert rest.trained != whole.trained[7:]
    assert not torch.equal(rest.weight, whole.weight)


def test_steps_run_resume_and_need_no_warning(tmp_path):
    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, Steps(4), callbacks=[saver])
    assert [values for _, values in whole.trained] == [0, 1, 2, 3] * EPOCHS
    for path, step in saver.places:
        rest = fit(tmp_path, Steps(4), ckpt=path)
        assert rest.trained == whole.trained[step:], path.name
        assert torch.equal(rest.weight, whole.weight)
    trainer = trainer_of(tmp_path)
    trainer.validate(whole, datamodule=Steps(4), verbose=False)
    trainer.test(whole, datamodule=Steps(4), verbose=False)


def test_initial_states_come_back_with_the_checkpoint(tmp_path):
    torch.manual_seed(7)
    data = InitialStates(8)
    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, data, callbacks=[saver])
    torch.manual_seed(8)
    other = InitialStates(8)
    rest = fit(tmp_path, other, ckpt=tmp_path / "epoch_end-2.ckpt")
    assert torch.equal(other.x0, data.x0)
    assert rest.trained == whole.trained[2:]
    assert torch.equal(rest.weight, whole.weight)


def test_a_checkpoint_that_was_only_validated_does_not_move_the_next_fit(tmp_path):
    data = line_data()
    saver = SaveEverywhere(tmp_path)
    whole = fit(tmp_path, data, callbacks=[saver])
    module = Walk()
    trainer = trainer_of(tmp_path)
    trainer.validate(
        module, datamodule=data, ckpt_path=tmp_path / "batch_end-7.ckpt", verbose=False
    )
    assert fit(tmp_path, data).trained == whole.trained
