"""Sums that kernels make on the detector, by the names of :class:`ptychodask.solver.update.Sums`, in their one order.

Compiled kernels use places in arrays: numba those below, CUDA the enumerations that are made of the names.
"""

from __future__ import annotations

DETECTOR = ("electrons", "intensity", "loss", "held_loss", "background_numerator", "background_denominator")
"""Of a partial update."""
FIT = ("tested_loss", "expected_loss", "expected_variance")
"""Of the comparison with Poisson noise."""
LINE = ("line_numerator", "line_denominator")
"""Of the line search."""

ELECTRONS, INTENSITY, LOSS, HELD_LOSS, BACKGROUND_NUMERATOR, BACKGROUND_DENOMINATOR = range(len(DETECTOR))
TESTED_LOSS, EXPECTED_LOSS, EXPECTED_VARIANCE = range(len(FIT))
LINE_NUMERATOR, LINE_DENOMINATOR = range(len(LINE))


def enumerations() -> str:
    """For CUDA: the names in capitals, and how many there are."""
    lists = {"TERMS": DETECTOR, "FIT_TERMS": FIT, "LINE_TERMS": LINE}
    return "".join(f"enum {{ {', '.join(map(str.upper, names))}, {count} }};\n" for count, names in lists.items())
