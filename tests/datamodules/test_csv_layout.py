"""CSV files of every layout: read as pandas reads them, or refused with both readings."""

import io
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from descentlab.datamodules import CsvFlags, read_tensor
from descentlab.datamodules.table import read_csv
from descentlab.errors import UsageError

FRAME = pd.DataFrame(
    np.random.default_rng(5).normal(scale=1e3, size=(40, 2)), columns=["size", "price"]
)
NUMBERED = FRAME.set_axis([0, 1], axis=1)
YEARS = FRAME.set_axis([2019, 2020], axis=1)


def table(tmp_path, text, **flags):
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path, CsvFlags(**flags))


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        (FRAME.to_csv(index=False), {}, "40 rows, 2 columns size, price"),
        (FRAME.to_csv(), {}, "size, price; first column dropped: row labels"),
        (FRAME.to_csv(index_label="Unnamed: 0"), {}, "first column dropped: row labels"),
        (FRAME.to_csv(quoting=1), {}, "first column dropped: row labels"),
        (NUMBERED.to_csv(), {}, "2 columns 0, 1; first column dropped: row labels"),
        (NUMBERED.to_csv(index=False), {"header": True}, "40 rows, 2 columns 0, 1"),
        (YEARS.to_csv(index=False), {"header": True}, "40 rows, 2 columns 2019, 2020"),
        (FRAME.to_csv(index=False, header=False), {}, "40 rows, 2 columns; no heading"),
        (FRAME.to_csv(index_label="id"), {"index": True}, "first column dropped: row labels"),
        (FRAME.to_csv(index=False, sep="\t"), {}, "separated by tab"),
        (FRAME.to_csv(index=False, sep=" "), {}, "separated by space"),
        (FRAME.to_csv(index=False, sep=" ", header=False), {}, "separated by space; no heading"),
        (FRAME.to_csv(index=False, sep=";"), {}, "separated by semicolon"),
        (FRAME.to_csv(index=False, sep=";", decimal=","), {}, "semicolon; decimal comma"),
        (FRAME.to_csv(index=False, sep="\t", decimal=","), {}, "separated by tab; decimal comma"),
        ("\ufeff" + FRAME.to_csv(index=False), {}, "40 rows, 2 columns size, price"),
        (FRAME.to_csv(index=False, lineterminator="\r\n"), {}, "40 rows, 2 columns size, price"),
        (FRAME.to_csv(index=False).replace("\n", "\n\n", 3), {}, "2 blank lines passed over"),
    ],
)
def test_what_pandas_wrote_is_read_to_the_last_digit(tmp_path, text, flags, says):
    found = table(tmp_path, text, **flags)
    assert says in found.described(found.names)
    assert np.array_equal(found.numbers().numpy(), FRAME.to_numpy())


@pytest.mark.parametrize("flags", [{"header": False}, {"index": False}])
def test_a_flag_decides_what_is_read(tmp_path, flags):
    text = NUMBERED.to_csv(index=False) if "header" in flags else FRAME.to_csv()
    header = None if "header" in flags else 0
    expected = pd.read_csv(io.StringIO(text), header=header).to_numpy()
    assert np.array_equal(table(tmp_path, text, **flags).numbers().numpy(), expected)
    assert expected.shape != FRAME.shape  # negative control: the other reading is another


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NUMBERED.to_csv(index=False), "line 1 is 0,1: the names of columns, with 40 rows below, "),
        (YEARS.to_csv(index=False), "or the first row of 41: give --data.header true or "),
        ("0\n1.5\n2.5\n", "--data.header true or --data.header false"),
        ("NA,NA\n1,2\n3,4\n", "line 1 is NA,NA: a row of missing values, which is to be removed"),
        ("a,b,c\n1,2\n3,4\n", "the heading, has 3 values and the line after it has 2"),
        ("a\n1,2\n3,4\n", "the heading, has 1 values and the line after it has 2"),
        (",a\n1.5,2\n1.5,4\n", "the first column has no name, and may hold row labels, or numbers"),
        ("id,a\n1,2.5\n2,3.5\n", "id, counts the rows: row labels, or numbers to learn from: give"),
        ("a;b\n1,500;2\n3,400;4\n", "1,500 may be 1.500 or 1500: give --data.decimal , or"),
        ("a,b\n1,NA\n2,3\n", "line 2, column 2: 'NA' is not a number: the value of b is missi"),
        ("a,b\n1,\n2,3\n", "line 2, column 2: the value of b is missing: fill it, or remove the r"),
        ("a,kind\n1,one\n", "'one' is not a number: give numbers in kind, or learn from other col"),
        ("a;b\n1.234,5;2\n", "line 2, column 1: '1.234,5' is not a number"),
        ("a,b\n1,2\n3\n", "line 3 has 1 values, the lines before it have 2"),
        ("a,b\n1,\u0661\n", "line 2, column 2: '\u0661' is not a number"),
        (f"a,b\n{'x' * 2**18},2\n", "field larger than field limit (131072): close its quotes"),
        ("a,b\n" + "1,2\n" * 2000 + '"' + "1,2\n" * 2**16, "close its quotes, or leave such a val"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(tmp_path, text, says):
    with pytest.raises(UsageError) as caught:
        table(tmp_path, text).numbers()
    assert says in str(caught.value)


@pytest.mark.parametrize(("decimal", "value"), [(",", 1.5), (".", 1500.0)])
def test_a_comma_before_three_digits_is_what_the_user_says(tmp_path, decimal, value):
    found = table(tmp_path, "a;b\n1,500;2\n3,400;4\n", decimal=decimal).numbers()
    assert found[0].tolist() == [value, 2.0]


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_lines_may_be_of_any_length(tmp_path, separator):
    wide = pd.DataFrame(np.random.default_rng(6).normal(size=(2, 8_000)))
    found = table(tmp_path, wide.to_csv(index=False, sep=separator), header=True)
    assert np.array_equal(found.numbers().numpy(), wide.to_numpy())


SHIPPED = sorted(
    (file for file in resources.files("sklearn.datasets.data").iterdir() if ".csv" in file.name),
    key=lambda file: file.name,
)
#: what is refused of scikit-learn's files, with the reason; their first lines are no headings
REFUSED = {
    "breast_cancer.csv": "the heading, has 4 values and the line after it has 31",
    "wine_data.csv": "the heading, has 5 values and the line after it has 14",
    "diabetes_data_raw.csv.gz": "has an unknown ending",
    "diabetes_target.csv.gz": "has an unknown ending",
    "digits.csv.gz": "has an unknown ending",
}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_files_of_scikit_learn_are_read_as_pandas_reads_them(file):
    if file.name in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[file.name]):
            read_tensor(str(file))
        return
    separator = " " if file.name.startswith("linnerud") else ","
    expected = pd.read_csv(str(file), sep=separator)
    assert np.array_equal(read_tensor(str(file)).numpy(), expected.to_numpy())


def test_all_files_of_scikit_learn_are_looked_at():
    names = {file.name for file in SHIPPED}
    assert names >= REFUSED.keys()
    assert len(names) == 8
