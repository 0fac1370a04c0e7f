"""Does the geometry sample the problem? What ``ptychodask info`` prints, before any computing starts.

Probe sizes are those of the microscope's ideal probe on an endless box (:func:`ptychodask.physics.probe.probe_window`),
so that what leaves the box of the patterns is seen. The tails of a round aperture reach far: in focus D99 is about
20 lambda / alpha, 40 angstrom at 300 kV and 10 mrad. The probe of a reconstruction lives in the box; its aperture
has an edge that is soft over one detector pixel, which cuts those tails, and its own D99 is smaller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .._tables import Row, counted, table
from ..model.optics import Microscope
from ..physics.probe import frame_power, power_inside, probe_diameter, probe_window
from .positions import position_warnings

FRAME_WARN, FRAME_FAIL = 0.02, 0.08
"""Power outside the inner 80 % of the box that is worth a warning, and that is refused: far tails count, of which a
focused probe has 1 % there where the aperture is a third of the detector's width."""
BOX_WARN = 0.01
"""Power outside the box that is worth a warning."""
MIN_OVERLAP = 0.6
"""Linear overlap below which ptychography converges badly (Bunk et al., Ultramicroscopy 108, 481, 2008)."""
DETAIL_ANGSTROM = 2.0
"""Resolution element d of the quantum bound on the phase."""


