"""Courses in files, as a user would write them, and the command run on them in this process."""

from descentlab.__main__ import main

COURSE = '''"""A course."""

from descentlab.handouts import Handout, Row

COURSE = Handout("MY", "My <course>", "Two exercises & a run.", author="A. Teacher")


@COURSE.entry("1", "A third", formula="1 / 3 < 1")
def third(row: Row) -> None:
    """What is a third?

    It never ends.
    """
    row.figures("1/3", "{printed}", 1 / 3)


@COURSE.entry("2", "A descent", "toy/norm", note="Mind this.")
def descent(row: Row) -> None:
    """Descend."""
    theta = row.fit("--trainer.max_epochs", "2").parameters()["theta"]
    row.figures("theta", "[0.36, -0.36]", theta[-1])
    row.wording("said", "<b>yes</b>", "<b>yes</b>")
    row.details["steps"] = "2"
'''


def write(folder, text=None, printed="0.333", name="course.py"):
    """Write a course, and return its path."""
    path = folder / name
    path.write_text(COURSE.replace("{printed}", printed) if text is None else text)
    return path


def reproduce(*words):
    """Run `descentlab reproduce`, and return its status."""
    return main(["reproduce", *map(str, words)])
