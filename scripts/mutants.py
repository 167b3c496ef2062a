"""Do the tests notice? Change a random line of the source, and see whether a test fails.

A *mutant* is a copy of the package with one small mistake in it: an operator swapped, a condition
reversed, a constant changed, a statement left out. The tests of the mutated file's own folder kill
it by failing: first the tests that run the line, then all. What survives is a line that could be
wrong without anybody knowing.

cosmic-ray and mutmut know no statement that is left out, and count annotations that they change;
and mutmut needs a package whose folder has the package's name.
"""

import argparse
import ast
import contextlib
import copy
import io
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

from coverage import CoverageData

ROOT = Path(__file__).parents[1]

#: what is mutated, from `src/`, and the tests that must notice
TARGETS = {
    "optimizers/*.py": ["tests/optimizers"],
    "datamodules/splits.py": ["tests/datamodules"],
    "datamodules/tensor_loader.py": ["tests/datamodules"],
    "datamodules/resumable.py": ["tests/datamodules"],
    "callbacks/best_parameters.py": ["tests/callbacks"],
    "callbacks/batch_loss.py": ["tests/callbacks"],
    "sweeps/descent.py": ["tests/sweeps"],
    "sweeps/losses.py": ["tests/sweeps"],
    "sweeps/record.py": ["tests/sweeps"],
}

#: tests of the line that are tried before all of the folder
MOST = 30

_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


@dataclass(frozen=True)
class Mutant:
    """A copy of a file with one mistake in it.

    Args:
        path: the file, from `src/`.
        line: where the mistake is.
        before: the code there.
        after: what it became.
        text: the whole file with it.
    """

    path: str
    line: int
    before: str
    after: str
    text: str


def mutants(text: str, path: str = "") -> Iterator[Mutant]:
    """Yield every mutant of a file; annotations, docstrings and messages stay as they are.

    Example:
        >>> [mutant.after for mutant in mutants("x = a < 1")]
        ['', 'a <= 1', 'a >= 1', '2']
    """
    tree = ast.parse(text)
    for holder, field, index, node in _places(tree):
        for changed in _changes(node):
            siblings = getattr(holder, field)
            _put(holder, field, index, changed)
            after = "" if isinstance(changed, ast.Pass) else ast.unparse(changed)
            yield Mutant(path, node.lineno, ast.unparse(node), after, ast.unparse(tree) + "\n")
            _put(holder, field, index, node)
            assert getattr(holder, field) is siblings or index is None


def _put(holder: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(holder, field, node)
    else:
        getattr(holder, field)[index] = node


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.expr | ast.stmt]]:
    """Yield each expression and statement that runs, with where it is."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_text(node) or _for_types(node):
                continue
            if isinstance(node, (ast.expr, ast.stmt)):
                yield tree, field, index, node
            yield from _places(node)


def _is_text(node: ast.AST) -> bool:
    """Return whether a node is a docstring, a message or another text."""
    if isinstance(node, ast.Expr):
        node = node.value
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _for_types(node: ast.AST) -> bool:
    """Return whether a node is for type checkers and readers alone."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
        return True
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    is_all = isinstance(node, ast.Assign) and "__all__" in names
    return is_all or (isinstance(node, ast.If) and "TYPE_CHECKING" in names)


def _changes(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    """Yield what a node may become."""
    if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise)) or (
        isinstance(node, ast.AnnAssign) and node.value is not None
    ):
        yield ast.Pass()
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        for value in (True, False) if not isinstance(node, ast.While) else (False,):
            changed = copy.copy(node)
            changed.test = ast.Constant(value)
            yield changed
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        for swap in _SWAPS.get(type(node.op), ()):
            changed_op = copy.copy(node)
            changed_op.op = swap()  # type: ignore[assignment]  # of the same kind, by the table
            yield changed_op
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for swap in _SWAPS[type(node.ops[0])]:
            compared = copy.copy(node)
            compared.ops = [swap()]  # type: ignore[list-item]  # of the same kind, by the table
            yield compared
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class Killer:
    """Runs the tests on mutants, each in a process of its own that has the libraries loaded.

    Args:
        top: an empty folder, for copies of the package.
        workers: how many at once.
    """

    def __init__(self, top: Path, workers: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["torch", "lightning.pytorch", "sklearn.model_selection"]
        )
        self._folders: Queue[Path] = Queue()
        for number in range(workers):
            folder = top / str(number)
            shutil.copytree(ROOT / "src", folder / "descentlab")
            (folder / "configs").symlink_to(ROOT / "configs")
            self._folders.put(folder)

    def survives(
        self,
        mutant: Mutant | None,
        tests: Sequence[str],
        limit: float,
        record: Path | None = None,
    ) -> bool:
        """Return whether all tests pass in time.

        Args:
            mutant: what is tested; None for the source as it is.
            tests: folders, files or single tests, from the project's top.
            limit: seconds after which a mutant counts as killed.
            record: where coverage writes which test ran which line; None for nowhere.
        """
        folder = self._folders.get()
        path = folder / "descentlab" / mutant.path if mutant else None
        before = path.read_text(encoding="utf-8") if path else ""
        try:
            if path and mutant:
                path.write_text(mutant.text, encoding="utf-8")
            options = [*tests, *([] if record is None else _covered(folder, record))]
            process = self._context.Process(target=_test, args=(str(folder), options))
            process.start()
            process.join(limit)
            if process.exitcode is None:
                process.kill()
                process.join()
            return process.exitcode == 0
        finally:
            if path:
                path.write_text(before, encoding="utf-8")
            self._folders.put(folder)


