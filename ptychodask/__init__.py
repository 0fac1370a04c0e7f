"""ptychodask: electron ptychography at 100 electrons per square angstrom, on Dask."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import events as events
    from . import plots as plots
    from ._errors import *  # noqa: F403
    from ._warnings import *  # noqa: F403
    from .api import *  # noqa: F403
    from .io.appended import GrowingDataset as GrowingDataset
    from .io.writer import DatasetWriter as DatasetWriter
    from .model.config import JobConfig as JobConfig
    from .model.optics import Microscope as Microscope
    from .model.scan import Detector as Detector

_FUNCTIONS = (
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
)
_HOMES = {
    **dict.fromkeys(_FUNCTIONS, "api"),
    **dict.fromkeys(("InputError", "DivergenceError", "StoppedError"), "_errors"),
    "PtychodaskWarning": "_warnings",
    "JobConfig": "model.config",
    "DatasetWriter": "io.writer",
    "GrowingDataset": "io.appended",
    "Microscope": "model.optics",
    "Detector": "model.scan",
}
_MODULES = ("events", "plots")
__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    # names are loaded when they are used: the command line must answer --help at once
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'ptychodask' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
