"""Virtual detectors: what of a pattern counts for an image, and the phase of the centre of mass."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arguments as arguments
from .._errors import InputError
from ..model.optics import Microscope
from ..model.scan import Detector
from .grid import Grid

Floats = NDArray[np.floating]
RESERVED = ("com_y", "com_x", "icom", "parallax", "parallax_phase", "pattern", "electrons")
"""Names of images that are no detectors'."""


@dataclass(frozen=True)
class Virtual:
    """A virtual detector.

    Parameters
    ----------
    name : str
    weights : float64 array [N, N]
        Corner-centred.
    between : (float, float) or None
        Inner and outer angle in mrad, of an annulus.
    """

    name: str
    weights: Floats
    between: tuple[float, float] | None = None

    @property
    def about(self) -> str:
        """Its angles, in words."""
        return "a mask" if self.between is None else f"{self.between[0]:.4g} to {self.between[1]:.4g} mrad"


def angles(detector: Detector) -> tuple[Floats, Floats]:
    """Angles (y, x) of the pixels in mrad, [N, 1] and [1, N], corner-centred."""
    along = np.fft.fftfreq(detector.pixels) * detector.pixels * detector.angular_step_mrad
    return along[:, None], along[None, :]


def annulus(detector: Detector, name: str, inner: float, outer: float) -> Virtual:
    """Pixels whose centres are at ``inner <= angle < outer`` mrad; whole pixels, since electrons are."""
    theta = np.hypot(*angles(detector))
    return Virtual(name, ((theta >= inner) & (theta < outer)).astype(float), (inner, outer))


def detectors(
    microscope: Microscope, detector: Detector, annuli: Sequence[Any], masks: Mapping[str, Any], used: NDArray[np.bool_]
) -> list[Virtual]:
    """Bright field, annular bright field, dark field, and those that are asked for.

    The dark field starts a pixel outside of the disk, whose edge is in neither image, and ends where the detector does
    along its axes.

    Parameters
    ----------
    annuli : sequence of (float, float)
        Inner and outer angle in mrad.
    masks : mapping of array [N, N]
        Weights with zero angle in the centre, as the counts are stored.
    used : bool array [N, N]
        Pixels that count, corner-centred.

    Raises
    ------
    InputError
        For angles or masks that cannot be.
    """
    alpha, step, most = microscope.semi_angle_mrad, detector.angular_step_mrad, detector.max_angle_mrad
    found = [
        annulus(detector, "bf", 0.0, alpha),
        annulus(detector, "abf", 0.5 * alpha, alpha),
        annulus(detector, "adf", min(alpha + step, most), most),
    ]
    corner = math.sqrt(2) * most
    for i, given in enumerate(annuli):
        wanted = f"inner and outer angle in mrad (the detector's corners are at {corner:.4g} mrad)"
        inner, outer = arguments.pair(given, f"annuli[{i}]", wanted, 0.0)
        if not inner < outer or inner >= corner:
            raise InputError(f"annuli[{i}] = {inner:g}, {outer:g}: give {wanted}, the inner one below both")
        found.append(annulus(detector, f"annulus_{inner:g}_{outer:g}", inner, outer))
    for name, mask in masks.items():
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            raise InputError(f"masks has the name {name!r}: give letters, digits and _, which an image can be called")
        wanted = "weights of the detector pixels (ky, kx), zero angle in the centre"
        values = arguments.real_array(mask, f"masks[{name!r}]", (detector.pixels,) * 2, wanted).astype(float)
        if not np.isfinite(values).all():
            raise InputError(f"masks[{name!r}] holds {int((~np.isfinite(values)).sum())} numbers that are not finite")
        found.append(Virtual(name, np.fft.ifftshift(values)))
    names = [each.name for each in found]
    if twice := sorted({n for n in names if names.count(n) > 1 or n in RESERVED}):
        raise InputError(
            f"there would be two images called {', '.join(twice)}: give each detector once, by its own name"
        )
    empty = [not (each.weights[used] != 0).any() for each in found]
    for each in (each for each, none in zip(found[3:], empty[3:], strict=True) if none):
        raise InputError(
            f"detector {each.name} ({each.about}) has none of the pixels that are used: the detector reaches"
            f" {most:.4g} mrad in steps of {step:.4g} mrad, and its mask may leave some out"
        )
    return [each for each, none in zip(found, empty, strict=True) if not none]


def integrated(com: Floats, wavelength: float, grid: Grid) -> Floats:
    """The phase whose slope is the centre of mass, rad [Oy, Ox], with a mean of 0.

    In focus the centre of mass of a thin specimen's pattern is ``lambda grad(phi) / (2 pi)``, seen by the probe
    (Lazic, Bosch & Lazar, Ultramicroscopy 160, 265, 2016). Integrated by Fourier transforms over the scan and its
    mirror images, so that nothing has to fit together at opposite edges (Bon, Monneret & Wattellier, Applied Optics 51,
    5698, 2012). A constant slope is taken away first: it is the descan's rather than the specimen's.

    Parameters
    ----------
    com : array [2, Oy, Ox]
        (y, x) in mrad, along the axes of the detector; NaN counts as the mean.
    wavelength : float
        Angstrom.
    grid : Grid
        A raster.
    """
    mean = np.nanmean(com, axis=(1, 2))[:, None, None]
    slope = 2e-3 * np.pi / wavelength * np.nan_to_num(com - mean)
    # along the axes of the scan, per pixel
    along = np.einsum("ab,a...->b...", grid.matrix, slope)
    mirrored = []
    for axis, part in enumerate(along):  # a slope changes sign where its own axis is reversed
        for other in (0, 1):
            part = np.concatenate([part, (-1 if other == axis else 1) * np.flip(part, other)], other)
        mirrored.append(np.fft.rfft2(part))
    height, width = 2 * grid.shape[0], 2 * grid.shape[1]
    q = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    # pixels may be oblong: lengths are angstrom
    weight = [1 / step**2 for step in grid.steps]
    power = weight[0] * q[0] ** 2 + weight[1] * q[1] ** 2
    power[0, 0] = 1.0
    spectrum = (weight[0] * q[0] * mirrored[0] + weight[1] * q[1] * mirrored[1]) / (2j * np.pi * power)
    spectrum[0, 0] = 0.0
    phase = np.fft.irfft2(spectrum, (height, width))[: grid.shape[0], : grid.shape[1]]
    return phase - phase.mean()
