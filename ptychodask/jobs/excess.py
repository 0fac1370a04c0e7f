"""How much worse the final model fits than Poisson noise would: in words and as attributes of a result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHARE = 0.2
"""Of the expected loss, above which an excess is worth a warning; see ``benchmarks/first_day.py`` for sound data."""
SURE = 6
"""Standard errors that it must have."""


@dataclass(frozen=True)
class Excess:
    """Loss per pattern less what Poisson noise around the model gives, the standard error of that, and what it gives."""

    value: float = math.nan
    error: float = math.nan
    expected: float = math.nan

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> Excess:
        """Of the metrics of a pass that only looks."""
        return cls(metrics["loss_excess"], metrics["loss_excess_error"], metrics["loss_expected"])

    @property
    def attributes(self) -> dict[str, Any]:
        """What a result keeps."""
        return {
            "loss_excess": self.value,
            "loss_excess_error": self.error,
            "loss_expected": self.expected,
        }

    def warning(self) -> str | None:
        """One line where the data do not fit the model."""
        if not self.value > max(SHARE * self.expected, SURE * self.error):
            return None
        return (
            f"the data do not fit the model: the loss is {self.value:.3g} nats per pattern above that of Poisson noise"
            f" ({self.expected:.4g} +- {self.error:.2g}; at most {SHARE:.0%} more is usual): check defocus, scan step"
            " and rotation, the gain of the detector, hot pixels and the number of slices"
        )
