"""From what a file holds to square patterns of counts: gain, orientation, padding. One convention, said here.

Patterns are stored in the order of rows and columns in which the file has them: its first row is row 0 of ky, its first
column is column 0 of kx. Nothing is flipped by format. Who needs it flips, transposes or rotates, in this order; the
pixel N/2, where zero angle stands, stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .._errors import InputError
from .._text import first_line
from ..counts.electrons import Levels
from .reader import Reader

SMALLEST = 8
"""Side of patterns; a smaller detector is put into the middle of one, whose rim is not used."""


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
class Frame:
    """Which pixels are kept: the middle of the detector, put together in squares, in a larger square.

    Parameters
    ----------
    crop : int, optional
        Side in the detector's pixels of what is kept about pixel N/2.
    bin : int
        So many pixels along each axis become one: their electrons are added.
    pad : int, optional
        Side of the patterns; there is no detector in their rim.
    """

    crop: int | None = None
    bin: int = 1
    pad: int | None = None

    def side(self, longest: int) -> int:
        """Side of the patterns, even, and no less than a model takes."""
        kept = -(-(self.crop or longest) // self.bin)
        return self.pad or max(SMALLEST, kept + kept % 2)

    def placed(self, values: np.ndarray, side: int) -> np.ndarray:
        """Values [..., ky, kx] in a square of ``side`` pixels, pixel N/2 on pixel side/2, 0 where there are none."""
        found = values
        for axis in (-2, -1):
            n = values.shape[axis]
            most = min(n, self.crop or n, side)
            first = n // 2 - most // 2
            found = np.take(found, range(first, first + most), axis) if most < n else found
            before = side // 2 - most // 2
            if most < side:
                room = [(0, 0)] * values.ndim
                room[axis] = (before, side - most - before)
                found = np.pad(found, room)
        return found

    def shifted(self, values: np.ndarray) -> np.ndarray:
        """Moved by half a bin, so that zero angle is in the middle of one (of an even bin, half a pixel before it)."""
        by = self.bin // 2
        if by == 0:
            return values
        found = np.zeros_like(values)
        found[..., by:, by:] = values[..., :-by, :-by]
        return found

    def together(self, counts: np.ndarray) -> np.ndarray:
        """Electrons [..., N, N] of squares of pixels."""
        if self.bin == 1:
            return counts
        *rest, n, _ = counts.shape
        kind = np.uint32 if counts.dtype.kind in "biu" else counts.dtype
        squares = counts.reshape(*rest, n // self.bin, self.bin, n // self.bin, self.bin)
        return np.asarray(squares.sum(axis=(-3, -1), dtype=kind))

    def whole(self, used: np.ndarray) -> np.ndarray:
        """Squares [N, N] of which all pixels are used."""
        return np.asarray(self.together(used) == self.bin**2)

    def spread(self, used: np.ndarray) -> np.ndarray:
        """Pixels of used squares."""
        return used.repeat(self.bin, axis=0).repeat(self.bin, axis=1)

    def __str__(self) -> str:
        names = (("crop", self.crop), ("bin", None if self.bin == 1 else self.bin), ("pad", self.pad))
        return ", ".join(f"{name} {value}" for name, value in names if value)


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
    frame : Frame
        Which of the detector's pixels are kept, and how many become one.
    dark, flat : float array [ky, kx], optional
        Subtracted from the values of the file, which are then divided by the flat field; in its own orientation. Pixels
        in which these are not finite, or the flat field is not above 0, are not used.
    """

    reader: Reader
    gain: float | None = None
    orientation: Orientation = field(default_factory=Orientation)
    levels: Levels | None = None
    frame: Frame = field(default_factory=Frame)
    dark: np.ndarray | None = field(default=None, compare=False)
    flat: np.ndarray | None = field(default=None, compare=False)
    ndim = 4

    @property
    def pixels(self) -> int:
        """Side of the square in which values of the detector are laid out, before pixels are put together."""
        return self.side * self.frame.bin

    @property
    def side(self) -> int:
        """Side N of the patterns: even, and but for a crop none of the detector's pixels is left out."""
        return self.frame.side(max(self.reader.shape[2:]))

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
        bytes_ = self.reader.dtype.itemsize == 1 and not self.measured and self.frame.bin == 1
        return "uint8" if bytes_ else "uint16"

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
        try:
            values = self.reader.read((y0, y1), (x0, x1))
        except InputError:
            raise
        except Exception as error:  # of a decoder or a library, each has its own
            raise InputError(
                f"the frames of scan rows {y0} to {y1 - 1}, columns {x0} to {x1 - 1}, cannot be read"
                f" ({first_line(error)}): the file is damaged, copy it again"
            ) from error
        return self.laid_out(values)

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
        return self.frame.shifted(self.orientation.applied(self.frame.placed(values, self.pixels)))
