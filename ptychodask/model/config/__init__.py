"""The job configuration: text at the boundary. TOML, command line and Python build the same object.

One file for each section; ``job`` puts them over a preset.
"""

from __future__ import annotations

from .engine import AUTO_OBJECT_GIB, LARGEST_TILE, SMALLEST_TILE, EngineConfig
from .geometry import AUTO, Refinable
from .job import JobConfig
from .object import ObjectConfig
from .options import commented_default, known_options, option_names
from .section import Section
from .toml import read_toml

__all__ = [
    "AUTO",
    "AUTO_OBJECT_GIB",
    "LARGEST_TILE",
    "SMALLEST_TILE",
    "EngineConfig",
    "JobConfig",
    "ObjectConfig",
    "Refinable",
    "Section",
    "commented_default",
    "known_options",
    "option_names",
    "read_toml",
]
