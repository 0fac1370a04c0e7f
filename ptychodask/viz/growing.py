"""A picture of what is there of a scan that still grows: the phase, in grey, as large as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..io.atomic import replacing
from ..io.kinds import picture

INCHES = 6.0


def draw_growing(made: Mapping[str, Any], path: Path, title: str, share: float) -> Path:
    """Replace the picture at ``path`` by one of a state.

    Parameters
    ----------
    made : mapping
        See :func:`ptychodask.live.picture.picture`.
    path : Path
        Whose ending says the kind; what was drawn there before is replaced.
    title : str
        One line.
    share : float
        Part of the scan's rows that are there: they say which phases are black and white.
    """
    left, right, bottom, top = made["edges"]
    figure = Figure(figsize=(INCHES, INCHES * (bottom - top) / (right - left) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    first, last = ((y - top) / (bottom - top) * len(made["phase"]) for y in made["scan"][:1:-1])
    there = made["phase"][int(first) : max(int(first + share * (last - first)), int(first) + 1)]
    low, high = np.percentile(there, (0.5, 99.7))
    axes.imshow(made["phase"], "gray", vmin=low, vmax=high, extent=made["edges"], interpolation="nearest")
    axes.set(xlabel="x (Å)", ylabel="y (Å)")
    axes.set_title(title, fontsize=9)
    with replacing(path, picture(path), overwrite=True) as part:
        figure.savefig(part, format=path.suffix.removeprefix("."), dpi=120)
    return path