def _covered(folder: Path, record: Path) -> list[str]:
    """Return the options of pytest with which it records what each test runs."""
    settings = folder / "coverage.ini"
    settings.write_text(f"[run]\ndata_file = {record}\n", encoding="utf-8")
    source = folder / "descentlab"
    return [f"--cov={source}", f"--cov-config={settings}", "--cov-context=test", "--cov-report="]


def running(record: Path) -> dict[tuple[str, int], list[str]]:
    """Return the tests that run each line, by the path from `src/` and the line.

    Those that run the fewest lines in all, which are mostly the quickest, come first.

    Args:
        record: what `Killer.survives` wrote.
    """
    data = CoverageData(str(record))
    data.read()
    found: dict[tuple[str, int], set[str]] = {}
    for path in data.measured_files():
        for line, contexts in data.contexts_by_lineno(path).items():
            tests = {context.partition("|")[0] for context in contexts if context}
            found[path.partition("/descentlab/")[2], line] = tests
    lines = Counter(test for tests in found.values() for test in tests)
    return {place: sorted(tests, key=lambda t: (lines[t], t)) for place, tests in found.items()}


def _test(folder: str, tests: list[str]) -> None:
    """Run tests with the package of a folder, and end the process with pytest's status."""
    import pytest

    for name in [name for name in sys.modules if name.partition(".")[0] == "descentlab"]:
        del sys.modules[name]  # a fork server that others use, too, has the source as it is
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = folder  # for the processes that tests start
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    os.chdir(ROOT)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
    os._exit(int(status))


def sample(count: int, seed: int, targets: Sequence[str]) -> list[tuple[Mutant, list[str]]]:
    """Return a random sample of the mutants of the targets, with the tests that must notice."""
    source = ROOT / "src"
    every = {
        mutant: TARGETS[target]
        for target in targets
        for path in sorted(source.glob(target))
        for mutant in mutants(path.read_text(encoding="utf-8"), str(path.relative_to(source)))
    }
    chosen = drawn(list(every), count, seed)
    print(f"{len(chosen)} of {len(every)} mutants, seed {seed}", flush=True)
    return [(mutant, every[mutant]) for mutant in chosen]


def drawn(every: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return a random sample, which stays the same but for what is changed in the source.

    Each mutant has a random number of its own, and those with the least are taken: what is added,
    removed or moved elsewhere leaves it where it is. Equal mistakes in one file are counted, so
    that one more shifts those behind it.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    numbers = {}
    for mutant in every:
        mistake = mutant.path, mutant.before, mutant.after
        numbers[mutant] = random.Random(f"{seed} {mistake} {seen[mistake]}").random()
        seen[mistake] += 1
    return sorted(every, key=numbers.__getitem__)[:count]


def _survivors(
    killer: Killer, chosen: Sequence[tuple[Mutant, list[str]]], workers: int, top: Path
) -> list[Mutant] | None:
    """Return the mutants that no test notices, or None if tests fail on the source as it is."""
    limits, near = {}, {}
    for number, tests in enumerate(sorted({tuple(tests) for _, tests in chosen})):
        start, record = time.monotonic(), top / f"coverage-{number}"
        if not killer.survives(None, tests, 1800, record):
            print(f"mutants: error: {' '.join(tests)} fails as it is", file=sys.stderr)
            return None
        limits[tests] = 60 + 3 * (time.monotonic() - start)
        near[tests] = running(record)

    def survives(mutant: Mutant, tests: Sequence[str]) -> bool:
        limit = limits[tuple(tests)]
        first = near[tuple(tests)].get((mutant.path, mutant.line), [])[:MOST]
        if first and not killer.survives(mutant, first, limit):
            return False
        return killer.survives(mutant, tests, limit)

    survivors = []
    with ThreadPoolExecutor(workers) as pool:
        outcomes = pool.map(lambda one: survives(*one), chosen)
        for number, ((mutant, _), survived) in enumerate(zip(chosen, outcomes, strict=True), 1):
            if survived:
                survivors.append(mutant)
                said = f"src/{mutant.path}:{mutant.line}: {mutant.before!r} -> {mutant.after!r}"
                print(f"{number:4} survived {said}", flush=True)
            elif number % 25 == 0:
                print(f"{number:4} of {len(chosen)}", flush=True)
    return survivors


def main(args: Sequence[str] | None = None) -> int:
    """Test a sample of mutants, print the survivors, and return 1 if under 95% were killed."""
    parser = argparse.ArgumentParser(prog="mutants", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=300, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", choices=list(TARGETS), action="append", help="these files alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "mutants.json")
    options = parser.parse_args(args)
    chosen = sample(options.count, options.seed, options.only or list(TARGETS))
    with tempfile.TemporaryDirectory() as top:
        killer = Killer(Path(top), options.workers)
        survivors = _survivors(killer, chosen, options.workers, Path(top))
    if survivors is None:
        return 2
    killed = len(chosen) - len(survivors)
    print(f"{killed} of {len(chosen)} killed ({killed / max(1, len(chosen)):.1%})")
    rows = [{k: v for k, v in asdict(mutant).items() if k != "text"} for mutant in survivors]
    options.out.parent.mkdir(exist_ok=True)
    report = {"seed": options.seed, "sample": len(chosen), "killed": killed, "survivors": rows}
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(killed < 0.95 * len(chosen))


if __name__ == "__main__":
    sys.exit(main())
