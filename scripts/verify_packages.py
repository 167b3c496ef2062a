"""Put every optimizer of some packages through `descentlab verify`.

    pip install --no-deps pytorch_optimizer==4.1.0 schedulefree==1.4.1
    python scripts/verify_packages.py pytorch_optimizer schedulefree --out found

Each is held against `torch.optim.Adam`, which passes every check, so that nothing is excused; which
update rule it follows is then told by its steps. One that torch has under the same name is also
held against torch's, both with torch's defaults. Each has a process and a time limit of its own:
one that crashes or hangs is told, and the others go on. `found/verified.json` has all that was
found, and `found/verified.md` a table; docs/verified.md has what a second look made of it.
"""

import argparse
import contextlib
import importlib
import inspect
import io
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import torch
from torch.optim import SGD, Adam, Optimizer

from descentlab.errors import UsageError
from descentlab.verify import compare

Report = dict[str, Any]
Kind = Callable[..., Optimizer]


def _training(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one, and tell it that it is trained, if it asks for that."""
    optimizer = kind(params, **values)
    getattr(optimizer, "train", lambda: None)()
    return optimizer


def _around(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one that steps another optimizer, which it is given."""
    return _training(kind, SGD(params, lr=0.1), **values)


def _flat(params: Any) -> list[Any]:
    """Return parameters, or those of groups, as one list."""
    groups = [each["params"] if isinstance(each, dict) else [each] for each in params]
    return [each for group in groups for each in group]


def _named(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one of parameters with names, which say what they are in a net."""
    return kind([(f"{n}.weight", each) for n, each in enumerate(_flat(params))], **values)


def _of_module(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one of a module."""
    return kind(torch.nn.ParameterList(_flat(params)), **values)


def _of_class(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one that makes another optimizer, of the class that it is given."""
    return kind(params, base_optimizer=SGD, **values)


def _told_muon(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one whose groups must say whether their parameters are stepped by Muon."""
    groups = [each if isinstance(each, dict) else {"params": [each]} for each in params]
    told = [{**each, "use_muon": all(p.dim() >= 2 for p in each["params"])} for each in groups]
    return kind(told, **values)


def _of_length(kind: Kind, params: Any, **values: Any) -> Optimizer:
    """Make one that has no default for its learning rate, or for how long is trained."""
    return kind(params, **{**_accepted(kind, _LENGTHS), **values})


_LENGTHS = {
    "lr": 1e-3,
    "num_data": 100,
    "num_iterations": 100,
    "num_epochs": 10,
    "num_batches_per_epoch": 10,
}

#: by a function, the classes that parameters alone are not enough for
MAKERS: Mapping[Callable[..., Optimizer], str] = {
    _around: "Lookahead OrthoGrad PCGrad SafeFP16Optimizer ScheduleFreeWrapper TRAC",
    _of_class: "FriendlySAM LookSAM SAM",
    _named: "Adam_mini",
    _of_module: "AdaLOMO AdamMini LOMO",
    _told_muon: "AdaGO AdaMuon Muon MuonClip MuonWithAuxAdam NorMuon SingleDeviceMuonWithAuxAdam",
    _of_length: "BSAM CAME Ranger21 Ranger21abel SGDP",
}


def _accepted(kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that a class takes."""
    taken = inspect.signature(kind).parameters
    return {key: value for key, value in values.items() if key in taken}


def optimizers(package: str) -> dict[str, Kind]:
    """Return the public classes of optimizers of a package, by full name.

    Those that it has from another package are not among them.
    """
    found: dict[Kind, str] = {}
    module = importlib.import_module(package)
    for name, value in inspect.getmembers(module, inspect.isclass):
        own = value.__module__.partition(".")[0] == package.partition(".")[0]
        if own and issubclass(value, Optimizer) and value is not Optimizer and name[0] != "_":
            found.setdefault(value, f"{package}.{name}")
    return {name: kind for kind, name in found.items()}


def made(kind: Kind) -> Kind:
    """Return what makes an optimizer of parameters and hyperparameters."""
    try:
        kind([torch.nn.Parameter(torch.ones(3, 2))])
    except Exception:  # however it says that it needs more
        name = kind.__name__
        return next(
            (partial(make, kind) for make, of in MAKERS.items() if name in of.split()), kind
        )
    return partial(_training, kind) if hasattr(kind, "train") else kind


def namesake(kind: Kind) -> Kind | None:
    """Return torch's optimizer of the same name, but for the case of letters."""
    same = {name.lower(): each for name, each in vars(torch.optim).items() if name[0].isupper()}
    found = same.get(kind.__name__.lower())
    return None if found is kind else found


def examined(name: str, steps: int) -> Report:
    """Return what `verify` finds of an optimizer."""
    package, _, attribute = name.rpartition(".")
    kind = getattr(importlib.import_module(package), attribute)
    report = compare(made(kind), Adam, steps=steps).as_json()
    del report["outcomes"]
    other = namesake(kind)
    if other is not None:
        report["torch"] = _beside(kind, other, steps)
    return report


def _beside(kind: Kind, other: Kind, steps: int) -> str:
    """Return how an optimizer compares with torch's, both with torch's defaults."""
    defaults = other([torch.nn.Parameter(torch.ones(2, 2))]).defaults
    numbers = {
        key: value
        for key, value in defaults.items()
        if isinstance(value, int | float | tuple) and not isinstance(value, bool)
    }
    try:
        return compare(made(kind), other, steps=steps, **_accepted(kind, numbers)).verdict
    except UsageError as error:
        return str(error)


def _write(name: str, steps: int, path: Path) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some announce themselves
            report = examined(name, steps)
    except Exception as error:  # whatever an optimizer of others raises
        report = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    path.write_text(json.dumps(report, default=str), encoding="utf-8")


def told(names: Sequence[str], steps: int, limit: float) -> Iterator[tuple[str, Report]]:
    """Yield each optimizer with what was found, or with the word that it crashed or hung."""
    context = multiprocessing.get_context("forkserver")
    packages = {name.rpartition(".")[0] for name in names}
    context.set_forkserver_preload(["descentlab.verify", *sorted(packages)])
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            path, start = Path(folder, str(number)), time.monotonic()
            process = context.Process(target=_write, args=(name, steps, path))
            process.start()
            process.join(limit)
            if process.is_alive():
                process.kill()
                process.join()
                report: Report = {"error": f"not done after {limit:g} s"}
            elif not path.exists():
                report = {"error": f"its process ended with status {process.exitcode}"}
            else:
                report = json.loads(path.read_text(encoding="utf-8"))
            yield name, {**report, "seconds": round(time.monotonic() - start, 1)}


def row(name: str, report: Report) -> str:
    """Return a row of the table: the optimizer, the rule that it follows, what was found."""
    if "error" in report:
        return f"| `{name}` | | not run: {report['error']} |"
    identity = report["identity"] or {"name": "Adam", "precision": "float64"}
    is_told = not isinstance(identity, str) and identity["precision"]
    rule = identity["name"] if is_told else "no rule that is known"
    found = [*(f"`{each}` changes no step" for each in report["idle"]), *report["faults"]]
    return f"| `{name}` | {rule} | {'; '.join(found) or 'nothing'} |"


def _version(package: str) -> str:
    top = package.partition(".")[0]
    for distribution in packages_distributions().get(top, [top]):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return package


def main(words: Sequence[str]) -> int:
    """Look at the optimizers of packages, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="as it is imported")
    parser.add_argument("--out", type=Path, default=Path("verified"), metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="CLASS", help="these classes of them")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="(default: 40)")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="of each")
    options = parser.parse_args(words)
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    table: list[str] = []
    for package in options.packages:
        names = [
            n for n in optimizers(package) if n.rpartition(".")[2] in (options.only or n.split("."))
        ]
        table += [f"\n{_version(package)}\n", "| optimizer | rule | found |", "|---|---|---|"]
        for name, report in told(names, options.steps, options.limit):
            found[name] = report
            table.append(row(name, report))
            print(f"{report['seconds']:6.1f} s  {table[-1]}", flush=True)
            (options.out / "verified.json").write_text(json.dumps(found, indent=1) + "\n")
            (options.out / "verified.md").write_text("\n".join(table) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
