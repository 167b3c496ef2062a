"""What a command's process does with what it imports."""

import subprocess
import sys

import pytest

REPORT = """
import gc, sys
from descentlab import __main__ as console
from descentlab.__main__ import main
{call}
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


def collector_after(call, folder):
    """Return whether the garbage collector is on after a call, and spared what was imported."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(call=call)], capture_output=True, cwd=folder, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("words", [["runs", "."], ["fit", "--help"]])
def test_imports_of_a_process_of_its_own_are_kept_out_of_the_collector(tmp_path, words):
    assert collector_after(f"sys.argv[1:] = {words}; main()", tmp_path) == "True True"


def test_what_is_imported_in_the_process_of_a_caller_is_his_to_collect(tmp_path):
    assert collector_after("main(['runs', '.'])", tmp_path) == "True False"


def test_the_collector_is_on_after_imports_that_fail(tmp_path):
    call = """
console.OF_THEIR_OWN = {"runs": ".no_such_module"}
sys.argv[1:] = ["runs"]
try:
    main()
except ImportError:
    pass
"""
    assert collector_after(call, tmp_path).startswith("True ")
