"""A synthetic microscope: a crystal by abTEM, seen by a scan, a lens and a detector that are off in every way that is
usual, and written as raw files of several detectors. Who reads the files gets what an operator knows: energy,
semi-angle, nominal step.

The scan is turned, stretched, sheared and may drift from row to row; the lens is defocused and astigmatic, the crystal
tilted; the disk is off centre by a fraction of a pixel and moves over the detector with the scan (descan); the detector
is flipped and transposed, has a gain, read-out noise, a dark frame, hot pixels, and a frame that is larger than what is
lit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ptychodask._array import fft2
from ptychodask.kernels.cpu.scatter import diffract
from ptychodask.model.geometry import SWAP, Geometry
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector, raster
from ptychodask.physics.probe import make_probe
from ptychodask.physics.propagation import fresnel_propagator
from ptychodask.simulation.scattering import (
    BAND_LIMIT,
    Experiment,
    potential_slices,
    projected_phase,
    transmission,
)
from ptychodask.simulation.specimen import Specimen

ENERGY = 300e3
ORIENTATIONS = [(y, x, t) for t in (False, True) for y in (False, True) for x in (False, True)]
"""Rows reversed, columns reversed, then exchanged."""
FINE = 10
"""Parts of a pixel in which the disk moves: patterns of the same part are simulated together."""


@dataclass(frozen=True)
class Setup:
    """What is off.

    Parameters
    ----------
    material, thickness, semi_angle, defocus
        Angstrom, mrad; the defocus is that of the entrance surface.
    side, step : int, float
        Of the scan, its nominal step in angstrom.
    rotation, scale, asymmetry, shear, c12, phi12
        As :class:`ptychodask.model.geometry.Geometry` has them; the rotation in degrees.
    drift : float
        RMS in angstrom of a smooth walk of the rows.
    tilt : (float, float)
        Of the crystal, mrad.
    off : (float, float)
        Centre of the disk from pixel N/2 in pixels (y, x).
    descan : 2 x 2 floats
        Movement of the disk (y, x) in pixels from the first to the last row, and to the last column.
    pixels, angular_step
        Of the part of the detector that is lit.
    wide : float
        Times that part, the detector that is simulated: no wave goes beyond 2/3 of it.
    """

    material: str
    thickness: float = 50.0
    semi_angle: float = 10.0
    defocus: float = 600.0
    side: int = 64
    step: float = 1.05
    dose: float = 100.0
    rotation: float = 30.0
    scale: float = 1.01
    asymmetry: float = 0.02
    shear: float = 0.01
    c12: float = 30.0
    phi12: float = 0.5
    drift: float = 0.0
    tilt: tuple[float, float] = (5.0, -3.0)
    off: tuple[float, float] = (1.3, -2.4)
    descan: tuple[tuple[float, float], tuple[float, float]] = ((1.6, -0.4), (0.5, 1.2))
    pixels: int = 64
    angular_step: float = 0.47
    slice_thickness: float = 4.0
    wide: float = 1.25

    @property
    def geometry(self) -> Geometry:
        """Of scan and lens; the defocus is that of the entrance surface."""
        a, b = (self.c12 * f(2 * self.phi12) for f in (math.cos, math.sin))
        turn = math.radians(self.rotation)
        return Geometry(turn, self.scale, self.asymmetry, self.shear, self.defocus, a, b)

    @property
    def positions(self) -> np.ndarray:
        """[J, 2] in angstrom, in the axes of the detector as it is mounted."""
        found = raster((self.side,) * 2, (self.step,) * 2) @ self.geometry.matrix.T
        return (found + self.rows_off[:, None]).reshape(-1, 2)

    @property
    def rows_off(self) -> np.ndarray:
        """Drift [side, 2] of every row in angstrom."""
        walk = np.random.default_rng(77).standard_normal((self.side, 2)).cumsum(axis=0)
        smooth = np.stack([np.convolve(np.pad(w, 4, mode="edge"), np.ones(9) / 9, "valid") for w in walk.T], axis=1)
        t = np.linspace(-1, 1, self.side)
        for axis in (0, 1):  # a constant drift is a part of the affine map
            smooth[:, axis] -= np.polyval(np.polyfit(t, smooth[:, axis], 1), t)
        return self.drift * smooth / max(float(np.sqrt((smooth**2).sum(axis=1).mean())), 1e-12)

    @property
    def centres(self) -> np.ndarray:
        """Of the disk [side, side, 2] from N/2 in pixels, before the detector is turned."""
        t = np.linspace(0, 1, self.side) - 0.5
        y, x = (self.off[a] + self.descan[0][a] * t[:, None] + self.descan[1][a] * t[None, :] for a in (0, 1))
        return np.stack(np.broadcast_arrays(y, x), axis=-1)


@dataclass(frozen=True)
class Seen:
    """Expected counts (scan_y, scan_x, N, N) before the detector is turned, the true phase, and the thickness."""

    setup: Setup
    expected: np.ndarray
    phase: xr.DataArray
    thickness: float

    def electrons(self, seed: int) -> np.ndarray:
        """Numbers of electrons."""
        return np.random.default_rng(seed).poisson(self.expected).astype(np.uint16)


def look(setup: Setup) -> Seen:
    """Simulate: the crystal once, then every probe, with the disk moved in the detector's plane."""
    at = setup.geometry
    scope = Microscope(ENERGY, setup.semi_angle, {"C10": -setup.defocus, "C12": at.c12, "phi12": at.phi12})
    n = setup.pixels
    detector = Detector(int(n * setup.wide), setup.angular_step)  # a rim that a moving disk needs is cut off below
    specimen = Specimen(setup.material, setup.thickness, 0, 0.1, 0)
    lean = (setup.tilt[0] * 1e-3, setup.tilt[1] * 1e-3)
    electrons = setup.dose * setup.step**2
    experiment = Experiment(specimen, scope, detector, setup.positions, electrons, setup.slice_thickness, lean)
    pieces = list(potential_slices(experiment))
    waves = np.stack([transmission(experiment, potential) for _, potential in pieces])
    canvas, phase = projected_phase(experiment, np.sum([potential for _, potential in pieces], axis=0))
    axes = {axis: ("yx"[i], canvas.coordinates(i), {"units": "angstrom"}) for i, axis in enumerate("yx")}
    thickness = float(sum(dz for dz, _ in pieces))
    return Seen(setup, _patterns(experiment, waves, [dz for dz, _ in pieces], setup),
                xr.DataArray(phase, dims=("y", "x"), coords=axes), thickness)  # fmt: skip


