"""ptychodask: electron ptychography at 100 electrons per square angstrom, on Dask."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import events as events
    from ._errors import *  # noqa: F403
    from ._warnings import *  # noqa: F403
    from .api import *  # noqa: F403
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
    "import_data",
    "info",
    "open_dataset",
    "open_result",
    "plan",
    "read_truth",
    "reconstruct",
    "report",
    "resume",
    "simulate",
    "view",
    "watch",
)
_HOMES = {
    **dict.fromkeys(_FUNCTIONS, "api"),
    **dict.fromkeys(("InputError", "DivergenceError", "StoppedError"), "_errors"),
    "PtychodaskWarning": "_warnings",
    "JobConfig": "model.config",
    "DatasetWriter": "io.writer",
    "Microscope": "model.optics",
    "Detector": "model.scan",
}
__all__ = [*_HOMES, "events"]


def __getattr__(name: str) -> Any:
    # names are loaded when they are used: the command line must answer --help at once
    if name == "events":
        return importlib.import_module(".events", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'ptychodask' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
