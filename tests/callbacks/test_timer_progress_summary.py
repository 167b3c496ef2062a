"""AcceleratorTimer, Progress and Summary on a module that is not this project's."""

import json
import statistics
import time

import pytest
import torch
from foreign import Foreign, fit

from descentlab.callbacks import AcceleratorTimer, Instrument, Progress, Summary
from descentlab.errors import UsageError
from descentlab.internals import SPEED_TRICKS
from descentlab.internals.lightning import STEP_HOOKS, call_again, pass_over


class Slow(Foreign):
    """Its updates last 20 ms, its first three a tenth of a second; its validation much longer."""

    def training_step(self, batch, batch_idx):
        time.sleep(0.1 if len(self.seen) < 3 else 0.02)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        time.sleep(0.15)
        super().validation_step(batch, batch_idx)


def test_the_timer_measures_updates_without_warm_up_and_validation(tmp_path):
    timer = AcceleratorTimer(warmup=3)
    fit(tmp_path, timer, module=Slow())
    report = json.loads((tmp_path / "timing.json").read_text())
    assert report["step"]["count"] == len(timer.step_seconds) == 15 - 3
    assert report["step"]["median"] == statistics.median(timer.step_seconds)
    assert min(timer.step_seconds) >= 0.02
    assert statistics.median(timer.step_seconds) < 0.1
    assert report["epoch"]["count"] == 2  # the first one is warm-up
    assert report["epoch"]["median"] >= 5 * 0.02 + 0.15
    assert (report["device"], report["torch"]) == ("cpu", torch.__version__)
    assert report["threads"] == torch.get_num_threads()
    quartiles = [report["step"][f"{name}_quartile"] for name in ("lower", "upper")]
    assert quartiles[0] <= report["step"]["median"] <= quartiles[1]


def test_the_timer_stops_after_so_many_updates(tmp_path):
    timer = AcceleratorTimer(warmup=1, steps=3)
    fit(tmp_path, timer)
    assert len(timer.step_seconds) == 3
    assert not callable(timer.on_train_batch_end)
    fit(tmp_path, timer)  # and starts anew with the next fit
    assert len(timer.step_seconds) == 3


def test_a_fit_too_short_to_time_says_so(tmp_path):
    fit(tmp_path, AcceleratorTimer(warmup=100))
    assert json.loads((tmp_path / "timing.json").read_text())["step"] is None


@pytest.mark.parametrize("name", ["warmup", "steps"])
def test_the_timer_refuses_negative_numbers(name):
    with pytest.raises(UsageError, match=f"{name} must be at least 0, and -1 was given"):
        AcceleratorTimer(**{name: -1})


def test_progress_counts_epochs_in_one_bar(tmp_path, capsys):
    fit(tmp_path, Progress(every=0), enable_progress_bar=True)
    shown = capsys.readouterr().err.split("\r")
    assert "3/3" in shown[-1]
    assert "loss/val=" in shown[-1]
    assert any("1/3" in line for line in shown)
    assert shown[-1].count("\n") == 1


def test_progress_counts_updates_in_a_single_epoch(tmp_path, capsys):
    fit(tmp_path, Progress(every=0), epochs=1, enable_progress_bar=True)
    shown = capsys.readouterr().err.split("\r")
    assert "5/5" in shown[-1]
    assert any("2/5" in line and "loss=" in line for line in shown)


def test_progress_draws_at_intervals_of_time_alone(tmp_path, capsys):
    fit(tmp_path, Progress(every=3600), epochs=50, enable_progress_bar=True)
    assert capsys.readouterr().err.count("\r") <= 6


def test_progress_leaves_the_line_when_a_run_breaks_off(tmp_path, capsys):
    with pytest.raises(RuntimeError):
        fit(tmp_path, Progress(), module=Foreign(fail_at=3), enable_progress_bar=True)
    assert capsys.readouterr().err.endswith("\n")


def test_the_summary_says_what_a_fit_found(tmp_path, capsys):
    module = Foreign(lr=0.9)
    trainer = fit(tmp_path, Summary(), module=module, epochs=6)
    report = json.loads((tmp_path / "summary.json").read_text())
    assert report["steps"] == trainer.global_step == 30
    assert report["least"]["train"] is None  # this module logs none
    assert report["least"]["val"]["epoch"] < 5
    assert report["least"]["val"]["loss"] < float(trainer.callback_metrics["loss/val"])
    expected = {name: value.tolist() for name, value in module.state_dict().items()}
    assert report["parameters"] == expected
    assert report["device"] == "cpu"
    shown = capsys.readouterr().out
    assert f"least validation loss {report['least']['val']['loss']:.6g} at epoch" in shown
    assert str(tmp_path) in shown


def test_large_parameters_are_not_written_out(tmp_path):
    class Large(Foreign):
        def __init__(self):
            super().__init__()
            self.extra = torch.nn.Parameter(torch.full((40, 30), 2.0))

    fit(tmp_path, Summary(), module=Large(), epochs=1)
    report = json.loads((tmp_path / "summary.json").read_text())
    assert report["parameters"]["extra"] == {
        "shape": [40, 30],
        "norm": pytest.approx(2 * 1200**0.5),
    }


def test_an_instrument_has_no_hook_that_it_does_not_use():
    class Quiet(Instrument):
        def on_train_batch_end(self, *args):
            raise AssertionError

    class Louder(Quiet):
        def on_train_batch_start(self, *args):
            super().on_train_batch_start(*args)

    Louder().on_train_batch_start(None, None, None, 0)
    if not SPEED_TRICKS:
        pytest.skip("hooks are passed over for speed, and such tricks are off")
    quiet = Quiet()
    assert [hook for hook in STEP_HOOKS if callable(getattr(quiet, hook))] == ["on_train_batch_end"]
    pass_over(quiet, "on_train_batch_end")
    assert not callable(quiet.on_train_batch_end)
    call_again(quiet, "on_train_batch_end")
    with pytest.raises(AssertionError):
        quiet.on_train_batch_end()
