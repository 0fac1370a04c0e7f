"""The command line: parse, call, print. ``main`` is what the ``ptychodask`` command runs."""

from .app import main

__all__ = ["main"]
