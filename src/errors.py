"""The two ways in which a command ends badly, other than by a bug."""


class UsageError(ValueError):
    """Something that was asked for is wrong: a value, a key or a file. Exit status 2.

    The message is all that a user sees: it names the thing and says what to do.
    """


class RunError(RuntimeError):
    """A run that was asked for rightly could not be completed. Exit status 1."""
