"""Bad data on the command line: one message that names the file, status 2, nothing left behind."""

import json
import pickle

import numpy as np
import pytest
import torch
import yaml
from command_line import YOUR_DATA

from descentlab.datamodules import Line, RegressionData, noisy_line, regression_source
from descentlab.datamodules.regression_rows import RegressionRows


@pytest.fixture(scope="module")
def bad(finished):
    """A file of each bad kind, by name."""
    folder = finished / "bad"
    folder.mkdir()
    x, y = torch.load(finished / "X.pt"), torch.load(finished / "y.pt")
    (folder / "empty.pt").touch()
    content = (finished / "X.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(content[: len(content) // 2])
    torch.save(folder, folder / "object.pt")  # a Path: a Python object
    (folder / "pickled.pt").write_bytes(pickle.dumps([1.0, 2.0]))
    torch.save({"X": x}, folder / "dict.pt")
    torch.save(y[:50], folder / "short.pt")
    for name, value in (("nan", float("nan")), ("inf", float("-inf"))):
        changed = x.clone()
        changed[[7, 9]] = value
        torch.save(changed, folder / f"{name}.pt")
        changed = y.clone()
        changed[59] = value
        torch.save(changed, folder / f"y_{name}.pt")
    (folder / "strings.csv").write_text("a\n1\n2\nfoo\n4\n")
    torch.save(x[:9], folder / "X9.pt")
    torch.save(y[:9], folder / "y9.pt")
    torch.save(x.double() * 1e200, folder / "large.pt")
    np.save(folder / "objects.npy", np.array([{}, {}], dtype=object))
    return folder


@pytest.mark.parametrize(
    ("flag", "file", "says"),
    [
        ("x_path", "missing.pt", "does not exist: check the path"),
        ("y_path", "missing.pt", "does not exist: check the path"),
        ("x_path", "empty.pt", "is empty: save the data again"),
        ("y_path", "empty.pt", "is empty: save the data again"),
        ("x_path", "truncated.pt", "save one tensor with torch.save"),
        ("x_path", "object.pt", "Python objects, which are not loaded"),
        ("y_path", "object.pt", "Python objects, which are not loaded"),
        ("x_path", "pickled.pt", "save one tensor with torch.save"),
        ("x_path", "dict.pt", "holds a dict, not a tensor"),
        ("x_path", "objects.npy", "save an array of numbers"),
        ("x_path", "short.pt", "has 50 rows and"),
        ("y_path", "short.pt", "has 50: give as many of each"),
        ("x_path", "nan.pt", "holds 2 values that are NaN or infinite, the first in row 7 "),
        ("x_path", "inf.pt", "holds 2 values that are NaN or infinite, the first in row 7 "),
        ("y_path", "y_nan.pt", "holds 1 values that are NaN or infinite, the first in row 59 "),
        ("y_path", "y_inf.pt", "holds 1 values that are NaN or infinite, the first in row 59 "),
        ("x_path", "strings.csv", "line 4, column 1: 'foo' is not a number"),
        ("x_path", "notes.txt", "has an unknown ending: use .pt, .npy, .csv"),
        ("x_path", ".", "has an unknown ending"),
    ],
)
def test_a_bad_file_is_named(refused, bad, flag, file, says):
    message = refused(*YOUR_DATA, f"--data.{flag}", bad / file)
    assert str(bad / file) in message
    assert says in message


def test_too_few_rows_for_a_split_are_counted(refused, bad):
    words = (*YOUR_DATA, "--data.x_path", bad / "X9.pt", "--data.y_path", bad / "y9.pt")
    message = refused(*words)
    assert message.startswith("9 rows are too few to split: give at least 10, or --data.split null")


def test_the_way_out_that_the_message_names_works(command, finished, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (*YOUR_DATA, "--data.x_path", bad / "X9.pt", "--data.y_path", bad / "y9.pt")
    assert command(*words, "--data.split", "null").status == 0


def test_values_beyond_float32_are_refused_and_float64_takes_them(refused, bad):
    message = refused(*YOUR_DATA, "--data.x_path", bad / "large.pt")
    assert "too large for float32: use --trainer.precision 64-true" in message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data.split", "[0.5, 0.2, 0.2]"), "split = [0.5, 0.2, 0.2] adds to 0.9: make it add"),
        (("--data.split", "[1.0, 0.0, 0.0]"), "give three fractions above 0"),
        (
            ("--data.split", "[0.5, 0.5]"),
            "--data.split [0.5, 0.5]: give three numbers, such as '[0.8,0.1,0.1]', or n",
        ),
        (("--data.batch_size", "0"), "batch_size = 0 is below 1: give 1 or more"),
        (("--data.batch_size", "-3"), "batch_size = -3 is below 1: give 1 or more"),
        (("--data.batch_size", "many"), "--data.batch_size many: give a whole number"),
        (("--data.source", "moon"), "--data.source moon: give diabetes or line or files"),
        (("--data.y_path", "null"), "y_path is missing: data from files need both"),
    ],
)
def test_a_bad_value_is_named(refused, words, says):
    assert says in refused(*YOUR_DATA, *words)


def test_an_unknown_column_is_answered_with_the_known_ones(refused):
    message = refused("fit", "--config", "linear_regression/split.yaml", "--data.column", "bim")
    assert message.startswith("column = 'bim' is not in the diabetes data: use age, sex, bmi")


def test_a_batch_larger_than_the_data_is_one_batch(command, here):
    outcome = command(*YOUR_DATA, "--data.batch_size", "1000")
    assert outcome.status == 0
    lines = (here / "logs/linear_regression/your_data/version_0/batch_losses.csv").read_text()
    assert [line.split(",")[:2] for line in lines.split()[1:]] == [["0", "0"], ["1", "1"]]


def test_data_are_read_once_for_training_and_test_and_again_for_all_rows(monkeypatch):
    reads = []

    def counted(x_path, y_path, *_):
        reads.append((x_path, y_path))
        return RegressionRows(*noisy_line(Line()))

    monkeypatch.setattr(regression_source, "from_two_files", counted)
    data = RegressionData(x_path="a", y_path="b")
    data.prepare_data()
    data.prepare_data()
    for stage in ("fit", "validate", "test"):
        data.prepare_data()
        data.setup(stage)
    assert reads == [("a", "b")]
    data.setup("predict")  # all inputs in their order, which were let go when they were split
    assert reads == [("a", "b"), ("a", None)]


def test_setup_alone_reads_too_as_other_processes_do():
    data = RegressionData("line")
    data.setup("fit")
    assert data.features == 1
    assert len(data.test_dataloader()) == 1


@pytest.mark.parametrize("rows", [10, 15])
def test_ten_rows_are_enough_and_one_row_has_no_r2(command, here, rows):
    x = torch.arange(float(rows))
    torch.save(x, here / "X.pt")
    torch.save(2 * x, here / "y.pt")
    words = ("--model.optimizer.lr", "0.001", "--test_after_fit", "true")
    outcome = command(*YOUR_DATA, *words)
    assert outcome.status == 0, outcome.err
    run = here / "logs/linear_regression/your_data/version_0"
    tested = json.loads((run / "test.json").read_text())
    assert ("r2" in tested["last"]) == (rows > 10)
    assert tested["last"]["mse"] >= 0
    assert (
        yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]["source"] == "files"
    )
