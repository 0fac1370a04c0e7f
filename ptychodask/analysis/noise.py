"""Signal and noise of a phase by frequency: from the electrons where the spectral prior says, else from the image.

With a result of the spectral prior both follow of dose, information and prior (``transfer``). Otherwise the image's
transfer is not known and taken to be 1, and its noise is read off: the power of what is left when the mean of the cells
is taken away, in rings, times c / (c - 1) for c cells. That counts as noise whatever differs between cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.signal.windows import hann

from .frc import remove_plane
from .spectrum import pixel_size
from .transfer import Transfer

Floats = NDArray[np.floating]

_LEAST = 0.15
"""Of the transfer: what the image shows less of is not divided back further."""
_RING = 0.02
"""1/angstrom: width of the rings in which noise is read off."""


@dataclass(frozen=True)
class Conditions:
    """What an image does to a change, and its noise.

    Parameters
    ----------
    transfer : Transfer, optional
        Of a result of the spectral prior.
    rings, levels : array (R,)
        Noise that was read off where there is no transfer: 1/angstrom, rad^2 per pixel.
    """

    transfer: Transfer | None
    rings: Floats
    levels: Floats

    @property
    def counted(self) -> bool:
        """Does the noise follow of dose, information and prior?"""
        return self.transfer is not None

    def gain(self, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """H on the frequencies of a real transform [h, w // 2 + 1]."""
        if self.transfer is None:
            return np.ones((shape[0], shape[1] // 2 + 1))
        return self._spread(self.transfer.whole, shape, steps)

    def white(self, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """Noise before the prior, n of ``transfer``."""
        if self.transfer is None:
            k = np.hypot(fft.fftfreq(shape[0], steps[0])[:, None], fft.rfftfreq(shape[1], steps[1])[None])
            return np.interp(k, self.rings, self.levels)
        return self._spread(self.transfer.noise, shape, steps)

    def power(self, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """Of the image's noise, rad^2 per pixel."""
        return self.gain(shape, steps) ** 2 * self.white(shape, steps)

    def whitened(self, values: Floats, steps: tuple[float, float]) -> Floats:
        """An image (h, w) as the matched filter wants it: ``1 / (H n)`` applied."""
        shape = (values.shape[0], values.shape[1])
        gain = np.maximum(self.gain(shape, steps), _LEAST)
        return fft.irfft2(fft.rfft2(values) / (gain * self.white(shape, steps)), shape)

    def _spread(self, values: Floats, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """A map on the frequencies of the window, on those of another shape."""
        assert self.transfer is not None
        side, own = self.transfer.side, self.transfer.pixel
        ky = fft.fftfreq(shape[0], steps[0]) * side * own[0]
        kx = fft.rfftfreq(shape[1], steps[1]) * side * own[1]
        full = np.pad(values, ((0, 0), (0, 1)), mode="edge")
        rows = np.mod(ky, side)
        return ndimage.map_coordinates(
            np.concatenate([full, full[:1]]), np.meshgrid(rows, np.minimum(kx, side // 2), indexing="ij"), order=1
        )


def read_off(left: xr.DataArray, cells: float) -> Conditions:
    """Conditions from an image (y, x) less the mean of so many cells."""
    steps = pixel_size(left)
    values = remove_plane(np.asarray(left.values, float))
    window = np.outer(hann(values.shape[0], sym=False), hann(values.shape[1], sym=False))
    power = np.abs(fft.rfft2(values * window)) ** 2 / np.sum(window**2) * cells / max(cells - 1, 1)
    k = np.hypot(fft.fftfreq(values.shape[0], steps[0])[:, None], fft.rfftfreq(values.shape[1], steps[1])[None])
    width = max(_RING, 2 / min(n * d for n, d in zip(values.shape, steps, strict=True)))
    index = (k / width).astype(int)
    total, count = np.bincount(index.ravel(), power.ravel()), np.bincount(index.ravel())
    known = np.flatnonzero(count)
    levels = total[known] / count[known]
    return Conditions(None, (known + 0.5) * width, np.maximum(levels, 1e-4 * levels.max() + 1e-300))
