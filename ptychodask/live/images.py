"""The page's images: phase, power spectrum, probe. Bokeh draws y upward, so rows are turned and y is negative here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    LinearColorMapper,
    Range1d,
    RangeSlider,
)
from bokeh.palettes import Greys256, Magma256
from bokeh.plotting import figure

INK, QUIET = "#1d2733", "#6b7785"
RINGS = (5.0, 2.0, 1.0, 0.7, 0.5)
"""Angstrom: rings drawn on a spectrum, of which two or so are in sight."""
_CONTRAST = """
const [low, high] = [limits.data.low[0], limits.data.high[0]], [from, to] = slider.value
mapper.low = low + from * (high - low)
mapper.high = low + Math.max(to, from + 0.01) * (high - low)
"""

_BAR_COLUMNS = ("x0", "x1", "y", "middle", "text", "left", "right", "low", "high")
_BAR = """
const width = x.end - x.start, most = 0.25 * width, decade = 10 ** Math.floor(Math.log10(most))
const length = Math.max(...[1, 2, 5].map((m) => m * decade).filter((l) => l <= most * 1.000001))
const left = x.start + 0.045 * width, height = y.end - y.start
const text = unit == "Å" && length >= 10 ? `${+(length / 10).toPrecision(3)} nm` : `${+length.toPrecision(3)} ${unit}`
source.data = {
  x0: [left], x1: [left + length], y: [y.start + 0.045 * height], middle: [left + length / 2], text: [text],
  left: [left - 0.02 * width], right: [left + length + 0.02 * width],
  low: [y.start + 0.02 * height], high: [y.start + 0.06 * height + label * height],
}
"""


def title_of(figure: Any, text: str) -> None:
    """In the report's hand."""
    figure.title.text, figure.title.text_font_size, figure.title.text_color = text, "11pt", INK


def bare(title: str, side: int, tools: str, **options: Any) -> Any:
    """A square figure for an image that carries a scale bar."""
    made = figure(
        frame_width=side, frame_height=side, tools=tools, active_scroll="wheel_zoom" if "wheel" in tools else None,
        x_range=Range1d(0, 1), y_range=Range1d(-1, 0), background_fill_color="black", toolbar_location="above",
        **options,
    )  # fmt: skip
    title_of(made, title)
    made.toolbar.logo = None
    made.border_fill_color = None
    made.axis.visible = False
    made.grid.visible = False
    made.outline_line_color = INK
    return made


def scale_bar(figure: Any, unit: str) -> CustomJS:
    """White bar of a round length in ``unit`` that follows pan and zoom; returns what draws it first.

    Bokeh's own knows no angstrom.
    """
    source = ColumnDataSource({name: [] for name in _BAR_COLUMNS})
    figure.quad(left="left", right="right", bottom="low", top="high", source=source, color="black", alpha=0.5)
    figure.segment(x0="x0", x1="x1", y0="y", y1="y", source=source, color="white", line_width=4)
    figure.text(
        x="middle", y="y", text="text", source=source, text_color="white", text_font_size="11pt", y_offset=-5,
        text_font_style="bold", text_align="center",
    )  # fmt: skip
    draw = CustomJS(
        args={
            "x": figure.x_range,
            "y": figure.y_range,
            "source": source,
            "unit": unit,
            "label": 22 / figure.frame_height,
        },
        code=_BAR,
    )
    for its in (figure.x_range, figure.y_range):
        its.js_on_change("start", draw)
        its.js_on_change("end", draw)
    return draw


