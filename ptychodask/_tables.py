"""Tables of text for people."""

from __future__ import annotations

from collections.abc import Iterable

Row = tuple[str, str, str, bool | None]
"""Label, value, unit or remark, and whether it is as it should be; None where nothing is asked."""


def table(rows: Iterable[Row]) -> str:
    """Rows as aligned lines, those that fail marked by ``no``."""
    found = list(rows)
    wide = [max(map(len, column), default=0) for column in ([row[0] for row in found], [row[1] for row in found])]
    words = {True: "ok  ", False: "no  ", None: ""}
    return "\n".join(
        f"{label:<{wide[0]}}  {value:<{wide[1]}}  {words[ok]}{remark}".rstrip() for label, value, remark, ok in found
    )


def counted(number: int | str, noun: str, several: str = "") -> str:
    """``1 slice``, ``2 slices``, of a number or its text; ``several`` is the plural that has no s."""
    return f"{number} {noun if str(number) == '1' else several or f'{noun}s'}"
