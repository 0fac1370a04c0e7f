"""ptychodask: electron ptychography at 100 electrons per square angstrom, on Dask."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._errors import DivergenceError, InputError, StoppedError
    from ._warnings import PtychodaskWarning
    from .api import (
        create_dataset,
        doctor,
        export,
        info,
        open_dataset,
        open_result,
        plan,
        read_truth,
        reconstruct,
        report,
        resume,
        simulate,
    )
    from .model.config import JobConfig

_HOMES = {
    **dict.fromkeys(
        (
            "create_dataset",
            "doctor",
            "export",
            "info",
            "open_dataset",
            "open_result",
            "plan",
            "read_truth",
            "reconstruct",
            "report",
            "resume",
            "simulate",
        ),
        "api",
    ),
    "JobConfig": "model.config",
    "InputError": "_errors",
    "DivergenceError": "_errors",
    "StoppedError": "_errors",
    "PtychodaskWarning": "_warnings",
}

__all__ = [
    "DivergenceError",
    "InputError",
    "JobConfig",
    "PtychodaskWarning",
    "StoppedError",
    "create_dataset",
    "doctor",
    "export",
    "info",
    "open_dataset",
    "open_result",
    "plan",
    "read_truth",
    "reconstruct",
    "report",
    "resume",
    "simulate",
]


def __getattr__(name: str) -> Any:
    # names are loaded when they are used: the command line must answer --help at once
    if name not in _HOMES:
        raise AttributeError(f"module 'ptychodask' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