@dataclass(frozen=True, repr=False)
class SamplingReport:
    """Numbers of one experiment: lengths in angstrom, angles in mrad, the rest as said.

    Parameters
    ----------
    wavelength : float
    pixel : float
        dx = lambda / (N dtheta).
    box : float
        N dx = lambda / dtheta.
    angular_step_mrad : float
        dtheta.
    max_angle_mrad : float
        N / 2 dtheta.
    semi_angle_mrad : float
    bright_field_px : float
        Radius alpha / dtheta.
    d50, d90, d99 : float
        Diameters about the centre of mass that hold 50, 90 and 99 % of the probe; infinite beyond 8 boxes.
    box_holds_d99 : bool
    power_outside_box : float
        Part of the probe outside the box, which is square.
    nyquist_mrad : float
        lambda / (2 D99): the dtheta that samples the intensity itself without aliasing.
    frame_entrance : float
        Part of the power outside the inner 80 % of the box.
    frame_exit : float or None
        The same after free propagation through the thickness.
    linear_overlap : float
        1 - step / D90, for the longer of the two steps.
    areal_oversampling : float
        Patterns per probe area, pi D90^2 / (4 step_y step_x).
    box_to_step : float
        (N dx)^2 / (step_y step_x).
    redundancy : float
        Measured numbers over unknown ones.
    electrons_per_pattern, electrons_per_bright_field_px : float
    dose : float
        Electrons per angstrom^2.
    phase_bound : float
        1 / (2 sqrt(D d^2)) in rad at d = 2 angstrom.
    depth_of_field : float
        lambda / alpha^2.
    slice_thickness : float or None
    warnings : tuple of str
    facts : tuple of Row
        Rows about the dataset itself, shown first.
    """

    wavelength: float
    pixel: float
    box: float
    angular_step_mrad: float
    max_angle_mrad: float
    semi_angle_mrad: float
    bright_field_px: float
    d50: float
    d90: float
    d99: float
    box_holds_d99: bool
    power_outside_box: float
    nyquist_mrad: float
    frame_entrance: float
    frame_exit: float | None
    linear_overlap: float
    areal_oversampling: float
    box_to_step: float
    redundancy: float
    electrons_per_pattern: float
    electrons_per_bright_field_px: float
    dose: float
    phase_bound: float
    depth_of_field: float
    slice_thickness: float | None
    warnings: tuple[str, ...] = ()
    facts: tuple[Row, ...] = ()

    def __repr__(self) -> str:
        return (
            f"SamplingReport({self.dose:.4g} e/A^2, probe D90 {self.d90:.1f} A, overlap {self.linear_overlap:.0%},"
            f" box {self.box:.1f} A, {counted(len(self.warnings), 'warning')})"
        )

    def __str__(self) -> str:
        return "\n".join([table(self.rows()), *(f"warning: {text}" for text in self.warnings)])

    def rows(self) -> list[Row]:
        """(label, value, unit or remark, fulfilled) for a table; fulfilled is None where nothing is asked."""
        edge, overlap, step = self.max_angle_mrad, self.linear_overlap, self.angular_step_mrad
        far, thick, depth = self.frame_exit, self.slice_thickness, self.depth_of_field
        frame, unit = f"outside 80 % of the box; at most {FRAME_WARN:.0%}", "angstrom"
        sizes = f"{self.d50:.1f} / {self.d90:.1f} / {self.d99:.1f}"
        holds = edge >= self.semi_angle_mrad
        outside = f"{self.power_outside_box:.1%} of the probe lies outside; at most {BOX_WARN:.0%}"
        # the disc of D99 may stick out of a box in whose corners the rest is: no fault
        held = self.box_holds_d99 or (False if self.power_outside_box > BOX_WARN else None)
        fine = (step <= self.nyquist_mrad) or None  # overlap makes up for a coarser detector: a miss is no fault
        rows: list[Row] = [
            *self.facts,
            ("wavelength", f"{self.wavelength:.6f}", unit, None),
            ("pixel dx", f"{self.pixel:.4f}", unit, None),
            ("box N dx", f"{self.box:.2f}", f"{unit}; D99 = {self.d99:.1f}, {outside}", held),
            ("detector edge", f"{edge:.2f}", f"mrad; at least {self.semi_angle_mrad:g} of the probe", holds),
            ("bright-field radius", f"{self.bright_field_px:.1f}", "px", None),
            ("probe D50 / D90 / D99", sizes, unit, None),
            ("angular step", f"{step:.4g}", f"mrad; full Nyquist {self.nyquist_mrad:.4g}", fine),
            ("probe power, entrance", f"{self.frame_entrance:.2%}", frame, self.frame_entrance <= FRAME_WARN),
        ]
        if far is not None:
            rows.append(("probe power, exit", f"{far:.2%}", frame, far <= FRAME_WARN))
        rows += [
            ("linear overlap", f"{overlap:.0%}", f"at least {MIN_OVERLAP:.0%}", overlap >= MIN_OVERLAP),
            ("areal oversampling", f"{self.areal_oversampling:.1f}", "patterns per probe area", None),
            ("box / step area", f"{self.box_to_step:.0f}", "", None),
            ("redundancy", f"{self.redundancy:.2f}", "measured / unknown; at least 1", self.redundancy >= 1),
            ("electrons per pattern", f"{self.electrons_per_pattern:.1f}", "e", None),
            ("electrons per disk pixel", f"{self.electrons_per_bright_field_px:.3g}", "e", None),
            ("dose", f"{self.dose:.1f}", f"e/{unit}^2", None),
            ("quantum bound on phase", f"{self.phase_bound:.4f}", f"rad at {DETAIL_ANGSTROM:g} {unit}", None),
            ("depth of field", f"{depth:.1f}", unit, None),
        ]
        if thick is not None:
            rows.append(("slice thickness", f"{thick:.1f}", "angstrom; at most that depth", thick <= depth))
        return rows


def check_geometry(
    microscope: Microscope,
    n_detector: int,
    angular_step_mrad: float,
    *,
    step_angstrom: tuple[float, float] | None = None,
    thickness_angstrom: float | None = None,
) -> None:
    """Refuse what cannot be reconstructed.

    Raises
    ------
    InputError
        For a calibration that is no positive number; a bright-field disk that the detector does not hold
        (alpha > N/2 dtheta); a probe of which more than 8 % lies outside the inner 80 % of the box at the
        entrance or, where the thickness is given, at the exit.
    """
    _positive(n_detector=n_detector, angular_step_mrad=angular_step_mrad, thickness=thickness_angstrom)
    if step_angstrom is not None:
        _positive(step_y=step_angstrom[0], step_x=step_angstrom[1])
    if microscope.semi_angle_mrad > (edge := n_detector / 2 * angular_step_mrad):
        raise InputError(_disk_message(microscope.semi_angle_mrad, edge))
    box = microscope.wavelength / (angular_step_mrad * 1e-3)
    for place, depth in _ends(thickness_angstrom):
        if (power := frame_power(microscope, n_detector, box / n_detector, depth)) > FRAME_FAIL:
            raise InputError(_frame_message(place, power, box))


