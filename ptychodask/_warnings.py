"""What the user should know although the work goes on: one line, as a warning of Python."""

from __future__ import annotations

import sys
import warnings

_PACKAGE = __name__.rpartition(".")[0]


class PtychodaskWarning(UserWarning):
    """Something is doubtful or went wrong, and the work goes on. The command line prints it as one line."""


def warn(text: str) -> None:
    """Warn, naming the line of the user's that called into the package.

    A run has observers, who are told of :class:`ptychodask.events.Warned` instead.
    """
    warnings.warn(text, PtychodaskWarning, stacklevel=_caller())


def _caller() -> int:
    """How many frames above :func:`warn` the outermost one of the package was called.

    Counted from the outside, since context managers put frames of the standard library between ours.
    """
    ours, level, frame = 1, 0, sys._getframe(1)
    while frame is not None:
        level += 1
        if f"{frame.f_globals.get('__name__', '')}.".startswith(f"{_PACKAGE}."):
            ours = level
        frame = frame.f_back  # type: ignore[assignment]
    return ours + 1
