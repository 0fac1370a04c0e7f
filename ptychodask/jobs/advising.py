"""Which optics for a specimen: the formula for all candidates, and short simulated reconstructions of the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import _arguments as arguments
from .._arguments import number
from .._errors import InputError
from ..analysis.advice import (
    AS_GOOD,
    WINDOW_ANGSTROM,
    Optics,
    Pair,
    Task,
    best_pair,
    rank,
    recommended,
    recordable,
    spectrum,
)
from ..distributed.cluster import Client
from ..model.config import JobConfig
from ..model.optics import Microscope
from ..simulation.phase import specimen_phase
from .trial import correlation_with_truth

SEMI_ANGLES_MRAD = (5.0, 7.5, 10.0, 12.5, 15.0, 21.0, 25.0)
DEFOCI_ANGSTROM = (0.0, 300.0, 600.0, 1000.0, 1400.0, 2000.0)
MOST = 1000
"""Candidates that are looked at; each takes some milliseconds."""
PIECE_WINDOWS = 2.0
CHECK_SCAN_ANGSTROM = 50.0
STRONG_RAD = 0.5
"""RMS of a phase above which the order was wrong: 50 angstrom of MAPbI3 have 0.77, of frameworks 0.1 to 0.2."""
BLIND = 0.3
"""Expected correlation below which nothing can be called seen."""


@dataclass(frozen=True)
class Advice:
    """A ranked table of optics.

    Parameters
    ----------
    material : str
    thickness_angstrom : float
        That of whole repeats of the crystal.
    task : Task
    optics : tuple of Optics
        Best first.
    refused : tuple of str
        A line for each candidate that the detector cannot record.
    checked : tuple of float
        Correlation of a simulated reconstruction with the truth for the first of ``optics``, where that was asked for.
    phase_rms_rad : float
        RMS of the specimen's projected phase.
    pair : Pair, optional
        The best two scans of half the dose.
    """

    material: str
    thickness_angstrom: float
    task: Task
    optics: tuple[Optics, ...]
    refused: tuple[str, ...] = ()
    checked: tuple[float, ...] = ()
    phase_rms_rad: float = 0.0
    pair: Pair | None = None

    @property
    def remark(self) -> str:
        """Why the order may be wrong, or nothing."""
        if self.phase_rms_rad < STRONG_RAD:
            return ""
        return (
            f"the phase of {self.material} has an RMS of {self.phase_rms_rad:.2g} rad, and the formula is that of weak"
            f" phases (below {STRONG_RAD:g}): believe --check, not the order"
        )

    @property
    def recommended(self) -> Optics:
        """The smallest probe among those that are as good as the best."""
        return recommended(self.optics)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "recommended": asdict(self.recommended)}

    def in_words(self) -> str:
        """What to set at the microscope, in one line."""
        o = self.recommended
        return (
            f"{o.semi_angle_mrad:g} mrad, {o.defocus_angstrom:g} angstrom underfocus, steps of"
            f" {o.scan_step_angstrom:.2f} angstrom, {o.angular_step_mrad:.3f} mrad per pixel of"
            f" {self.task.detector_pixels}, {o.current_pa:.2g} pA at {self.task.frames_per_second:g} frames/s: the"
            " smallest probe among the optics that are as good as the best"
        )

    def about_pairs(self) -> str:
        """Do two scans with half of the dose each pay? In one line."""
        best, pair = self.optics[0].correlation, self.pair
        if pair is None:
            return ""
        first, second = pair.defoci_angstrom
        what = f"two scans of half the dose, {pair.semi_angle_mrad:g} mrad at {first:g} and {second:g} angstrom,"
        if pair.correlation > best + AS_GOOD:
            return f"{what} reach {pair.correlation:.3f} where the best single scan has {best:.3f}: a pair pays"
        return f"{what} reach {pair.correlation:.3f}, the best single scan {best:.3f}: a pair does not pay"

    def columns(self) -> list[tuple[str, list[str]]]:
        """Title and texts of every column."""
        found = self.optics
        columns = [
            ("angle mrad", [f"{o.semi_angle_mrad:g}" for o in found]),
            ("defocus A", [f"{o.defocus_angstrom:g}" for o in found]),
            ("probe D90 A", [f"{o.probe_diameter_angstrom:.1f}" for o in found]),
            ("step A", [f"{o.scan_step_angstrom:.2f}" for o in found]),
            ("mrad per pixel", [f"{o.angular_step_mrad:.3f}" for o in found]),
            ("e per pattern", [f"{o.electrons_per_pattern:.0f}" for o in found]),
            ("beam pA", [f"{o.current_pa:.2g}" for o in found]),
            ("correlation", [f"{o.correlation:.3f}" for o in found]),
            ("seen to A", ["-" if o.resolution_angstrom is None else f"{o.resolution_angstrom:.2f}" for o in found]),
            ("signal lost", [f"{o.lost:.0%}" for o in found]),
        ]
        if self.checked:
            texts = [f"{value:.3f}" for value in self.checked]
            columns.append(("tried", texts + [""] * (len(found) - len(texts))))
        return columns

    def __str__(self) -> str:
        wide = [(title, texts, max(len(title), *map(len, texts))) for title, texts in self.columns()]
        lines = ["  ".join(f"{title:>{width}}" for title, _, width in wide)]
        lines += ["  ".join(f"{texts[i]:>{w}}" for _, texts, w in wide) for i in range(len(self.optics))]
        return "\n".join(line.rstrip() for line in lines)


def advise(
    material: str,
    *,
    thickness_angstrom: float = 50.0,
    dose_per_square_angstrom: float = 100.0,
    resolution_angstrom: float = 2.0,
    energy_ev: float = 300e3,
    detector_pixels: int = 128,
    semi_angles_mrad: Sequence[float] = SEMI_ANGLES_MRAD,
    defoci_angstrom: Sequence[float] = DEFOCI_ANGSTROM,
    aberrations: dict[str, float] | None = None,
    scan_step_angstrom: float | None = None,
    frames_per_second: float = 1000.0,
    check: int = 0,
    client: Client | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Advice:
    """Rank semi-angles and defoci by what their electrons carry of a specimen.

    Every pair gets the smallest box that holds its probe, the information of the weak-phase bright field
    (:mod:`ptychodask.physics.information`) and, summed over the specimen's own spectrum, the correlation with the truth
    that the best linear estimate would reach (:mod:`ptychodask.analysis.advice`). The geometry counts as known.

    Parameters
    ----------
    material : str
        As for :func:`ptychodask.simulate`: a name, or a structure file with the beam along +z.
    thickness_angstrom, dose_per_square_angstrom, energy_ev : float
        Specimen, electrons per square angstrom, eV.
    resolution_angstrom : float
        Up to which the correlation is meant; the detector's pixels must carry it.
    detector_pixels : int
        Side of the detector after binning.
    semi_angles_mrad, defoci_angstrom : sequences of float
        Candidates are all pairs.
    aberrations : dict, optional
        Of the lens besides the defocus: ``C30`` etc. in angstrom, ``phi12`` etc. in rad.
    scan_step_angstrom : float, optional
        A tenth of the probe's D90 if absent.
    frames_per_second : float
        Of the detector, for the beam current.
    check : int
        Simulate and reconstruct so many of the best (half a minute each on two cores).
    client : distributed.Client, optional
        Where to do that; threads of this process by default.
    progress : callable, optional
        Called with a label, the number of finished and of all steps.

    Returns
    -------
    Advice

    Raises
    ------
    InputError
        For a value out of bounds, no candidate that the detector can record, or a dose at which nothing can be seen.

    Examples
    --------
    >>> print(ptychodask.advise("zif-8", thickness_angstrom=34, dose_per_square_angstrom=100))
    """
    material = arguments.text(str(material), "material", "a material's name or the path of a structure file")
    thickness = number(thickness_angstrom, "thickness_angstrom", "the specimen's thickness in angstrom", 0, above=0)
    task = Task(
        dose=number(dose_per_square_angstrom, "dose_per_square_angstrom", "electrons per square angstrom", above=0),
        resolution_angstrom=number(resolution_angstrom, "resolution_angstrom", "angstrom", 0.3, 20),
        detector_pixels=arguments.whole(detector_pixels, "detector_pixels", "the detector's side in pixels", 16, 4096),
        thickness_angstrom=thickness,
        frames_per_second=number(frames_per_second, "frames_per_second", "frames of the detector per second", above=0),
        scan_step_angstrom=None
        if scan_step_angstrom is None
        else number(scan_step_angstrom, "scan_step_angstrom", "a step in angstrom", 0, 1000, above=0),
    )
    check = arguments.whole(check, "check", "how many of the best to simulate", 0, 100)
    angles = arguments.several(semi_angles_mrad, "semi_angles_mrad", "convergence semi-angles in mrad")
    foci = arguments.several(defoci_angstrom, "defoci_angstrom", "defoci in angstrom, underfocus positive")
    if not 0 < len(angles) * len(foci) <= MOST:
        raise InputError(
            f"{len(angles)} semi-angles and {len(foci)} defoci are {len(angles) * len(foci)} candidates: give 1 to"
            f" {MOST}"
        )
    candidates = [Microscope.of(energy_ev, angle, defocus, aberrations) for angle in angles for defocus in foci]
    phase, pixel, repeats = specimen_phase(material, thickness, energy_ev, PIECE_WINDOWS * WINDOW_ANGSTROM)
    task = replace(task, thickness_angstrom=repeats)
    seen = spectrum(phase, pixel)
    held, refused = recordable(candidates, task)
    found = rank(held, seen, task)
    if not found:
        raise InputError(f"no candidate can be recorded: {refused[0]}, and so for all {len(refused)}")
    if found[0].correlation < BLIND:
        raise InputError(
            f"at {task.dose:g} electrons per square angstrom nothing can be seen of {material} at"
            f" {task.resolution_angstrom:g} angstrom: the best optics would reach a correlation of"
            f" {found[0].correlation:.2f}: give more dose, a thicker specimen or a lower resolution"
        )
    checked = []
    for i, optics in enumerate(found[:check]):
        if progress is not None:
            progress("simulated reconstructions", i, min(check, len(found)))
        checked.append(_simulated(material, optics, task, candidates[0], client))
    if progress is not None and checked:
        progress("simulated reconstructions", len(checked), len(checked))
    pair = best_pair(held, seen, task)
    return Advice(material, repeats, task, tuple(found), tuple(refused), tuple(checked), float(np.std(phase)), pair)


def _simulated(material: str, optics: Optics, task: Task, microscope: Microscope, client: Client | None) -> float:
    """Correlation with the truth of a reconstruction of a simulated scan, by the defaults, at the wanted resolution."""
    aberrations = {name: value for name, value in microscope.aberrations.items() if name != "C10"}
    conditions = {
        "thickness_angstrom": task.thickness_angstrom,
        "energy_ev": microscope.energy_ev,
        "semi_angle_mrad": optics.semi_angle_mrad,
        "defocus_angstrom": optics.defocus_angstrom,
        "aberrations": aberrations,
        "scan_shape": (math.ceil(CHECK_SCAN_ANGSTROM / optics.scan_step_angstrom),) * 2,
        "scan_step_angstrom": optics.scan_step_angstrom,
        "detector_pixels": task.detector_pixels,
        "angular_step_mrad": optics.angular_step_mrad,
        "dose_per_square_angstrom": task.dose,
    }
    at = task.resolution_angstrom
    return correlation_with_truth(material, conditions, JobConfig(), [at], client)[at]