def sampling_report(
    microscope: Microscope,
    n_detector: int,
    angular_step_mrad: float,
    step_angstrom: tuple[float, float],
    scan_shape: tuple[int, int],
    electrons_per_pattern: float,
    *,
    slices: int = 1,
    modes: int = 1,
    thickness_angstrom: float | None = None,
    canvas_shape: tuple[int, int] | None = None,
    used_pixels: int | None = None,
    positions: NDArray[np.floating] | None = None,
) -> SamplingReport:
    """Sampling, dose and redundancy of an experiment, with a warning where a criterion is violated.

    Parameters
    ----------
    microscope : Microscope
    n_detector, angular_step_mrad : int, float
        Side N of the pattern in pixels, and the angle per pixel.
    step_angstrom, scan_shape : (y, x)
        Scan step and number of positions.
    electrons_per_pattern : float
        Mean counts per pattern.
    slices, modes, thickness_angstrom
        Of the reconstruction and the specimen.
    canvas_shape : (y, x), optional
        Pixels of the object; the scanned field plus one box if absent.
    used_pixels : int, optional
        Detector pixels that carry electrons; the bright-field disk if absent.
    positions : array (scan_y, scan_x, 2), optional
        As recorded, angstrom; compared with the scan step where they are given.

    Raises
    ------
    InputError
        If a calibration is no positive number. What can be shown but not reconstructed is a warning.
    """
    _positive(n_detector=n_detector, angular_step_mrad=angular_step_mrad, thickness=thickness_angstrom)
    _positive(step_y=step_angstrom[0], step_x=step_angstrom[1], electrons_per_pattern=electrons_per_pattern)
    n, lam, alpha, dtheta = n_detector, microscope.wavelength, microscope.semi_angle, angular_step_mrad * 1e-3
    box, dx = lam / dtheta, lam / (n * dtheta)
    d50, d90, d99 = _diameters(microscope, box)
    outside = 1 - power_inside(microscope, box)
    frames = [frame_power(microscope, n, dx, depth) for _, depth in _ends(thickness_angstrom)]
    step_area = step_angstrom[0] * step_angstrom[1]
    dose = electrons_per_pattern / step_area
    disk_px = min(math.pi * (alpha / dtheta) ** 2, float(n * n))
    spans = [(count - 1) * step / dx for count, step in zip(scan_shape, step_angstrom, strict=True)]
    canvas = canvas_shape or [math.ceil(span) + n for span in spans]
    measured = math.prod(scan_shape) * (disk_px if used_pixels is None else used_pixels)
    report = SamplingReport(
        wavelength=lam,
        pixel=dx,
        box=box,
        angular_step_mrad=angular_step_mrad,
        max_angle_mrad=n / 2 * angular_step_mrad,
        semi_angle_mrad=microscope.semi_angle_mrad,
        bright_field_px=alpha / dtheta,
        d50=d50,
        d90=d90,
        d99=d99,
        box_holds_d99=box >= d99,
        power_outside_box=outside,
        nyquist_mrad=1e3 * lam / (2 * d99),
        frame_entrance=frames[0],
        frame_exit=None if thickness_angstrom is None else frames[1],
        linear_overlap=1 - max(step_angstrom) / d90,
        areal_oversampling=math.pi * d90**2 / (4 * step_area),
        # a complex pixel is two unknowns
        redundancy=measured / (2 * math.prod(canvas) * slices + 2 * modes * n * n),
        box_to_step=box**2 / step_area,
        electrons_per_pattern=electrons_per_pattern,
        electrons_per_bright_field_px=electrons_per_pattern / disk_px,
        dose=dose,
        phase_bound=1 / (2 * math.sqrt(dose * DETAIL_ANGSTROM**2)),
        depth_of_field=microscope.depth_of_field,
        slice_thickness=None if thickness_angstrom is None else thickness_angstrom / slices,
    )
    warnings = _warnings(report, max(step_angstrom), slices)
    if positions is not None:
        warnings += position_warnings(positions, step_angstrom)
    return replace(report, warnings=tuple(warnings))


