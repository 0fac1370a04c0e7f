"""Mistakes that counts betray before they are reconstructed: pure functions from a survey to warnings of one line.

Every warning names value, bound and remedy, and sound data give none: bounds lie beyond what simulated scans of all
materials reach (see ``benchmarks/first_day.py``).
"""

from __future__ import annotations

from .counts import gain_warnings, misfire_warnings, misfired
from .disk import disk_warnings
from .pixels import pixel_warnings
from .scan import scan_warnings
from .survey import Survey

__all__ = ["Survey", "misfired", "suspicions"]


def suspicions(survey: Survey, exclude_misfired: bool = False) -> list[str]:
    """All warnings of a survey; misfired frames are none where they are left out."""
    misplaced = disk_warnings(survey)
    found = [*misplaced, *pixel_warnings(survey), *gain_warnings(survey)]
    if not exclude_misfired:
        found += misfire_warnings(survey)
    # a disk elsewhere, or of another size, is the first thing to be mended
    return found if misplaced else found + scan_warnings(survey)
