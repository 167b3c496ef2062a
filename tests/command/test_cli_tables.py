"""Tables on the command line: one file of data, new rows to predict, and rows that changed."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from descentlab.__main__ import main
from descentlab.command.imports import run_folders

FIT = ("fit", "--config", "linear_regression/your_data.yaml", "--trainer.max_epochs", "3")
RUN = "logs/linear_regression/your_data/version_0"
RESUME = (
    *("fit", "--config", f"{RUN}/config.yaml"),
    *("--ckpt_path", f"{RUN}/checkpoints/last.ckpt"),
)
GENERATOR = np.random.default_rng(9)
FRAME = pd.DataFrame(GENERATOR.normal(size=(100, 3)), columns=["size", "rooms", "noise"])
FRAME["price"] = 3 * FRAME["size"] - FRAME["rooms"] + 0.1 * GENERATOR.normal(size=100)
ONE_FILE = ("--data.path", "houses.csv", "--data.target", "price", "--data.features", "size,rooms")


@pytest.fixture
def houses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv(tmp_path / "houses.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """A folder with a run on the houses."""
    folder = tmp_path_factory.mktemp("houses")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        FRAME.to_csv("houses.csv", index=False)
        assert main([*FIT, *ONE_FILE]) == 0
    return folder


@pytest.fixture
def trained(one_run, monkeypatch):
    """The folder, its data as they were; another run in it is removed at the end."""
    monkeypatch.chdir(one_run)
    FRAME.to_csv("houses.csv", index=False)
    yield one_run
    shutil.rmtree(RUN.replace("_0", "_1"), ignore_errors=True)


def parameters(folder=RUN):
    last = torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return last["slope"], last["bias"]


def predictions():
    with open(f"{RUN}/predictions.csv") as file:
        return [float(row["last"]) for row in csv.DictReader(file)]


def expected(frame):
    slope, bias = (parameter.double().numpy() for parameter in parameters())
    return frame[["size", "rooms"]].to_numpy() @ slope + bias


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_one_file_train_as_two_files_of_tensors(houses, command, ending):
    FRAME.to_parquet(houses / "houses.parquet")
    words = [word.replace("houses.csv", f"houses.{ending}") for word in ONE_FILE]
    outcome = command(*FIT, *words)
    assert outcome.status == 0
    assert f"houses.{ending}: 100 rows, 2 columns size, rooms; target price" in outcome.err
    torch.save(torch.tensor(FRAME[["size", "rooms"]].to_numpy()), "X.pt")
    torch.save(torch.tensor(FRAME["price"].to_numpy()), "y.pt")
    assert command(*FIT, "--data.x_path", "X.pt", "--data.y_path", "y.pt").status == 0
    for one, two in zip(parameters(), parameters(RUN.replace("_0", "_1")), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data.target", "cost"), "the column cost is not there: it has size, rooms, noise, pri"),
        (("--data.target", "null"), "give --data.target with one of the columns of "),
        (("--data.features", "size,price"), "price is the target and among the features"),
        (("--data.features", "size,floor"), "the column floor is not there"),
        (("--data.features", "size,"), "the column '' (a comma too many?) is not there"),
        (("--data.column", "bp"), "column is for the diabetes data, and has no effect on "),
        (("--data.line.noise", "2"), "line is for source line, and has no effect on "),
        (("--data.x_path", "X.pt"), "path beside x_path and y_path: give the data in one way"),
        (("--data.separator", "%"), "separator = '%': give comma, semicolon, tab, space"),
    ],
)
def test_what_does_not_fit_one_file_is_refused_before_there_is_a_folder(
    houses, command, words, says
):
    outcome = command(*FIT, *ONE_FILE, *words)
    assert outcome.status == 2
    assert says in outcome.message
    assert not (houses / "logs").exists()


@pytest.mark.parametrize("words", [("--data.line.noise", "2"), ("--data.target", "bmi")])
def test_a_flag_without_effect_on_the_diabetes_data_is_refused(houses, command, words):
    outcome = command("fit", "--config", "linear_regression/split.yaml", *words)
    assert outcome.status == 2
    assert "has no effect on source diabetes: leave it out" in outcome.message


def test_the_home_folder_is_found_everywhere(houses, command, monkeypatch):
    monkeypatch.setenv("HOME", str(houses))
    (houses / "work").mkdir()
    monkeypatch.chdir("work")
    words = ["~/houses.csv" if word == "houses.csv" else word for word in ONE_FILE]
    assert command(*FIT, *words, "--trainer.logger.save_dir", "~/kept").status == 0
    run = RUN.replace("logs", "~/kept")
    assert command("test", "--run", run).status == 0
    assert (houses / RUN.replace("logs", "kept") / "test.json").is_file()
    assert (
        command("test", *FIT[1:3], *words, "--ckpt_path", f"{run}/checkpoints/last.ckpt").status
        == 0
    )
    config = ("fit", "--config", f"{run}/config.yaml", "--ckpt_path")
    assert command(*config, f"{run}/checkpoints/last.ckpt", "--trainer.max_epochs", 4).status == 0
    assert not (houses / "work" / "~").exists()


def test_new_rows_are_predicted_without_targets(trained, command):
    new = FRAME.drop(columns="price").iloc[:7] + 1.0
    new[["noise", "rooms", "size"]].to_csv("new.csv", index=False)  # in another order, too
    assert command("predict", "--run", RUN, "--data.path", "new.csv").status == 0
    assert len(predictions()) == 7
    assert np.allclose(predictions(), expected(new), rtol=0, atol=1e-5)
    assert not np.allclose(predictions(), expected(new[::-1]), rtol=0, atol=1e-2)
    new[["size"]].to_csv("few.csv", index=False)
    outcome = command("predict", "--run", RUN, "--data.path", "few.csv")
    assert outcome.status == 2
    assert outcome.message.endswith("the column rooms is not there: it has size")


def test_new_inputs_are_predicted_without_targets(here, command):
    assert command(*FIT, "--data.x_path", "X.pt", "--data.y_path", "y.pt").status == 0
    np.savetxt("new.csv", [[0.5], [1.5], [-2.5]], header="x", comments="")
    assert command("predict", "--run", RUN, "--data.x_path", "new.csv").status == 0
    slope, bias = parameters()
    assert np.allclose(predictions(), [float(slope * x + bias) for x in (0.5, 1.5, -2.5)])


def test_files_of_either_kind_take_the_place_of_what_a_run_was_trained_on(trained, command):
    new = FRAME[["size", "rooms"]].iloc[:6]
    new.to_csv("new.csv", index=False)
    assert command("predict", "--run", RUN, "--data.x_path", "new.csv").status == 0
    assert np.allclose(predictions(), expected(new), rtol=0, atol=1e-5)
    diabetes = (*FIT[:2], "linear_regression/split.yaml", *FIT[3:], "--data.column", "bp")
    assert command(*diabetes, "--trainer.logger.name", "bp").status == 0
    torch.save(torch.randn(30), "X.pt")
    torch.save(torch.randn(30), "y.pt")
    words = ("--data.x_path", "X.pt", "--data.y_path", "y.pt", "--data.split", "null")
    assert command("test", "--run", "logs/bp/version_0", *words).status == 0
    new[["size"]].to_csv("one.csv", index=False)
    assert command("predict", "--run", "logs/bp/version_0", "--data.path", "one.csv").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("test", "--run", RUN),
        ("predict", "--run", RUN, "--data.path", "houses.csv"),
        ("fit", "--resume", RUN, "--trainer.max_epochs", "4"),
        (*RESUME, "--trainer.max_epochs", "4"),
    ],
    ids=["test", "predict", "resume", "ckpt_path"],
)
@pytest.mark.parametrize("features", ["size,noise", "rooms,size", "size"])
def test_other_features_than_those_of_the_run_are_refused(trained, command, words, features):
    files = [trained / RUN / name for name in ("config.yaml", "split.pt", "checkpoints/last.ckpt")]
    before = [file.read_bytes() for file in files]
    outcome = command(*words, "--data.features", features)
    assert outcome.status == 2
    given = f"features = {features.replace(',', ', ')}, and the run was trained on size, rooms"
    assert given in outcome.message or "the checkpoint has 2 features" in outcome.message
    assert [file.read_bytes() for file in files] == before
    assert not (trained / RUN.replace("_0", "_1")).exists()


def test_a_feature_that_is_named_twice_is_refused(houses, command):
    outcome = command(*FIT, *ONE_FILE[:4], "--data.features", "size,rooms,size")
    assert (outcome.status, outcome.message) == (2, "features names size twice: name it once")


def test_what_columns_without_names_are_taken_for_is_said(trained, command):
    new = FRAME[["size", "rooms"]].to_numpy()[:5]
    np.save("new.npy", new)
    outcome = command("predict", "--run", RUN, "--data.x_path", "new.npy")
    assert "new.npy: its columns; taken for size, rooms" in outcome.err
    np.savetxt("bare.csv", new, delimiter=",")
    outcome = command("predict", "--run", RUN, "--data.path", "bare.csv")
    assert "bare.csv: 5 rows, 2 columns; no heading; taken for size, rooms" in outcome.err
    assert np.allclose(predictions(), expected(FRAME.iloc[:5]), rtol=0, atol=1e-5)


def test_both_kinds_of_files_by_flags_are_refused(trained, command):
    words = ("--data.path", "houses.csv", "--data.x_path", "houses.csv")
    outcome = command("predict", "--run", RUN, *words)
    assert outcome.status == 2
    assert outcome.message == "path beside x_path and y_path: give the data in one way"


def test_the_folder_of_a_run_below_the_home_folder_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "logs/version_0/checkpoints").mkdir(parents=True)
    assert run_folders(["test", "--run=~/logs/version_0"]) == [tmp_path / "logs/version_0"]


@pytest.mark.parametrize("name", ["/", "~nobody-at-all/x", "a" * 5000, "a\0b", ""])
def test_what_is_no_run_is_left_to_be_refused(name):
    assert run_folders(["test", "--run", name, "--ckpt_path", f"{name}/checkpoints/x.ckpt"]) == []


def test_rows_that_were_appended_are_named_and_not_tested(trained, command):
    assert command("test", "--run", RUN).status == 0
    before = json.loads((trained / RUN / "test.json").read_text())
    row = FRAME.iloc[[0]].assign(price=1e6)
    pd.concat([FRAME, row]).to_csv("houses.csv", index=False)
    outcome = command("test", "--run", RUN)
    assert outcome.status == 0
    assert "the last 1 of 101 rows are new to the run, and are left out" in outcome.err
    assert json.loads((trained / RUN / "test.json").read_text()) == before
    assert command("validate", "--run", RUN).status == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda: FRAME[::-1], "is not what the run was trained on, it has other values"),
        (lambda: FRAME[1:], "it has 99 rows instead of 100"),
        (lambda: FRAME.assign(price=FRAME["price"] + 1), "it has other values: give the same data"),
        (lambda: FRAME.assign(size=FRAME["size"] * 2), "it has other values: give the same data"),
    ],
)
@pytest.mark.parametrize("words", [("test", "--run", RUN), ("validate", "--run", RUN), RESUME])
def test_other_data_are_refused(trained, command, change, says, words):
    change().to_csv("houses.csv", index=False)
    outcome = command(*words, "--trainer.max_epochs", "4")
    assert outcome.status == 2
    assert says in outcome.message
    assert not (trained / RUN.replace("_0", "_1")).exists()


def test_a_column_that_is_not_used_may_change(trained, command):
    FRAME.assign(noise=0.0).to_csv("houses.csv", index=False)
    assert command("test", "--run", RUN).status == 0


@pytest.mark.parametrize("words", [("--data.random_state", "1"), ("--data.split", "[0.5,0.3,0.2]")])
def test_another_split_is_refused(trained, command, words):
    outcome = command("test", "--run", RUN, *words)
    assert outcome.status == 2
    assert "and the run was trained with" in outcome.message


def test_all_rows_of_other_data_are_tested_where_that_is_asked_for(trained, command):
    other = FRAME[::-1]
    other.to_csv("other.csv", index=False)
    words = ("--data.path", "other.csv", "--data.split", "null")
    outcome = command("test", "--run", RUN, *words)
    assert outcome.status == 0
    assert "all 100 rows, which are not those of the run" in outcome.err
    found = json.loads((trained / RUN / "test.json").read_text())["last"]["mse"]
    assert found == pytest.approx(((expected(other) - other["price"]) ** 2).mean(), rel=1e-5)


def test_a_run_that_goes_on_keeps_its_rows(trained, command):
    before = torch.load(f"{RUN}/split.pt")
    pd.concat([FRAME, FRAME.iloc[:5]]).to_csv("houses.csv", index=False)
    outcome = command(*RESUME, "--trainer.max_epochs", "5")
    assert outcome.status == 0
    assert "the last 5 of 105 rows are new to the run" in outcome.err
    after = torch.load(RUN.replace("_0", "_1") + "/split.pt")
    assert {name: rows.tolist() for name, rows in after.items() if name != "data"} == {
        name: rows.tolist() for name, rows in before.items() if name != "data"
    }


def test_whole_numbers_that_float32_takes_for_one_are_refused(houses, command):
    times = FRAME.assign(size=np.arange(1_600_000_000, 1_600_000_100))
    times.to_csv("houses.csv", index=False)
    outcome = command(*FIT, *ONE_FILE)
    assert outcome.status == 2
    assert "of 100 different values, such as 1600000099.0, 2 remain different" in outcome.message
    assert "use --trainer.precision 64-true" in outcome.message
    assert not (houses / "logs").exists()
