"""How well the final model fits: its loss against that of Poisson noise around it, as attributes and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._tables import counted

SHARE, MODEL = 0.1, 0.02
"""Of the expected loss, above which an excess is worth a warning, and what is added per electron in a pixel of the
bright-field disk: the errors of any model grow with the dose, while noise stays. Sound crystals reached 0.04 and 0.013.
"""
SURE = 6
"""Standard errors that it must have."""
FITS = 0.01
"""Of the expected loss, up to which an excess that is no noise is called a fit all the same."""
NOISE = "counting noise alone"


@dataclass(frozen=True)
class Excess:
    """Loss per pattern less that of Poisson noise around the model, the standard error of that, what noise gives, and
    the largest excess that is usual; all in nats."""

    value: float = math.nan
    error: float = math.nan
    expected: float = math.nan
    bound: float = math.nan

    @classmethod
    def of(cls, metrics: Mapping[str, float], disk_electrons: float) -> Excess:
        """Of the metrics of a pass that only looks, and electrons per pixel of the bright-field disk."""
        value, error, expected = (metrics[name] for name in ("loss_excess", "loss_excess_error", "loss_expected"))
        return cls(value, error, expected, max((SHARE + MODEL * disk_electrons) * expected, SURE * error))

    @property
    def attributes(self) -> dict[str, Any]:
        """What a result keeps."""
        return {
            "loss_excess": self.value,
            "loss_excess_error": self.error,
            "loss_expected": self.expected,
            "loss_excess_bound": self.bound,
        }

    @property
    def is_misfit(self) -> bool:
        """Is it more than sound data give?"""
        return self.value > self.bound

    def warning(self) -> str | None:
        """One line where the data do not fit the model."""
        if not self.is_misfit:
            return None
        return (
            f"the data do not fit the model: the loss is {self.value:.3g} nats per pattern above that of Poisson noise"
            f" ({self.expected:.4g} +- {self.error:.2g}; at most {self.bound:.3g} more is usual): check defocus, scan"
            " step and rotation, gain and background of the detector, hot pixels, the number of slices, and whether"
            " more iterations help"
        )


def _excess_of(attributes: Mapping[str, Any]) -> Excess:
    known = (attributes.get(name) for name in Excess().attributes)
    return Excess(*(math.nan if value is None else float(value) for value in known))


def is_misfit(attributes: Mapping[str, Any]) -> bool:
    """Does a result's loss say that the data do not fit the model?"""
    return _excess_of(attributes).is_misfit


def _text(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def _nats(value: float) -> str:
    return f"{counted(_text(value), 'nat')} per pattern"


def excess_figures(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a result, and ``fit``: what they mean."""
    found = _excess_of(attributes)
    if math.isnan(found.value):
        return {}  # made by an earlier version
    if found.is_misfit:
        text = f"the data do not fit the model: loss {_nats(found.value)} above {NOISE}"
    elif found.value < -found.bound:
        text = f"the model follows the noise: loss {_nats(-found.value)} below {NOISE}"
    elif found.value < -2 * found.error:
        # the model has taken up some noise of the very counts that it is compared with
        text = f"the data fit the model: loss {_nats(-found.value)} below {NOISE}"
    elif found.value <= max(2 * found.error, FITS * found.expected):
        text = f"the data fit the model: loss within {_nats(max(found.value, 2 * found.error))} of {NOISE}"
    else:
        text = f"loss {_nats(found.value)} above {NOISE}, at most {_text(found.bound)} is usual"
    return {**found.attributes, "fit": text}
