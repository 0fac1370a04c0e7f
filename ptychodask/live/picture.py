"""What a page shows of a state, made on a worker: a down-sampled phase, its power spectrum, and the probe's modes.

Tiles are down-sampled where they are, each on the pixels of one grid, and put together: a pixel of the picture is the
mean over the same pixels of the object however that is cut into tiles.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array import to_host
from ..analysis.frc import remove_plane, tukey_window
from ..model.scan import Canvas
from ..model.state import State, TileState
from ..model.tiles import Rect
from ..physics.constraints import phase_of
from ..viz.draw import wave_rgb

SIDE = 512
"""Pixels of a picture, at most."""
SPECTRUM = 512
"""Object pixels of a side of which a spectrum is taken, at most."""
MODES = 4
"""Of a probe that are shown."""


@dataclass(frozen=True)
class Frame:
    """What is shown of a canvas.

    Parameters
    ----------
    canvas : Canvas
    scan : Rect
        Pixels that the scan covers.
    tiles : tuple of Rect
        Cores of the tiles, which partition the canvas.
    """

    canvas: Canvas
    scan: Rect
    tiles: tuple[Rect, ...]

    @property
    def factor(self) -> int:
        """Pixels of the object along one of the picture."""
        return -(-max(self.canvas.shape) // SIDE)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture; the last ones may stand for fewer pixels."""
        height, width = self.canvas.shape
        return -(-height // self.factor), -(-width // self.factor)

    @property
    def middle(self) -> tuple[int, Rect]:
        """The tile, and the pixels of it, of which the spectrum is taken: in the middle of the scan."""
        y, x = (self.scan.y0 + self.scan.y1) // 2, (self.scan.x0 + self.scan.x1) // 2
        h, w = (min(SPECTRUM, n) // 2 for n in self.scan.shape)
        wanted = Rect(y - h, y + h, x - w, x + w)
        parts = [(t, tile.common(wanted)) for t, tile in enumerate(self.tiles)]
        return max(((t, part) for t, part in parts if part is not None), key=lambda found: found[1].area)


@dataclass(frozen=True)
class Piece:
    """Of one tile: sums of the phase on pixels of the picture from ``corner`` on, and the spectrum where it is its."""

    corner: tuple[int, int]
    sums: np.ndarray
    power: np.ndarray | None
    seconds: float


def piece(state: TileState, frame: Frame, index: int) -> Piece:
    """What a tile adds to the picture."""
    began, core = time.perf_counter(), frame.tiles[index]
    phase = np.asarray(to_host(phase_of(state.object))).sum(axis=0, dtype=np.float32)
    sums = phase
    for axis, start in enumerate(core.corner):
        # rows up to the next multiple of the factor make the first pixel
        starts = np.unique(np.maximum(np.arange(start // frame.factor * frame.factor, start + phase.shape[axis],
                                                frame.factor), start) - start)  # fmt: skip
        sums = np.add.reduceat(sums, starts, axis=axis)
    owner, part = frame.middle
    power = _power(phase[part.inside(core.corner)]) if owner == index else None
    corner = (core.y0 // frame.factor, core.x0 // frame.factor)
    return Piece(corner, sums, power, time.perf_counter() - began)


def _power(phase: np.ndarray) -> np.ndarray:
    """``|FFT|^2 / n`` in rad^2 of an image without its plane under a Hann window, zero frequency in the centre."""
    window = tukey_window(phase.shape, 1)
    wave = np.fft.fft2(remove_plane(phase.astype(np.float64)) * window)
    return np.fft.fftshift(wave.real**2 + wave.imag**2).astype(np.float32) / phase.size


def picture(pieces: Sequence[Piece], shared: State, frame: Frame) -> dict[str, Any]:
    """All that a page shows of a state.

    Returns
    -------
    dict
        ``phase`` [h, w] in rad with its ``edges`` (left, right, bottom, top) in angstrom, and those of the ``scan``;
        ``limits`` of grey in rad; ``power`` [ky, kx], decades, up to ``reach`` (ky, kx) in 1/angstrom; ``modes``,
        colours uint8 [N, N, 4] each, their ``shares`` of the power and ``width`` in angstrom; ``seconds`` of work.
    """
    began, factor, canvas = time.perf_counter(), frame.factor, frame.canvas
    phase = np.zeros(frame.shape, np.float32)
    for its in pieces:
        (y, x), (h, w) = its.corner, its.sums.shape
        phase[y : y + h, x : x + w] += its.sums
    counts = [np.minimum(factor, n - factor * np.arange(-(-n // factor))) for n in canvas.shape]
    phase /= np.outer(*counts)
    inside = phase[frame.scan.y0 // factor : -(-frame.scan.y1 // factor),
                   frame.scan.x0 // factor : -(-frame.scan.x1 // factor)]  # fmt: skip
    low, high = (float(v) for v in np.percentile(inside, (0.5, 99.7)))
    power = next(its.power for its in pieces if its.power is not None)
    modes, shares = _modes(np.asarray(to_host(shared.model.probe)))
    made = {
        "phase": phase,
        "edges": edges(canvas, Rect(0, factor * phase.shape[0], 0, factor * phase.shape[1])),
        "scan": edges(canvas, frame.scan),
        "limits": (low, high if high > low else low + 1e-6),
        "power": np.log10(np.maximum(power, 1e-12)),
        "reach": tuple(0.5 / canvas.pixel for _ in range(2)),
        "modes": modes,
        "shares": shares,
        "width": shared.model.probe.shape[-1] * canvas.pixel,
    }
    return {**made, "seconds": sum(its.seconds for its in pieces) + time.perf_counter() - began}


def edges(canvas: Canvas, rect: Rect) -> tuple[float, float, float, float]:
    """Edges (left, right, bottom, top) of pixels in angstrom; y increases downward."""
    y, x = (canvas.origin[axis] - canvas.pixel / 2 for axis in (0, 1))
    p = canvas.pixel
    return x + p * rect.x0, x + p * rect.x1, y + p * rect.y1, y + p * rect.y0


def _modes(probe: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Colours of each mode, brightness by amplitude and hue by phase, and its share of the power."""
    power = (np.abs(probe) ** 2).sum(axis=(1, 2))
    stride = -(-probe.shape[-1] // 160)
    colours = []
    for mode in probe[:MODES, ::stride, ::stride]:
        amplitude = np.abs(mode)
        bright = float(np.percentile(amplitude, 99.9)) or float(amplitude.max())
        rgb = (255 * wave_rgb(mode, bright)).astype(np.uint8)
        colours.append(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]))
    return colours, [float(share) for share in power / power.sum()]
