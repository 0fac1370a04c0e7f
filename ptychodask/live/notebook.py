"""A run in a notebook: one figure under the cell, drawn over as the run goes on. It needs no widgets."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..events import Iterated, Pictured
from ..viz import draw

SHARE = 0.02
"""Of the time of this process that drawing may take."""
LEAST_SECONDS = 1.0


def draw_live(picture: dict[str, Any], losses: list[tuple[int, float, float]]) -> Figure:
    """Phase, power spectrum, first mode of the probe, and losses (updates, loss, validation) of the fit."""
    figure = Figure(figsize=(11.0, 5.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["phase", "power", "probe"], ["phase", "loss", "loss"]], width_ratios=[2, 1, 1])
    _phase(axes["phase"], picture)
    _power(axes["power"], picture)
    axes["probe"].imshow(picture["modes"][0])
    draw.panel_title(axes["probe"], "probe")
    draw.bare(axes["probe"])
    _losses(axes["loss"], losses)
    return figure


def _phase(ax: Axes, picture: dict[str, Any]) -> None:
    left, right, bottom, top = picture["edges"]
    ax.imshow(
        picture["phase"], extent=(left, right, bottom, top), cmap="gray", vmin=picture["limits"][0],
        vmax=picture["limits"][1],
    )  # fmt: skip
    left, right, bottom, top = picture["scan"]
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    draw.panel_title(ax, "phase", f"iteration {picture['iteration']}")
    draw.bare(ax)
    draw.scale_bar(ax)


def _power(ax: Axes, picture: dict[str, Any]) -> None:
    qy, qx = picture["reach"]
    low, high = np.percentile(picture["power"], (40, 99.8))
    ax.imshow(picture["power"], extent=(-qx, qx, qy, -qy), cmap="magma", vmin=low, vmax=high)
    draw.panel_title(ax, "power spectrum")
    draw.bare(ax)
    draw.scale_bar(ax, unit="1/Å")


def _losses(ax: Axes, losses: list[tuple[int, float, float]]) -> None:
    updates, loss, validation = np.array(losses, dtype=float).reshape(-1, 3).T
    ax.plot(updates, loss, color=draw.BLUE, marker=".")
    draw.plain(ax, "iteration", "loss (nats per pattern)", draw.BLUE)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if np.isfinite(validation).any():
        right = ax.twinx()
        right.plot(updates, validation, color=draw.ORANGE, marker=".")
        draw.plain(right, "iteration", "validation", draw.ORANGE)
        right.spines["right"].set_visible(True)


class Figures:
    """An observer that shows the run under the cell."""

    wants_pictures = True

    def __init__(self) -> None:
        self._losses: list[tuple[int, float, float]] = []
        self._handle: Any = None
        self._picture: dict[str, Any] | None = None
        self._after = 0.0

    def pictured(self, event: Pictured) -> None:
        """Keep it for the next iteration: what is shown is drawn where the cell runs."""
        self._picture = dict(event.picture)

    def iterated(self, event: Iterated) -> None:
        """Draw, unless that would take too much of the time."""
        if event.stage == "fit" and event.iteration > 0:
            self._losses = [its for its in self._losses if its[0] < event.iteration]
            self._losses.append((event.iteration, event.loss, event.validation))
        if time.monotonic() >= self._after:
            self._draw()

    def close(self) -> None:
        """Draw what came last."""
        self._draw()

    def _draw(self) -> None:
        picture, self._picture = self._picture, None
        if picture is None:
            return
        began = time.monotonic()
        self._show(draw_live(picture, self._losses))
        self._after = time.monotonic() + max(LEAST_SECONDS, (time.monotonic() - began) / SHARE)

    def _show(self, figure: Figure) -> None:
        from IPython.display import Image, display

        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        image = Image(drawn.getvalue())
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)
