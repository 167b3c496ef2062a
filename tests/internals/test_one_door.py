"""Private names of other packages are used in `internals/` alone, in `command/` the parser's."""

import ast
from pathlib import Path

import pytest

import descentlab

SOURCE = Path(descentlab.__file__).parent
PARSER = ast.get_docstring(ast.parse((SOURCE / "command" / "parser.py").read_text()))
#: private by its name and documented as public
PUBLIC = {"os._exit"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def defined(trees):
    """Every name that is defined or set in these files."""
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def private_names(tree, own):
    """The private names of others that a file imports or asks objects for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            parts = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from filter(is_private, parts)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) not in PUBLIC:
            yield from filter(is_private, {node.attr} - own)


def trees():
    return {
        path.relative_to(SOURCE): ast.parse(path.read_text(encoding="utf-8"))
        for path in SOURCE.rglob("*.py")
    }


def test_private_names_of_others_are_behind_the_door():
    files = trees()
    own = defined(files.values())
    rooms = ("internals", "command")
    found = {
        str(path): names
        for path, tree in files.items()
        if path.parts[0] not in rooms and (names := set(private_names(tree, own)))
    }
    assert found == {}


def test_those_of_the_parser_are_listed():
    files = {path: tree for path, tree in trees().items() if path.parts[0] == "command"}
    own = defined(trees().values())
    used = {name for tree in files.values() for name in private_names(tree, own)}
    assert used - {"_typehints"}  # that is the module that ActionTypeHint is in
    assert [name for name in sorted(used - {"_typehints"}) if f"`{name}`" not in PARSER] == []


@pytest.mark.parametrize(
    "text",
    [
        "from torch._C import _autograd",
        "from torch.optim.optimizer import _global_optimizer_pre_hooks",
        "def f(trainer):\n    return trainer._checkpoint_connector",
    ],
)
def test_a_private_name_is_seen(text):
    """Negative control."""
    assert set(private_names(ast.parse(text), defined([ast.parse(text)])))


def test_names_of_the_file_itself_are_not_others():
    tree = ast.parse("class A:\n    _x = 1\n    def f(self):\n        return self._x")
    assert not set(private_names(tree, defined([tree])))
