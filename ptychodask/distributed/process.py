"""Processes that cannot compute: children that still import the script, and forked ones, whose threads are gone."""

from __future__ import annotations

import multiprocessing
import os
import sys

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
