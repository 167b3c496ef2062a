"""Values that pass the parser: refused in one sentence before anything of a run is made."""

import inspect
import json

import pytest
from command_line import RUN, YOUR_DATA
from jsonargparse import Namespace
from torch.optim import SGD

from descentlab.command.odd_values import refuse_odd_values
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression


class Base:
    def __init__(self, size: int = 3, name: str | None = "x", free=1, anything: object = 0):
        """Take what the tests give."""


class Derived(Base):
    def __init__(self, width: float, later: int = None, **kwargs):  # noqa: RUF013  as people write it
        super().__init__(**kwargs)


def refused(kind, **options):
    """Return why a class is not made with some options; None where it may be."""
    module = inspect.getmodule(kind).__name__
    inner = Namespace(class_path=f"{module}.{kind.__qualname__}", init_args=Namespace(**options))
    try:
        refuse_odd_values(Namespace(a=Namespace(class_path="no.Where", init_args={"b": [inner]})))
    except UsageError as error:
        return str(error)
    return None


def test_null_is_refused_where_a_class_takes_a_value():
    assert refused(Derived, size=None) == "--a.b.size null: give a value, or leave it out for 3"
    assert refused(Derived, width=None) == "--a.b.width null: give a value"
    assert refused(SGD, nesterov=None).endswith("leave it out for false")
    for options in ({"name": None}, {"free": None}, {"anything": None}, {"later": None}):
        assert refused(Derived, **options) is None
    assert refused(SGD, foreach=None) is None
    assert refused(LinearRegression, features=None) is None
    assert refused(Derived, unknown=None) is None
    assert refused(Derived, size=5, width=0.5) is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "DESCENTLAB_PLAIN",
            "maybe",
            "DESCENTLAB_PLAIN=maybe: give 1 for the plain way",
        ),
        ("PL_GLOBAL_SEED", "abc", "PL_GLOBAL_SEED=abc is no seed: give 0 to 4294967295"),
        ("PL_GLOBAL_SEED", "-1", "PL_GLOBAL_SEED=-1 is no seed"),
        ("PL_TRAINER_MAX_EPOCHS", "3", "PL_TRAINER_MAX_EPOCHS=3 is not read: give a flag or a"),
        ("PL_FIT__TRAINER__MAX_EPOCHS", "3", "PL_FIT__TRAINER__MAX_EPOCHS=3 is not read: give"),
    ],
)
def test_a_variable_that_is_not_understood_is_named(command, here, monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    outcome = command(*YOUR_DATA, "--seed_everything", "true")
    assert outcome.status == 2
    assert outcome.message.startswith(says)
    assert not (here / "logs").exists()


def test_a_seed_of_the_environment_is_said_only_where_it_is_drawn_with(command, here, monkeypatch):
    for number, (given, seed) in enumerate([("true", 17), ("false", None), ("5", 5)]):
        monkeypatch.setenv("PL_GLOBAL_SEED", "17")
        assert command(*YOUR_DATA, "--seed_everything", given).status == 0
        summary = (here / RUN).with_name(f"version_{number}") / "summary.json"
        assert json.loads(summary.read_text())["seed"] == seed


def test_a_class_that_nothing_has_imported_is_left_alone(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(name))
    refuse_odd_values({"class_path": "this.Nowhere", "init_args": {"x": None}})


@pytest.mark.parametrize("devices", [13, "13", 10**6, 10**400, "9" * 5000])
def test_more_processes_than_a_machine_holds_are_refused(monkeypatch, devices):
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    with pytest.raises(UsageError, match=r"--trainer\.devices \d+: each is a process, and 12 are"):
        refuse_odd_values({"trainer": {"devices": devices}})
    for right in (12, "12", -1, "auto", [0, 1], None):
        refuse_odd_values({"trainer": {"devices": right}})
    monkeypatch.setattr("os.cpu_count", lambda: None)  # unknown
    refuse_odd_values({"trainer": {"devices": 8}})


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_a_number_of_more_than_64_bits_is_refused(number):
    with pytest.raises(UsageError, match="more than 64 bits"):
        refuse_odd_values({"a": {"init_args": {"b": [[number]]}}})
    refuse_odd_values({"a": [2**63 - 1, -(2**63)]})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data.batch_size", "null"), "--data.batch_size null: give a value, or leave it out"),
        (("--data.random_state=null",), "--data.random_state null: give a value, or leave it out"),
        (("--model.manual_optimization=null",), "--model.manual_optimization null: give a value"),
        (("--best_parameters.history_mb", "null"), "--best_parameters.history_mb null: give a"),
        (("--trainer.logger.save_dir", "null"), "leave it out for logs"),
        (("--model.features", "1000000000000"), "can't allocate memory"),
        (("--trainer.val_check_interval", "0"), "--trainer.val_check_interval 0: give a number"),
        (("--trainer.val_check_interval=0.0",), "a part of an epoch above 0"),
        (("--trainer.accumulate_grad_batches=0",), "--trainer.accumulate_grad_batches 0: give 1"),
        (("--trainer.accumulate_grad_batches=-1",), "--trainer.accumulate_grad_batches -1: give 1"),
        (("--trainer.gradient_clip_val=.nan",), "--trainer.gradient_clip_val nan: give 0 or more"),
        (("--trainer.gradient_clip_val=-1",), "--trainer.gradient_clip_val -1: give 0 or more"),
        (("--trainer.num_nodes=0",), "--trainer.num_nodes 0: give 1 or more"),
        (("--trainer.num_nodes=2",), "--trainer.num_nodes 2: this process was started alone"),
        (("--model.optimizer", "torch.optim.Optimizer"), "it is what others are made from; give"),
        (("--model.lr_scheduler", "LRScheduler"), "LRScheduler: it is what others are made from"),
        (("--config", ""), "--config is empty: give a name that `descentlab configs` lists"),
        (("--config=",), "--config is empty"),
        (("--seed_everything", "null"), "--seed_everything null: give"),
        (("--test_after_fit=null",), "--test_after_fit null: give true or false"),
        (("--best_parameters.monitor", "nowhere"), "best_parameters.monitor='nowhere' is not"),
        (
            ("--model.optimizer", "torch.optim.SparseAdam"),
            "model.optimizer: SparseAdam: SparseAdam does not support dense gradients",
        ),
        (
            ("--trainer.callbacks+=LearningRateFinder",),
            "trainer.callbacks: LearningRateFinder: When using the learning rate finder",
        ),
        (
            ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=nowhere"),
            "trainer.callbacks: EarlyStopping: Early stopping conditioned on metric `nowhere`",
        ),
        (
            ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=nowhere"),
            "trainer.callbacks: ModelCheckpoint: `ModelCheckpoint(monitor='nowhere')` could not",
        ),
    ],
)
def test_an_odd_setting_is_named_and_no_folder_is_left(command, here, words, says):
    outcome = command(*YOUR_DATA, *words)
    assert outcome.status == 2, outcome.err
    assert says in outcome.message
    assert "--traceback" not in outcome.message
    assert not (here / "logs").exists()


def test_a_mistake_that_is_found_late_leaves_what_was_written(command, here):
    keeps = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=1")
    outcome = command(*YOUR_DATA, *keeps, "--best_parameters.monitor", "nowhere")
    assert outcome.status == 2
    assert "best_parameters.monitor='nowhere' is not logged" in outcome.message
    assert list((here / RUN / "checkpoints").glob("*.ckpt"))
