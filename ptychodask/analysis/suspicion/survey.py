"""A survey with what the dataset says of itself, and all that is suspicious in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...model.optics import Microscope
from ..survey import Lens, Look, disk_bins
from .edge import Disk, fit_disk


@dataclass(frozen=True)
class Survey:
    """What was seen of a dataset, and how it was recorded.

    Parameters
    ----------
    look : Look
        Of all blocks.
    lens : Lens
    weights : array [N, N]
        Detector mask, corner-centred.
    microscope : Microscope
        As the job has it.
    angular_step_mrad : float
    positions : array [J, 2]
        Recorded positions (y, x) in angstrom.
    scan_shape : (int, int)
    thickness_angstrom : float
        0 where it is not known.
    centre : (float, float)
        Where the disk is from zero angle in pixels (y, x), as far as the reconstruction knows.
    """

    look: Look
    lens: Lens
    weights: np.ndarray
    microscope: Microscope
    angular_step_mrad: float
    positions: np.ndarray
    scan_shape: tuple[int, int]
    thickness_angstrom: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)

    @property
    def radius(self) -> float:
        """Of the bright-field disk in pixels, as the dataset says."""
        return self.lens.radius

    @cached_property
    def pattern(self) -> np.ndarray:
        """Sum of all patterns [N, N], as stored: zero angle in the centre."""
        return np.fft.fftshift(self.look.pattern)

    @cached_property
    def disk(self) -> Disk | None:
        """Bright-field disk of the summed patterns."""
        return fit_disk(self.pattern, self.used, self.radius)

    @cached_property
    def used(self) -> np.ndarray:
        """Pixels in use [N, N], as stored."""
        return np.fft.fftshift(self.weights) > 0

    @cached_property
    def totals(self) -> np.ndarray:
        """Electrons of every pattern (scan_y, scan_x); NaN for those that are left out."""
        totals = np.full(self.scan_shape, np.nan)
        totals.ravel()[self.look.positions] = self.look.totals
        return totals

    @cached_property
    def disks(self) -> np.ndarray:
        """Patterns of the region in bins of the disk [Y, X, K]; NaN for those that are left out."""
        y0, y1, x0, x1 = self.lens.region
        disks = np.full((y1 - y0, x1 - x0, self.look.disks.shape[1]), np.nan, np.float32)
        y, x = np.divmod(self.look.inner, self.scan_shape[1])
        disks[y - y0, x - x0] = self.look.disks
        return disks


def bins_of(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """Mean place (y, x) from zero angle, in pixels, of the pixels in use of every bin of the disk [K, 2], and how many
    these are [K]."""
    n = len(survey.weights)
    bins, number = disk_bins(n, survey.radius)
    f = np.rint(np.fft.fftfreq(n) * n)
    used = (bins >= 0) & (survey.weights > 0)
    label = bins[used]
    pixels = np.maximum(np.bincount(label, minlength=number), 1)
    y, x = (np.broadcast_to(axis, (n, n))[used] for axis in (f[:, None], f[None, :]))
    return np.stack([np.bincount(label, axis, number) / pixels for axis in (y, x)], axis=1), pixels