def _diameters(microscope: Microscope, box: float) -> tuple[float, ...]:
    """D50, D90 and D99 in a window that grows until it holds them well, up to 8 boxes."""
    side = box
    while True:
        intensity, pixel = probe_window(microscope, side)
        found = probe_diameter(intensity, pixel, (0.5, 0.9, 0.99), whole=1.0)
        if found[2] < 0.75 * side or side >= 8 * box:
            return found
        side *= 2


def _warnings(report: SamplingReport, step: float, slices: int) -> list[str]:
    found = []
    if report.max_angle_mrad < report.semi_angle_mrad:
        found.append(_disk_message(report.semi_angle_mrad, report.max_angle_mrad))
    if not report.box_holds_d99 and report.power_outside_box > BOX_WARN:
        found.append(
            f"99 % of the probe needs {report.d99:.1f} angstrom, the box of {report.box:.1f} leaves out"
            f" {report.power_outside_box:.1%}: use an angular step of at most"
            f" {1e3 * report.wavelength / report.d99:.3g} mrad or less defocus"
        )
    for place, power in (("entrance", report.frame_entrance), ("exit", report.frame_exit or 0.0)):
        if power > FRAME_WARN:
            found.append(_frame_message(place, power, report.box))
    if step > report.d90:
        found.append(
            f"neighbouring probes do not overlap: steps of {step:.4g} angstrom are {step / report.d90:.3g} probe"
            f" diameters (D90 = {report.d90:.1f}): check scan_step_angstrom, or use steps of at most"
            f" {(1 - MIN_OVERLAP) * report.d90:.2f} angstrom"
        )
    elif report.linear_overlap < MIN_OVERLAP:
        found.append(
            f"linear overlap {report.linear_overlap:.2f} is below {MIN_OVERLAP}: use steps of at most "
            f"{(1 - MIN_OVERLAP) * report.d90:.2f} angstrom (now {step:.2f}) or more defocus"
        )
    if report.redundancy < 1:
        remedy = "use fewer slices or modes, a smaller canvas or a smaller step"
        found.append(f"redundancy {report.redundancy:.2f} is below 1, more unknowns than data: {remedy}")
    thick, depth = report.slice_thickness or 0.0, report.depth_of_field
    if thick > depth:
        remedy = f"use at least {math.ceil(thick * slices / depth)} slices (now {slices})"
        found.append(f"slices of {thick:.1f} angstrom exceed the depth of field of {depth:.1f}: {remedy}")
    return found


def _positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} = {value}: give a finite number above 0")


def _ends(thickness: float | None) -> list[tuple[str, float]]:
    """Depths to look at: the width of a beam in free space is convex in z, so it is largest at an end."""
    return [("entrance", 0.0)] + ([] if thickness is None else [("exit", thickness)])


def _disk_message(semi_angle_mrad: float, edge: float) -> str:
    return (
        f"semi_angle_mrad = {semi_angle_mrad:g} exceeds the detector's {edge:.1f} mrad: check "
        "angular_step_mrad, or record with a shorter camera length"
    )


def _frame_message(place: str, power: float, box: float) -> str:
    return (
        f"{power:.1%} of the probe is outside 80 % of the {box:.1f} angstrom box at the {place} (best below "
        f"{FRAME_WARN:.0%}, refused above {FRAME_FAIL:.0%}): use less defocus or a smaller angular_step_mrad"
    )
