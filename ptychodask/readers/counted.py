"""From what a file holds to square patterns of counts: gain, orientation, padding. One convention, said here.

Patterns are stored in the order of rows and columns in which the file has them: its first row is row 0 of ky, its first
column is column 0 of kx. Nothing is flipped by format. Who needs it flips, transposes or rotates, in this order; the
pixel N/2, where zero angle stands, stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..counts.electrons import Levels
from .reader import Reader


@dataclass(frozen=True)
class Orientation:
    """What is done with every pattern: rows reversed, then rows and columns exchanged, then turned by 180 degrees."""

    flip: bool = False
    transpose: bool = False
    rotate180: bool = False

    def applied(self, counts: np.ndarray) -> np.ndarray:
        """Counts [..., N, N] in the orientation that is wanted."""
        if self.flip:
            counts = _reversed(counts, -2)
        if self.transpose:
            counts = counts.swapaxes(-2, -1)
        if self.rotate180:
            counts = _reversed(_reversed(counts, -2), -1)
        return counts

    def __str__(self) -> str:
        done = [name for name in ("flip", "transpose", "rotate180") if getattr(self, name)]
        return ", ".join(done) or "as in the file"


def _reversed(counts: np.ndarray, axis: int) -> np.ndarray:
    """Reversed around pixel N/2."""
    return np.roll(np.flip(counts, axis), 1 - counts.shape[axis] % 2, axis)


@dataclass(frozen=True)
class Counted:
    """Counts (scan_y, scan_x, N, N) of a reader, as an array that is read in boxes of the scan.

    Parameters
    ----------
    reader : Reader
    gain : float, optional
        ADU per electron: counts are the rounded quotient, at least 0. Without it values are whole numbers.
    orientation : Orientation
    levels : Levels, optional
        Counts are what these say of the values, instead of a quotient.
    dark, flat : float array [ky, kx], optional
        Subtracted from the values of the file, which are then divided by the flat field; in its own orientation. Pixels
        in which these are not finite, or the flat field is not above 0, are not used.
    """

    reader: Reader
    gain: float | None = None
    orientation: Orientation = field(default_factory=Orientation)
    levels: Levels | None = None
    dark: np.ndarray | None = field(default=None, compare=False)
    flat: np.ndarray | None = field(default=None, compare=False)
    ndim = 4

    @property
    def pixels(self) -> int:
        """Side N of the patterns: even, and none of the detector's pixels is left out."""
        longest = max(self.reader.shape[2:])
        return longest + longest % 2

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.reader.shape[:2], self.pixels, self.pixels)

    @property
    def dtype(self) -> np.dtype:
        """Of the values, before they are electrons."""
        return self.reader.dtype

    @property
    def stored(self) -> str:
        """Type of the counts: a byte where the file has bytes, else two."""
        return "uint8" if self.reader.dtype.itemsize == 1 and not self.measured else "uint16"

    @property
    def measured(self) -> bool:
        """Are values measured, and turned into electrons here?"""
        return self.gain is not None or self.levels is not None

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is read together."""
        return (*self.reader.chunk, *self.shape[2:])

    @property
    def used(self) -> np.ndarray:
        """Pixels [N, N] that the detector has, and that the file does not say are bad."""
        used = self.reader.about.used
        used = np.ones(self.reader.shape[2:], bool) if used is None else used
        if self.dark is not None:
            used = used & np.isfinite(self.dark)
        if self.flat is not None:
            used = used & np.isfinite(self.flat) & (self.flat > 0)
        return self.laid_out(used)

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        """Values of the file in a box of the scan, laid out: they become counts with :meth:`electrons`."""
        (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(box, self.shape, strict=False))
        return self.laid_out(self.reader.read((y0, y1), (x0, x1)))

    def corrected(self, values: np.ndarray) -> np.ndarray:
        """Values [..., N, N] of the file less the dark frame, over the flat field; not a number where these are not."""
        if self.dark is not None:
            values = values - self._dark
        if self.flat is not None:
            values = values * self._sensitivity
        return values

    @cached_property
    def _dark(self) -> np.ndarray:
        return self.laid_out(np.asarray(self.dark, np.float32))

    @cached_property
    def _sensitivity(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return self.laid_out(np.where(np.asarray(self.flat) > 0, 1 / np.asarray(self.flat), np.nan)).astype("f4")

    def electrons(self, values: np.ndarray) -> np.ndarray:
        """Values [..., N, N] as numbers of electrons; rounded where there is a gain, not yet of their type."""
        values = self.corrected(values)
        if self.levels is not None:
            return self.levels.count(values)
        return values if self.gain is None else np.rint(values / np.float32(self.gain))

    def laid_out(self, values: np.ndarray) -> np.ndarray:
        """Values [..., ky, kx] in a square [..., N, N], zero angle as far in the middle as it was, and orientated."""
        n, (ky, kx) = self.pixels, values.shape[-2:]
        if (ky, kx) != (n, n):
            square = np.zeros((*values.shape[:-2], n, n), values.dtype)
            y, x = n // 2 - ky // 2, n // 2 - kx // 2
            square[..., y : y + ky, x : x + kx] = values
            values = square
        return self.orientation.applied(values)
