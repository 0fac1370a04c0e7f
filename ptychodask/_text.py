"""Text that may come from a file, as one line that a terminal can show."""

from __future__ import annotations

import re

_LONGEST = 800
"""Characters of a line: a few lines of a terminal."""
_BREAKS = re.compile(r"\s*\0[\s\0]*")


def printable(text: object, most: int = _LONGEST) -> str:
    """``text`` as one line of printable characters, at most ``most`` of them.

    Control characters, which a terminal would obey, and line breaks become spaces. What is too long loses its middle,
    because a message begins with what is wrong and ends with the remedy.
    """
    whole = str(text)
    if len(whole) > 4 * most:
        whole = f"{whole[: 2 * most]}\0...\0{whole[-2 * most :]}"
    line = _BREAKS.sub(" ", "".join(c if c.isprintable() else "\0" for c in whole)).strip()
    if len(line) <= most:
        return line
    tail = most // 3
    return f"{line[: most - tail - 5]} ... {line[-tail:]}"


def first_line(error: BaseException, most: int = 200) -> str:
    """What an error says first, or its name where it says nothing."""
    return printable(next((line for line in str(error).splitlines() if line.strip()), type(error).__name__), most)
