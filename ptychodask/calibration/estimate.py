"""From the spectrum of the bright field to the geometry: grid, two candidates, Fisher scoring, twin, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .._errors import InputError
from ..model.geometry import Geometry
from .bright_field import FEW, coarser
from .fit import Fit, fit, scatter, signal
from .phase_map import phase_map, skewness
from .search import Grid, search, strongest
from .weak_phase import Optics, Spectrum

SIGNIFICANT = 50.0
"""Nats of the best point of the grid above the median one that a specimen gives; noise alone stays below 40."""
FEWEST = 8
"""Frequencies with signal from which a geometry can be told."""
FIRST = 120
"""Frequencies of the first fit, the strongest."""
MODEL = 0.03
"""Depths of field by which defocus and astigmatism are off because atoms are no weak phase, whatever the dose; measured
on crystals 34 and 50 angstrom thick, see benchmarks/calibration.py."""
MODEL_SCALE = 0.04
"""Error of the scale of a specimen as thick as the depth of field, likewise."""
CONTRAST = 0.2
"""Usual amplitude contrast in rad, to start with."""


@dataclass(frozen=True)
class Estimate:
    """A geometry with its errors.

    Parameters
    ----------
    held : Fit
        With the scale held.
    free : Fit
        With the scale free too.
    sigma : dict
        Standard errors of what was free, scale included: those of the fit, times what halves of the electrons scatter
        more, if they do; of lengths and the scale with :data:`MODEL` and
        :data:`MODEL_SCALE` added in squares.
    grid : Grid
        Where it started.
    margin : float
        Nats by which its layout (patterns as stored, or transposed) wins; infinite where it was given.
    image : array [Y, X]
        Map of the weak phase.
    skew : float
        Its skewness, which chose between the geometry and its twin; NaN where rotation, defocus or astigmatism were
        given.
    frequencies : int
        With signal.
    """

    held: Fit
    free: Fit
    sigma: dict[str, float]
    grid: Grid
    margin: float
    image: np.ndarray
    skew: float
    frequencies: int


def estimate(
    spectrum: Spectrum,
    optics: Optics,
    semi_angle: float,
    scan_shape: tuple[int, int],
    step: tuple[float, float],
    side: float,
    *,
    thickness: float = 0.0,
    reach: float = 0.0,
    given: Mapping[str, float] | None = None,
    transpose: bool | None = None,
    splits: int = 8,
) -> Estimate:
    """Find the geometry.

    Parameters
    ----------
    spectrum, optics
    semi_angle : float
        rad.
    scan_shape, step
        Of the scan.
    side : float
        Of a bin, 1/angstrom: the search, the first fits and the errors by halves take bins twice as large where there
        are many.
    thickness : float
        Of the specimen, angstrom.
    reach : float
        Defocus in angstrom up to which it is looked for, at least.
    given : mapping
        What is known, by the names of :class:`Geometry`.
    transpose : bool, optional
        Whether rows and columns are exchanged, if that is known.
    splits : int
        Of the electrons in halves, see :func:`~ptychodask.calibration.fit.scatter`.

    Raises
    ------
    InputError
        Where the counts tell no geometry.
    """
    given = dict(given or {})
    start = Geometry(thickness=thickness).set(given)
    rough, blurred = spectrum, optics
    if len(spectrum.k) > FEW:
        rough, blurred = coarser(spectrum, 2 * side), replace(optics, edge=2 * optics.edge)
    grid = search(
        rough,
        blurred,
        start,
        semi_angle,
        reach=reach,
        rotations=[given["rotation"]] if "rotation" in given else _circle() if "defocus" in given else None,
        defoci=[given["defocus"]] if "defocus" in given else None,
        layouts=(False, True) if transpose is None else (transpose,),
    )
    tried = int(np.isfinite(grid.nats).sum())
    if tried > 100 and grid.rise < SIGNIFICANT:
        raise InputError(_nothing(f"the best geometry is {grid.rise:.0f} nats better than others, {SIGNIFICANT:g} are"))

    def of(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name not in given)

    strong = strongest(rough, FIRST)
    firsts = [
        fit(strong, replace(at, eta=CONTRAST), blurred, of("rotation", "defocus", "eta"), iterations=10)
        for at in _candidates(grid, start)
    ]
    firsts.sort(key=lambda found: -found.nats)
    margin = firsts[0].nats - firsts[1].nats if len(firsts) > 1 else math.inf
    at = firsts[0].geometry
    names = of("rotation", "asymmetry", "shear", "defocus", "c12a", "c12b", "eta")
    for _ in range(2):  # what is chosen by a better geometry is a better choice
        chosen = signal(rough, at, blurred)
        if len(chosen) < FEWEST:
            seen = f"{len(chosen)} frequencies of the scan hold signal, {FEWEST} are"
            raise InputError(_nothing(seen))
        at = fit(rough.chosen(chosen), at, blurred, names, enough=0.05).geometry
    names += of("eta2")
    sketch = fit(rough.chosen(chosen), at, blurred, names)
    halves = scatter(rough.chosen(chosen), sketch, blurred, splits=splits)
    fine = spectrum.chosen(chosen)
    held = fit(fine, sketch.geometry, optics, names)
    skew = math.nan
    told = "rotation" in given or any(given.get(name) for name in ("defocus", "c12a", "c12b"))
    if not told:
        skew = skewness(phase_map(spectrum, held.geometry, optics, scan_shape, step))
        if skew < 0:
            held = replace(held, geometry=held.geometry.other_branch)
    free = fit(fine, held.geometry, optics, names + of("scale"))
    # what the parabola of the likelihood misses of the errors is the same share with coarse bins
    excess = {name: max(1.0, halves[name] / max(sketch.sigma(name), 1e-300)) for name in names}
    sigma = {name: held.sigma(name) * excess[name] for name in names}
    sigma |= {name: free.sigma(name) * max(1.0, excess.get("defocus", 1.0)) for name in of("scale")}
    depth = optics.wavelength / semi_angle**2
    sigma |= {name: math.hypot(sigma[name], MODEL * depth) for name in of("defocus", "c12a", "c12b")}
    sigma |= {name: math.hypot(sigma[name], MODEL_SCALE * thickness / depth) for name in of("scale")}
    image = phase_map(spectrum, held.geometry, optics, scan_shape, step)
    return Estimate(held, free, sigma, grid, margin, image, abs(skew), len(chosen))


def _circle() -> list[float]:
    return [math.radians(degrees) for degrees in range(-180, 180, 4)]


def _candidates(grid: Grid, start: Geometry) -> list[Geometry]:
    """The best point of every layout that was tried."""
    found = []
    for layout, nats in enumerate(grid.nats):
        if not np.isfinite(nats).all():
            continue
        r, d = np.unravel_index(int(np.argmax(nats)), nats.shape)
        rotation, defocus = float(grid.rotations[r]), float(grid.defoci[d])
        found.append(replace(start, rotation=rotation, defocus=defocus, transpose=bool(layout)))
    return found


def _nothing(seen: str) -> str:
    return (
        f"the counts tell no geometry: {seen} needed. Is there a specimen, some defocus, and the right scan step?"
        " More positions, more electrons or a defocus of some depths of field help, and so does what is known:"
        " --rotation, --defocus, --transpose"
    )
