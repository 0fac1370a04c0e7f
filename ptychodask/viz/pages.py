"""How pages are written: the place is looked at before anything is drawn, and a reader never meets half a picture."""

from __future__ import annotations

import os
from collections.abc import Callable

from matplotlib.figure import Figure

from ..io.atomic import check_output, writing
from ..io.kinds import picture

DPI = 110


def page_writer(path: str | os.PathLike[str], overwrite: bool) -> Callable[[Figure], None]:
    """What writes a figure at a path, as what its ending names.

    Raises
    ------
    InputError
        No picture has this ending, or the output exists or cannot be written.
    """
    kind = picture(path)
    check_output(path, kind, overwrite)

    def write(figure: Figure) -> None:
        with writing(path, kind, overwrite) as part:
            figure.savefig(part, format=kind.ending.removeprefix("."), dpi=DPI)

    return write