def aim(figure: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Show this part, in a square; the reset button returns to it."""
    half = max(x[1] - x[0], y[1] - y[0]) / 2
    for its, (low, high) in ((figure.x_range, x), (figure.y_range, y)):
        middle = (low + high) / 2
        its.update(start=middle - half, end=middle + half)
        its.reset_start, its.reset_end = middle - half, middle + half


class Phase:
    """The phase in grey with a colour bar, pan, zoom, values under the pointer and a slider of contrast."""

    def __init__(self, side: int) -> None:
        self.source = ColumnDataSource({"phase": [], "x": [], "y": [], "w": [], "h": []})
        self.limits = ColumnDataSource({"low": [0.0], "high": [1.0]})
        mapper = LinearColorMapper(palette=Greys256, low=0, high=1)
        self.figure = bare("phase", side, "pan,wheel_zoom,box_zoom,reset,save")
        image = self.figure.image("phase", x="x", y="y", dw="w", dh="h", source=self.source, color_mapper=mapper)
        down = CustomJSHover(code="return (-value).toFixed(1)")
        tips = [("y, x", "$y{custom}, $x{0.0} Å"), ("phase", "@phase{0.000} rad")]
        self.figure.add_tools(HoverTool(tooltips=tips, formatters={"$y": down}, renderers=[image]))
        self.figure.add_layout(
            ColorBar(color_mapper=mapper, width=10, padding=4, title="rad", background_fill_color=None), "right"
        )
        self.bar = scale_bar(self.figure, "Å")
        self.slider = RangeSlider(
            start=-0.5, end=1.5, step=0.01, value=(0.0, 1.0), width=side, show_value=False,
            title="contrast: from black to white, as a share of the range of the scanned area",
        )  # fmt: skip
        change = CustomJS(args={"limits": self.limits, "slider": self.slider, "mapper": mapper}, code=_CONTRAST)
        self.slider.js_on_change("value", change)
        self.limits.js_on_change("data", change)

    def show(self, picture: dict[str, Any], first: bool) -> None:
        """A new picture; the first of a run says what is in sight."""
        left, right, bottom, top = picture["edges"]
        low, high = picture["limits"]
        self.source.data = {
            "phase": [picture["phase"][::-1]], "x": [left], "y": [-bottom], "w": [right - left], "h": [bottom - top],
        }  # fmt: skip
        self.limits.data = {"low": [low], "high": [high]}
        title_of(self.figure, f"phase, iteration {picture['iteration']}")
        if first:
            left, right, bottom, top = picture["scan"]
            rim = 0.02 * max(right - left, bottom - top)
            aim(self.figure, (left - rim, right + rim), (-bottom - rim, -top + rim))


class PowerSpectrum:
    """Power in decades, with rings at lengths and at the widest angle between two beams of the probe."""

    def __init__(self, side: int) -> None:
        self.source = ColumnDataSource({"power": [], "x": [], "y": [], "w": [], "h": []})
        self.rings = ColumnDataSource({name: [] for name in ("q", "x", "y", "text", "dash")})
        self.mapper = LinearColorMapper(palette=Magma256, low=0, high=1)
        self.figure = bare("power spectrum", side, "pan,wheel_zoom,reset")
        self.figure.image("power", x="x", y="y", dw="w", dh="h", source=self.source, color_mapper=self.mapper)
        self.figure.circle(
            x=0, y=0, radius="q", source=self.rings, fill_color=None, line_color="white", line_alpha=0.6,
            line_dash="dash",
        )  # fmt: skip
        self.figure.text(
            x="x", y="y", text="text", source=self.rings, text_color="white", text_font_size="9pt",
            text_baseline="middle", text_align="center",
        )  # fmt: skip
        self.bar = scale_bar(self.figure, "1/Å")

    def show(self, picture: dict[str, Any], about: dict[str, Any], first: bool) -> None:
        """A new picture."""
        power, (qy, qx), cutoff = picture["power"], picture["reach"], 2 * about["cutoff_per_angstrom"]
        self.source.data = {"power": [power[::-1]], "x": [-qx], "y": [-qy], "w": [2 * qx], "h": [2 * qy]}
        seen = min(1.5 * cutoff, qy, qx)
        part = tuple(slice(int(n * (0.5 - s)), int(n * (0.5 + s)) + 1)
                     for n, s in zip(power.shape, (seen / qy / 2, seen / qx / 2), strict=True))  # fmt: skip
        low, high = np.percentile(power[part], (30, 99.9))
        self.mapper.update(low=float(low), high=float(max(high, low + 0.1)))
        if first:
            diagonal, away = math.sqrt(0.5), 0.05 * seen
            rings = [(1 / d, f"{d:g} Å", "solid", 1) for d in RINGS if seen / 6 < 1 / d < 1.2 * seen]
            rings.append((cutoff, "2α", "dashed", -1))
            self.rings.data = {
                "q": [q for q, *_ in rings], "x": [q * diagonal + away for q, *_ in rings],
                "y": [(q * diagonal + away) * side for q, *_, side in rings], "text": [t for _, t, *_ in rings],
                "dash": [dash for _, _, dash, _ in rings],
            }  # fmt: skip
            aim(self.figure, (-seen, seen), (-seen, seen))


class Probe:
    """The modes beside each other: brightness is the amplitude, hue the phase, a text the share of the power."""

    def __init__(self, side: int) -> None:
        self.source = ColumnDataSource({"image": [], "x": [], "y": [], "w": []})
        self.texts = ColumnDataSource({"x": [], "y": [], "text": []})
        self.figure = bare("probe", side, "pan,wheel_zoom,reset")
        self.figure.image_rgba("image", x="x", y="y", dw="w", dh="w", source=self.source)
        self.figure.text(
            x="x", y="y", text="text", source=self.texts, text_color="white", text_font_size="9pt", x_offset=5,
            y_offset=4, text_baseline="top",
        )  # fmt: skip
        self.bar = scale_bar(self.figure, "Å")

    def show(self, picture: dict[str, Any], first: bool) -> None:
        """A new picture."""
        modes, shares, width = picture["modes"], picture["shares"], picture["width"]
        across = int(np.ceil(np.sqrt(len(modes))))
        at = [(m % across * 1.03 * width, -(m // across + 1) * 1.03 * width) for m in range(len(modes))]
        words = [np.ascontiguousarray(mode[::-1]).view(np.uint32)[..., 0] for mode in modes]
        self.source.data = {
            "image": words, "x": [x for x, _ in at], "y": [y for _, y in at], "w": [width] * len(at),
        }  # fmt: skip
        self.texts.data = {
            "x": [x for x, _ in at], "y": [y + width for _, y in at],
            "text": [f"{100 * share:.0f} %" for share in shares[: len(at)]],
        }  # fmt: skip
        hidden = f", {len(modes)} of {len(shares)} modes" if len(shares) > len(modes) else ""
        title_of(self.figure, f"probe: amplitude, hue is phase{hidden}")
        if first:
            down = -(-len(modes) // across)
            aim(self.figure, (0.0, across * 1.03 * width), (-down * 1.03 * width, 0.0))
