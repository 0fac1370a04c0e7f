"""The page's curves: loss and validation, patterns per second and bytes merged, seconds of every worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bokeh.models import BoxAnnotation, ColumnDataSource, DataRange1d, FactorRange, Label, LinearAxis, Range1d
from bokeh.plotting import figure

from .images import INK, QUIET, title_of

BLUE, ORANGE, GREEN, GREY = "#1f6fb4", "#d9622b", "#2b8a5a", "#b8c0c9"
SECONDS = {"computing": BLUE, "reading": ORANGE, "waiting": GREY}
MOST_WORKERS = 24
"""That are shown: those with the most work."""
AXES = {"iteration": ("work", "iteration"), "time": ("minutes", "minutes")}


def curve(title: str, width: int, height: int, y: str, right: str) -> Any:
    """A figure with two scales; that on the right is called ``right``."""
    made = figure(
        width=width, height=height, tools="pan,xwheel_zoom,reset,hover", toolbar_location=None,
        tooltips=[("iteration", "@work"), (y, "@left"), (right, "@right")], x_range=DataRange1d(range_padding=0.03),
        y_range=DataRange1d(range_padding=0.1),
    )  # fmt: skip
    title_of(made, title)
    made.extra_y_ranges = {"right": DataRange1d(range_padding=0.1)}
    made.add_layout(LinearAxis(y_range_name="right", axis_label=right, axis_label_text_color=ORANGE), "right")
    made.yaxis[0].axis_label, made.yaxis[0].axis_label_text_color = y, BLUE
    made.grid.grid_line_color = "#e6e9ed"
    made.outline_line_color = made.border_fill_color = made.background_fill_color = None
    for axis in made.axis:
        axis.axis_label_text_font_style, axis.axis_line_color, axis.minor_tick_line_color = "normal", QUIET, None
        axis.major_label_text_color = INK
    return made


class Curve:
    """Two figures of every iteration against work or time."""

    def __init__(self, title: str, width: int, height: int, left: str, right: str, from_zero: bool = False) -> None:
        self.source = ColumnDataSource({"x": [], "work": [], "left": [], "right": []})
        self.figure = curve(title, width, height, left, right)
        ranges = (self.figure.y_range, self.figure.extra_y_ranges["right"])
        for name, colour, its in (("left", BLUE, ranges[0]), ("right", ORANGE, ranges[1])):
            options: dict[str, Any] = {} if name == "left" else {"y_range_name": "right"}
            lines = [self.figure.line("x", name, source=self.source, color=colour, line_width=1.8, **options)]
            if not from_zero:
                lines.append(self.figure.scatter("x", name, source=self.source, color=colour, size=4, **options))
            its.renderers = lines
            if from_zero:
                its.start = 0

    def show(
        self, rows: Sequence[dict[str, Any]], against: str, left: Callable[[Any], float], right: Callable[[Any], float]
    ) -> None:
        """All of a run."""
        x, label = AXES[against]
        self.source.data = {
            "x": [row[x] for row in rows], "work": [row["work"] for row in rows],
            "left": [left(row) for row in rows], "right": [right(row) for row in rows],
        }  # fmt: skip
        self.figure.xaxis.axis_label = label
        self.figure.xaxis[0].ticker.min_interval = 1.0 if against == "iteration" else 0.0


class Losses:
    """Loss and validation of the fit; the finish, whose loss is that of more electrons, is a band that says so."""

    def __init__(self, width: int, height: int) -> None:
        self.curve = Curve("loss and validation", width, height, "loss (nats per pattern)", "validation")
        self.band = BoxAnnotation(fill_color=GREEN, fill_alpha=0.12, visible=False)
        self.word = Label(
            x=0, y=6, y_units="screen", text="", text_font_size="9pt", text_color=GREEN, visible=False, x_offset=4
        )
        self.curve.figure.add_layout(self.band)
        self.curve.figure.add_layout(self.word)

    @property
    def figure(self) -> Any:
        """The figure."""
        return self.curve.figure

    def show(self, rows: Sequence[dict[str, Any]], against: str) -> None:
        """All of a run but its start, whose loss hides the rest."""
        fit = [row for row in rows if row["stage"] == "fit" and row["iteration"] > 0]
        self.curve.show(fit, against, lambda row: row["loss"], lambda row: row["validation"])
        held_out = any(math.isfinite(row["validation"]) for row in fit)
        self.figure.right[0].visible = held_out
        title_of(self.figure, "loss and validation" if held_out else "loss")
        finish = [row[AXES[against][0]] for row in rows if row["stage"] == "finish"]
        self.band.visible = self.word.visible = bool(finish)
        if finish and fit:
            start = fit[-1][AXES[against][0]]
            self.band.update(left=start, right=finish[-1])
            self.word.update(x=start, text="finish: all electrons")


class Workers:
    """Seconds of every worker in the last iteration, added up over its threads."""

    def __init__(self, width: int, height: int) -> None:
        self.source = ColumnDataSource({"worker": [], **{name: [] for name in SECONDS}})
        self.figure = figure(
            width=width, height=height, y_range=FactorRange(), x_range=Range1d(0, 1), tools="hover",
            toolbar_location=None, tooltips="@worker: $name @$name{0.00} s",
        )  # fmt: skip
        title_of(self.figure, "seconds of threads, last iteration")
        self.figure.hbar_stack(
            list(SECONDS), y="worker", height=0.6, color=list(SECONDS.values()), source=self.source,
            legend_label=list(SECONDS),
        )  # fmt: skip
        legend = self.figure.legend[0]
        legend.orientation, legend.border_line_color, legend.padding, legend.spacing = "horizontal", None, 0, 12
        legend.label_text_font_size, legend.glyph_width, legend.glyph_height = "9pt", 12, 12
        self.figure.legend.location = "top_left"
        self.figure.add_layout(legend, "below")
        self.figure.grid.visible = False
        self.figure.outline_line_color = self.figure.border_fill_color = self.figure.background_fill_color = None
        self.figure.xaxis.minor_tick_line_color = None

    def show(self, row: dict[str, Any] | None, name_of: Callable[[str], str]) -> None:
        """The last iteration."""
        found = [] if row is None else list(row["by_worker"])
        found.sort(key=lambda its: -sum(its[f"seconds_{name}"] for name in SECONDS))
        found = found[:MOST_WORKERS]
        names = [name_of(its["worker"]) for its in found]
        self.source.data = {"worker": names, **{n: [its[f"seconds_{n}"] for its in found] for n in SECONDS}}
        if list(self.figure.y_range.factors) != names[::-1]:
            self.figure.y_range.factors = names[::-1]
        most = max((sum(its[f"seconds_{n}"] for n in SECONDS) for its in found), default=1.0)
        self.figure.x_range.end = 1.05 * most or 1.0
