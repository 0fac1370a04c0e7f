"""What else to know of a calibration, as lines for people."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..io.dataset import DatasetInfo
from .centring import Centring
from .drift import Drift
from .table import Value

OFF = 0.02
"""Relative difference of measured and recorded radius of the disk that is worth a note."""
CERTAIN = 0.15
"""Skewness of the phase below which the 180 degrees are a guess."""
CLEAR = 25.0
"""Nats by which a layout should win over the other."""


def notes_of(info: DatasetInfo, values: Mapping[str, Value], centring: Centring, angle: float) -> list[str]:
    """Of the disk: off centre, moving, of another radius than recorded (``angle`` mrad per pixel are used)."""
    found = []
    off, across = centring.centre - info.detector.pixels // 2, centring.across
    remedy = (
        "written, patterns are moved by whole pixels when they are read, and the probe starts off centre by the rest"
    )
    if np.hypot(*off) > 0.5 and not across.any():
        found.append(f"the disk is off centre by ({off[0]:+.2f}, {off[1]:+.2f}) pixels: {remedy}")
    if across.any():
        found.append(
            f"the disk moves over the scan (descan): by ({across[0, 0]:+.2f}, {across[1, 0]:+.2f}) pixels from first to"
            f" last row, by ({across[0, 1]:+.2f}, {across[1, 1]:+.2f}) from first to last column; its mean is off"
            f" centre by ({off[0]:+.2f}, {off[1]:+.2f}): written, patterns are moved by whole pixels when they are"
            " read, and a reconstruction has the fraction of every pattern in its model"
        )
    radius, step = float(values["semi_angle_pixels"].value), info.detector.angular_step_mrad
    said = info.microscope.semi_angle_mrad / step
    if angle != step:
        found.append(
            f"the disk has a radius of {radius:.2f} pixels, which makes angular_step_mrad {angle:.5g} instead of"
            f" {step:.5g}, that an import found from fewer patterns"
        )
    elif abs(radius / said - 1) > OFF:
        found.append(
            f"the disk has a radius of {radius:.2f} pixels, semi_angle_mrad / angular_step_mrad = {said:.2f}: lengths"
            f" here go with angular_step_mrad = {step:.4g}; if the semi-angle is certain,"
            f" import again with {info.microscope.semi_angle_mrad / radius:.4g}"
        )
    return found


def doubts(skew: float, margin: float, odd: int) -> list[str]:
    """Of the orientation, and patterns that were left out."""
    found = []
    if not math.isnan(skew) and skew < CERTAIN:
        found.append(
            f"the phase is hardly skewed ({skew:.2f}, {CERTAIN:g} is clear): rotation by 180 degrees with the other"
            " sign of defocus and astigmatism fits as well; give --rotation or --defocus if one is known"
        )
    if margin < CLEAR:
        found.append(
            f"patterns as stored and transposed differ by {margin:.0f} nats only ({CLEAR:g} are clear): give"
            " --transpose or --no-transpose if it is known"
        )
    if odd:
        found.append(f"{odd} patterns with far too many electrons, or hardly any, were left out")
    return found


def drift_notes(drift: Drift | None) -> list[str]:
    """Of rows that drift."""
    if drift is None or not drift.certain:
        return []
    return [
        f"rows of the scan drift by {drift.rms:.2g} A (RMS; beside what is straight), known to {drift.sigma:.2g} A"
        f" along each axis, {drift.nats:.0f} nats against none: written, positions follow it"
    ]
