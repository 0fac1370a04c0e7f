"""The public functions: what people call from Python, and all that computes for the command line.

Besides them, the command line takes the configuration (``model.config``), checks of paths before a call and of a run
that was interrupted (``io``), and what puts into words, tables and pictures, or refuses, what a function returned
(``analysis``, ``viz``, ``jobs.plan.refuse``): who calls from Python has the values themselves. ``calibrate --from``
copies numbers from a result to its dataset (``jobs.taken_back``), which looks at no counts.

Each function loads what it needs: numba, Dask and xarray take a second or two, and ``info`` needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..io.dataset import open_dataset, read_truth
from .choose import advise, study, tune
from .data import calibrate, import_data, info, simulate, view
from .halves import halves
from .results import defects, export, local_structure, misfit, report, ring_correlation
from .solve import doctor, plan, reconstruct, resume, watch

if TYPE_CHECKING:
    from ..io.create import create_dataset
    from ..io.result import open_result

__all__ = [
    "advise",
    "calibrate",
    "create_dataset",
    "defects",
    "doctor",
    "export",
    "halves",
    "import_data",
    "info",
    "local_structure",
    "misfit",
    "open_dataset",
    "open_result",
    "plan",
    "read_truth",
    "reconstruct",
    "report",
    "resume",
    "ring_correlation",
    "simulate",
    "study",
    "tune",
    "view",
    "watch",
]


_HOMES = {"create_dataset": "io.create", "open_result": "io.result"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ptychodask.api' has no attribute {name!r}")
    return getattr(importlib.import_module(f"..{_HOMES[name]}", __package__), name)