def _patterns(experiment: Experiment, waves: np.ndarray, depths: list[float], setup: Setup) -> np.ndarray:
    big, n = experiment.pixels, setup.pixels
    wavelength = experiment.microscope.wavelength
    propagators = np.empty((len(depths) - 1, big, big), np.complex64)
    for s, dz in enumerate(depths[:-1]):
        propagators[s] = fresnel_propagator(big, experiment.pixel, wavelength, dz, experiment.tilt, BAND_LIMIT)
    probe = make_probe(experiment.microscope, big, experiment.pixel, experiment.electrons)
    centres = experiment.canvas()[1]
    parts = np.rint(setup.centres.reshape(-1, 2) * FINE).astype(int)
    found = np.empty((len(centres), n, n), np.float32)
    r = (np.arange(big) - big // 2) / big
    cut = slice(big // 2 - n // 2, big // 2 - n // 2 + n)
    for part in np.unique(parts, axis=0):
        its = np.flatnonzero((parts == part).all(axis=1))
        y, x = part / FINE
        moved = probe * np.exp(2j * np.pi * (y * r[:, None] + x * r[None, :]))
        its_patterns = diffract(waves, centres[its], fft2(moved[None]).astype(np.complex64), propagators)
        found[its] = np.fft.fftshift(its_patterns, axes=(-2, -1))[:, cut, cut]
    return found.reshape(setup.side, setup.side, n, n)


def turned(patterns: np.ndarray, orientation: tuple[bool, bool, bool]) -> np.ndarray:
    """As a detector that is mounted otherwise has them: reversed about its middle, between two pixels."""
    for reverse, axis in zip(orientation, (-2, -1), strict=False):
        patterns = np.flip(patterns, axis) if reverse else patterns
    return patterns.swapaxes(-2, -1) if orientation[2] else patterns


def to_stored(orientation: tuple[bool, bool, bool]) -> np.ndarray:
    """Matrix [2, 2] from the axes of the detector to those of :func:`turned` patterns."""
    y, x, exchanged = orientation
    flips = np.diag([-1.0 if y else 1.0, -1.0 if x else 1.0])
    return SWAP @ flips if exchanged else flips


def truth_in(phase: xr.DataArray, orientation: tuple[bool, bool, bool], here: np.ndarray, there: np.ndarray) -> Any:
    """The true phase in the axes of turned patterns, point ``here`` (y, x) of it at ``there``."""
    values, axes = phase.values, [phase[axis].values - c for axis, c in zip("yx", here, strict=True)]
    for axis in (0, 1):
        if orientation[axis]:
            values, axes[axis] = np.flip(values, axis), -axes[axis][::-1]
    if orientation[2]:
        values, axes = values.T, axes[::-1]
    coordinates = {axis: a + c for axis, a, c in zip("yx", axes, there, strict=True)}
    return xr.DataArray(values, dims=("y", "x"), coords=coordinates)


# -- detectors: from electrons to a file, and the options that an operator gives --------------------------------------

GAIN, SPREAD, SEPARATION, HOT = 580.0, 0.1, 8.0, 5
"""ADU per electron, its RMS variation, electron over read-out noise, hot pixels."""


def in_frame(counts: np.ndarray, side: int) -> np.ndarray:
    """In the middle of a larger detector."""
    before = side // 2 - counts.shape[-1] // 2
    after = side - before - counts.shape[-1]
    return np.pad(counts, ((0, 0), (0, 0), (before, after), (before, after)))


def measured(counts: np.ndarray, rng: np.random.Generator, dark: np.ndarray | float) -> np.ndarray:
    """ADU float32 of a detector that measures charge."""
    n = counts.shape[-1]
    hot = rng.integers(0, n, (2, HOT))
    found = np.empty(counts.shape, np.float32)
    for row, true in zip(found, counts.astype(np.float32), strict=True):
        row[...] = dark + GAIN * true + GAIN / SEPARATION * rng.standard_normal(true.shape, np.float32)
        row += SPREAD * GAIN * np.sqrt(true) * rng.standard_normal(true.shape, np.float32)
        row[:, hot[0], hot[1]] += GAIN * rng.uniform(1, 4, (len(row), HOT))
    return found


def empad(folder: Path, counts: np.ndarray, rng: np.random.Generator) -> tuple[Path, list[str]]:
    """EMPAD: 128 x 128 float32 and two rows that are no image; the scan is in the name."""
    side_y, side_x, n, _ = counts.shape
    path = folder / f"scan_x{side_x}_y{side_y}.raw"
    values = measured(in_frame(counts, 128), rng, 15.0)
    np.pad(values, ((0, 0), (0, 0), (0, 2), (0, 0))).astype("<f4").tofile(path)
    return path, ["--count", "--crop", str(n)]


def merlin(folder: Path, counts: np.ndarray, rng: np.random.Generator) -> tuple[Path, list[str]]:
    """Merlin: big-endian counts, 12 bit, hot pixels; the scan is in the .hdr file."""
    n, path = counts.shape[-1], folder / "scan.mib"
    noisy = counts.astype(np.int64)
    hot = rng.integers(0, n, (2, HOT))
    noisy[:, :, hot[0], hot[1]] += rng.poisson(3.0, (*counts.shape[:2], HOT))
    frames = noisy.reshape(-1, n, n).astype(">u2")
    with path.open("wb") as file:
        for number, frame in enumerate(frames, 1):
            words = ["MQ1", f"{number:06d}", "00384", "01", f"{n:04d}", f"{n:04d}", "U16", "1x1", "01",
                     "2024-07-02 13:49:15.390226", "0.001000", "0", "0", "0", *["511"] * 20, "MQ1A",
                     "2024-07-02T11:49:15.390226675Z", "1000000ns", "12", ""]  # fmt: skip
            file.write(",".join(words).encode().ljust(384, b"\0") + frame.tobytes())
    lines = ["HDR,\t", f"ScanX:\t{counts.shape[1]}", f"ScanY:\t{counts.shape[0]}", "Counter Depth (number):\t12", "End"]
    path.with_suffix(".hdr").write_text("\n".join(lines))
    return path, ["--mask-bad"]


def npy(folder: Path, counts: np.ndarray, rng: np.random.Generator) -> tuple[Path, list[str]]:
    """ADU in an array, with a dark frame that differs from pixel to pixel, and frames without beam beside it."""
    n, path = counts.shape[-1], folder / "scan.npy"
    dark = 200 + 0.3 * GAIN * rng.standard_normal((n, n))
    np.save(path, measured(counts, rng, dark.astype(np.float32)))
    blank = dark + GAIN / SEPARATION * rng.standard_normal((256, n, n))
    np.save(folder / "dark.npy", blank.astype(np.float32))
    return path, ["--count", "--dark", str(folder / "dark.npy")]


def hdf5(folder: Path, counts: np.ndarray, rng: np.random.Generator) -> tuple[Path, list[str]]:
    """Whole ADU on a pedestal in a stack of frames of 3/2 of the lit rows, a detector that is no square."""
    import h5py

    n, path = counts.shape[-1], folder / "scan.h5"
    wide = np.pad(counts, ((0, 0), (0, 0), (n // 4, n // 4), (0, 0)))
    values = np.rint(measured(wide, rng, 1000.0)).clip(0, 65000).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=values.reshape(-1, *values.shape[2:]))
    return path, ["--count", "--crop", str(n), "--scan", *map(str, counts.shape[:2])]


def tpx3(folder: Path, counts: np.ndarray, rng: np.random.Generator) -> tuple[Path, list[str]]:
    """Hits of Timepix3 in the order of time; a TDC marks the start of every position."""
    n, path, dwell = counts.shape[-1], folder / "scan.tpx3", 6400
    before = 128 - n // 2
    words: list[np.ndarray] = []
    for j, pattern in enumerate(counts.reshape(-1, n, n)):
        y, x = (axis.repeat(pattern[pattern > 0]) + before for axis in np.nonzero(pattern))
        ticks = (j * dwell + np.sort(rng.integers(1, dwell - 1, len(y)))).astype(np.int64)
        order = rng.permutation(len(y))
        y, x = y[order].astype(np.int64), x[order].astype(np.int64)
        arrival, fine = -(-ticks // 16), -ticks % 16
        address = (x // 2) << 9 | (y // 4) << 3 | (x % 2) << 2 | y % 4
        low = address << 44 | (arrival & 0x3FFF) << 30 | 5 << 20 | fine << 16 | (arrival >> 14 & 0xFFFF)
        hits = np.uint64(0xB << 60) | low.astype(np.uint64)
        edge = 0x6F << 56 | (j * dwell // 2 & 0x7FFFFFFFF) << 9
        header = (len(y) + 1) * 8 << 48 | int.from_bytes(b"TPX3", "little")
        words += [np.array([header, edge], np.uint64), hits]
    np.concatenate(words).astype("<u8").tofile(path)
    return path, ["--scan", *map(str, counts.shape[:2]), "--crop", str(n)]


DETECTORS: dict[str, Callable[[Path, np.ndarray, np.random.Generator], tuple[Path, list[str]]]] = {
    "empad": empad, "merlin": merlin, "npy": npy, "hdf5": hdf5, "tpx3": tpx3,
}  # fmt: skip
