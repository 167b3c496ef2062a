"""Odd settings, YAML and data files."""

import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from .damages import Harm

_KEYS = """
model model.optimizer model.optimizer.lr model.lr_scheduler model.features model.dtype
model.manual_optimization model.compile data data.batch_size data.random_state data.split
data.chunk data.source data.line data.column data.x_path data.y_path data.path data.target
data.features data.header data.separator trainer trainer.max_epochs trainer.max_steps
trainer.max_time trainer.min_epochs trainer.logger trainer.devices trainer.precision
trainer.callbacks trainer.accelerator trainer.limit_train_batches trainer.limit_val_batches
trainer.gradient_clip_val trainer.profiler trainer.plugins trainer.default_root_dir
trainer.check_val_every_n_epoch trainer.val_check_interval trainer.overfit_batches
trainer.accumulate_grad_batches trainer.log_every_n_steps trainer.detect_anomaly
trainer.reload_dataloaders_every_n_epochs trainer.benchmark trainer.deterministic
trainer.logger.save_dir trainer.logger.name trainer.logger.version best_parameters
best_parameters.every best_parameters.monitor best_parameters.history_mb batch_loss summary
progress trajectory seed_everything ckpt_path resume test_after_fit config
"""
KEYS = tuple(_KEYS.split())
VALUES = (
    *("null", "-1", "0", "text", "[1]", "nan", "inf", "1e400", "{}", "[]", "", "true", "1.5"),
    *("1000000000000", "a\0b", "x" * 5000, "../out", "os.system", "torch.optim.Adam", "~nobody/x"),
    *("http://x/y", "/dev/null", "*", "{class_path: os.system, init_args: {command: 'true'}}"),
)
SCHEDULERS = (
    *("StepLR step_size=0", "StepLR step_size=-1", "StepLR step_size=null", "CyclicLR base_lr=0"),
    *("ExponentialLR gamma=null", "CosineAnnealingLR T_max=0", "MultiStepLR milestones=5"),
    *("MultiStepLR milestones=[a]", "CosineAnnealingWarmRestarts T_0=0", "LambdaLR lr_lambda=5"),
    *("PolynomialLR total_iters=0", "LinearLR total_iters=0", "ReduceLROnPlateau factor=2"),
    *("OneCycleLR max_lr=1 total_steps=0", "ConstantLR factor=9", "SequentialLR schedulers=[]"),
)
MODULES = (
    *("LinearDynamics", "TwoLayerNet", "LinearRegression", "ToyObjective", "AutogradFacts"),
    *("Sweep", "Derivatives", "DescentModule", "StableRate"),
)
DATA = ("InitialStates", "RegressionData", "RandomBatch", "Points", "Steps", "ResumableData")


def settings(draw: random.Random) -> tuple[str, ...]:
    """Return the flags of an odd setting, or of several."""
    kind = draw.random()
    if kind < 0.1:
        name, *options = draw.choice(SCHEDULERS).split()
        flags = (f"--model.lr_scheduler.{option}" for option in options)
        return ("--model.lr_scheduler", name, *flags)
    if kind < 0.2:
        return ("--model", draw.choice(MODULES), "--data", draw.choice(DATA))
    count = draw.choice((1, 1, 2))
    return tuple(f"--{draw.choice(KEYS)}={draw.choice(VALUES)}" for _ in range(count))


def _nested(depth: int) -> str:
    return f"model: {'[' * depth}{']' * depth}"


