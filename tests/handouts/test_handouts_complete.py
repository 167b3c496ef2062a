"""Every entry that a config brings out is named by the config and held by a test here."""

import re
from pathlib import Path

from descentlab.command.configs import shipped

ENTRIES = {
    *("TP-1.2a", "TP-1.2b", "TP-1.2c", "TP-1.2d", "TP-1.3"),
    *("AG-3", "AG-6", "AG-7", "DI-11", "DI-12"),
    *("PS-2.1", "PS-2.2", "PS-2.3", "PS-2.4", "PS-2.5"),
    *("LG-1", "LG-2"),
}


def test_each_entry_is_named_by_a_config():
    comments = [path.read_text(encoding="utf-8").split("\n", 1)[0] for path in shipped().values()]
    named = set(re.findall(r"\b(?:TP|AG|DI|PS|LG)-[\d.]+[a-f]?\b", " ".join(comments)))
    assert len(ENTRIES) == 17
    assert named >= ENTRIES
    assert not named >= ENTRIES | {"LG-3"}


def has_a_test(entry: str) -> bool:
    here = Path(__file__).parent
    source = "\n".join(path.read_text() for path in here.glob("test_handouts_*.py"))
    name = re.sub(r"[-.]", "_", entry).lower()
    return re.search(rf"^def test_{name}_", source, re.MULTILINE) is not None


def test_each_entry_has_a_test():
    assert [entry for entry in ENTRIES if not has_a_test(entry)] == []
    assert not has_a_test("LG-3")
