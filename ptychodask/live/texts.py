"""The page's words: what runs, how far it is, and what happened. Texts from files and clusters are escaped."""

from __future__ import annotations

import math
import time
from html import escape
from typing import Any

from .._tables import counted
from .board import Shown, rate

_STYLE = """
<style>
.pd { font: 14px/1.35 system-ui, -apple-system, 'Segoe UI', sans-serif; color: #1d2733 }
.pd b.run { font-size: 19px } .pd .quiet { color: #6b7785 }
.pd .tiles { display: flex; flex-wrap: wrap; gap: 30px; margin-top: 5px }
.pd .tiles div b { display: block; font-size: 17px; font-variant-numeric: tabular-nums }
.pd .tiles div span { color: #6b7785; font-size: 12px }
.pd .log { font-size: 12.5px; height: %dpx; overflow-y: auto; border-top: 1px solid #d5dae0 }
.pd .log time { color: #6b7785; font-variant-numeric: tabular-nums; margin-right: 8px }
.pd .log .bad { color: #b3401a }
</style>
"""
NOTHING = (
    f"{_STYLE % 0}<div class='pd'><b class='run'>no run yet</b><div class='quiet'>start a reconstruction on this"
    " scheduler, and it is shown here</div></div>"
)


def head(shown: Shown) -> str:
    """Name of the run, and the figures of its last iteration."""
    about, row = shown.about, shown.rows[-1] if shown.rows else None
    facts = (
        f"{about['patterns']:,} patterns of {about['electrons_per_pattern']:.4g} electrons,"
        f" {about['dose_per_square_angstrom']:.4g} e/Å²; {counted(about['slices'], 'slice')} of"
        f" {about['pixel_angstrom']:.3g} Å pixels, {counted(about['modes'], 'probe mode')};"
        f" {counted(about['workers'], 'worker')}, {counted(about['threads'], 'thread')}"
    )
    tiles = [] if row is None else _tiles(shown, row)
    told = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in tiles)
    return (
        f"{_STYLE % 0}<div class='pd'><b class='run'>{escape(about['title'])}</b> <span class='quiet'>"
        f"{escape(facts)}</span><div class='tiles'>{told}</div></div>"
    )


def _tiles(shown: Shown, row: dict[str, Any]) -> list[tuple[str, str]]:
    about = shown.about
    stage = "ended" if shown.ended else {"fit": "fit", "finish": "finish, all electrons"}[row["stage"]]
    found = [
        (stage, f"{row['work']} of {about['iterations']} iterations"),
        ("loss, nats per pattern", number(row["loss"])),
    ]
    if math.isfinite(row["validation"]):
        found.append(("validation", number(row["validation"])))
    if row["work"] > 0:
        found.append(("patterns per second", f"{rate(row):,.0f}"))
    found.append(("merged per iteration", size(row["bytes_merged"])))
    if row["bytes_exchanged"]:
        found.append(("between tiles", size(row["bytes_exchanged"])))
    if row["bytes_read"]:
        found.append(("read again", size(row["bytes_read"])))
    found.append(("elapsed", duration(row["elapsed"])))
    left = about["iterations"] - row["work"]
    recent = [r["seconds"] for r in shown.rows[1:]][-5:]
    if recent and left > 0 and not shown.ended:
        found.append(("left, at most", duration(left * sum(recent) / len(recent))))
    found += [(name.replace("_", " "), number(value)) for name, value in row["more"].items()]
    return found


def log(shown: Shown, height: int) -> str:
    """Messages, the newest first."""
    lines = []
    for when, text in reversed(shown.messages):
        bad = any(word in text for word in ("warning", "diverged", "is gone", "stopped", "interrupted", "no picture"))
        clock = time.strftime("%H:%M:%S", time.localtime(when))
        lines.append(f"<div class='{'bad' if bad else ''}'><time>{clock}</time>{escape(text)}</div>")
    quiet = "<div class='quiet'>nothing to report</div>"
    return f"{_STYLE % height}<div class='pd'><div class='log'>{''.join(lines) or quiet}</div></div>"


def number(value: float) -> str:
    """Six digits, as a loss needs."""
    return f"{value:.6g}"


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """As 1:02:03, or seconds below a minute."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"
