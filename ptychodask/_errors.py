"""What a run raises: a line that names the value, the bound and the remedy."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, found before computing starts. The command line prints it as one line and exits with 2."""


class DivergenceError(RuntimeError):
    """The reconstruction diverged and lowering the step did not help."""


class StoppedError(RuntimeError):
    """A fault outside of the run stopped it (the scheduler died, the disk is full); it can be resumed."""