def _bomb(depth: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
    return "\n".join([*lines, f"model: *a{depth - 1}"])


YAML: tuple[Callable[[], str], ...] = (
    lambda: "trainer: null\n",
    lambda: "model: null\n",
    lambda: "model: &a\n  class_path: LinearRegression\n  init_args: *a\n",
    lambda: "a: &a [*a]\n",
    lambda: _nested(3000),
    lambda: _bomb(10),
    lambda: "trainer: {max_epochs: 1}\ntrainer: {max_epochs: 2}\n",
    lambda: "trainer: {max_epochs: 010}\n",
    lambda: "trainer: {max_time: 1:30}\n",
    lambda: "!!python/object/apply:os.system ['true']\n",
    lambda: "a: 1\n---\nb: 2\n",
    lambda: "[1, 2]",
    lambda: "a:\n\tb: 1\n",
    lambda: "? [1]\n: 2\n",
    lambda: "model: {class_path: 5}\n",
    lambda: "model: {class_path: LinearRegression, init_args: [1]}\n",
    lambda: "trainer: {callbacks: [null, 5]}\n",
    lambda: "x: &x {a: 1}\nmodel:\n  <<: *x\n  class_path: LinearRegression\n",
)
TOKENS = (
    *("null", ":", "-", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", '"', "#", "%", "@", "\t"),
    *("010", "1:30", ".nan", ".inf", "&a", "*a", "<<", "?", "\0", "\n  ", "- ", ": "),
)


def odd_yaml(draw: random.Random, shipped: str) -> bytes:
    """Return a config, given one that is right: another one, or that with some of it changed."""
    if draw.random() < 0.3:
        return draw.choice(YAML)().encode()
    text = shipped
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(text) + 1)
        cut = draw.choice((0, 0, 1, 10))
        text = text[:place] + draw.choice(TOKENS) + text[place + cut :]
    content = text.encode()
    return content if draw.random() < 0.9 else content + draw.randbytes(3)


def _npy(head: str, version: bytes = b"\x01\x00") -> bytes:
    text = head.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + bytes(8)


def _header(shape: str, kind: str = "'<f8'") -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"


NPY = (
    *(_header("(99999999999999999999999, 1)"), _header("(100000000000, 1)"), _header("(-5, 1)")),
    *(_header("(1,"), _header("(1,)", "'|O'"), _header("(1,)", "[('a', '<f8', 99999999)]")),
    *(_header("(99999999999,)", "'<V0'"), _header(f"({'1,' * 70})"), _header("('a',)")),
    *(_header("(1,)", "[('a', '<f8')]"), "(" * 9000, "", "1 + 1", _header("(True, 1)")),
)
TENSORS: dict[str, Callable[[], object]] = {
    "float8": lambda: torch.ones(60, 1).to(torch.float8_e4m3fn),
    "meta": lambda: torch.ones(60, 1, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "sparse": lambda: torch.ones(60, 1).to_sparse(),
    "csr": lambda: torch.ones(60, 3).to_sparse_csr(),
    "complex": lambda: torch.ones(60, 1, dtype=torch.cfloat),
    "bool": lambda: torch.ones(60, 1, dtype=torch.bool),
    "expanded": lambda: torch.ones(1).expand(10**11, 1),
    "list": lambda: [1, 2],
    "none": lambda: None,
    "no rows": lambda: torch.ones(0, 1),
    "scalar": lambda: torch.tensor(1.0),
    "five": lambda: torch.ones(60, 1, 1, 1, 1),
    "uint64": lambda: torch.ones(60, 1, dtype=torch.uint64),
    "nan": lambda: torch.full((60, 1), float("nan")),
    "huge": lambda: torch.full((60, 1), 1e38),
    "parameter": lambda: torch.nn.Parameter(torch.ones(60, 1)),
}
TABLES = (
    *(b"a,b\n\0,1\n", b"a,b\n" + b"1" * 200_000 + b",1\n", b'a,b\n"1,2\n' * 3, b"a,b\n1\n1,2,3\n"),
    *(b"a,b\n" + b"9" * 5000 + b",1\n1,2\n", "a,b\n1,2\n".encode("utf-16"), b"a,b\n", b"", b"\n\n"),
    *(b",".join(b"c%d" % i for i in range(20_000)) + b"\n" + b",".join([b"1"] * 20_000),),
    *(b"a,a\n1,2\n3,4\n", b"a,b\n1,x\n2,3\n", b"a;b\n1,5;2\n2,5;3\n", b"1e999,2\n" * 5),
)


def odd_data(draw: random.Random, folder: Path, command: str) -> Iterator[str]:
    """Write an odd file of data into a folder, and yield its name."""
    kind = draw.choice(("npy", "pt", "csv", "changed", "changed", "code", "bomb"))
    if kind == "npy":
        content = _npy(draw.choice(NPY), draw.choice((b"\x01\x00", b"\x02\x00", b"\x09\x00")))
        (folder / "odd.npy").write_bytes(content)
    elif kind == "pt":
        torch.save(draw.choice(list(TENSORS.values()))(), folder / "odd.pt")
    elif kind == "csv":
        (folder / "odd.csv").write_bytes(draw.choice(TABLES))
    elif kind == "changed":
        _changed(draw, folder)
    elif kind == "code":
        torch.save([torch.ones(60, 1), Harm(command)], folder / "odd.pt")
    else:
        with zipfile.ZipFile(folder / "odd.pt", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a/version", "3\n")
            file.writestr(draw.choice(("a/data.pkl", "a/data/0")), bytes(200 << 20))
    yield from (path.name for path in folder.glob("odd.*"))


def _changed(draw: random.Random, folder: Path) -> None:
    """Write numbers that are right, and change some bytes of the file."""
    ending = draw.choice(("npy", "pt", "csv"))
    path, numbers = folder / f"odd.{ending}", np.arange(60.0).reshape(60, 1)
    if ending == "npy":
        np.save(path, numbers)
    elif ending == "pt":
        torch.save(torch.from_numpy(numbers), path)
    else:
        path.write_text("a,b\n" + "".join(f"{x},{2 * x}\n" for (x,) in numbers))
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 3, 20))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content if draw.random() < 0.7 else content[: draw.randrange(len(content))])
