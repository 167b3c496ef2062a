"""Imports run one way: a room of the package uses only rooms on lower floors."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

#: the rooms (folders and files at the root of the package), from the highest floor down
FLOORS = (
    ("__main__",),
    ("handouts", "api"),
    ("command",),
    ("sweeps",),
    ("modules", "callbacks"),
    ("datamodules", "demonstrations", "verify", "comparison"),
    ("optimizers", "objectives", "drawing", "runs"),
    ("internals",),
    ("errors", "signals"),
    ("__init__",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

#: imports inside functions, each with its reason; `--version` and `configs` must not wait for torch
MOST_INSIDE_FUNCTIONS = 15


def modules(source):
    """Return the path of each module, by its name as a tuple; of a package it is its folder's."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts] = path
    return found


def imports(name, path, known):
    """Return the modules of the package that a module imports, wherever in it, with the lines."""
    package = name if path.name == "__init__.py" else name[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [tuple(each.name.split(".")[1:]) for each in node.names if own(each.name)]
        elif isinstance(node, ast.ImportFrom):
            base = from_where(node, package, path)
            if base is None:
                continue
            wanted = [(*base, each.name) for each in node.names]
        else:
            continue
        for each in wanted:
            target = each if each in known else each[:-1]
            found.append((target or ("__init__",), node.lineno))
    return found


def from_where(node, package, path):
    """Return the module that a `from … import` names, or None if it is of another package."""
    if not node.level:
        return tuple(node.module.split(".")[1:]) if own(node.module) else None
    top = (path.name,) == ("__init__.py",) and not package
    assert node.level <= len(package) + 1 or top, f"{path}: line {node.lineno} leaves the package"
    base = package[: len(package) - node.level + 1]
    return (*base, *(node.module.split(".") if node.module else ()))


def own(name):
    return name == "descentlab" or name.startswith("descentlab.")


def wrong_arrows(source):
    """Return the imports that do not run down: to a higher floor, or to a neighbour on the same."""
    known = modules(source)
    found = []
    for name, path in known.items():
        for target, line in imports(name, path, known):
            here, there = name[0] if name else "__init__", target[0]
            if here != there and FLOOR_OF[here] >= FLOOR_OF[there]:
                found.append(f"{path.relative_to(source)}:{line} imports {'.'.join(target)}")
    return found


def circle(source):
    """Return the modules of a circle of imports, or None."""
    known = modules(source)
    graph = {
        name: {t for t, _ in imports(name, path, known) if t != name and t in known}
        for name, path in known.items()
    }
    # a package's own file names what is in it: that it is imported from there is no circle
    for name, path in known.items():
        if path.name == "__init__.py" and name:
            graph[name] = set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [".".join(each) for each in error.args[1]]
    return None


def test_every_room_has_a_floor():
    rooms = {name[0] if name else "__init__" for name in modules(SOURCE)}
    assert rooms == set(FLOOR_OF)


def test_imports_run_one_way():
    assert wrong_arrows(SOURCE) == []


def test_there_is_no_circle_of_imports():
    assert circle(SOURCE) is None


def test_few_files_at_the_root():
    assert len(list(SOURCE.glob("*.py"))) <= 4


def test_few_imports_inside_functions():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in modules(SOURCE).values()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(found) <= MOST_INSIDE_FUNCTIONS, found


@pytest.fixture
def house(tmp_path):
    """A package of three rooms, with nothing wrong in it."""
    for room, text in {
        "errors.py": "",
        "__init__.py": "",
        "optimizers/__init__.py": "from .rule import Rule",
        "optimizers/rule.py": "from ..errors import UsageError\nRule = UsageError",
        "modules/__init__.py": "",
        "modules/line.py": "from ..optimizers import Rule",
    }.items():
        path = tmp_path / room
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_house_in_order_passes(house):
    assert wrong_arrows(house) == []
    assert circle(house) is None


@pytest.mark.parametrize(
    "text",
    [
        "from ..modules.line import x",
        "from ..modules import line",
        "def f():\n    from ..modules import line",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..modules.line import x",
        "import descentlab.modules.line",
        "from descentlab.modules import line",
    ],
)
def test_an_arrow_that_runs_back_is_seen(house, text):
    (house / "optimizers" / "rule.py").write_text(text, encoding="utf-8")
    assert wrong_arrows(house) == [
        f"optimizers/rule.py:{text.count(chr(10)) + 1} imports modules"
        + (".line" if "line" in text else "")
    ]


def test_a_neighbour_on_the_same_floor_is_seen(house):
    (house / "drawing").mkdir()
    (house / "drawing" / "curves.py").write_text("from ..optimizers import Rule", encoding="utf-8")
    assert wrong_arrows(house) == ["drawing/curves.py:1 imports optimizers"]


@pytest.mark.parametrize("inside", [False, True])
def test_a_circle_is_seen(house, inside):
    (house / "modules" / "line.py").write_text("from .plane import x", encoding="utf-8")
    text = "def f():\n    from .line import y" if inside else "from .line import y"
    (house / "modules" / "plane.py").write_text(text, encoding="utf-8")
    assert set(circle(house)) == {"modules.line", "modules.plane"}
