"""Frames that were stored one after another, as a scan: which shapes fit, and what a file that ends too early holds."""

from __future__ import annotations

from pathlib import Path

from .._errors import InputError
from .._tables import counted

SHOWN = 6
"""Scan shapes in a message, at most."""


def fitting_scans(frames: int) -> list[tuple[int, int]]:
    """All scans (y, x) of so many frames, from the squarest to a line."""
    sides = [n for n in range(1, int(frames**0.5) + 1) if frames % n == 0]
    pairs = [(n, frames // n) for n in reversed(sides)]
    return [scan for y, x in pairs for scan in dict.fromkeys([(y, x), (x, y)])]


def a_scan(
    path: Path,
    frames: int,
    given: tuple[int, int] | None,
    said: tuple[int, int] | None,
    allow_partial: bool,
    rest: int = 0,
) -> tuple[tuple[int, int], int]:
    """The scan of a file's frames.

    Parameters
    ----------
    path : Path
        Of the file.
    frames : int
        That it holds whole.
    given, said : (int, int) or None
        Scan (y, x) of the person, which comes first, and of the file.
    allow_partial : bool
        Is another number of frames than positions taken?
    rest : int
        Bytes of a further frame.

    Returns
    -------
    scan : (int, int)
        Rows and columns; rows of which there is no frame are left out.
    missing : int
        Frames that the last row lacks.

    Raises
    ------
    InputError
        If the scan is not known, or another number of frames is there: which scans would fit.
    """
    fit = ", ".join(f"{y} {x}" for y, x in fitting_scans(frames)[:SHOWN])
    holds = f"{path} holds {counted(frames, 'whole frame')}{f' and {rest} bytes of another' if rest else ''}"
    scan = given or said
    if not frames:
        raise InputError(f"{holds}: copy or write it again")
    if scan is None:
        raise InputError(f"{holds} and does not say its scan: give --scan Y X (scan_shape), {fit} fit")
    (y, x), who = scan, "--scan" if given else "its header"
    wanted = y * x
    if frames > wanted and not allow_partial:
        raise InputError(
            f"{holds}, {who} says {y} x {x} = {wanted}: give --scan Y X (scan_shape), {fit} fit, or --allow-partial to"
            f" take the first {wanted}"
        )
    if frames < wanted and not allow_partial:
        raise InputError(
            f"{holds}, {who} says {y} x {x} = {wanted}: it ends too early (copy it again, or --allow-partial leaves"
            f" the {wanted - frames} missing positions out), or the scan is another, --scan {fit} fit"
        )
    rows = min(y, -(-frames // x))
    return (rows, x), max(0, rows * x - frames)


def growing_scan(path: Path, frames: int, scan: tuple[int, int] | None) -> tuple[tuple[int, int], int]:
    """The scan (y, x) of a file that still grows, and how many of its frames are not there yet.

    Raises
    ------
    InputError
        If nobody says the scan: the size of such a file does not tell.
    """
    if scan is None:
        raise InputError(f"{path} still grows and does not say its scan: give --scan Y X (scan_shape)")
    return scan, max(0, scan[0] * scan[1] - frames)


def partial_note(
    frames: int, rest: int, missing: int, scan: tuple[int, int], whole: tuple[int, int] | None
) -> tuple[str, ...]:
    """What is to be said of a scan that a file does not hold whole, or of what else it holds."""
    lines = []
    over = max(0, frames - scan[0] * scan[1])
    if over or (rest and frames == scan[0] * scan[1]):
        more = f"{counted(over, 'frame')} " if over else ""
        lines.append(
            f"not read: {more}{'and ' if over and rest else ''}{f'{rest} bytes ' if rest else ''}after the scan"
        )
    if whole is not None and whole[0] > scan[0]:
        lines.append(
            f"the file ends too early: {scan[0]} of {whole[0]} rows of the scan are there, the rest is left out"
        )
    if missing:
        lines.append(
            f"the last {counted(missing, 'position')} of the last row are missing and stored as 0: leave them out with"
            " --set data.exclude=misfired"
        )
    return tuple(lines)
