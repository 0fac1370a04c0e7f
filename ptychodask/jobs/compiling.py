"""Before kernels are compiled, which is silent and takes a while, it is said."""

from __future__ import annotations

from typing import Any

from ..distributed.site import site_of
from .recipe import Recipe

COMPILES = "compiling the kernels (once for this version and processor, about 20 s)"


def compiles() -> bool:
    """On a worker: is the code of the patterns, which holds all kernels, neither here nor on disk?"""
    from ..kernels.cpu.block import is_cold  # brings the compiler, which other backends do without

    return is_cold()


def told(client: Any, recipe: Recipe) -> str:
    """What to say before the first pass; nothing where the kernels are there, or are none of numba's."""
    if recipe.decided.backend != "cpu":
        return ""
    answers = {0: compiles()} if site_of(client).in_process else client.run(compiles, on_error="ignore")
    return COMPILES if any(answers.values()) else ""
