"""Tensors from files: every kind that is taken, and a clear message for every kind that is not."""

import os
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.datamodules import files, read_tensor
from descentlab.errors import UsageError

TABLE = np.array([[1.5, -2.0], [3.0, 4e-3], [0.0, 7.0]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "bool", ">f8"])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (3, 2)])
def test_npy_of_any_real_type(tmp_path, dtype, shape):
    array = TABLE.astype(dtype).reshape(shape)
    np.save(tmp_path / "x.npy", array)
    tensor = read_tensor(tmp_path / "x.npy")
    assert tensor.shape == shape
    assert tensor.tolist() == array.tolist()


def test_npy_of_long_doubles_becomes_float64(tmp_path):
    np.save(tmp_path / "x.npy", TABLE.astype(np.longdouble))
    assert read_tensor(tmp_path / "x.npy").tolist() == TABLE.tolist()


def test_npy_is_mapped_and_never_written(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    read_tensor(tmp_path / "x.npy")[0, 0] = 99.0
    assert np.load(tmp_path / "x.npy")[0, 0] == 1.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_pt_of_any_real_type(tmp_path, dtype):
    tensor = torch.tensor(TABLE).to(dtype)
    torch.save(torch.nn.Parameter(tensor, requires_grad=False), tmp_path / "X.PT")
    loaded = read_tensor(str(tmp_path / "X.PT"))
    assert loaded.dtype == dtype
    assert torch.equal(loaded, tensor)
    assert not loaded.requires_grad


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2\n3,4e-3\n0,7\n",
        "x, y\n1.5,-2\n\n3,4e-3\n   \n0,7",
        '\ufeff"a","b"\r\n"1.5",-2\r\n3, 4e-3\r\n0,7\r\n',
    ],
    ids=["plain", "heading and empty lines", "spreadsheet"],
)
def test_csv(tmp_path, text):
    (tmp_path / "x.csv").write_bytes(text.encode())
    tensor = read_tensor(tmp_path / "x.csv")
    assert tensor.dtype == torch.float64
    assert tensor.tolist() == TABLE.tolist()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_csv_round_trip_is_exact(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("".join(f"{value!r}\n" for value in values))
    assert read_tensor(path).tolist() == [[value] for value in values]


def written(tmp_path, kind):
    """One bad file of each kind."""
    path = tmp_path / kind
    torch.save(torch.ones(100), tmp_path / "good.pt")
    np.save(tmp_path / "good.npy", np.ones(100))
    pt, npy = (tmp_path / "good.pt").read_bytes(), (tmp_path / "good.npy").read_bytes()
    if kind.startswith("folder"):
        path.mkdir()
    elif kind in SAVED:
        torch.save(SAVED[kind], path)
    elif kind in ARRAYS:
        with path.open("wb") as handle:
            np.save(handle, ARRAYS[kind], allow_pickle=True)
    elif kind != "missing.pt":
        content = {
            "cut.pt": pt[:-200],
            "cut.npy": npy[:-8],
            "head.npy": npy[:20],
            "half.pt": pt[:90],
        }
        path.write_bytes(content.get(kind, TEXTS.get(kind, b"")))
    if kind == "set.npy":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", npy)
    return path


class Custom:
    pass


SAVED = {
    "object.pt": Custom(),
    "dict.pt": {"x": torch.ones(3)},
    "list.pt": [1.0],
    "number.pt": 3.0,
    "complex.pt": torch.ones(3) * 1j,
    "sparse.pt": torch.eye(3).to_sparse(),
}
ARRAYS = {
    "object.npy": np.array([None, 1]),
    "text.npy": np.array(["a"]),
    "complex.npy": np.array([1j]),
    "record.npy": np.zeros(2, dtype=[("a", "f4")]),
}
TEXTS = {
    "text.pt": b"1,2,3\n",
    "text2.npy": b"1,2,3\n",
    "word.csv": b"a,b\n1,2\n3,four\n",
    "gap.csv": b"1,5\n3,\n",
    "short.csv": b"1,5\n3\n",
    "ragged.csv": b"1,5\n\n3,4\n5,6,7\n",
    "comment.csv": b"# a comment\n1.5,-2\n3,4e-3\n",
    "utf16.csv": "a,b\n1,2\n".encode("utf-16"),
    "latin1.csv": "größe\n1\n".encode("latin-1"),
    "text.parquet": b"1,2,3\n",
    "complex.csv": b"1\n1+2j\n",
    "heading.csv": b"a,b\n",
    "blank.csv": b"\n\n",
    "binary.csv": b"\xff\xfe\x00\x01",
    "odd.csv": b"2\n1_0\n",
    "x.txt": b"1\n",
    "x": b"1\n",
}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing.pt", "does not exist"),
        ("folder.pt", "is a folder"),
        ("empty.pt", "is empty"),
        ("empty.npy", "is empty"),
        ("empty.csv", "is empty"),
        ("cut.pt", "is truncated"),
        ("half.pt", "is truncated"),
        ("cut.npy", "is truncated"),
        ("head.npy", "is truncated"),
        ("object.pt", "holds Python objects.*torch.save"),
        ("dict.pt", "holds a dict, not a tensor: save one tensor with torch.save"),
        ("list.pt", "holds a list, not a tensor"),
        ("number.pt", "holds a float, not a tensor"),
        ("sparse.pt", "sparse"),
        ("complex.pt", "complex"),
        ("complex.npy", "complex"),
        ("object.npy", "holds Python objects"),
        ("text.npy", "not numbers: save an array"),
        ("record.npy", "not numbers: save an array"),
        ("set.npy", "is not a file of numpy.save"),
        ("text.pt", "damaged|truncated"),
        ("text2.npy", "is not a file of numpy.save"),
        ("word.csv", "line 3, column 2: 'four' is not a number"),
        ("gap.csv", "line 2, column 2: the value of column 2 is missing: fill it, or"),
        ("ragged.csv", "line 4 has 3 values, the lines before it have 2"),
        ("complex.csv", r"line 2, column 1: '1\+2j' is not a number"),
        ("heading.csv", "holds no numbers"),
        ("blank.csv", "holds no numbers"),
        ("binary.csv", "is not a text file"),
        ("short.csv", "line 2 has 1 values, the lines before it have 2"),
        ("comment.csv", "line 1, the heading, has 1 values and the line after it has 2"),
        ("utf16.csv", "is not a text file in UTF-8: save it as comma-separated UTF-8"),
        ("latin1.csv", "is not a text file in UTF-8: save it as comma-separated UTF-8"),
        ("text.parquet", "is damaged, or not a Parquet file"),
        ("odd.csv", "line 2, column 1: '1_0' is not a number"),
        ("x.txt", r"unknown ending: use \.pt, \.npy, \.csv, \.parquet"),
        ("x", "unknown ending"),
    ],
)
def test_bad_file(tmp_path, kind, message):
    path = written(tmp_path, kind)
    with pytest.raises(UsageError, match=message) as caught:
        read_tensor(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.csv"
    path.write_text("1\n")
    monkeypatch.setattr(files, "_read_table", refuse)
    with pytest.raises(UsageError, match=r"x\.csv cannot be read: Permission denied"):
        read_tensor(path)


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    (tmp_path / "x.csv").write_text("1\n")
    assert read_tensor("~/x.csv").tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (lambda: torch.ones(6, 1).to(torch.float8_e4m3fn), "float8_e4m3fn: save it as float32"),
        (lambda: torch.ones(6, 1).view(torch.bits16), "bits16: save it as float32"),
        (lambda: torch.ones(6, 1, device="meta"), "a shape without numbers"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "sparse, nested"),
        (lambda: torch.ones(1).expand(10**11, 1), "an expanded tensor"),
    ],
    ids=["float8", "bits", "meta", "nested", "expanded"],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_tensor_that_cannot_be_computed_with_is_named(tmp_path, tensor, says):
    torch.save(tensor(), tmp_path / "x.pt")
    with pytest.raises(UsageError, match=rf"x\.pt .*{says}"):
        read_tensor(tmp_path / "x.pt")


@pytest.mark.parametrize("ending", ["pt", "npy"])
@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64"])
def test_unsigned_numbers_are_taken_as_they_are(tmp_path, kind, ending):
    numbers = np.array([0, 7, np.iinfo(kind).max // 2], dtype=kind)
    path = tmp_path / f"x.{ending}"
    np.save(path, numbers) if ending == "npy" else torch.save(torch.from_numpy(numbers), path)
    found = read_tensor(path)
    assert found.dtype == torch.int64
    assert found.tolist() == numbers.tolist()
    if kind == "uint64":
        numbers[0] = 2**63
        np.save(path, numbers) if ending == "npy" else torch.save(torch.from_numpy(numbers), path)
        with pytest.raises(UsageError, match=r"2\^63 or more: save it as float64"):
            read_tensor(path)


@pytest.mark.parametrize(
    "shape", ["(99999999999999999999999, 1)", "(1,", "('a',)", "(-5, 1)", "(100000000000, 1)"]
)
def test_a_header_of_npy_that_cannot_be_is_named(tmp_path, shape):
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(8)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.npy is truncated"):
        read_tensor(tmp_path / "x.npy")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(UsageError, match=r"x\.csv is no file"):
        read_tensor(tmp_path / "x.csv")
