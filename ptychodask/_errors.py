"""What a run raises: a line that names the value, the bound and the remedy."""

from __future__ import annotations

from ._text import printable


class _OneLine(Exception):
    """Says one printable line: what a file holds may be part of it."""

    def __init__(self, text: object = "") -> None:
        super().__init__(printable(text))


class InputError(_OneLine, ValueError):
    """Bad input, found before computing starts. The command line prints it as one line and exits with 2."""


class DivergenceError(_OneLine, RuntimeError):
    """The reconstruction diverged and lowering the step did not help."""


class StoppedError(_OneLine, RuntimeError):
    """A fault outside of the run stopped it (the scheduler died, the disk is full); it can be resumed."""
