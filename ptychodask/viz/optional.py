"""Figures of merit that may not exist: each is computed, or left out with a remark; none takes the others with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class Optional:
    """Computes figures that may fail, and remembers why they did.

    A run that took a day has a result, whatever of it can be drawn: so every error is caught here, and here only.
    """

    def __init__(self) -> None:
        self.remarks: dict[str, str] = {}
        """Why a figure was left out, by its name."""

    def __call__(self, name: str, compute: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        """What ``compute`` gives; None, with a remark, where it fails."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return compute(*arguments, **options)
        except Exception as error:
            text = " ".join(str(error).split())
            self.remarks[name] = text or type(error).__name__
            return None


def number(value: Any) -> float | None:
    """A figure for JSON: None where it does not exist."""
    return None if value is None or not np.isfinite(value) else float(value)
