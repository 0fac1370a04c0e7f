"""A warning names the line of the user's that called into the package."""

from __future__ import annotations

from contextlib import contextmanager
from types import FunctionType

import pytest

from ptychodask import PtychodaskWarning
from ptychodask._warnings import warn


@contextmanager
def _context():
    warn("text")
    yield


def directly():
    warn("text")


def through_the_standard_library():
    with _context():
        pass


def line_named(function, name):
    """Line of this file that the warning of a function names, which a module of that name would define."""
    there = FunctionType(function.__code__, {**globals(), "__name__": name})
    with pytest.warns(PtychodaskWarning, match="text") as caught:
        there()
    assert caught[0].filename == __file__
    return caught[0].lineno


HERE = line_named.__code__.co_firstlineno + 4


@pytest.mark.parametrize("function", [directly, through_the_standard_library])
def test_the_line_that_called_into_the_package_is_named(function):
    assert line_named(function, "ptychodask.io.somewhere") == HERE


@pytest.mark.parametrize("name", ["ptychodaskets.mine", "mine.ptychodask"])
def test_other_packages_are_users(name):
    assert line_named(directly, name) == directly.__code__.co_firstlineno + 1
