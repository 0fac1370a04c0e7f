"""Processes that cannot compute: children that still import the script, and forked ones, whose threads are gone."""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
from pathlib import Path
from types import FrameType

from .._errors import InputError

_forked: set[int] = set()
"""This process, if it was forked from one that has computed."""
_watched: set[int] = set()
"""This process, once its forks are watched."""


def check_process() -> None:
    """Refuse to compute where it would fail far from here, or wait for ever; to be called before any computing.

    Raises
    ------
    InputError
        In a process that was forked from one that has computed: locks that its threads held there stay locked.
    SystemExit
        In a child that still imports the script of its parent, which fails to start it, and says so.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            "ptychodask: a new process imports this script, which calls ptychodask again: put the call under"
            " if __name__ == '__main__':"
        )
    if _forked:
        raise InputError(
            "this process was forked from one in which ptychodask has computed, and would wait for its threads for"
            " ever: start processes with multiprocessing.get_context('spawn')"
        )
    if not _watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _forked.add(os.getpid()))
    _watched.add(os.getpid())


def check_script() -> None:
    """Refuse to start processes that would only run the calling script again; to be called before they are started.

    Raises
    ------
    InputError
        A script called from outside of all blocks of its own (``if``, ``with``, ``try``): every new process imports it,
        arrives at the same line, and fails. Where that is not certain, :func:`check_process` tells it in the child.
    """
    main = sys.modules["__main__"]
    script, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    # interactive, or a package's __main__, which children do not import
    if not script or (spec is not None and (spec.name == "__main__" or spec.name.endswith(".__main__"))):
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    # in a thread, or typed after python -i
    if frame is None or Path(frame.f_code.co_filename).name != Path(script).name:
        return
    try:
        statements = ast.parse(Path(script).read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # no source, or another one by now
        return
    here = [s for s in statements if s.lineno <= frame.f_lineno <= (s.end_lineno or s.lineno)]
    if here and isinstance(here[0], ast.Expr | ast.Assign | ast.AnnAssign):
        raise InputError(
            f"line {frame.f_lineno} of {Path(script).name} would be run again by every process that it starts, for they"
            " import the script: put the call under if __name__ == '__main__':"
        )
